/*
 * doctor: is this host fit for a test behind mxmirage? A table of checks, a function each; a check adds
 * findings: what was found, and what to do about it. A check changes nothing on the host, and none depends
 * on another's findings.
 */
#ifndef MX_DOCTOR_H
#define MX_DOCTOR_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "conf.h"
#include "exit_code.h"
#include "feature.h"
#include "guard.h"
#include "host.h"
#include "survey.h"
#include "tune.h"

enum doctor_state {
	DOCTOR_OK,
	DOCTOR_WARN,    /* a test may go wrong by it */
	DOCTOR_FAIL,    /* a test will go wrong by it */
	DOCTOR_UNKNOWN, /* could not be looked at */
	DOCTOR_STATES,
};

struct doctor_finding {
	enum doctor_state state;
	const char *check;
	char *found;
	char *remedy;   /* NULL without one */
	bool leak;      /* of DOCTOR_FAIL: the promise does not hold */
	bool privilege; /* of DOCTOR_UNKNOWN: the caller may not look */
};

struct doctor {
	struct host host;
	const struct conf *conf;
	struct tune_need need;

	/* Read once, before the checks. */
	struct tune_row rows[TUNE_ROWS_MAX];
	size_t row_count;
	int features_code; /* 0: features is filled; else features_err says why not */
	struct err features_err;
	struct feature_report features;
	int firewall_code; /* 0: survey, state are filled; else firewall_err says why not */
	struct err firewall_err;
	struct survey survey;
	struct guard_state guard;
	int verify_code; /* of the guard's rules against the configuration, where it is armed */
	struct err verify_err;

	const char *check; /* that is running */
	struct doctor_finding *findings;
	size_t finding_count, finding_room;
	bool broken; /* memory ran out */
};

/* Runs every check. host's root is "" but for tests. Give doctor to doctor_done(). */
void doctor_run(
	struct doctor *doctor, const struct host *host, const struct conf *conf, uint64_t connections);
void doctor_done(struct doctor *doctor);

/* As text: a line each, and one for the remedy. */
void doctor_print(const struct doctor *doctor, FILE *to);
/* A new reference, or NULL when out of memory. */
json_t *doctor_json(const struct doctor *doctor);
enum exit_code doctor_exit_code(const struct doctor *doctor);

/* For checks: a finding; and the remedy of the one that was added last. */
void doctor_say(struct doctor *doctor, enum doctor_state state, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void doctor_remedy(struct doctor *doctor, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The one that was added last means that port 25 is not shut. */
void doctor_leak(struct doctor *doctor);
/* DOCTOR_UNKNOWN, for a negative errno. */
void doctor_unknown(struct doctor *doctor, int code, const struct err *err);
/* A finding for the row of that sysctl. */
void doctor_row(struct doctor *doctor, const char *key, enum doctor_state when_short);

/* The checks, by file. */
void doctor_kernel(struct doctor *doctor);
void doctor_queue(struct doctor *doctor);
void doctor_guard(struct doctor *doctor);
void doctor_ipv6(struct doctor *doctor);

void doctor_nat(struct doctor *doctor);
void doctor_tables(struct doctor *doctor);
void doctor_flowtables(struct doctor *doctor);
void doctor_iptables(struct doctor *doctor);
void doctor_devices(struct doctor *doctor);

void doctor_managers(struct doctor *doctor);

void doctor_listeners(struct doctor *doctor);
void doctor_ephemeral(struct doctor *doctor);

void doctor_conntrack(struct doctor *doctor);
void doctor_files(struct doctor *doctor);
void doctor_backlog(struct doctor *doctor);

void doctor_dns(struct doctor *doctor);
void doctor_trust(struct doctor *doctor);

#endif
