/*
 * conf_block: address blocks as they stand in a configuration: read from text, brought into the one
 * form that a kernel's interval set takes, printed. It resolves no name and asks no interface.
 */
#ifndef MX_CONF_BLOCK_H
#define MX_CONF_BLOCK_H

#include <stddef.h>

#include "conf.h"
#include "err.h"

/* Room for any printed block with its NUL, in bytes. */
#define CONF_BLOCK_TEXT_MAX 50

/*
 * Reads "192.0.2.0/24", "2001:db8::/32" or a plain address. 0, or -EINVAL with err naming what is
 * wrong and what was probably meant: host bits set, a v4-mapped address, a whole address family.
 */
int conf_block_parse(const char *text, struct conf_block *block, struct err *err) MX_MUST_CHECK;

/* Prints block; a full-length one as a plain address. */
void conf_block_format(const struct conf_block *block, char text[CONF_BLOCK_TEXT_MAX]);

/* memcmp()'s way: v4 before v6, ascending, the larger block first. */
int conf_block_compare(const struct conf_block *a, const struct conf_block *b);

/*
 * Sorts the blocks and makes them as few as cover the same addresses: doubles and blocks inside
 * others go, two halves of a block become the block. Returns how many are left, at the front.
 */
size_t conf_block_merge(struct conf_block *blocks, size_t count);

#endif
