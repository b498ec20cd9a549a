// bicg: the two products of a step of the biconjugate gradient method, f64.
//
//     s := A^T r,  q := A p         A: N x M
//
//     size           M     N
//     MINI          38    42
//     SMALL        116   124
//     MEDIUM       390   410
//     LARGE       1900  2100
//     EXTRALARGE  1800  2200
//
// Operations: 4 M N.
// Live-out: s, q.
#include "polybench.h"

#define NAME "bicg"
#define DATASETS(USE)                                                                                                          \
	USE(MINI, 38, 42)                                                                                                      \
	USE(SMALL, 116, 124)                                                                                                   \
	USE(MEDIUM, 390, 410)                                                                                                  \
	USE(LARGE, 1900, 2100)                                                                                                 \
	USE(EXTRALARGE, 1800, 2200)

static void *A, *s, *q, *p, *r;
#define ARRAYS A, s, q, p, r

NOINLINE void place(int m, int n)
{
	A = working(sizeof(double[n][m]));
	s = live_out(sizeof(double[m]));
	q = live_out(sizeof(double[n]));
	p = working(sizeof(double[m]));
	r = working(sizeof(double[n]));
}

NOINLINE void initialise(int m, int n, double A[n][m], double s[m], double q[n], double p[m], double r[n])
{
	(void)s, (void)q;
	for (int j = 0; j < m; j++)
		p[j] = (double)(j % m) / m;
	for (int i = 0; i < n; i++) {
		r[i] = (double)(i % n) / n;
		for (int j = 0; j < m; j++)
			A[i][j] = (double)(i * (j + 1) % n) / n;
	}
}

INLINE void compute(int m, int n, const double A[restrict n][m], double s[restrict m], double q[restrict n],
		    const double p[restrict m], const double r[restrict n])
{
	for (int j = 0; j < m; j++)
		s[j] = 0;
	for (int i = 0; i < n; i++) {
		q[i] = 0;
		for (int j = 0; j < m; j++) {
			s[j] += r[i] * A[i][j];
			q[i] += A[i][j] * p[j];
		}
	}
}

POLYBENCH
