// nussinov: Nussinov's prediction of the folding of an RNA sequence, i32.
//
//     table[i][j] := max of  table[i][j-1],  table[i+1][j],
//                            table[i+1][j-1] + (1 where seq[i] and seq[j] pair),
//                            table[i][k] + table[k+1][j]  for i < k < j
//                    for i = N-1, ... 0,  j = i+1, ... N-1
//
// table[i][j] is the largest number of pairs among the bases i to j. Neighbours do not pair. The sequence repeats 1, 2, 3, 0.
//
//     size           N
//     MINI          60
//     SMALL        180
//     MEDIUM       500
//     LARGE       2500
//     EXTRALARGE  5500
//
// Operations: (N-1) (2 N - 1) + N (N-1) (N-2) / 3 (additions and maxima; whether bases pair is not counted).
// Live-out: table.
#include "polybench.h"

#define NAME "nussinov"
#define DATASETS(USE)                                                                                                          \
	USE(MINI, 60)                                                                                                          \
	USE(SMALL, 180)                                                                                                        \
	USE(MEDIUM, 500)                                                                                                       \
	USE(LARGE, 2500)                                                                                                       \
	USE(EXTRALARGE, 5500)

static void *seq, *table;
#define ARRAYS seq, table

NOINLINE void place(int n)
{
	seq = working(sizeof(int8_t[n]));
	table = live_out(sizeof(int32_t[n][n]));
}

NOINLINE void initialise(int n, int8_t seq[n], int32_t table[n][n])
{
	(void)table;
	for (int i = 0; i < n; i++)
		seq[i] = (int8_t)((i + 1) % 4);
}

INLINE int32_t max(int32_t a, int32_t b)
{
	return a >= b ? a : b;
}

// Bases are 0 to 3; 0 pairs with 3, and 1 with 2.
INLINE int32_t pairs(int8_t a, int8_t b)
{
	return a + b == 3;
}

INLINE void compute(int n, const int8_t seq[restrict n], int32_t table[restrict n][n])
{
	for (int i = n - 1; i >= 0; i--)
		for (int j = i + 1; j < n; j++) {
			table[i][j] = max(table[i][j], table[i][j - 1]);
			table[i][j] = max(table[i][j], table[i + 1][j]);
			// Neighbours are too close to pair.
			if (i < j - 1)
				table[i][j] = max(table[i][j], table[i + 1][j - 1] + pairs(seq[i], seq[j]));
			else
				table[i][j] = max(table[i][j], table[i + 1][j - 1]);
			for (int k = i + 1; k < j; k++)
				table[i][j] = max(table[i][j], table[i][k] + table[k + 1][j]);
		}
}

POLYBENCH
