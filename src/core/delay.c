#include "delay.h"

#include "draw.h"

#define LOG2_E 1.4426950408889634
#define LN_2   0.6931471805599453

/*
 * e to the x, to 1e-5 of its value: a power of two by its bits, times the first terms of the series for what
 * is left, which is within ±ln(2)/2. Past ±40, and for what is no number, the result is that of ±40: no
 * delay lies there. Its own, because core links no libm and libc has no exp().
 */
static double exponential(double x)
{
	x = !(x < 40) ? 40 : x < -40 ? -40 : x;
	double halves = x * LOG2_E;
	int power = (int)(halves < 0 ? halves - 0.5 : halves + 0.5);
	double r = x - power * LN_2;
	double series = 1 + r * (1 + r / 2 * (1 + r / 3 * (1 + r / 4 * (1 + r / 5))));
	double two = (double)(UINT64_C(1) << (power < 0 ? -power : power));
	return power < 0 ? series / two : series * two;
}

static double lognormal_ms(const struct provider_delay *delay, uint64_t draw)
{
	return delay->low_ms * exponential(delay->sigma * draw_normal(draw));
}

uint32_t delay_draw(const struct provider_delay *delay, uint64_t draw)
{
	double ms = 0;
	switch (delay->form) {
	case PROVIDER_DELAY_NONE:
		break;
	case PROVIDER_DELAY_FIXED:
		ms = delay->low_ms;
		break;
	case PROVIDER_DELAY_UNIFORM:
		ms = delay->low_ms;
		if (delay->high_ms > delay->low_ms)
			ms += draw_below(draw, UINT64_C(1) + delay->high_ms - delay->low_ms);
		break;
	case PROVIDER_DELAY_LOGNORMAL:
		ms = lognormal_ms(delay, draw);
		break;
	}
	return ms < DELAY_MAX_MS ? (uint32_t)(ms + 0.5) : DELAY_MAX_MS;
}
