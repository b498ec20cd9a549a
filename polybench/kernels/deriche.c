// deriche: Deriche's recursive smoothing filter on an image, f32.
//
//     Along each row:      left[i][j]  := a1 in[i][j] + a2 in[i][j-1]    + b1 left[i][j-1]  + b2 left[i][j-2]
//                          right[i][j] := a3 in[i][j+1] + a4 in[i][j+2]  + b1 right[i][j+1] + b2 right[i][j+2]
//                          out := left + right
//     Along each column:   the same with out in place of in, and a5, a6, a7, a8
//
// What lies outside of the image is 0. With alpha = 0.25 the coefficients are those of R. Deriche, "Fast algorithms for low-level
// vision" (IEEE PAMI 12(1), 1990), for smoothing:
//
//     k = (1 - e^-alpha)^2 / (1 + 2 alpha e^-alpha - e^(-2 alpha))
//     a1 = a5 = k,                          a2 = a6 = k e^-alpha (alpha - 1)
//     a3 = a7 = k e^-alpha (alpha + 1),     a4 = a8 = -k e^(-2 alpha)
//     b1 = 2 e^-alpha,                      b2 = -e^(-2 alpha)
//
// The suite has 2^-alpha for b1, and e^(2 alpha) in k: the work is the same.
//
//     size           W     H
//     MINI          64    64
//     SMALL        192   128
//     MEDIUM       720   480
//     LARGE       4096  2160
//     EXTRALARGE  7680  4320
//
// Operations: 32 W H, besides the coefficients.
// Live-out: out.
#include "polybench.h"

#define NAME "deriche"
#define DATASETS(USE)                                                                                                          \
	USE(MINI, 64, 64)                                                                                                      \
	USE(SMALL, 192, 128)                                                                                                   \
	USE(MEDIUM, 720, 480)                                                                                                  \
	USE(LARGE, 4096, 2160)                                                                                                 \
	USE(EXTRALARGE, 7680, 4320)

static void *in, *out, *first, *second;
#define ARRAYS in, out, first, second

static const double alpha = 0.25;

NOINLINE void place(int w, int h)
{
	in = working(sizeof(float[w][h]));
	out = live_out(sizeof(float[w][h]));
	first = working(sizeof(float[w][h]));
	second = working(sizeof(float[w][h]));
}

NOINLINE void initialise(int w, int h, float in[w][h], float out[w][h], float first[w][h], float second[w][h])
{
	(void)out, (void)first, (void)second;
	for (int i = 0; i < w; i++)
		for (int j = 0; j < h; j++)
			in[i][j] = (float)((313 * i + 991 * j) % 65536) / 65535.0f;
}

// e^x for |x| <= 1, by Taylor's series up to x^20 / 20!, whose rest is below 2^-65.
INLINE double exponential(double x)
{
	double sum = 1;
	for (int term = 20; term > 0; term--)
		sum = 1 + sum * x / term;
	return sum;
}

INLINE void compute(int w, int h, const float in[restrict w][h], float out[restrict w][h], float first[restrict w][h],
		    float second[restrict w][h])
{
	const double decay = exponential(-alpha);
	const double gain = (1 - decay) * (1 - decay) / (1 + 2 * alpha * decay - decay * decay);
	const float a1 = (float)gain, a5 = a1;
	const float a2 = (float)(gain * decay * (alpha - 1)), a6 = a2;
	const float a3 = (float)(gain * decay * (alpha + 1)), a7 = a3;
	const float a4 = (float)(-gain * decay * decay), a8 = a4;
	const float b1 = (float)(2 * decay);
	const float b2 = (float)(-decay * decay);
	const float c1 = 1, c2 = 1;

	// Along the rows, from the left and from the right.
	for (int i = 0; i < w; i++) {
		float x1 = 0, y1 = 0, y2 = 0;
		for (int j = 0; j < h; j++) {
			first[i][j] = a1 * in[i][j] + a2 * x1 + b1 * y1 + b2 * y2;
			x1 = in[i][j];
			y2 = y1;
			y1 = first[i][j];
		}
	}
	for (int i = 0; i < w; i++) {
		float x1 = 0, x2 = 0, y1 = 0, y2 = 0;
		for (int j = h - 1; j >= 0; j--) {
			second[i][j] = a3 * x1 + a4 * x2 + b1 * y1 + b2 * y2;
			x2 = x1;
			x1 = in[i][j];
			y2 = y1;
			y1 = second[i][j];
		}
	}
	for (int i = 0; i < w; i++)
		for (int j = 0; j < h; j++)
			out[i][j] = c1 * (first[i][j] + second[i][j]);

	// Along the columns, from the top and from the bottom.
	for (int j = 0; j < h; j++) {
		float x1 = 0, y1 = 0, y2 = 0;
		for (int i = 0; i < w; i++) {
			first[i][j] = a5 * out[i][j] + a6 * x1 + b1 * y1 + b2 * y2;
			x1 = out[i][j];
			y2 = y1;
			y1 = first[i][j];
		}
	}
	for (int j = 0; j < h; j++) {
		float x1 = 0, x2 = 0, y1 = 0, y2 = 0;
		for (int i = w - 1; i >= 0; i--) {
			second[i][j] = a7 * x1 + a8 * x2 + b1 * y1 + b2 * y2;
			x2 = x1;
			x1 = out[i][j];
			y2 = y1;
			y1 = second[i][j];
		}
	}
	for (int i = 0; i < w; i++)
		for (int j = 0; j < h; j++)
			out[i][j] = c2 * (first[i][j] + second[i][j]);
}

POLYBENCH
