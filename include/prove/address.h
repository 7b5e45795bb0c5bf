/*
 * address: an IPv4 or IPv6 address as a value, and its way to and from a socket address.
 */
#ifndef MX_ADDRESS_H
#define MX_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define ADDRESS_TEXT_MAX 46

struct address {
	uint8_t family;    /* AF_INET or AF_INET6; 0 = none */
	uint8_t bytes[16]; /* network order; 4 used for AF_INET, the others zero */
};

/* False where sa is of another family. */
bool address_of(const struct sockaddr *sa, struct address *address);
bool address_equal(const struct address *a, const struct address *b);
/* fe80::/10: means something on its own link alone. */
bool address_link_local(const struct address *address);
void address_format(const struct address *address, char text[ADDRESS_TEXT_MAX]);
/* Port in host order. Returns the socket address's length. */
socklen_t address_socket(const struct address *address, uint16_t port, struct sockaddr_storage *to);

#endif
