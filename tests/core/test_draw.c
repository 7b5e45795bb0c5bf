#include "draw.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "suite.h"

#define SPAN(literal) ((struct span){literal, sizeof(literal) - 1})

/*
 * Known answers, worked out by another implementation in another language, on whole numbers alone. They
 * must never change: a seed would mean other outcomes.
 */
static const struct {
	uint64_t draw, number, want;
} numbers[] = {
	{0, 0, 0xe220a8397b1dcdaf},
	{0, 1, 0x910a2dec89025cc1},
	{1, 0, 0x63cfc62a2b097592},
	{1, 2, 0x22ba8126b83056e0},
	{2, 1, 0x9d751b4ffe7d1bce},
	{UINT64_MAX, UINT64_MAX, 0x28b159defd9c7fba},
	{0x0123456789abcdef, 0xfedcba9876543210, 0xf6d9a2bf5e1bc84c},
};

static const struct {
	uint64_t draw;
	struct span bytes;
	uint64_t want;
} texts[] = {
	{0, {"", 0}, 0xe220a8397b1dcdaf},
	{1, {"", 0}, 0x63cfc62a2b097592},
	{1, {"a", 1}, 0x617fdd9c3db16e61},
	{1, {"a\0", 2}, 0x2977a4884df4a1fd},
	{1, {"12345678", 8}, 0xf315be6795e2327f},
	{1, {"123456789", 9}, 0x21e9e506a46de8e3},
	{1, {"gmail.com", 9}, 0x1fa5756b7ed46993},
	{1, {"ann@example.com", 15}, 0xc016e95c329dc2f2},
	{42, {"\x80\xff\x00\x7f\x41\x5a\x5b\x40\x60", 9}, 0xc0c67e08d4a9bd03},
};

/* In 65536ths. */
static const struct {
	uint64_t draw;
	int want;
} normals[] = {
	{0, -18305},
	{1, -23668},
	{2, -262},
	{UINT64_MAX, -13127},
	{UINT64_C(1) << 63, 152780},
};

START_TEST(known_answers)
{
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		ck_assert_uint_eq(draw_number(numbers[i].draw, numbers[i].number), numbers[i].want);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		ck_assert_uint_eq(draw_bytes(texts[i].draw, texts[i].bytes), texts[i].want);
	for (size_t i = 0; i < sizeof(normals) / sizeof(normals[0]); i++)
		ck_assert(draw_normal(normals[i].draw) == normals[i].want / 65536.0);
}
END_TEST

START_TEST(keys_keep_their_ends)
{
	ck_assert_uint_ne(draw_bytes(draw_bytes(1, SPAN("ab")), SPAN("c")),
		draw_bytes(draw_bytes(1, SPAN("a")), SPAN("bc")));
	ck_assert_uint_ne(draw_bytes(draw_bytes(1, SPAN("12345678")), SPAN("")),
		draw_bytes(draw_bytes(1, SPAN("")), SPAN("12345678")));
	ck_assert_uint_ne(draw_bytes(1, SPAN("a")), draw_bytes(1, SPAN("a\0")));
	ck_assert_uint_ne(draw_bytes(1, SPAN("")), 1);
}
END_TEST

/* No byte outside a key counts, wherever it lies; the heap's end tells a sanitizer. */
START_TEST(alignment_does_not_matter)
{
	const struct span key = SPAN("a key of some words and a rest");
	for (size_t len = 0; len <= key.len; len++) {
		uint64_t want = draw_bytes(5, (struct span){key.data, len});
		for (size_t shift = 0; shift < 8; shift++) {
			char *copy = malloc(shift + len + 1);
			memset(copy, 0xee, shift);
			memcpy(copy + shift, key.data, len);
			ck_assert_uint_eq(draw_bytes(5, (struct span){copy + shift, len}), want);
			free(copy);
		}
	}
}
END_TEST

/* Every byte value at every place of a word, and the rest, against lower case made byte by byte. */
START_TEST(names_are_lower_case)
{
	for (size_t at = 0; at < 19; at++) {
		for (int byte = 0; byte < 256; byte++) {
			char name[19], lower[19];
			memset(name, 'Z', sizeof(name));
			memset(lower, 'z', sizeof(lower));
			name[at] = (char)byte;
			lower[at] = (char)(byte >= 'A' && byte <= 'Z' ? byte + 32 : byte);
			ck_assert_uint_eq(draw_name(9, (struct span){name, sizeof(name)}),
				draw_bytes(9, (struct span){lower, sizeof(lower)}));
		}
	}
	ck_assert_uint_eq(draw_name(1, SPAN("Gmail.COM")), draw_name(1, SPAN("gmail.com")));
	ck_assert_uint_ne(draw_bytes(1, SPAN("Gmail.COM")), draw_bytes(1, SPAN("gmail.com")));
}
END_TEST

