/* See filter.h for the model and the sources; P' stands for P after the step, F for the motion's Jacobian. */
#include "filter.h"

#include <math.h>
#include <string.h>

/* Noise and bounds, chosen for road vehicles. */
static const double ACCELERATION_DENSITY = 1.0;  /* m^2/s^3, of white acceleration on each axis */
static const double TURN_DENSITY = 0.01;         /* rad^2/s^3, of white angular acceleration */
static const double TURN_TIME_CONSTANT = 6.0;    /* s, in which a turn that nobody measures fades */
static const double VELOCITY_SIGMA = 0.3;        /* m/s, of a receiver's velocity on each axis */
static const double UNKNOWN_VELOCITY_SIGMA = 15.0; /* m/s, where it was not measured */
static const double UNKNOWN_TURN_SIGMA = 0.2;    /* rad/s */
static const double GATE = 13.816;               /* 99.9 % of the chi-square distribution of 2 degrees of freedom */
static const double STEP_MAX = 0.5;              /* s, of one prediction, so that the linearisation holds */
static const double GAP_MAX = 60.0;              /* s, beyond which a prediction says nothing */
static const int REJECTIONS_MAX = 5;
static const double TURN_EPSILON = 1e-4;         /* rad/s, below which the quotients are taken from their series */

/* Moves the state along its arc for `dt` seconds and fills the Jacobian of that motion. */
static void move(double x[STATES], double dt, double F[STATES][STATES])
{
	double ve = x[VELOCITY_EAST], vn = x[VELOCITY_NORTH], w = x[TURN_RATE];
	double sine = sin(w * dt), cosine = cos(w * dt);
	double along, across;             /* displacement per unit of velocity: sin(w dt) / w and (1 - cos(w dt)) / w */
	double along_by_w, across_by_w;   /* and its derivatives by w */

	if (fabs(w) > TURN_EPSILON) {
		along = sine / w;
		across = (1.0 - cosine) / w;
		along_by_w = (dt * cosine - along) / w;
		across_by_w = (dt * sine - across) / w;
	} else {
		along = dt;
		across = 0.5 * w * dt * dt;
		along_by_w = -w * dt * dt * dt / 3.0;
		across_by_w = 0.5 * dt * dt;
	}
	double fade = exp(-dt / TURN_TIME_CONSTANT);
	double next_ve = ve * cosine + vn * sine, next_vn = vn * cosine - ve * sine;

	const double jacobian[STATES][STATES] = {
		[EAST] = { 1.0, 0.0, along, across, ve * along_by_w + vn * across_by_w },
		[NORTH] = { 0.0, 1.0, -across, along, vn * along_by_w - ve * across_by_w },
		[VELOCITY_EAST] = { 0.0, 0.0, cosine, sine, dt * next_vn },
		[VELOCITY_NORTH] = { 0.0, 0.0, -sine, cosine, -dt * next_ve },
		[TURN_RATE] = { 0.0, 0.0, 0.0, 0.0, fade },
	};
	memcpy(F, jacobian, sizeof jacobian);

	x[EAST] += ve * along + vn * across;
	x[NORTH] += vn * along - ve * across;
	x[VELOCITY_EAST] = next_ve;
	x[VELOCITY_NORTH] = next_vn;
	x[TURN_RATE] = w * fade;
}

/* P' = F P F^T */
static void propagate(double P[STATES][STATES], double F[STATES][STATES])
{
	double FP[STATES][STATES];

	for (int i = 0; i < STATES; i++)
		for (int j = 0; j < STATES; j++) {
			FP[i][j] = 0.0;
			for (int k = 0; k < STATES; k++)
				FP[i][j] += F[i][k] * P[k][j];
		}
	for (int i = 0; i < STATES; i++)
		for (int j = i; j < STATES; j++) {
			double sum = 0.0;
			for (int k = 0; k < STATES; k++)
				sum += FP[i][k] * F[j][k];
			P[i][j] = P[j][i] = sum;
		}
}

/* Adds the covariance that white acceleration builds up in `dt` seconds. */
static void add_noise(double P[STATES][STATES], double dt)
{
	const double position = ACCELERATION_DENSITY * dt * dt * dt / 3.0;
	const double cross = ACCELERATION_DENSITY * dt * dt / 2.0;
	const double velocity = ACCELERATION_DENSITY * dt;

	for (int axis = 0; axis < 2; axis++) {
		int at = EAST + axis, rate = VELOCITY_EAST + axis;
		P[at][at] += position;
		P[at][rate] += cross;
		P[rate][at] += cross;
		P[rate][rate] += velocity;
	}
	P[TURN_RATE][TURN_RATE] += TURN_DENSITY * dt;
}

