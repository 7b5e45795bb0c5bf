/*
 * delay: how long to wait, by a provider's setting and a draw. It does not wait and reads no clock.
 */
#ifndef MX_DELAY_H
#define MX_DELAY_H

#include <stdint.h>

#include "provider.h"

/* Past every time-out of a sender (RFC 5321 4.5.3.2: ten minutes at the most); more only holds memory. */
#define DELAY_MAX_MS 600000

/* Milliseconds, at most DELAY_MAX_MS; draw is any 64-bit number. The same draw gives the same delay. */
uint32_t delay_draw(const struct provider_delay *delay, uint64_t draw);

#endif
