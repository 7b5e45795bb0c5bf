/*
 * campaign: what the generator's threads share: the options, the mail, the addresses, how much of the work is
 * taken, and when to end. It sends nothing itself.
 */
#ifndef MX_CAMPAIGN_H
#define MX_CAMPAIGN_H

#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "err.h"
#include "gen_options.h"
#include "mail.h"
#include "smtp_client.h"
#include "stream.h"

struct campaign_address {
	struct sockaddr_storage address;
	socklen_t len;
};

struct campaign {
	const struct gen_options *options;
	struct mail mail;
	struct smtp_client_setup smtp;
	struct stream_shared text; /* of the mail, as SMTP sends it */
	SSL_CTX *tls;              /* with --starttls */
	struct campaign_address *targets,
		*sources; /* of the target's name, in the resolver's order; perhaps none */
	size_t target_count, source_count;
	_Atomic unsigned preferred;       /* the target that answered */
	_Atomic uint64_t taken;           /* messages sent or under way */
	_Atomic uint64_t sent;            /* with --message-count */
	_Atomic uint64_t next_number;     /* of a message: each gets its own */
	_Atomic uint64_t measure_from_ns; /* latencies count from here on; UINT64_MAX: not yet */
	_Atomic bool started;             /* until then idle connections alone are opened */
	_Atomic bool stopping, aborting;  /* finish what is under way; drop it */
};

/* Reads files and resolves names. 0, or a negative errno and nothing to give back. options outlive it. */
int campaign_init(
	struct campaign *campaign, const struct gen_options *options, struct err *err) MX_MUST_CHECK;
void campaign_done(struct campaign *campaign);

/* How many of `count` more messages may be begun; `number` is the first one's. */
uint64_t campaign_take(struct campaign *campaign, uint64_t count, uint64_t *number);
/* So many were sent. True: with them all of --message-count are. */
bool campaign_sent(struct campaign *campaign, uint64_t count);
bool campaign_is_complete(const struct campaign *campaign);
/* They were not sent after all. */
void campaign_give_back(struct campaign *campaign, uint64_t count);

/* Nanoseconds on a clock that only goes forward. */
uint64_t campaign_clock(void);

#endif
