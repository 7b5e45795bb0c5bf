/*
 * provider: what is known of one mailbox provider, as plain, immutable data: whom it serves, how it
 * presents itself, what it refuses, at which phase and in which words, and where its limits are. This
 * module makes providers of a TOML tree and finds them by name; it draws nothing, counts nothing and
 * sends nothing.
 *
 * A profile is a [provider."NAME"] table: the shipped corpus (rules/providers/NAME.toml, built into the
 * program), files of the user's and the configuration's own tables have the same form. Limits are in
 * shaping files' own words and units, so that snippets paste in. A later table of the same name changes
 * single settings of the earlier one; its replies are added, or take the place of all earlier ones with
 * `replace_base = true`.
 *
 *	[provider."google"]
 *	match = [{MXSuffix = ".google.com"}, {MXSuffix = ".googlemail.com"}]
 *	domains = ["gmail.com"]               # whose MX hosts are looked up at the start
 *	banner = "{mx} ESMTP {id} - gsmtp"
 *	extensions = ["SIZE 157286400", "8BITMIME", "ENHANCEDSTATUSCODES", "PIPELINING", "CHUNKING", "SMTPUTF8"]
 *	defer = 5                             # percent of recipients, exactly
 *	bounce = 2
 *	max_deliveries_per_connection = 50
 *	provider_connection_limit = 5
 *	max_message_rate = "100/min"
 *	max_message_size = 157286400          # octets
 *	reputation_after = 10                 # violations of limits within the hour
 *	reputation_recovers = "1h"
 *	greylist = "5m"
 *	bandwidth = 50000                     # octets a second that are read of each connection
 *	slow_close = "10s"                    # stays open behind QUIT
 *	refuse = 0.5                          # percent of connections, as is black_hole
 *	delay = {connect = "2s", rcpt = "100ms..1s", end_of_data = "lognormal(2s, 0.8)"}
 *	fault = [{form = "reset", phase = "data", odds = 0.1}]
 *	[[provider."google".reply]]
 *	phase = "rcpt"
 *	kind = "bounce"
 *	code = 550
 *	enhanced = "5.1.1"
 *	text = "The email account that you tried to reach does not exist. …"
 *	weight = 3
 *	source = "G"
 *	seen = "2026-02"
 *
 * Shaping files' keys that concern the sender alone (enable_tls, idle_timeout, automation …) are passed over.
 */
#ifndef MX_PROVIDER_H
#define MX_PROVIDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "rate.h"
#include "smtp.h"
#include "toml_node.h"

/* Why a reply is given. The names are those of `kind` in a profile. */
enum provider_kind {
	PROVIDER_BOUNCE,          /* "bounce": drawn, by the odds in `bounce` */
	PROVIDER_DEFER,           /* "defer": drawn, by the odds in `defer` */
	PROVIDER_CONNECTIONS,     /* "connection_limit": too many at once, by either of the two limits */
	PROVIDER_CONNECTION_RATE, /* "max_connection_rate" */
	PROVIDER_MESSAGE_RATE,    /* "max_message_rate" */
	PROVIDER_DELIVERIES,      /* "max_deliveries_per_connection" */
	PROVIDER_RECIPIENTS,      /* "max_recipients_per_message" */
	PROVIDER_SIZE,            /* "max_message_size" */
	PROVIDER_REPUTATION,      /* "reputation": limits were ignored for too long */
	PROVIDER_GREYLIST,        /* "greylist": the triplet is new */
	PROVIDER_MISMATCH, /* "mx_mismatch": the recipient's domain is not served at this destination */
	PROVIDER_KINDS,
};

const char *provider_kind_name(enum provider_kind kind);
const char *provider_phase_name(
	enum smtp_phase phase); /* "connect" "ehlo" "mail" "rcpt" "data" "end_of_data" */

/* What is done beside, or in place of, giving the reply. */
enum provider_action {
	PROVIDER_REPLY,       /* "reply" */
	PROVIDER_REPLY_CLOSE, /* "reply_close": and closes; 421 does so by itself */
	PROVIDER_CLOSE,       /* "close": without a word */
	PROVIDER_RESET,       /* "reset": a TCP reset */
	PROVIDER_HANG,        /* "hang": never answers; the sender's time-out decides */
};

struct provider_reply {
	enum provider_kind kind;
	enum smtp_phase phase;
	enum provider_action action;
	unsigned code;        /* 400 to 599; 0 with an action that says nothing */
	const char *enhanced; /* "4.7.28"; "" = the reply has none */
	const char *text;     /* with placeholders (reply_text.h); lines divided by '\n' */
	uint32_t
		weight; /* among the replies of its kind (and phase, where a limit asks for one); at least 1 */
	const char *wording; /* "current" or "old", where one text has taken another's place; else "" */
	const char *source;  /* tag, as facts give it; "" = the user's own */
	const char *seen;    /* "2026-02" */
	const char *file;    /* where it stands */
	unsigned line;
};

/* A time that is drawn anew each time, in milliseconds. */
enum provider_delay_form {
	PROVIDER_DELAY_NONE,
	PROVIDER_DELAY_FIXED,     /* "2s" */
	PROVIDER_DELAY_UNIFORM,   /* "1s..5s" */
	PROVIDER_DELAY_LOGNORMAL, /* "lognormal(2s, 0.8)": median and sigma */
};

struct provider_delay {
	enum provider_delay_form form;
	uint32_t low_ms, high_ms; /* fixed: low; uniform: both; lognormal: low is the median */
	double sigma;
};

