/*
 * nlsock: talks to nfnetlink. A batch is sent as one message, which the kernel takes whole or not
 * at all, and every acknowledgement is collected, so that a refusal names the object that was
 * refused. It knows nothing of tables and rules, joins no multicast group, and never waits for the
 * kernel: nfnetlink answers within the system call that asks, so an answer that is not there is lost,
 * and that is an error. It waits, half a second at most, for another process that uses the same
 * inherited socket.
 */
#ifndef MX_NLSOCK_H
#define MX_NLSOCK_H

#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct nlsock {
	struct mnl_socket *socket;
	uint32_t portid; /* the netlink address, by which the kernel knows a table's owner */
	uint32_t seq;
	bool inherited; /* others may use it at the same time: one exchange after the other */
};

/* Room that a caller of nlbatch_add() has for one message, header included, in bytes. */
#define NLBATCH_MESSAGE_MAX 65536

struct nlbatch {
	char *data;
	size_t len, size;
	struct nlbatch_item {
		uint32_t seq;
		char *what; /* the object in words, for errors */
		int tag;
	} * items;
	size_t count, room;
	uint32_t seq;
	int tag;    /* the caller's own, recorded with each message that is added */
	int broken; /* a negative errno once memory ran out */
};

/* What the kernel refused. */
struct nlbatch_refusal {
	const char *what; /* lives as long as the batch; the batch itself: "the batch" */
	int tag;          /* of the message; 0 for the batch itself */
};

/*
 * inherited: a netlink socket that somebody else opened (systemd's, by which tables stay owned while nobody
 * runs), which becomes sock's; -1: open one.
 */
int nlsock_open(struct nlsock *sock, int inherited, struct err *err) MX_MUST_CHECK;
/* Closes it; fine on one that is all zero. */
void nlsock_close(struct nlsock *sock);

/* Starts a batch that the kernel takes only if the ruleset is still of this generation; of any, with 0. */
int nlbatch_init(struct nlbatch *batch, const struct nlsock *sock, uint32_t generation) MX_MUST_CHECK;
void nlbatch_done(struct nlbatch *batch);

/*
 * Adds a message of nftables' type (enum nf_tables_msg_types) for a family (NFPROTO_...), with flags beside
 * NLM_F_REQUEST and NLM_F_ACK; the format describes its object. The caller appends attributes until
 * the next call. NULL when memory ran out; then nlsock_commit() says so, too.
 */
struct nlmsghdr *nlbatch_add(struct nlbatch *batch, uint16_t type, uint8_t family, uint16_t flags,
	const char *format, ...) __attribute__((format(printf, 5, 6)));

/*
 * Sends the batch and collects every answer. 0 when all of it stands; else a negative errno, err
 * names the first object refused, and nothing of it stands. -ERESTART: the ruleset is of another
 * generation by now. refusal may be NULL.
 */
int nlsock_commit(struct nlsock *sock, struct nlbatch *batch, struct nlbatch_refusal *refusal,
	struct err *err) MX_MUST_CHECK;

/* The same, but the kernel only says what it would answer: nothing is changed, the ruleset's generation included. */
int nlsock_check(struct nlsock *sock, struct nlbatch *batch, struct err *err) MX_MUST_CHECK;

/*
 * Starts a request in buf (at least MNL_SOCKET_BUFFER_SIZE bytes): flags NLM_F_DUMP for a listing,
 * 0 for a single object. The caller appends attributes and calls nlsock_request().
 */
struct nlmsghdr *nlsock_prepare(
	struct nlsock *sock, char *buf, uint16_t type, uint8_t family, uint16_t flags);

/*
 * Sends the request and gives each message of the answer to callback, which returns MNL_CB_OK or,
 * on failure, MNL_CB_ERROR with errno set. 0 or a negative errno: the kernel's (-ENOENT: no such
 * object), the callback's, or -EINTR where the ruleset changed during a listing. Fills no err: what
 * was asked for is known to the caller.
 */
int nlsock_request(
	struct nlsock *sock, const struct nlmsghdr *request, mnl_cb_t callback, void *data) MX_MUST_CHECK;

#endif
