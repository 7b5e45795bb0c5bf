/*
 * coverage_address: which of our providers a block of a sender's shaping file is meant for. It compares
 * names; no DNS is asked.
 */
#ifndef MX_COVERAGE_ADDRESS_H
#define MX_COVERAGE_ADDRESS_H

#include <stdbool.h>

#include "provider.h"
#include "shaping.h"

/*
 * "default" addresses all; a domain's block who serves the domain; a provider's block those of whom it
 * matches an MX suffix or name (a suffix of one another), or a domain. For providers of a smart sink's file
 * ("domain:X") `known` tells whose MX hosts serve X. A match that ends in a dot addresses nobody, as with
 * the sender, unless `mended`.
 */
bool coverage_addresses(const struct shaping_block *block, const struct provider *provider,
	const struct provider_set *known, bool mended);

/* The first match of the block that ends in a dot; NULL for none. */
const struct shaping_match *coverage_dotted(const struct shaping_block *block);

#endif
