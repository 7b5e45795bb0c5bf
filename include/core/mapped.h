/*
 * mapped: IP addresses of both families in one form: an IPv4 address is the IPv6 one that stands for it,
 * ::ffff:192.0.2.1 (RFC 4291 2.5.5.2). So one type, one comparison and one table serve both. It knows no ports.
 */
#ifndef MX_MAPPED_H
#define MX_MAPPED_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#include "span.h"

/* four: the address's bytes in network order. */
static inline struct in6_addr mapped_v4(const void *four)
{
	struct in6_addr mapped = {.s6_addr = {[10] = 0xff, [11] = 0xff}};
	memcpy(&mapped.s6_addr[12], four, 4);
	return mapped;
}

/* From text of either family. False where it is none. */
static inline bool mapped_read(const char *text, struct in6_addr *address)
{
	struct in_addr four;
	if (inet_pton(AF_INET6, text, address) == 1)
		return true;
	if (inet_pton(AF_INET, text, &four) != 1)
		return false;
	*address = mapped_v4(&four);
	return true;
}

/* Its bytes in network order in its own family: 4 or 16. */
static inline struct span mapped_bytes(const struct in6_addr *address)
{
	size_t skip = IN6_IS_ADDR_V4MAPPED(address) ? 12 : 0;
	return (struct span){(const char *)address + skip, 16 - skip};
}

/* As its own family writes it. Returns text. */
static inline const char *mapped_text(const struct in6_addr *address, char text[INET6_ADDRSTRLEN])
{
	struct span bytes = mapped_bytes(address);
	return inet_ntop(bytes.len == 4 ? AF_INET : AF_INET6, bytes.data, text, INET6_ADDRSTRLEN);
}

#endif
