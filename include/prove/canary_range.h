/*
 * canary_range: the block of a documentation range whose addresses the canaries are sent to: each canary has
 * an address of its own, by which a packet that left tells whose it was, whatever a foreign nat made of its
 * source. RFC 5737 and RFC 3849: nobody on the internet has these addresses.
 */
#ifndef MX_CANARY_RANGE_H
#define MX_CANARY_RANGE_H

#include <stddef.h>

#include "address.h"
#include "conf.h"

/* Canary addresses of a range. */
#define CANARY_RANGE_SIZE 250

struct canary_range {
	struct conf_block block; /* family 0: there is none that would prove anything */
};

/*
 * The first block that the configuration excludes no part of and that holds none of the host's own addresses,
 * either of which is left alone by the rules.
 */
struct canary_range canary_range_choose(
	uint8_t family, const struct conf *conf, const struct address *own, size_t own_count);

/* index is below CANARY_RANGE_SIZE. */
struct address canary_range_address(const struct canary_range *range, size_t index);
/* An address of the range that is no canary's: a source for packets of a device that has no address. */
struct address canary_range_source(const struct canary_range *range);

#endif
