/*
 * sock_diag: asks the kernel for the sockets that a packet may have come from. It names sockets by their inode,
 * not processes, and changes nothing.
 */
#ifndef MX_SOCK_DIAG_H
#define MX_SOCK_DIAG_H

#include <libmnl/libmnl.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "packet.h"

struct sock_diag {
	struct mnl_socket *socket;
	uint32_t seq;
};

struct sock_diag_match {
	uint64_t inode;  /* never 0 */
	uint64_t cgroup; /* the control group's id (cgroup v2), 0 where the kernel does not tell */
};

int sock_diag_open(struct sock_diag *diag, struct err *err) MX_MUST_CHECK;
/* Fine on one that is all zero. */
void sock_diag_close(struct sock_diag *diag);

/* Each writes up to max matches and returns their number; 0 too where the kernel cannot tell. */

/* The TCP socket with packet's addresses and ports; one, at a constant price. */
size_t sock_diag_tcp(struct sock_diag *diag, const struct packet *packet, struct sock_diag_match *match);
/* TCP sockets of uid with packet's source port, wherever they mean to go: a walk over all connections. */
size_t sock_diag_tcp_port(struct sock_diag *diag, const struct packet *packet, uint32_t uid,
	struct sock_diag_match *matches, size_t max);
/* Raw sockets of uid that may send TCP of their own making. */
size_t sock_diag_raw(int family, uint32_t uid, struct sock_diag_match *matches, size_t max);
/* Packet sockets of uid that are bound to the device (an index) or to none. */
size_t sock_diag_packet(
	struct sock_diag *diag, uint32_t uid, uint32_t device, struct sock_diag_match *matches, size_t max);

#endif