/* A draw for a sample, with one bit of what it is drawn for flipped: the draw before, a number, a key. */
static uint64_t draw_flipped(int what, uint64_t sample, uint64_t flip)
{
	if (what == 0)
		return draw_number(sample ^ flip, sample / 7);
	if (what == 1)
		return draw_number(3, sample ^ flip);
	char key[8];
	for (int i = 0; i < 8; i++)
		key[i] = (char)((sample * 0x0101010101u ^ flip) >> (8 * i));
	return draw_bytes(3, (struct span){key, sizeof(key)});
}

/* Avalanche: any one bit of a key turns each bit of the draw over half of the time. */
START_TEST(one_bit_changes_half)
{
	enum {
		SAMPLES = 4096
	};
	/* Six standard deviations, for 4096 cells. */
	const double tolerance = 6 * 0.5 * sqrt(SAMPLES);
	for (int bit = 0; bit < 64; bit++) {
		unsigned turned[64] = {0};
		for (uint64_t sample = 0; sample < SAMPLES; sample++) {
			uint64_t change =
				draw_flipped(_i, sample, 0) ^ draw_flipped(_i, sample, UINT64_C(1) << bit);
			for (int out = 0; out < 64; out++)
				turned[out] += change >> out & 1;
		}
		for (int out = 0; out < 64; out++)
			ck_assert_msg(fabs(turned[out] - SAMPLES / 2.0) < tolerance,
				"bit %d to bit %d: %u of %d", bit, out, turned[out], SAMPLES);
	}
}
END_TEST

/* Realistic keys: (seed, message or address, attempt) as the policy draws them. */
static uint64_t draw_of_number(uint64_t i)
{
	return draw_number(1, i);
}

static uint64_t draw_of_seed(uint64_t i)
{
	return draw_name(i, SPAN("ann@example.com"));
}

static uint64_t draw_of_address(uint64_t i)
{
	char name[64];
	int len = snprintf(name, sizeof(name), "user%u@gmail.com", (unsigned)i);
	return draw_name(1, (struct span){name, (size_t)len});
}

static uint64_t draw_of_attempt(uint64_t i)
{
	char name[64];
	int len = snprintf(name, sizeof(name), "u%06u@yahoo.com", (unsigned)(i / 4));
	return draw_number(draw_name(7, (struct span){name, (size_t)len}), i % 4);
}

static uint64_t draw_of_source(uint64_t i)
{
	unsigned char address[4] = {10, (unsigned char)(i >> 16), (unsigned char)(i >> 8), (unsigned char)i};
	return draw_bytes(draw_name(1, SPAN("google")), (struct span){(const char *)address, 4});
}

static uint64_t (*const keys[])(uint64_t i) = {
	draw_of_number,
	draw_of_seed,
	draw_of_address,
	draw_of_attempt,
	draw_of_source,
};

#define DRAWS   1000000
#define BUCKETS 1024

/* Chi-squared, as so many standard deviations from its mean. */
static double deviation(const unsigned *counts)
{
	const double want = (double)DRAWS / BUCKETS;
	double sum = 0;
	for (int i = 0; i < BUCKETS; i++)
		sum += (counts[i] - want) * (counts[i] - want) / want;
	return fabs(sum - (BUCKETS - 1)) / sqrt(2.0 * (BUCKETS - 1));
}

START_TEST(draws_are_uniform)
{
	static unsigned high[BUCKETS], low[BUCKETS], pairs[BUCKETS];
	memset(high, 0, sizeof(high));
	memset(low, 0, sizeof(low));
	memset(pairs, 0, sizeof(pairs));
	uint64_t before = keys[_i](DRAWS);
	for (uint64_t i = 0; i < DRAWS; i++) {
		uint64_t draw = keys[_i](i);
		high[draw_below(draw, BUCKETS)]++;
		low[draw % BUCKETS]++;
		/* One draw tells nothing of the next. */
		pairs[draw_below(before, 32) * 32 + draw_below(draw, 32)]++;
		before = draw;
	}
	ck_assert_double_lt(deviation(high), 4);
	ck_assert_double_lt(deviation(low), 4);
	ck_assert_double_lt(deviation(pairs), 4);
}
END_TEST

