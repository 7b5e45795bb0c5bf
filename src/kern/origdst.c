#include "origdst.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

/* Behind netinet/in.h, which they give way to but not the other way round. */
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6/ip6_tables.h>

static int option_get(int fd, int level, int option, struct sockaddr_storage *original, socklen_t size)
{
	*original = (struct sockaddr_storage){0};
	return getsockopt(fd, level, option, original, &size) < 0 ? -errno : 0;
}

static int find4(int fd, struct sockaddr_storage *original)
{
	return option_get(fd, SOL_IP, SO_ORIGINAL_DST, original, sizeof(struct sockaddr_in));
}

static int find6(int fd, struct sockaddr_storage *original)
{
	return option_get(fd, SOL_IPV6, IP6T_SO_ORIGINAL_DST, original, sizeof(struct sockaddr_in6));
}

const struct origdst_finder origdst_finders[] = {
	{"SO_ORIGINAL_DST", AF_INET, find4},
	{"IP6T_SO_ORIGINAL_DST", AF_INET6, find6},
	{NULL, AF_UNSPEC, NULL},
};

/* A dual-stack socket shows IPv4 as v4-mapped IPv6; here every address has its own family. */
static void address_unmap(struct sockaddr_storage *address)
{
	struct sockaddr_in6 six;
	memcpy(&six, address, sizeof(six));
	if (six.sin6_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&six.sin6_addr))
		return;
	struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = six.sin6_port};
	memcpy(&four.sin_addr, &six.sin6_addr.s6_addr[12], sizeof(four.sin_addr));
	*address = (struct sockaddr_storage){0};
	memcpy(address, &four, sizeof(four));
}

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET) {
		const struct sockaddr_in *left = (const void *)a, *right = (const void *)b;
		return left->sin_port == right->sin_port && left->sin_addr.s_addr == right->sin_addr.s_addr;
	}
	const struct sockaddr_in6 *left = (const void *)a, *right = (const void *)b;
	return left->sin6_port == right->sin6_port && IN6_ARE_ADDR_EQUAL(&left->sin6_addr, &right->sin6_addr);
}

enum origdst_result origdst_find(const struct origdst_finder *finders, int fd, const struct sockaddr *peer,
	struct sockaddr_storage *original)
{
	struct sockaddr_storage local = {0}, from = {0};
	socklen_t len = sizeof(local);
	if (getsockname(fd, (struct sockaddr *)&local, &len) < 0)
		local = (struct sockaddr_storage){0};
	address_unmap(&local);
	*original = local;

	memcpy(&from, peer,
		peer->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
	address_unmap(&from);
	for (; finders->name; finders++) {
		if (finders->family != from.ss_family)
			continue;
		struct sockaddr_storage found;
		if (finders->find(fd, &found) < 0)
			return ORIGDST_UNKNOWN;
		address_unmap(&found);
		*original = found;
		return same_address(&found, &local) ? ORIGDST_UNDIVERTED : ORIGDST_DIVERTED;
	}
	return ORIGDST_UNKNOWN;
}
