/*
 * policy: what to answer at each phase of a session: the provider's words, odds and limits, what an address
 * asks for, what was injected. It knows no socket and reads no clock: facts (what DNS says, what time it is)
 * come from the caller. A policy is immutable and shared by reference between threads, so that a session
 * keeps the one it began with; what senders have been doing is in struct policy_state, which outlives policies.
 */
#ifndef MX_POLICY_H
#define MX_POLICY_H

#include <netinet/in.h>

#include "attempt.h"
#include "conf.h"
#include "err.h"
#include "limit.h"
#include "mx.h"
#include "provider.h"
#include "smtp.h"

/* What senders have been doing, for all workers and over reloads. */
struct policy_state {
	struct limit_table *limits;
	struct attempt_table *attempts;
	struct injections *injections; /* injection.h */
	uint64_t sessions;             /* begun so far; private */
};

int policy_state_init(struct policy_state *state, struct err *err) MX_MUST_CHECK;
void policy_state_done(struct policy_state *state);

struct policy {
	const struct conf *conf;
	struct provider_set *providers; /* NULL in sink mode */
	struct smtp_profile profile;
	uint64_t serial;     /* the caller's: no two policies have the same */
	unsigned references; /* private */
};

/* Takes its own share of conf, and the providers. NULL when out of memory, err filled; providers are freed then. */
struct policy *policy_new(
	const struct conf *conf, struct provider_set *providers, uint64_t serial, struct err *err);

/* Takes and gives up a share; the last one frees. From any thread. */
const struct policy *policy_ref(const struct policy *policy);
void policy_unref(const struct policy *policy);

/* What DNS says of a domain, and what was worked out from it for one set of providers. */
struct policy_mx {
	const struct mx_answer *answer;
	const struct provider *provider; /* never NULL: "default" where none matches */
	uint64_t site;                   /* a draw over the site's name; 0 where there is none */
};

/* What a reply that comes later repeats of an address, with its NUL; more is cut: a session's memory. */
#define POLICY_MAILBOX_MAX 64

/*
 * What a transaction adds to a session: zeroed memory that the caller lends from a MAIL decision on, until
 * policy_forget() or the session's end, so that a session without a transaction does not take it.
 */
struct policy_transaction {
	uint64_t sender; /* a draw over the reverse-path */
	/* What a recipient's address asks for, to be given when its phase comes; code 0: nothing. */
	struct {
		uint16_t code;
		uint8_t phase;
		char enhanced[12];
	} forced;
	char from[POLICY_MAILBOX_MAX], rcpt[POLICY_MAILBOX_MAX];
};

/* A session's part. Zero but for the first group, which the caller fills before the first decision. */
struct policy_session {
	const struct policy *policy;
	struct policy_state *state;
	struct in6_addr source, destination; /* see mapped.h */
	const char *mx_name; /* the host dialled, where it is known, else NULL; outlives the session */
	struct policy_transaction *transaction; /* from MAIL on; else it may be NULL */
	const struct provider *dialled;         /* whom destination belongs to; NULL where that is unknown */
	uint64_t dialled_site;
	bool diverted;

	/* Private. */
	bool due_stays;  /* due concerns the connection, not the transaction */
	bool mail_drawn; /* outcomes that come at MAIL have had their chance in this transaction */
	const struct provider *provider; /* of the connection: dialled, else the first recipient's; or NULL */
	struct limit_entry *entry, *site_entry;
	const struct provider_reply *due; /* to be given when its phase comes */
	uint64_t id;                      /* a draw */
	uint32_t deliveries, asked;
};

/* What a decision comes to. */
struct policy_verdict {
	const struct smtp_reply *reply; /* NULL: the default acceptance */
	enum provider_action action;    /* of a refusal */
	uint32_t delay_ms;              /* before the reply */
	bool faulted;
	enum provider_fault_form fault;
	enum provider_kind kind; /* where `from` is set */
	const struct provider_reply *from;
	const struct provider *provider; /* whose answer it is; NULL in sink mode */
	/* Private: what reply points to. */
	struct smtp_reply storage;
	char text[SMTP_REPLY_MAX];
};

enum policy_outcome {
	POLICY_DECIDED,
	POLICY_WANTS_MX, /* find out about smtp.path.domain, then ask again with mx */
};

/*
 * Decides what smtp asks. mx is what is known of the recipient's domain: NULL the first time; a caller
 * that could find out nothing passes one with answer NULL. now_ms: of a monotonic clock; today: YYYY-MM-DD.
 */
enum policy_outcome policy_decide(struct policy_session *session, const struct smtp *smtp,
	const struct policy_mx *mx, uint64_t now_ms, const char *today, struct policy_verdict *verdict);

/* Works out provider and site of an answer (may be NULL) for a domain. */
struct policy_mx policy_mx_of(
	const struct policy *policy, struct span domain, const struct mx_answer *answer);

/* What an address of MAIL or RCPT asks for under this configuration; false: nothing. See forced.h. */
struct forced;
bool policy_asked(
	const struct policy *policy, const struct smtp_path *path, enum smtp_phase at, struct forced *forced);

/* How a sender stands with a provider; nothing is changed by asking. */
struct policy_standing {
	uint32_t connections, violations;
};
void policy_standing(const struct policy_state *state, const struct provider *provider,
	const struct in6_addr *source, uint64_t now_ms, struct policy_standing *standing);

/* The transaction was dropped; the session ended. */
void policy_forget(struct policy_session *session);
void policy_session_done(struct policy_session *session, uint64_t now_ms);

#endif
