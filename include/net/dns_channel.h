/*
 * dns_channel: c-ares on a libevent loop: questions out, messages in. It knows no record and keeps no
 * answer. It never blocks; whoever asks calls dns_channel_expire() now and then, so that what nobody
 * answers comes to its end.
 */
#ifndef MX_DNS_CHANNEL_H
#define MX_DNS_CHANNEL_H

#include <arpa/nameser.h>
#include <event2/event.h>
#include <stdint.h>

#include "err.h"
#include "span.h"

/*
 * Questions under way at most: their ids have 16 bits, and c-ares looks for a free one until it finds it. The
 * caller keeps to it.
 */
#define DNS_CHANNEL_QUERIES_MAX 32768

struct dns_channel;

/*
 * servers: "192.0.2.53:53,…", or NULL for resolv.conf's. A question is sent a second time after try_ms and
 * given up twice that later (with one server). NULL on failure, err filled.
 */
struct dns_channel *dns_channel_new(
	struct event_base *base, const char *servers, uint32_t try_ms, struct err *err);
/* Calls back none of what is under way. */
void dns_channel_free(struct dns_channel *channel);

enum dns_result {
	DNS_ANSWERED, /* a message for the question, with records */
	DNS_NO_DATA,  /* the name exists, without records of the type */
	DNS_NO_NAME,  /* NXDOMAIN */
	DNS_FAILED,   /* no answer, SERVFAIL, REFUSED, nonsense, out of memory */
};

/* A question under way; the caller's storage, at the same place until done() is called. */
struct dns_query {
	/* message: for DNS_ANSWERED, for the time of the call. */
	void (*done)(struct dns_query *query, enum dns_result result, struct span message);
	struct dns_channel *channel; /* private */
};

/* Asks for name. done() is called once, perhaps from within this call. */
void dns_channel_ask(struct dns_channel *channel, struct dns_query *query, const char *name, ns_type type);

void dns_channel_expire(struct dns_channel *channel);

#endif
