#include "draw.h"

#include <endian.h>

/*
 * Rounds of "xor with itself shifted, multiply by an odd number" turn every bit of the input over with a
 * probability near one half, and are reversible, so that no two numbers fall together. The idea is that of
 * the finalizers of MurmurHash3 and SplitMix64; shifts and multipliers are David Stafford's "Mix13".
 */
static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

/* The golden ratio's and the square root of two's bits: far from any sum of small seeds and numbers. */
#define STEP   0x9e3779b97f4a7c15
#define SPREAD 0x6a09e667f3bcc909

uint64_t draw_number(uint64_t draw, uint64_t number)
{
	/* The product keeps seed 1 with number 2 apart from seed 2 with number 1; the sum keeps 0 from 0. */
	return mix(draw * SPREAD + number + STEP);
}

/* The last, short word is filled up with zeros. */
static uint64_t word_at(const char *data, size_t len)
{
	uint64_t word = 0;
	memcpy(&word, data, len);
	return le64toh(word);
}

#define EACH_BYTE UINT64_C(0x0101010101010101)

/* Each byte of a word that is an ASCII capital in lower case; bit 7 of each sum tells, none carries over. */
static uint64_t word_lower(uint64_t word)
{
	uint64_t low = word & (0x7f * EACH_BYTE);
	uint64_t from_a = low + (0x80 - 'A') * EACH_BYTE;
	uint64_t past_z = low + (0x7f - 'Z') * EACH_BYTE;
	uint64_t capital = (from_a ^ past_z) & ~word & (0x80 * EACH_BYTE);
	return word | capital >> 2;
}

uint64_t draw_bytes(uint64_t draw, struct span bytes)
{
	draw = draw_number(draw, bytes.len);
	for (; bytes.len >= 8; bytes = span_from(bytes, 8))
		draw = draw_number(draw, word_at(bytes.data, 8));
	return bytes.len ? draw_number(draw, word_at(bytes.data, bytes.len)) : draw;
}

uint64_t draw_name(uint64_t draw, struct span name)
{
	draw = draw_number(draw, name.len);
	for (; name.len >= 8; name = span_from(name, 8))
		draw = draw_number(draw, word_lower(word_at(name.data, 8)));
	return name.len ? draw_number(draw, word_lower(word_at(name.data, name.len))) : draw;
}

/* The sum of twelve uniform numbers from [0, 1) has the variance 1 and, near enough, the normal's shape. */
double draw_normal(uint64_t draw)
{
	int32_t sum = 0;
	for (uint64_t i = 0; i < 3; i++)
		for (uint64_t word = draw_number(draw, i), part = 0; part < 4; part++, word >>= 16)
			sum += (int32_t)(word & 0xffff);
	/* 12 parts of mean 65535 / 2 each. */
	return (sum - 6 * 65535) / 65536.0;
}
