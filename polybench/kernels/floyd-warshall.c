// floyd-warshall: shortest paths between all pairs of vertices of a graph, i32.
//
//     path[i][j] := min(path[i][j], path[i][k] + path[k][j])         for k = 0, 1, ... N-1
//
// path[i][j] is the weight of the edge from i to j before, and the length of the shortest path after.
//
//     size           N
//     MINI          60
//     SMALL        180
//     MEDIUM       500
//     LARGE       2800
//     EXTRALARGE  5600
//
// Operations: 2 N^3.
// Live-out: path.
#include "polybench.h"

#define NAME "floyd-warshall"
#define DATASETS(USE)                                                                                                          \
	USE(MINI, 60)                                                                                                          \
	USE(SMALL, 180)                                                                                                        \
	USE(MEDIUM, 500)                                                                                                       \
	USE(LARGE, 2800)                                                                                                       \
	USE(EXTRALARGE, 5600)

static void *path;
#define ARRAYS path

NOINLINE void place(int n)
{
	path = live_out(sizeof(int32_t[n][n]));
}

// The weight of an edge that is as good as absent.
static const int32_t absent = 999;

NOINLINE void initialise(int n, int32_t path[n][n])
{
	for (int i = 0; i < n; i++)
		for (int j = 0; j < n; j++) {
			const int sum = i + j;
			path[i][j] = sum % 13 == 0 || sum % 7 == 0 || sum % 11 == 0 ? absent : i * j % 7 + 1;
		}
}

INLINE void compute(int n, int32_t path[n][n])
{
	for (int k = 0; k < n; k++)
		for (int i = 0; i < n; i++)
			for (int j = 0; j < n; j++) {
				const int32_t through = path[i][k] + path[k][j];
				path[i][j] = path[i][j] < through ? path[i][j] : through;
			}
}

POLYBENCH
