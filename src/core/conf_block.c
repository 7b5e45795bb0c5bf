#include "conf_block.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned family_bits(uint8_t family)
{
	return family == AF_INET ? 32 : 128;
}

static void address_set_bit(uint8_t *address, unsigned bit, bool value)
{
	uint8_t mask = (uint8_t)(0x80 >> bit % 8);
	address[bit / 8] = (uint8_t)(value ? address[bit / 8] | mask : address[bit / 8] & ~mask);
}

static bool address_bit(const uint8_t *address, unsigned bit)
{
	return address[bit / 8] & 0x80 >> bit % 8;
}

/* Clears what lies behind the prefix; whether anything stood there. */
static bool host_bits_clear(struct conf_block *block)
{
	bool found = false;
	for (unsigned bit = block->prefix; bit < family_bits(block->family); bit++) {
		found |= address_bit(block->address, bit);
		address_set_bit(block->address, bit, false);
	}
	return found;
}

/* The decimal number of a prefix length; -1 where it is none or has more than three digits. */
static int prefix_parse(const char *text)
{
	size_t len = strlen(text);
	if (len == 0 || len > 3 || strspn(text, "0123456789") != len)
		return -1;
	return atoi(text);
}

static int mapped_refuse(const char *text, const struct conf_block *block, struct err *err)
{
	struct conf_block v4 = {.family = AF_INET, .prefix = 32};
	memcpy(v4.address, block->address + 12, 4);
	if (block->prefix >= 96)
		v4.prefix = (uint8_t)(block->prefix - 96);
	host_bits_clear(&v4);
	char meant[CONF_BLOCK_TEXT_MAX];
	conf_block_format(&v4, meant);
	return err_set(err, -EINVAL, "\"%.64s\" is a v4-mapped address; write \"%s\"", text, meant);
}

int conf_block_parse(const char *text, struct conf_block *block, struct err *err)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct conf_block got = {.family = strchr(text, ':') ? AF_INET6 : AF_INET};
	char address[INET6_ADDRSTRLEN];
	size_t len = strcspn(text, "/");
	if (len < sizeof(address)) {
		memcpy(address, text, len);
		address[len] = '\0';
	}
	if (len >= sizeof(address) || inet_pton(got.family, address, got.address) != 1)
		return err_set(err, -EINVAL,
			"\"%.64s\" is not an address or block (names are not resolved); write "
			"\"192.0.2.1\", "
			"\"192.0.2.0/24\" or \"2001:db8::/32\"",
			text);

	int bits = (int)family_bits(got.family);
	int prefix = text[len] ? prefix_parse(text + len + 1) : bits;
	if (prefix < 0 || prefix > bits)
		return err_set(err, -EINVAL, "\"%.64s\" has a bad prefix length; write a number from 1 to %d",
			text, bits);
	got.prefix = (uint8_t)prefix;

	bool is_mapped = got.family == AF_INET6 && memcmp(got.address, mapped, sizeof(mapped)) == 0;
	if (prefix == 0 || (is_mapped && prefix == 96))
		return err_set(err, -EINVAL,
			"\"%.64s\" is every IPv%c address: it would switch the protection off; "
			"name only the "
			"networks that mail may really go to",
			text, got.family == AF_INET || is_mapped ? '4' : '6');
	if (is_mapped)
		return mapped_refuse(text, &got, err);
	if (host_bits_clear(&got)) {
		char meant[CONF_BLOCK_TEXT_MAX];
		conf_block_format(&got, meant);
		return err_set(err, -EINVAL,
			"\"%.64s\" has bits set behind its prefix; write \"%s\" for the block or "
			"\"%s\" for the "
			"one address",
			text, meant, address);
	}
	*block = got;
	return 0;
}

void conf_block_format(const struct conf_block *block, char text[CONF_BLOCK_TEXT_MAX])
{
	inet_ntop(block->family, block->address, text, CONF_BLOCK_TEXT_MAX);
	if (block->prefix < family_bits(block->family)) {
		size_t len = strlen(text);
		snprintf(text + len, CONF_BLOCK_TEXT_MAX - len, "/%u", block->prefix);
	}
}

int conf_block_compare(const struct conf_block *a, const struct conf_block *b)
{
	if (a->family != b->family)
		return a->family == AF_INET ? -1 : 1;
	int order = memcmp(a->address, b->address, sizeof(a->address));
	return order ? order : a->prefix - b->prefix;
}

static int block_order(const void *a, const void *b)
{
	return conf_block_compare(a, b);
}

static bool block_holds(const struct conf_block *outer, const struct conf_block *inner)
{
	if (outer->family != inner->family || outer->prefix > inner->prefix)
		return false;
	struct conf_block cut = *inner;
	cut.prefix = outer->prefix;
	host_bits_clear(&cut);
	return memcmp(cut.address, outer->address, sizeof(cut.address)) == 0;
}

/* Whether low and high are the two halves of one block. */
static bool block_halves(const struct conf_block *low, const struct conf_block *high)
{
	if (low->family != high->family || low->prefix != high->prefix || low->prefix == 0)
		return false;
	struct conf_block other = *low;
	address_set_bit(other.address, low->prefix - 1u, true);
	return !address_bit(low->address, low->prefix - 1u) &&
	       memcmp(other.address, high->address, sizeof(other.address)) == 0;
}

size_t conf_block_merge(struct conf_block *blocks, size_t count)
{
	if (count > 1)
		qsort(blocks, count, sizeof(*blocks), block_order);
	size_t kept = 0;
	for (size_t i = 0; i < count; i++) {
		/* In this order a block that holds another comes before it and is the last one
		 * kept. */
		if (kept > 0 && block_holds(&blocks[kept - 1], &blocks[i]))
			continue;
		blocks[kept++] = blocks[i];
		while (kept > 1 && block_halves(&blocks[kept - 2], &blocks[kept - 1]))
			blocks[--kept - 1].prefix--;
	}
	return kept;
}
