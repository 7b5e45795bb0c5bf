/*
 * gen_options: the command line of the traffic generator. The names, meanings and defaults of traffic-gen's
 * options are kept, so that scripts written for it run; the rest are our own. Reading them opens nothing and
 * resolves nothing.
 */
#ifndef MX_GEN_OPTIONS_H
#define MX_GEN_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "err.h"
#include "rate.h"

#define GEN_TARGET_DEFAULT "127.0.0.1:2025"
#define GEN_URL_DEFAULT    "http://127.0.0.1:8000"

struct gen_list {
	const char **texts; /* the strings are argv's */
	size_t count;
};

struct gen_options {
	const char *target; /* HOST:PORT; with http a URL's beginning */
	uint64_t concurrency, duration_ms;
	uint64_t message_count; /* 0 = as many as the duration lets */
	bool starttls, keep_going;
	const char *body_file; /* NULL = a made body */
	uint64_t body_size;
	struct gen_list domains; /* NAME[:WEIGHT]; the default mix where none was given */
	const char *domain_suffix;
	struct rate throttle; /* count 0 = none */
	struct gen_list headers;
	bool http, http_defer_spool, http_defer_generation;
	uint64_t http_batch_size;

	struct gen_list sources, tenants;
	uint64_t seed;
	bool pipeline, no_pipeline, bdat, connect_only, json;
	uint64_t per_connection; /* messages; 0 = no end */
	uint64_t threads, idle, warm_up_ms, cpu_of;
	bool help;
};

/* argv[0] is the verb. 0, or -EINVAL (or -ENOMEM) and nothing to give back. */
int gen_options_read(struct gen_options *options, int argc, char **argv, struct err *err) MX_MUST_CHECK;
void gen_options_done(struct gen_options *options);

void gen_options_usage(FILE *to);

#endif
