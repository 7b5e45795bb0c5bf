/*
 * links: the network devices of this namespace as they appear, are renamed and go. Knows their names and nothing
 * else of them, and puts them into rules; what is to be done about a change is its caller's business.
 *
 * It has a netlink socket of its own: joining a multicast group on the one that owns the tables would fill that
 * with messages that nobody reads while it is held by somebody else. It needs no privilege.
 */
#ifndef MX_LINKS_H
#define MX_LINKS_H

#include <libmnl/libmnl.h>
#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>

#include "err.h"
#include "ruleset.h"

struct links {
	struct mnl_socket *socket;
	/* All but loopback, in no order. */
	struct link_device {
		int index;
		unsigned since; /* its number: another one when it comes again, or under another name */
		char name[IFNAMSIZ];
	} * devices;
	size_t count, room;
	unsigned seq, last; /* of requests; the last device's number */
	bool stale;         /* messages were lost, and what there is could not be read anew */
};

/* Starts to follow, and reads what there is now. */
int links_open(struct links *links, struct err *err) MX_MUST_CHECK;
/* Fine on one that is all zero. */
void links_close(struct links *links);

/* To be watched for reading. */
int links_fd(const struct links *links);

/*
 * Takes all that happened since, without waiting. 1 when a device has come, has another name or is gone, 0 when
 * none, or a negative errno: then the devices are as they were, and the next call reads anew what there is, as it
 * does where messages were lost.
 */
int links_read(struct links *links, struct err *err) MX_MUST_CHECK;

/* The rules that conf asks for with chains for these devices: see ruleset_new(). */
struct ruleset *links_ruleset(
	const struct links *links, const struct conf *conf, unsigned tables, struct err *err);

/* The same for the devices that there are now, for a caller that does not follow them. */
struct ruleset *links_ruleset_now(const struct conf *conf, unsigned tables, struct err *err);

#endif