/* Predicts over `dt` seconds in equal steps of at most STEP_MAX. */
static void predict(struct filter *filter, double dt)
{
	int steps = (int)ceil(dt / STEP_MAX);
	double F[STATES][STATES];

	for (int i = 0; i < steps; i++) {
		move(filter->x, dt / steps, F);
		propagate(filter->P, F);
		add_noise(filter->P, dt / steps);
	}
}

/*
 * Corrects by a measurement of one component of the state, whose error has the standard deviation `sigma`; so H, the
 * measurement's Jacobian, is a row of the identity. False when the innovation's variance is not a positive number.
 */
static bool correct(struct filter *filter, int component, double measured, double sigma)
{
	double K[STATES], A[STATES][STATES];
	double r = sigma * sigma, s = filter->P[component][component] + r;
	double innovation = measured - filter->x[component];

	if (!(s > 0.0) || !isfinite(s))
		return false;
	for (int i = 0; i < STATES; i++)
		K[i] = filter->P[i][component] / s;
	for (int i = 0; i < STATES; i++)
		filter->x[i] += K[i] * innovation;

	/* Joseph: P' = (I - K H) P (I - K H)^T + K r K^T, which stays symmetric and positive in rounded numbers. */
	for (int i = 0; i < STATES; i++)
		for (int j = 0; j < STATES; j++)
			A[i][j] = (i == j ? 1.0 : 0.0) - (j == component ? K[i] : 0.0);
	propagate(filter->P, A);
	for (int i = 0; i < STATES; i++)
		for (int j = 0; j < STATES; j++)
			filter->P[i][j] += K[i] * r * K[j];
	return true;
}

/* Squared Mahalanobis distance of the fix from the predicted position; negative when that is not defined. */
static double distance(const struct filter *filter, const struct fix *fix)
{
	double r = fix->sigma * fix->sigma;
	double e = fix->east - filter->x[EAST], n = fix->north - filter->x[NORTH];
	double a = filter->P[EAST][EAST] + r, b = filter->P[EAST][NORTH], c = filter->P[NORTH][NORTH] + r;
	double determinant = a * c - b * b;

	if (!(a > 0.0 && c > 0.0 && determinant > 0.0))
		return -1.0;
	return (c * e * e - 2.0 * b * e * n + a * n * n) / determinant;
}

static bool sound(const struct filter *filter)
{
	for (int i = 0; i < STATES; i++) {
		if (!isfinite(filter->x[i]) || !(filter->P[i][i] >= 0.0))
			return false;
		for (int j = 0; j < STATES; j++)
			if (!isfinite(filter->P[i][j]))
				return false;
	}
	return true;
}

void filter_start(struct filter *filter, const struct fix *fix)
{
	double velocity_sigma = fix->has_velocity ? VELOCITY_SIGMA : UNKNOWN_VELOCITY_SIGMA;

	memset(filter, 0, sizeof *filter);
	filter->time = fix->time;
	filter->x[EAST] = fix->east;
	filter->x[NORTH] = fix->north;
	if (fix->has_velocity) {
		filter->x[VELOCITY_EAST] = fix->velocity_east;
		filter->x[VELOCITY_NORTH] = fix->velocity_north;
	}
	filter->P[EAST][EAST] = filter->P[NORTH][NORTH] = fix->sigma * fix->sigma;
	filter->P[VELOCITY_EAST][VELOCITY_EAST] = filter->P[VELOCITY_NORTH][VELOCITY_NORTH] = velocity_sigma * velocity_sigma;
	filter->P[TURN_RATE][TURN_RATE] = UNKNOWN_TURN_SIGMA * UNKNOWN_TURN_SIGMA;
}

enum outcome filter_advance(struct filter *filter, const struct fix *fix)
{
	double gap = fix->time - filter->time;

	if (gap > GAP_MAX || filter->rejections >= REJECTIONS_MAX) {
		filter_start(filter, fix);
		return STARTED;
	}
	predict(filter, gap);
	filter->time = fix->time;

	double squared = distance(filter, fix);
	if (!sound(filter) || squared < 0.0)
		return FAILED;
	if (squared > GATE) {
		filter->rejections++;
		return REJECTED;
	}
	filter->rejections = 0;
	bool good = correct(filter, EAST, fix->east, fix->sigma) && correct(filter, NORTH, fix->north, fix->sigma);
	if (good && fix->has_velocity)
		good = correct(filter, VELOCITY_EAST, fix->velocity_east, VELOCITY_SIGMA) &&
		       correct(filter, VELOCITY_NORTH, fix->velocity_north, VELOCITY_SIGMA);
	return good && sound(filter) ? USED : FAILED;
}
