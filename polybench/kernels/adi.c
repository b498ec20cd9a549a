// adi: heat equation in the plane by the alternating direction implicit method (Peaceman-Rachford), f64.
//
//     du/dt = 2 d2u/dx2 + d2u/dy2         on the unit square, time 0 to 1, u = 1 on the border
//
// Each time step is two half steps, implicit in one direction and explicit in the other. Each is N - 2 tridiagonal systems, solved
// by elimination (p and q, forward) and substitution (backward).
//
//     size        TSTEPS     N
//     MINI            20    20
//     SMALL           40    60
//     MEDIUM         100   200
//     LARGE          500  1000
//     EXTRALARGE    1000  2000
//
// Operations: 26 TSTEPS (N-2)^2, besides the coefficients.
// Live-out: u.
#include "polybench.h"

#define NAME "adi"
#define DATASETS(USE)                                                                                                          \
	USE(MINI, 20, 20)                                                                                                      \
	USE(SMALL, 40, 60)                                                                                                     \
	USE(MEDIUM, 100, 200)                                                                                                  \
	USE(LARGE, 500, 1000)                                                                                                  \
	USE(EXTRALARGE, 1000, 2000)

static void *u, *v, *p, *q;
#define ARRAYS u, v, p, q

NOINLINE void place(int tsteps, int n)
{
	(void)tsteps;
	u = live_out(sizeof(double[n][n]));
	v = working(sizeof(double[n][n]));
	p = working(sizeof(double[n][n]));
	q = working(sizeof(double[n][n]));
}

NOINLINE void initialise(int tsteps, int n, double u[n][n], double v[n][n], double p[n][n], double q[n][n])
{
	(void)tsteps, (void)v, (void)p, (void)q;
	for (int i = 0; i < n; i++)
		for (int j = 0; j < n; j++)
			u[i][j] = (double)(i + n - j) / n;
}

INLINE void compute(int tsteps, int n, double u[restrict n][n], double v[restrict n][n], double p[restrict n][n],
		    double q[restrict n][n])
{
	const double dx = 1.0 / n, dy = 1.0 / n, dt = 1.0 / tsteps;
	const double mul1 = 2 * dt / (dx * dx);
	const double mul2 = 1 * dt / (dy * dy);
	// The two tridiagonal matrices: a b c and d e f on the diagonals.
	const double a = -mul1 / 2, b = 1 + mul1, c = a;
	const double d = -mul2 / 2, e = 1 + mul2, f = d;

	for (int t = 0; t < tsteps; t++) {
		// v from u, column by column.
		for (int i = 1; i < n - 1; i++) {
			v[0][i] = 1;
			p[i][0] = 0;
			q[i][0] = v[0][i];
			for (int j = 1; j < n - 1; j++) {
				const double pivot = a * p[i][j - 1] + b;
				p[i][j] = -c / pivot;
				q[i][j] = (-d * u[j][i - 1] + (1 + 2 * d) * u[j][i] - f * u[j][i + 1] - a * q[i][j - 1]) / pivot;
			}
			v[n - 1][i] = 1;
			for (int j = n - 2; j >= 1; j--)
				v[j][i] = p[i][j] * v[j + 1][i] + q[i][j];
		}
		// u from v, row by row.
		for (int i = 1; i < n - 1; i++) {
			u[i][0] = 1;
			p[i][0] = 0;
			q[i][0] = u[i][0];
			for (int j = 1; j < n - 1; j++) {
				const double pivot = d * p[i][j - 1] + e;
				p[i][j] = -f / pivot;
				q[i][j] = (-a * v[i - 1][j] + (1 + 2 * a) * v[i][j] - c * v[i + 1][j] - d * q[i][j - 1]) / pivot;
			}
			u[i][n - 1] = 1;
			for (int j = n - 2; j >= 1; j--)
				u[i][j] = p[i][j] * u[i][j + 1] + q[i][j];
		}
	}
}

POLYBENCH
