/*
 * origdst: whom a connection was meant for before it was diverted. A table of finders, one a
 * family, is the seam: tests and hosts without netfilter bring their own.
 */
#ifndef MX_ORIGDST_H
#define MX_ORIGDST_H

#include <sys/socket.h>

enum origdst_result {
	ORIGDST_DIVERTED,   /* original is where the client wanted to go */
	ORIGDST_UNDIVERTED, /* the client came to the listener itself; original is the listener's
			       address */
	/*
	 * The kernel could not say; original is the listener's address. So it is without netfilter,
	 * for an untracked connection, and for a diverted one whose entry was flushed meanwhile:
	 * the three look alike, so "unknown" is all that can be said of each.
	 */
	ORIGDST_UNKNOWN,
};

struct origdst_finder {
	const char *name;
	sa_family_t family; /* of the peer; a v4-mapped peer counts as AF_INET */
	/* Fills original; 0 or a negative errno, -ENOENT where the kernel knows no other
	 * destination. */
	int (*find)(int fd, struct sockaddr_storage *original);
};

/* The kernel's: SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST; ends with a NULL name. */
extern const struct origdst_finder origdst_finders[];

/*
 * Finds fd's original destination. v4-mapped addresses come out as AF_INET in original. peer is the
 * address that accept() gave.
 */
enum origdst_result origdst_find(const struct origdst_finder *finders, int fd, const struct sockaddr *peer,
	struct sockaddr_storage *original);

#endif
