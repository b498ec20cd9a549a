// fdtd-2d: Maxwell's equations in the plane by finite differences in the time domain, f64.
//
//     ey[0][j] := fict[t]
//     ey[i][j] := ey[i][j] - 0.5 (hz[i][j] - hz[i-1][j])                                     i > 0
//     ex[i][j] := ex[i][j] - 0.5 (hz[i][j] - hz[i][j-1])                                     j > 0
//     hz[i][j] := hz[i][j] - 0.7 (ex[i][j+1] - ex[i][j] + ey[i+1][j] - ey[i][j])             i < NX-1,  j < NY-1
//     for t = 0, 1, ... TMAX-1
//
//     size        TMAX    NX    NY
//     MINI          20    20    30
//     SMALL         40    60    80
//     MEDIUM       100   200   240
//     LARGE        500  1000  1200
//     EXTRALARGE  1000  2000  2600
//
// Operations: TMAX (3 (NX-1) NY + 3 NX (NY-1) + 5 (NX-1) (NY-1)).
// Live-out: ex, ey, hz.
#include "polybench.h"

#define NAME "fdtd-2d"
#define DATASETS(USE)                                                                                                          \
	USE(MINI, 20, 20, 30)                                                                                                  \
	USE(SMALL, 40, 60, 80)                                                                                                 \
	USE(MEDIUM, 100, 200, 240)                                                                                             \
	USE(LARGE, 500, 1000, 1200)                                                                                            \
	USE(EXTRALARGE, 1000, 2000, 2600)

static void *ex, *ey, *hz, *fict;
#define ARRAYS ex, ey, hz, fict

NOINLINE void place(int tmax, int nx, int ny)
{
	ex = live_out(sizeof(double[nx][ny]));
	ey = live_out(sizeof(double[nx][ny]));
	hz = live_out(sizeof(double[nx][ny]));
	fict = working(sizeof(double[tmax]));
}

NOINLINE void initialise(int tmax, int nx, int ny, double ex[nx][ny], double ey[nx][ny], double hz[nx][ny], double fict[tmax])
{
	for (int t = 0; t < tmax; t++)
		fict[t] = t;
	for (int i = 0; i < nx; i++)
		for (int j = 0; j < ny; j++) {
			ex[i][j] = (double)i * (j + 1) / nx;
			ey[i][j] = (double)i * (j + 2) / ny;
			hz[i][j] = (double)i * (j + 3) / nx;
		}
}

INLINE void compute(int tmax, int nx, int ny, double ex[restrict nx][ny], double ey[restrict nx][ny],
		    double hz[restrict nx][ny], const double fict[restrict tmax])
{
	for (int t = 0; t < tmax; t++) {
		for (int j = 0; j < ny; j++)
			ey[0][j] = fict[t];
		for (int i = 1; i < nx; i++)
			for (int j = 0; j < ny; j++)
				ey[i][j] -= 0.5 * (hz[i][j] - hz[i - 1][j]);
		for (int i = 0; i < nx; i++)
			for (int j = 1; j < ny; j++)
				ex[i][j] -= 0.5 * (hz[i][j] - hz[i][j - 1]);
		for (int i = 0; i < nx - 1; i++)
			for (int j = 0; j < ny - 1; j++)
				hz[i][j] -= 0.7 * (ex[i][j + 1] - ex[i][j] + ey[i + 1][j] - ey[i][j]);
	}
}

POLYBENCH
