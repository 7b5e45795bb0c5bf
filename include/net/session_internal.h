/*
 * session_internal: what session.c (bytes), session_stream.c (the socket), session_decide.c (decisions) and
 * session_count.c (counts) share of a session. For these alone.
 */
#ifndef MX_SESSION_INTERNAL_H
#define MX_SESSION_INTERNAL_H

#include <event2/event_struct.h>
#include <time.h>

#include "session.h"

#define RECIPIENTS_INLINE 4

enum session_state {
	SESSION_TALKING,
	SESSION_BLOCKED,   /* the client does not read: no input is taken until it does */
	SESSION_FINISHING, /* blocked, and to be closed once the replies are out */
	SESSION_LINGERING, /* said why, closed for writing: input is thrown away until the client closes */
	SESSION_ASKING,    /* waits for DNS */
	SESSION_DELAYED,   /* the reply waits for its time */
	SESSION_HANGING,   /* never answers: waits for the client to give up */
	SESSION_PACED,     /* the provider reads slowly: no input is taken for a while */
	SESSION_PARTING,   /* the client has quit; the provider takes its time to close */
};

/* Rows of one accepted recipient. */
struct session_recipient {
	uint32_t domain, provider;
};

/* From MAIL to the end of data, RSET or the like: so that who is idle takes little memory. */
struct session_transaction {
	struct policy_transaction policy;
	struct resolver_question *question;
	struct policy_mx mx; /* the answer to it, once */
	char *asked;         /* the recipient's mailbox meanwhile */
	uint32_t recipient_count, recipient_cap;
	struct session_recipient *recipients; /* the accepted ones */
	struct session_recipient recipients_inline[RECIPIENTS_INLINE];
	bool refused_4xx, refused_5xx;
	bool counted; /* with its recipients: DATA was refused, which the client may try again */
	bool mx_known;
	struct session_transaction *next; /* spare */
};

/* Most that a worker keeps: of sessions in a transaction at the same time few begin or end it at once. */
#define SPARES_MAX 64

/* Bytes that wait. */
struct session_bytes {
	uint32_t len;
	char data[];
};

struct session {
	struct smtp smtp;
	struct event event;
	LIST_ENTRY(session) link;
	struct session_shared *shared;
	struct policy_session policy;
	struct session_transaction *transaction; /* NULL: none; one of MAIL that was refused may stay */
	struct session_bytes *held;   /* input: an incomplete command, or all of it while blocked; or NULL */
	struct session_bytes *unsent; /* or NULL */
	uint32_t destination, source; /* rows */
	uint32_t phase_since;         /* seconds; of the command or body under way; 0 = none is */
	enum session_state state : 8;
};

/* What a decision does to the session. */
enum session_decided {
	SESSION_GOES_ON,
	SESSION_WAITS, /* in a state that will call session_resume(): flush, keep the input, read nothing */
	SESSION_DELAYS, /* the same; the last reply in `out`, from session_decided.reply_at on, waits delay_ms */
	SESSION_CUTS,   /* flush, then close at once */
	SESSION_RESETS, /* flush, then reset */
	SESSION_HANGS,  /* flush, then answer no more */
};

struct session_decision {
	enum session_decided decided;
	size_t reply_at; /* in out */
	uint32_t delay_ms;
};

/* The byte stream under the session, with the results of recv() and send(): TLS takes its place here. */
ssize_t stream_receive(struct session *session, char *data, size_t size);
/* Takes up to len bytes and throws them away: the kernel need not even copy them. */
ssize_t stream_discard(struct session *session, size_t len);
/* Where `ends`, the last of it waits for stream_end(), to leave in one segment with the end. */
ssize_t stream_send(struct session *session, const char *data, size_t len, bool ends);
/* Nothing is said any more. Closing alone would not do: with input unread it takes back what has not left. */
void stream_end(struct session *session);

/* Decides what smtp asks; the reply, if one is given, is appended to out. */
struct session_decision session_decide(struct session *session, struct smtp_out *out);

/* Goes on with the input that was kept; session may be gone afterwards. */
void session_resume(struct session *session);

/* The transaction's memory, begun where there is none yet. NULL when out of memory. */
struct session_transaction *session_transaction_begin(struct session *session);
/* Lets go of it. */
void session_transaction_end(struct session *session);
void session_transactions_free(struct session_shared *shared);

/* The row of a domain in the table. */
uint32_t session_domain_row(struct session *session, struct span domain);

/* Keeps an accepted recipient of the transaction until the end of data. False when out of memory. */
bool session_keep_recipient(struct session *session, struct session_recipient recipient);

/* A new connection, in its rows too. */
void session_count_opened(struct session *session, enum origdst_result result);

/* Counting: always before the reply that tells the sender is sent, so that nothing sent is uncounted. */
void session_count_refused(struct session *session, struct session_recipient recipient, unsigned code);
void session_count_message(struct session *session, unsigned code, uint64_t octets);
/* A transaction ended before its end of data was answered. */
void session_count_forgotten(struct session *session);
/* The same for one that the end of the connection cuts off; with recipients it is aborted. Once, however often it is called. */
void session_count_cut(struct session *session);

#endif
