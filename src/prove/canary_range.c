#include "canary_range.h"

#include <string.h>

/* The first one is what a lab or a home network uses least. */
static const struct conf_block candidates[] = {
	{AF_INET, 24, {198, 51, 100}},
	{AF_INET, 24, {203, 0, 113}},
	{AF_INET, 24, {192, 0, 2}},
	{AF_INET6, 64, {0x20, 0x01, 0x0d, 0xb8, 0x00, 0x25}},
	{AF_INET6, 64, {0x20, 0x01, 0x0d, 0xb8, 0x25, 0x25}},
	{AF_INET6, 64, {0x20, 0x01, 0x0d, 0xb8, 0x52, 0x52}},
	{AF_INET6, 64, {0x20, 0x01, 0x0d, 0xb8, 0xc0, 0x25}},
};

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	if (memcmp(a, b, bits / 8) != 0)
		return false;
	return bits % 8 == 0 || ((a[bits / 8] ^ b[bits / 8]) & 0xff00 >> bits % 8 & 0xff) == 0;
}

/* Whether one holds a part of the other: then the shorter prefix is common to both. */
static bool overlaps(const struct conf_block *a, const struct conf_block *b)
{
	return a->family == b->family &&
	       same_bits(a->address, b->address, a->prefix < b->prefix ? a->prefix : b->prefix);
}

static bool proves(
	const struct conf_block *block, const struct conf *conf, const struct address *own, size_t n)
{
	for (size_t i = 0; i < conf->divert.exclude_count; i++)
		if (overlaps(block, &conf->divert.exclude[i]))
			return false;
	for (size_t i = 0; i < n; i++)
		if (own[i].family == block->family && same_bits(own[i].bytes, block->address, block->prefix))
			return false;
	return true;
}

struct canary_range canary_range_choose(
	uint8_t family, const struct conf *conf, const struct address *own, size_t own_count)
{
	for (size_t i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++)
		if (candidates[i].family == family && proves(&candidates[i], conf, own, own_count))
			return (struct canary_range){candidates[i]};
	return (struct canary_range){0};
}

static struct address member(const struct canary_range *range, uint8_t last)
{
	struct address address = {.family = range->block.family};
	memcpy(address.bytes, range->block.address, sizeof(address.bytes));
	address.bytes[address.family == AF_INET ? 3 : 15] = last;
	return address;
}

struct address canary_range_address(const struct canary_range *range, size_t index)
{
	return member(range, (uint8_t)(index + 1));
}

struct address canary_range_source(const struct canary_range *range)
{
	return member(range, CANARY_RANGE_SIZE + 2);
}
