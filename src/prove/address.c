#include "address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

bool address_of(const struct sockaddr *sa, struct address *address)
{
	*address = (struct address){0};
	if (sa->sa_family == AF_INET)
		memcpy(address->bytes, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
	else if (sa->sa_family == AF_INET6)
		memcpy(address->bytes, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, 16);
	else
		return false;
	address->family = (uint8_t)sa->sa_family;
	return true;
}

bool address_equal(const struct address *a, const struct address *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool address_link_local(const struct address *address)
{
	return address->family == AF_INET6 && address->bytes[0] == 0xfe && (address->bytes[1] & 0xc0) == 0x80;
}

void address_format(const struct address *address, char text[ADDRESS_TEXT_MAX])
{
	inet_ntop(address->family, address->bytes, text, ADDRESS_TEXT_MAX);
}

socklen_t address_socket(const struct address *address, uint16_t port, struct sockaddr_storage *to)
{
	memset(to, 0, sizeof(*to));
	to->ss_family = address->family;
	if (address->family == AF_INET) {
		struct sockaddr_in *v4 = (void *)to;
		v4->sin_port = htons(port);
		memcpy(&v4->sin_addr, address->bytes, sizeof(v4->sin_addr));
		return sizeof(*v4);
	}
	struct sockaddr_in6 *v6 = (void *)to;
	v6->sin6_port = htons(port);
	memcpy(&v6->sin6_addr, address->bytes, sizeof(v6->sin6_addr));
	return sizeof(*v6);
}
