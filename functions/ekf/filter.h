/*
 * An extended Kalman filter for a vehicle that turns: the mathematics of `ekf`, without input and output.
 *
 * The state is that of a coordinated turn whose rate is itself estimated:
 *
 *        north                    x = (east, north, velocity east, velocity north, turn rate)
 *          ^     ^ velocity
 *          |    /  )              metres from the origin of a local plane, m/s, rad/s clockwise
 *          |   o  v turn rate
 *          |
 *          +----------> east
 *
 * Between two fixes the state is predicted by the closed solution of the motion along a circle, which is not linear in the turn
 * rate; hence *extended*. At a fix it is corrected by two or four scalar measurements one after another, the components of
 * position and velocity, which equals the joint correction because their errors are independent. Velocity is kept as a vector
 * and not as speed and heading, because a vehicle that stands has no heading to linearise at.
 *
 * Follows Bar-Shalom, Li and Kirubarajan, "Estimation with Applications to Tracking and Navigation", Wiley 2001: the coordinated
 * turn and its Jacobian of chapter 11.7, the white-noise acceleration of chapter 6.2, Joseph's form of the covariance update and
 * the gate on the innovation of chapter 5.
 */
#ifndef LUGE_FUNCTIONS_EKF_FILTER_H
#define LUGE_FUNCTIONS_EKF_FILTER_H

#include <stdbool.h>

/* Indices into the state. */
enum { EAST, NORTH, VELOCITY_EAST, VELOCITY_NORTH, TURN_RATE, STATES };

struct filter {
	double time;             /* seconds, of the last fix */
	double x[STATES];
	double P[STATES][STATES]; /* covariance, symmetric */
	int rejections;          /* fixes in a row that failed the gate */
};

/* One fix of the receiver in the local plane. */
struct fix {
	double time;           /* seconds */
	double east, north;    /* metres */
	double sigma;          /* standard deviation of the position on each axis, metres */
	bool has_velocity;     /* whether the velocity was measured */
	double velocity_east, velocity_north; /* m/s */
};

/* What became of a fix. */
enum outcome {
	STARTED,  /* the filter began, or began anew, at this fix */
	USED,     /* it corrected the prediction */
	REJECTED, /* it lies outside of the gate and was ignored */
	FAILED,   /* the covariance is not positive or a number overflowed: the state given was no sound one */
};

/* Begins at a fix: what it does not measure is unknown within the bounds of road traffic. */
void filter_start(struct filter *filter, const struct fix *fix);

/*
 * Predicts to the time of the fix, which is not before the filter's, and corrects by it. Begins anew after a gap of more than a
 * minute or after five rejections in a row: then the prediction is what is wrong.
 */
enum outcome filter_advance(struct filter *filter, const struct fix *fix);

#endif
