/*
 * smtp_client: the sending side of one SMTP connection as a pure machine. It is fed what the server says and
 * tells what happened and what it needs next; what it has to say gathers in `out`. It does no I/O, reads no
 * clock and counts nothing. The same bytes in any chunking lead to the same steps.
 *
 * A caller's loop, with `in` the bytes that came:
 *
 *     for (;;)
 *         switch (smtp_client_step(&client, &in)) {
 *         case SMTP_CLIENT_WAIT:   send `out`, read more
 *         case SMTP_CLIENT_READY:  smtp_client_begin() a message, smtp_client_quit(), or do so later
 *         case SMTP_CLIENT_TEXT:   smtp_client_text(): the message's text, and what may follow at once; then send `out`
 *         case SMTP_CLIENT_SENT:   the oldest message begun was accepted
 *         case SMTP_CLIENT_FAILED: it was refused: see client.verdict
 *         case SMTP_CLIENT_TLS:    send `out`, do the handshake, then smtp_client_secured()
 *         case SMTP_CLIENT_OVER:   close; client.verdict says why, with code 0 and no text where all is well
 *         }
 *
 * Two messages can be under way: with PIPELINING (RFC 2920) the end of a text takes the next envelope along.
 */
#ifndef MX_SMTP_CLIENT_H
#define MX_SMTP_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "gen_verdict.h"
#include "mail.h"
#include "reply_reader.h"

enum smtp_client_step {
	SMTP_CLIENT_WAIT,
	SMTP_CLIENT_READY,
	SMTP_CLIENT_TEXT,
	SMTP_CLIENT_SENT,
	SMTP_CLIENT_FAILED,
	SMTP_CLIENT_TLS,
	SMTP_CLIENT_OVER,
};

/* The same for all connections, outlives them. */
struct smtp_client_setup {
	const struct mail *mail;
	struct span ehlo; /* the name to give */
	bool starttls;    /* where it is offered */
	bool pipeline, no_pipeline, bdat;
	bool connect_only; /* READY comes behind the banner, for QUIT */
};

#define SMTP_CLIENT_OUT_MAX (MAIL_HEADER_MAX + 2 * MAIL_ADDRESS_MAX + 256)

/* Bytes to send: own ones, a text that is not copied, own ones. */
struct smtp_client_out {
	char bytes[SMTP_CLIENT_OUT_MAX];
	uint16_t len, split; /* the text comes behind bytes[split - 1] */
	struct span text;
	size_t sent; /* of all three together */
};

struct smtp_client {
	const struct smtp_client_setup *setup;
	struct reply_reader reader;
	struct gen_verdict first;  /* the first line of a refusal that has further ones: it says the most */
	uint8_t due[8], due_count; /* enum gen_phase: the replies awaited, the next one first */
	bool ready, over, secure;
	bool opened; /* MAIL was accepted: a transaction is open */
	bool told;   /* the verdict on a message was told with the last step */
	bool pipelining, eight_bit, chunking;
	uint8_t under_way;     /* messages begun and not yet judged */
	uint8_t offered;       /* what EHLO's reply named so far */
	struct mail_item item; /* the message whose text is still to be sent */
	struct gen_verdict verdict;
	struct smtp_client_out out;
};

void smtp_client_init(struct smtp_client *client, const struct smtp_client_setup *setup);

enum smtp_client_step smtp_client_step(struct smtp_client *client, struct span *in);

/* After READY, also later. date as for mail_put_header(); BDAT needs it at once. */
void smtp_client_begin(struct smtp_client *client, const struct mail_item *item, struct span date);

/* After READY, also later: says QUIT. */
void smtp_client_quit(struct smtp_client *client);

/*
 * After TEXT. `next`, which may be NULL, is begun with the same write; otherwise QUIT goes with it, where
 * asked for. Both only where smtp_client_pipelines().
 */
void smtp_client_text(struct smtp_client *client, struct span date, const struct mail_item *next, bool quit);
bool smtp_client_pipelines(const struct smtp_client *client);

/* After TLS: the handshake is done. */
void smtp_client_secured(struct smtp_client *client);

/* What the next reply would be to; IDLE where none is awaited. */
enum gen_phase smtp_client_phase(const struct smtp_client *client);

/* Unsent bytes, in at most three parts; 0 parts where there are none. Then: so many of them were sent. */
unsigned smtp_client_out(const struct smtp_client *client, struct iovec parts[3]);
void smtp_client_wrote(struct smtp_client *client, size_t len);

#endif
