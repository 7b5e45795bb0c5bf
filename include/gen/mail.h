/*
 * mail: what the generator sends. The text that all messages share is made once, dot-stuffed already; who a
 * message is from and for, and the header fields that differ, follow from the seed and the message's number
 * alone, so that the same seed makes the same messages, whichever thread sends them.
 */
#ifndef MX_MAIL_H
#define MX_MAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "err.h"
#include "gen_options.h"
#include "mix.h"

/* Enough for what the mail_put functions write. */
#define MAIL_ADDRESS_MAX 384
#define MAIL_HEADER_MAX  (3 * MAIL_ADDRESS_MAX + 512)

struct mail {
	struct mix domains, tenants; /* tenants: perhaps none */
	uint64_t seed;
	bool whole;       /* the text has a header of its own: mail_put_header() writes nothing */
	bool eight_bit;   /* the text holds octets above 127 */
	struct span text; /* behind the header fields of the message's own: other fields, empty line, body */
	struct span stuffed; /* the same for DATA (RFC 5321 4.5.2), without the final dot */
};

/* One message. The spans live as long as the mail. */
struct mail_item {
	uint64_t number, user;
	struct span from, to;         /* domains */
	const struct mix_row *tenant; /* or NULL */
};

/* 0, or a negative errno and nothing to give back. */
int mail_make(struct mail *mail, const struct gen_options *options, struct err *err) MX_MUST_CHECK;
void mail_done(struct mail *mail);

/* Domains, user and tenant of message `number`. */
void mail_pick(const struct mail *mail, uint64_t number, struct mail_item *item);

/* Another recipient for the same message. */
void mail_pick_recipient(const struct mail *mail, uint64_t nth, struct mail_item *item);

/* These write without a NUL and return how much. Addresses come without angle brackets. */
size_t mail_put_sender(const struct mail_item *item, char *to);
size_t mail_put_recipient(const struct mail_item *item, char *to);

/* From, To, Subject, Date, Message-ID and so on, with CRLFs. */
size_t mail_put_header(const struct mail *mail, const struct mail_item *item, struct span date, char *to);

/* A date as RFC 5322 3.3 has it, for mail_put_header(). */
struct mail_date {
	char chars[48];
	size_t len;
};
struct mail_date mail_date_of(time_t now);

#endif
