/*
 * responder_process: the warden's view of the responder: the sockets it keeps for it, how it is started
 * without privilege, and what it is told. The sockets stay open here, so that a responder that died is
 * followed by one that takes up the same backlog.
 */
#ifndef MX_RESPONDER_PROCESS_H
#define MX_RESPONDER_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

#include "bundle.h"
#include "conf.h"
#include "control.h"
#include "err.h"

struct responder_sockets {
	int *listeners; /* workers × ports, a worker's together */
	unsigned workers, ports;
	int admin;
	char *admin_path;
};

/* 0 or a negative errno, err filled. */
int responder_sockets_open(struct responder_sockets *sockets, const struct conf *conf, struct err *err);
void responder_sockets_close(struct responder_sockets *sockets);

struct responder_process {
	pid_t pid;           /* 0: none */
	int channel;         /* -1: none */
	uint64_t started_ms; /* of the monotonic clock */
};

/* Forks it, as conf.responder.user without any privilege, and executes this program anew. */
int responder_process_start(struct responder_process *process, const struct conf *conf, struct err *err);

/* The three steps of what it needs to know, in this order; configure also serves a reload. */
int responder_process_setup(struct responder_process *process, const struct responder_sockets *sockets,
	int counts, struct err *err);
int responder_process_configure(
	struct responder_process *process, const struct bundle *bundle, struct err *err);
int responder_process_begin(struct responder_process *process, const struct responder_sockets *sockets,
	bool diverting, uint64_t started_ms, struct err *err);

/* It has ended: closes this end of its channel. */
void responder_process_ended(struct responder_process *process);

#endif
