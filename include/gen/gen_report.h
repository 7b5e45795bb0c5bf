/*
 * gen_report: what a run tells its user: a line each second, as traffic-gen prints it, and the summary, for
 * people or as JSON.
 */
#ifndef MX_GEN_REPORT_H
#define MX_GEN_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "generator.h"

struct gen_report_progress {
	FILE *to;
	const char *unit;
	bool overwrites; /* a terminal: each line replaces the one before it */
	uint64_t last_ns, last_sent;
};

void gen_report_begin(
	struct gen_report_progress *progress, const struct gen_options *options, FILE *to, uint64_t now_ns);
void gen_report_progress(
	struct gen_report_progress *progress, uint64_t now_ns, uint64_t sent, uint64_t clients);

void gen_report_text(const struct gen_options *options, const struct generator_result *result, FILE *to);
void gen_report_json(const struct gen_options *options, const struct generator_result *result, FILE *to);

/* Why the run is not what was asked for; false where it is. */
bool gen_report_reason(
	const struct gen_options *options, const struct generator_result *result, struct err *err);

#endif
