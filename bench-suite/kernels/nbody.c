// n steps of a system of five bodies under gravitation: the sun and the four large planets in made-up units.
// What it measures: f64 arithmetic with division and square root, a small working set. The SIMD build keeps x and y of a body
// in one f64x2 and z beside it; sums are taken in the scalar build's order.
#include "kernel.h"

#define BODIES 5
#define STEP 0.01

#ifdef __wasm_simd128__
typedef double pair __attribute__((vector_size(16)));
#else
typedef struct {
	double x, y;
} pair;
#endif

struct body {
	pair position_xy, velocity_xy;
	double position_z, velocity_z;
	double mass;
};

static struct body bodies[BODIES];

#ifdef __wasm_simd128__
static inline pair make(double x, double y) { return (pair){ x, y }; }
static inline double first(pair p) { return p[0]; }
static inline double second(pair p) { return p[1]; }
static inline pair subtract(pair a, pair b) { return a - b; }
static inline pair add_scaled(pair a, pair b, double factor) { return a + b * (pair){ factor, factor }; }
static inline double squared(pair a)
{
	pair product = a * a;
	return product[0] + product[1];
}
#else
static inline pair make(double x, double y) { return (pair){ x, y }; }
static inline double first(pair p) { return p.x; }
static inline double second(pair p) { return p.y; }
static inline pair subtract(pair a, pair b) { return (pair){ a.x - b.x, a.y - b.y }; }
static inline pair add_scaled(pair a, pair b, double factor) { return (pair){ a.x + b.x * factor, a.y + b.y * factor }; }
static inline double squared(pair a) { return a.x * a.x + a.y * a.y; }
#endif

static void start(void)
{
	uint64_t random = 6;
	for (int i = 0; i < BODIES; i++) {
		double x = next_fraction(&random), y = next_fraction(&random), z = next_fraction(&random);
		// One heavy body in the middle, the others 4 to 32 units away.
		double distance = i == 0 ? 0 : (double)(2 << i);
		bodies[i].position_xy = make(distance + x, y - 0.5);
		bodies[i].position_z = z - 0.5;
		bodies[i].velocity_xy = make(0, i == 0 ? 0 : __builtin_sqrt(40 / distance));
		bodies[i].velocity_z = 0;
		bodies[i].mass = i == 0 ? 40 : 0.01 * (x + 1);
	}
}

static void attract(struct body *a, struct body *b)
{
	pair between_xy = subtract(a->position_xy, b->position_xy);
	double between_z = a->position_z - b->position_z;
	double square = squared(between_xy) + between_z * between_z;
	double magnitude = STEP / (square * __builtin_sqrt(square));
	a->velocity_xy = add_scaled(a->velocity_xy, between_xy, -b->mass * magnitude);
	a->velocity_z += between_z * (-b->mass * magnitude);
	b->velocity_xy = add_scaled(b->velocity_xy, between_xy, a->mass * magnitude);
	b->velocity_z += between_z * (a->mass * magnitude);
}

EXPORT(run) int64_t run(int32_t n)
{
	require(n >= 1);
	start();
	for (int32_t step = 0; step < n; step++) {
		for (int i = 0; i < BODIES; i++)
			for (int j = i + 1; j < BODIES; j++)
				attract(&bodies[i], &bodies[j]);
		for (int i = 0; i < BODIES; i++) {
			bodies[i].position_xy = add_scaled(bodies[i].position_xy, bodies[i].velocity_xy, STEP);
			bodies[i].position_z += bodies[i].velocity_z * STEP;
		}
	}
	uint64_t sum = CHECKSUM_SEED;
	for (int i = 0; i < BODIES; i++) {
		sum = checksum(sum, bits_of(first(bodies[i].position_xy)));
		sum = checksum(sum, bits_of(second(bodies[i].position_xy)));
		sum = checksum(sum, bits_of(bodies[i].position_z));
	}
	return (int64_t)sum;
}