static int compare_draws(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

START_TEST(draws_are_distinct)
{
	uint64_t *draws = malloc(DRAWS * sizeof(*draws));
	for (uint64_t i = 0; i < DRAWS; i++)
		draws[i] = keys[_i](i);
	qsort(draws, DRAWS, sizeof(*draws), compare_draws);
	unsigned same = 0;
	for (size_t i = 1; i < DRAWS; i++)
		same += draws[i - 1] == draws[i];
	ck_assert_uint_eq(same, 0);
	free(draws);
}
END_TEST

/* The share of draws that hit is the odds', to three standard errors. */
START_TEST(hits_are_as_odds_say)
{
	static const uint32_t odds[] = {100, 10000, 50000, 100000, 333333, 500000, 900000, 999000};
	for (size_t o = 0; o < sizeof(odds) / sizeof(odds[0]); o++) {
		unsigned hits = 0;
		for (uint64_t i = 0; i < DRAWS; i++)
			hits += (unsigned)draw_hits(keys[_i](i), odds[o]);
		double share = odds[o] / 1e6, error = sqrt(share * (1 - share) * DRAWS);
		ck_assert_msg(
			fabs(hits - share * DRAWS) <= 3 * error, "%u ppm: %u of %d", odds[o], hits, DRAWS);
	}
}
END_TEST

/* Over all 2^64 draws: those below ppm · 2^64 / 10^6 hit and no others. */
START_TEST(hits_are_exact)
{
	static const uint32_t odds[] = {1, 2, 3, 7, 10, 100000, 333333, 500000, 999998, 999999};
	for (size_t o = 0; o < sizeof(odds) / sizeof(odds[0]); o++) {
		unsigned __int128 parts = (unsigned __int128)odds[o] << 64;
		uint64_t hits = (uint64_t)((parts + 999999) / 1000000);
		ck_assert(draw_hits(0, odds[o]));
		ck_assert(draw_hits(hits - 1, odds[o]));
		ck_assert(!draw_hits(hits, odds[o]));
		ck_assert(!draw_hits(UINT64_MAX, odds[o]));
	}
	unsigned never = 0, always = 0;
	for (uint64_t i = 0; i < DRAWS; i++) {
		never += (unsigned)draw_hits(draw_of_number(i), 0);
		always += (unsigned)draw_hits(draw_of_number(i), 1000000);
	}
	ck_assert_uint_eq(never, 0);
	ck_assert_uint_eq(always, DRAWS);
	ck_assert(!draw_hits(0, 0));
	ck_assert(draw_hits(UINT64_MAX, 1000000));
	ck_assert(draw_hits(UINT64_MAX, UINT32_MAX));
}
END_TEST

START_TEST(below_keeps_below)
{
	static const uint64_t limits[] = {1, 2, 3, 10, UINT64_C(1) << 32, UINT64_MAX};
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		ck_assert_uint_eq(draw_below(0, limits[i]), 0);
		ck_assert_uint_eq(draw_below(UINT64_MAX, limits[i]), limits[i] - 1);
	}
	ck_assert_uint_eq(draw_below(UINT64_MAX, 0), 0);
}
END_TEST

/* Mean, variance, and the shares within one and two standard deviations. */
START_TEST(normal_is_normal)
{
	double sum = 0, squares = 0;
	unsigned within_one = 0, within_two = 0, within_six = 0, below = 0;
	for (uint64_t i = 0; i < DRAWS; i++) {
		double x = draw_normal(draw_of_address(i));
		sum += x;
		squares += x * x;
		within_one += fabs(x) < 1;
		within_two += fabs(x) < 2;
		within_six += fabs(x) < 6;
		below += x < 0;
	}
	ck_assert_uint_eq(within_six, DRAWS);
	ck_assert_double_eq_tol(sum / DRAWS, 0, 0.004);
	ck_assert_double_eq_tol(squares / DRAWS, 1, 0.006);
	ck_assert_double_eq_tol(below / (double)DRAWS, 0.5, 0.002);
	ck_assert_double_eq_tol(within_one / (double)DRAWS, 0.6827, 0.006);
	ck_assert_double_eq_tol(within_two / (double)DRAWS, 0.9545, 0.003);
}
END_TEST

int main(void)
{
	const int kinds = sizeof(keys) / sizeof(keys[0]);
	Suite *suite = suite_create("draw");
	TCase *tcase = tcase_create("draw");
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, known_answers);
	tcase_add_test(tcase, keys_keep_their_ends);
	tcase_add_test(tcase, alignment_does_not_matter);
	tcase_add_test(tcase, names_are_lower_case);
	tcase_add_loop_test(tcase, one_bit_changes_half, 0, 3);
	tcase_add_loop_test(tcase, draws_are_uniform, 0, kinds);
	tcase_add_loop_test(tcase, draws_are_distinct, 0, kinds);
	tcase_add_loop_test(tcase, hits_are_as_odds_say, 0, kinds);
	tcase_add_test(tcase, hits_are_exact);
	tcase_add_test(tcase, below_keeps_below);
	tcase_add_test(tcase, normal_is_normal);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
