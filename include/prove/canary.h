/*
 * canary: one attempt to get a TCP packet for a diverted port off this host, by one path, and where it ended.
 * The table of kinds is the seam: a new path is a row with its way of sending and the outcomes that are in
 * order. Sending never blocks; what becomes of it is observed by proof and witness.
 */
#ifndef MX_CANARY_H
#define MX_CANARY_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "address.h"
#include "packet_build.h"

enum canary_outcome {
	CANARY_PENDING,
	CANARY_LEFT,     /* was handed to a device that is not loopback */
	CANARY_DIVERTED, /* connected, and nothing left: this host answered itself */
	CANARY_REFUSED,  /* reset, or refused by the kernel */
	CANARY_SILENT,   /* no answer, and nothing left */
	CANARY_STOPPED,  /* of a packet nobody answers to: reached no device */
	CANARY_NO_ROUTE, /* the host has no way there */
	CANARY_UNTESTED, /* this host does not have the path; why is in detail, as is for the next */
	CANARY_FAILED,   /* it should have been sent and was not */
	CANARY_OUTCOMES,
};

/* What a kind is sent once for. */
enum canary_scope {
	CANARY_ONCE,
	CANARY_PER_MARK,   /* that routing rules know, and one more */
	CANARY_PER_SOURCE, /* own address */
	CANARY_PER_DEVICE, /* that is up and not loopback */
	CANARY_PER_CONTAINER,
	CANARY_SCOPES,
};

#define CANARY_IPV4 1u
#define CANARY_IPV6 2u

struct canary;

struct canary_kind {
	const char *name;
	enum canary_scope scope;
	unsigned families; /* CANARY_IPV4, CANARY_IPV6 */
	bool ethernet;     /* on Ethernet devices alone */
	bool portless;     /* the packet carries no port: once for all ports */
	bool past_taps;    /* no packet tap sees it: what the send says is what there is */
	unsigned in_order; /* a bit for each outcome that a guarded host may show */
	void (*send)(struct canary *canary);
};

struct canary {
	const struct canary_kind *kind;
	struct address destination; /* its own among those that are sent at once */
	uint16_t port;
	struct address source; /* family 0: as the kernel chooses */
	unsigned device;       /* interface index; 0: by the routing table */
	uint32_t mark;         /* 0: none */
	int container;         /* descriptor of the network namespace to send from, -1: this one */
	char where[96];        /* what it goes through, for people */

	int fd;               /* of a connection that is on its way or stands, -1 otherwise */
	uint16_t source_port; /* 0: not known */
	uint16_t mss;         /* in the SYN: with the source port it tells a rewritten canary */
	enum canary_outcome outcome;
	char seen_on[IF_NAMESIZE]; /* the device, when it left */
	char detail[96];           /* the greeting, or what the kernel said */
};

/* Ends with a NULL name. */
extern const struct canary_kind canary_kinds[];

/* "diverted" and so on. */
const char *canary_outcome_name(enum canary_outcome outcome);

/* Whether the outcome is what a guarded host shows: no leak and, where somebody answers, an answer. */
bool canary_in_order(const struct canary *canary);

/* Sets the outcome of one that ends here: by the errno of connect() or of the send, or of what came before. */
void canary_refused(struct canary *canary, int error);
void canary_unsent(struct canary *canary, int error);

/* The packet as its raw and packet-socket kinds send it. The result points into the canary. */
struct packet canary_packet(const struct canary *canary);

/* The ways of sending, by file. */
void canary_connect(struct canary *canary);
void canary_connect_marked(struct canary *canary);
void canary_connect_mapped(struct canary *canary);
void canary_connect_mptcp(struct canary *canary);
void canary_connect_fast_open(struct canary *canary);
void canary_connect_device(struct canary *canary);

void canary_raw(struct canary *canary);
void canary_raw_rest(struct canary *canary);
void canary_frame(struct canary *canary);
void canary_frame_bypass(struct canary *canary);
void canary_frame_tagged(struct canary *canary);
void canary_frame_double_tagged(struct canary *canary);
void canary_frame_mislabelled(struct canary *canary);
void canary_frame_rest(struct canary *canary);
void canary_frame_headless(struct canary *canary);

#endif