/* Faults of the connection, each by its odds per phase. */
enum provider_fault_form {
	PROVIDER_FAULT_RESET,    /* "reset" */
	PROVIDER_FAULT_CLOSE,    /* "close" */
	PROVIDER_FAULT_STALL,    /* "stall": never answers */
	PROVIDER_FAULT_TRUNCATE, /* "truncate": half a reply, then closes */
	PROVIDER_FAULT_GARBLE,   /* "garble": a reply that is none */
};

struct provider_fault {
	enum provider_fault_form form;
	enum smtp_phase phase;
	uint32_t odds_ppm;
};

struct provider_limits {
	uint32_t site_connections;     /* connection_limit: per site and source; 0 = none, as below */
	uint32_t provider_connections; /* provider_connection_limit: per provider and source */
	struct rate connection_rate;   /* max_connection_rate, per provider and source */
	struct rate message_rate;      /* max_message_rate, per provider and source */
	uint32_t deliveries_per_connection;
	uint32_t recipients_per_message;
	uint64_t message_size;
};

#define PROVIDER_PHASES (SMTP_PHASE_END_OF_DATA + 1)

struct provider {
	const char *name;
	const char *file; /* of its first table */
	unsigned line;
	uint32_t index; /* its place in the set: stable for the set's life */

	/* All MX hosts must have one of the suffixes (".google.com") or be one of the names. Lower case. */
	const char **mx_suffixes, **mx_names;
	size_t mx_suffix_count, mx_name_count;
	const char **domains; /* well-known domains: matched by name where DNS does not answer, too */
	size_t domain_count;
	bool by_domain_alone; /* of responses.toml: what DNS says of the domain does not matter */

	const char *banner;             /* text behind 220, with placeholders */
	const char *extensions;         /* EHLO lines divided by '\n'; NULL = the engine's own */
	uint32_t bounce_ppm, defer_ppm; /* of recipients, in parts per million; together at most 1,000,000 */
	struct provider_limits limits;
	uint32_t
		reputation_after; /* violations of limits within the hour until PROVIDER_REPUTATION; 0 = never */
	uint32_t reputation_recovers_s;
	uint32_t greylist_s;   /* a new triplet is deferred until it is this old; 0 = no greylisting */
	uint64_t bandwidth;    /* octets a second that are read of a connection; 0 = all that comes */
	uint32_t slow_close_s; /* how long a connection stays open behind the reply to QUIT */
	struct provider_delay delays[PROVIDER_PHASES];
	struct provider_fault *faults;
	size_t fault_count;
	uint32_t refuse_ppm;     /* of connections: reset at once */
	uint32_t black_hole_ppm; /* of connections: accepted, never answered */

	const struct provider_reply *replies; /* in the order of the files */
	size_t reply_count;
	/* Sums of weights: of each kind, in all and by phase. */
	uint64_t weight[PROVIDER_KINDS];
	uint64_t weight_at[PROVIDER_KINDS][PROVIDER_PHASES];
};

/* All providers of a configuration, with "default" always among them, at index 0. */
struct provider_set;

struct provider_set *provider_set_new(struct err *err);
void provider_set_free(struct provider_set *set);

/*
 * Takes in every [provider."…"] of a file's tree; other keys are not looked at. `wordings` chooses among
 * the replies' wordings: "current", "old" or "all"; a reply without one belongs to each. 0, or -EINVAL with
 * err holding file:line and remedy: unknown keys (did you mean), odds over 100, a text that breaks SMTP, a reply
 * that can never be given. Then the set is good for provider_set_free() alone, as it is after -ENOMEM.
 */
int provider_set_add(struct provider_set *set, const char *file, const struct toml_node *root,
	const char *wordings, struct err *err) MX_MUST_CHECK;

/*
 * Takes in the smart sink's responses.toml unchanged: its [domain."X"] and its [[bounce."X"]], [[defer."X"]]
 * become providers of the name "domain:X", matched by the recipient's domain alone (also where a profile has
 * that domain), whose replies come at the end of data. Its [default] odds become the provider default's, whose
 * bounces and deferrals are the sink's two generic ones from then on. Malformed entries are mended where that
 * is obvious and named either way: note() is called once for each, with file, line and what was done.
 */
int provider_set_add_responses(struct provider_set *set, const char *file, const struct toml_node *root,
	void (*note)(void *arg, const char *text), void *arg, struct err *err) MX_MUST_CHECK;

size_t provider_count(const struct provider_set *set);
const struct provider *provider_at(const struct provider_set *set, size_t index);
const struct provider *provider_by_name(const struct provider_set *set, struct span name);

/* By the recipient's domain alone: a well-known domain or one of responses.toml; NULL where there is none. O(1). */
const struct provider *provider_by_domain(const struct provider_set *set, struct span domain);

/*
 * By the MX hosts of a domain, lower case, without trailing dots: the first provider that every one of
 * them matches; NULL where there is none (or count is 0).
 */
const struct provider *provider_by_mx(const struct provider_set *set, const struct span *hosts, size_t count);

/*
 * The reply of `kind` (at `phase`, or at any with phase < 0) that `draw` chooses by weight; draw is any
 * 64-bit number. NULL where the provider has none.
 */
const struct provider_reply *provider_draw(
	const struct provider *provider, enum provider_kind kind, int phase, uint64_t draw);

/* Whether something that the provider does (odds, a limit) asks for replies of a kind. */
bool provider_asks(const struct provider *provider, enum provider_kind kind);

#endif
