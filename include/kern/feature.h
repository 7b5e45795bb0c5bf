/*
 * feature: what this kernel can do for the guard, found out by doing it: a child process moves into a network
 * namespace of its own, loads there what is asked about, reads it back, and ends; the namespace goes with
 * it. Nothing of this host's rules is touched or read. The kernel may load modules for it, as it would for
 * the guard itself.
 */
#ifndef MX_FEATURE_H
#define MX_FEATURE_H

#include <stdbool.h>

#include "err.h"
#include "ruleset.h"

enum feature {
	FEATURE_TABLE,    /* nf_tables at all */
	FEATURE_FILTER,   /* filter chains in inet, at the last priority */
	FEATURE_NAT,      /* nat chains in inet */
	FEATURE_REDIR,    /* redirect in inet */
	FEATURE_FIB,      /* fib daddr type */
	FEATURE_CT,       /* ct original proto-dst */
	FEATURE_REJECT,   /* reject with tcp reset */
	FEATURE_EGRESS,   /* netdev egress chains (5.16) */
	FEATURE_AHEAD,    /* for devices that do not exist yet */
	FEATURE_OWNER,    /* tables with an owner (5.12) */
	FEATURE_PERSIST,  /* that stay without it (6.9) */
	FEATURE_QUEUE,    /* nft_queue */
	FEATURE_XT_QUEUE, /* xt_NFQUEUE through nft_compat */
	FEATURE_LOG,      /* nft_log to nfnetlink_log */
	FEATURES,
};

struct feature_report {
	int codes[FEATURES]; /* 0, or the kernel's negative errno */
	int rules_code;      /* of loading the rules and reading them back */
	struct err rules_err;
};

/* A feature as a person would say it: "nat chains in inet". */
const char *feature_name(enum feature feature);
/* The modules that bring it, for modprobe; "" where it is the kernel's age alone. */
const char *feature_modules(enum feature feature);

/*
 * Fills report; rules are those of the configuration. 0, or a negative errno with err: -EPERM where no network
 * namespace may be made (needs CAP_SYS_ADMIN, or user namespaces).
 */
int feature_probe(struct feature_report *report, const struct ruleset *rules, struct err *err) MX_MUST_CHECK;

#endif
