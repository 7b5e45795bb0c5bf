#include "gen_options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* traffic-gen's own: every name under it leads back to the host that asks. */
#define SUFFIX_DEFAULT "mx-sink.wezfurlong.org"

#define CONNECTIONS_PER_CPU 10

#define BODY_MAX        (UINT64_C(1) << 30)
#define CONNECTIONS_MAX 1000000
#define SECONDS_MAX     (UINT64_C(366) * 86400)

/* Shares of a consumer mailing, as the sender's documentation publishes them. */
static const char *const default_domains[] = {
	"aol.com:1.5",
	"bellsouth.net:0.2",
	"comcast.net:0.5",
	"gmail.com:67.4",
	"hotmail.com:8.8",
	"icloud.com:1.2",
	"live.com:0.3",
	"me.com:0.2",
	"msn.com:0.5",
	"orange.fr:0.4",
	"outlook.com:1.2",
	"sbcglobal.net:0.3",
	"yahoo.com:5.9",
};

enum kind {
	KIND_FLAG,
	KIND_TEXT,
	KIND_COUNT,   /* a whole number */
	KIND_SIZE,    /* octets, with or without a unit */
	KIND_SECONDS, /* kept in milliseconds */
	KIND_RATE,
	KIND_LIST, /* may be repeated */
};

static const struct row {
	const char *name, *argument, *meaning;
	enum kind kind;
	size_t offset;
	uint64_t least, most; /* of numbers */
} rows[] = {
#define AT(field) offsetof(struct gen_options, field)
	{"target", "HOST:PORT",
		"where to send (" GEN_TARGET_DEFAULT "); with --http URL (" GEN_URL_DEFAULT ")", KIND_TEXT,
		AT(target), 0, 0},
	{"concurrency", "N", "connections at the same time (10 per CPU)", KIND_COUNT, AT(concurrency), 1,
		CONNECTIONS_MAX},
	{"duration", "SECONDS", "how long to send (60)", KIND_SECONDS, AT(duration_ms), 1,
		SECONDS_MAX * 1000},
	{"message-count", "N", "end sooner, as soon as so many were accepted", KIND_COUNT, AT(message_count),
		1, INT64_MAX},
	{"starttls", NULL, "TLS where it is offered; the certificate is not judged", KIND_FLAG, AT(starttls),
		0, 0},
	{"body-file", "FILE", "send this whole message, header included", KIND_TEXT, AT(body_file), 0, 0},
	{"body-size", "SIZE", "octets of a made body (1024): 60kb, 1mib", KIND_SIZE, AT(body_size), 0,
		BODY_MAX},
	{"domain", "NAME[:WEIGHT]", "a domain of senders and recipients and its share; may be repeated",
		KIND_LIST, AT(domains), 0, 0},
	{"domain-suffix", "NAME", "appended to each domain (" SUFFIX_DEFAULT "); '' for none", KIND_TEXT,
		AT(domain_suffix), 0, 0},
	{"throttle", "RATE", "at most so many messages: 100/s, 5000/min, 1000000/h", KIND_RATE, AT(throttle),
		0, 0},
	{"header", "\"NAME: TEXT\"", "one more header field; may be repeated", KIND_LIST, AT(headers), 0, 0},
	{"keep-going", NULL, "go on after refusals; else they end the connection that met them", KIND_FLAG,
		AT(keep_going), 0, 0},
	{"http", NULL, "inject by KumoMTA's HTTP API in place of SMTP", KIND_FLAG, AT(http), 0, 0},
	{"http-batch-size", "N", "recipients in one request (1)", KIND_COUNT, AT(http_batch_size), 1, 100000},
	{"http-defer-spool", NULL, "ask for deferred_spool", KIND_FLAG, AT(http_defer_spool), 0, 0},
	{"http-defer-generation", NULL, "ask for deferred_generation", KIND_FLAG, AT(http_defer_generation),
		0, 0},
	{"source", "ADDRESS", "connect from this address; repeated: in turn", KIND_LIST, AT(sources), 0, 0},
	{"tenant", "NAME[:WEIGHT]", "X-Tenant and return path for this tenant, by its share; may be repeated",
		KIND_LIST, AT(tenants), 0, 0},
	{"messages-per-connection", "N", "then QUIT and a new connection (no end)", KIND_COUNT,
		AT(per_connection), 1, UINT32_MAX},
	{"pipeline", NULL, "PIPELINING even if it is not offered (used where it is)", KIND_FLAG, AT(pipeline),
		0, 0},
	{"no-pipeline", NULL, "one command at a time", KIND_FLAG, AT(no_pipeline), 0, 0},
	{"bdat", NULL, "BDAT in place of DATA", KIND_FLAG, AT(bdat), 0, 0},
	{"connect-only", NULL, "no messages: banner, QUIT and a new connection, and these are counted",
		KIND_FLAG, AT(connect_only), 0, 0},
	{"seed", "N", "the same domains and recipients again (random)", KIND_COUNT, AT(seed), 0, INT64_MAX},
	{"threads", "N", "event loops (one per CPU)", KIND_COUNT, AT(threads), 1, 1024},
	{"idle", "N", "further connections that say EHLO and stay", KIND_COUNT, AT(idle), 0, CONNECTIONS_MAX},
	{"warm-up", "SECONDS", "send for so long before measuring (0)", KIND_SECONDS, AT(warm_up_ms), 0,
		SECONDS_MAX * 1000},
	{"cpu-of", "PID", "report the CPU time and memory that this process took", KIND_COUNT, AT(cpu_of), 1,
		INT32_MAX},
	{"json", NULL, "the result for machines", KIND_FLAG, AT(json), 0, 0},
	{"help", NULL, "this text", KIND_FLAG, AT(help), 0, 0},
#undef AT
};

static const struct {
	const char *name;
	uint64_t octets;
} size_units[] = {
	{"", 1},
	{"b", 1},
	{"k", 1000},
	{"kb", 1000},
	{"m", 1000000},
	{"mb", 1000000},
	{"g", 1000000000},
	{"gb", 1000000000},
	{"ki", UINT64_C(1) << 10},
	{"kib", UINT64_C(1) << 10},
	{"mi", UINT64_C(1) << 20},
	{"mib", UINT64_C(1) << 20},
	{"gi", UINT64_C(1) << 30},
	{"gib", UINT64_C(1) << 30},
};

/* A decimal number without a sign, times `unit`; -1 where it is none. */
static int number_read(const char **text, uint64_t unit, double *value)
{
	char *end;
	if (!isdigit((unsigned char)**text))
		return -1;
	*value = strtod(*text, &end) * (double)unit;
	*text = end;
	return 0;
}

static int size_read(const char *text, uint64_t *size)
{
	double value;
	if (number_read(&text, 1, &value) < 0)
		return -1;
	while (*text == ' ')
		text++;
	for (size_t i = 0; i < COUNT(size_units); i++) {
		if (strcasecmp(text, size_units[i].name) != 0)
			continue;
		value *= (double)size_units[i].octets;
		if (value > (double)BODY_MAX)
			return -1;
		*size = (uint64_t)value;
		return 0;
	}
	return -1;
}

static int list_add(struct gen_list *list, const char *text)
{
	const char **texts = realloc(list->texts, (list->count + 1) * sizeof(*texts));
	if (!texts)
		return -ENOMEM;
	list->texts = texts;
	texts[list->count++] = text;
	return 0;
}

static int count_read(const struct row *row, const char *text, uint64_t *value)
{
	char *end;
	errno = 0;
	if (!isdigit((unsigned char)*text))
		return -1;
	*value = strtoull(text, &end, 10);
	return *end || errno || *value < row->least || *value > row->most ? -1 : 0;
}

static int seconds_read(const struct row *row, const char *text, uint64_t *ms)
{
	double value;
	if (number_read(&text, 1000, &value) < 0 || *text || value < (double)row->least ||
		value > (double)row->most)
		return -1;
	*ms = (uint64_t)value;
	return 0;
}

static int take(struct gen_options *options, const struct row *row, const char *text, struct err *err)
{
	void *at = (char *)options + row->offset;
	struct err why;
	switch (row->kind) {
	case KIND_FLAG:
		*(bool *)at = true;
		return 0;
	case KIND_TEXT:
		*(const char **)at = text;
		return 0;
	case KIND_LIST:
		if (list_add(at, text) < 0)
			return err_set(err, -ENOMEM, "out of memory");
		return 0;
	case KIND_COUNT:
		if (count_read(row, text, at) == 0)
			return 0;
		return err_set(err, -EINVAL,
			"--%s %s: a whole number from %" PRIu64 " to %" PRIu64 " is wanted", row->name, text,
			row->least, row->most);
	case KIND_SIZE:
		if (size_read(text, at) == 0)
			return 0;
		return err_set(err, -EINVAL, "--%s %s: a size is wanted, at most 1 GiB: 100000, 60kb, 1mib",
			row->name, text);
	case KIND_SECONDS:
		if (seconds_read(row, text, at) == 0)
			return 0;
		return err_set(err, -EINVAL, "--%s %s: a number of seconds is wanted, as in 60 or 0.5",
			row->name, text);
	case KIND_RATE:
		if (rate_read(span_of(text), at, &why) == 0)
			return 0;
		return err_set(err, -EINVAL, "--%s: %s", row->name, why.text);
	}
	return err_set(err, -EINVAL, "--%s: not known", row->name);
}

static unsigned cpus(void)
{
	cpu_set_t set;
	return sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

/* What was not said, and what must not be said together. */
static int complete(struct gen_options *options, bool seeded, struct err *err)
{
	if (options->pipeline && options->no_pipeline)
		return err_set(err, -EINVAL, "--pipeline and --no-pipeline: choose one");
	if (options->http &&
		(options->starttls || options->bdat || options->pipeline || options->no_pipeline ||
			options->idle || options->per_connection || options->connect_only))
		return err_set(err, -EINVAL,
			"--http goes with none of --starttls, --bdat, --pipeline, --no-pipeline, --idle, "
			"--messages-per-connection, --connect-only: they are SMTP's");
	for (size_t i = 0; i < options->headers.count; i++) {
		const char *colon = strchr(options->headers.texts[i], ':');
		if (!colon || colon == options->headers.texts[i] ||
			strpbrk(options->headers.texts[i], "\r\n"))
			return err_set(err, -EINVAL, "--header \"%s\": write one line, \"Name: text\"",
				options->headers.texts[i]);
	}
	bool named = options->domains.count > 0;
	for (size_t i = 0; !named && i < COUNT(default_domains); i++)
		if (list_add(&options->domains, default_domains[i]) < 0)
			return err_set(err, -ENOMEM, "out of memory");
	if (!options->target)
		options->target = options->http ? GEN_URL_DEFAULT : GEN_TARGET_DEFAULT;
	if (!options->concurrency)
		options->concurrency = cpus() * CONNECTIONS_PER_CPU;
	if (!options->threads)
		options->threads = cpus();
	if (options->threads > options->concurrency)
		options->threads = options->concurrency;
	if (!seeded && getrandom(&options->seed, sizeof(options->seed), 0) != (ssize_t)sizeof(options->seed))
		options->seed = (uint64_t)getpid();
	options->seed &= INT64_MAX; /* as --seed takes it */
	return 0;
}

int gen_options_read(struct gen_options *options, int argc, char **argv, struct err *err)
{
	struct option accepted[COUNT(rows) + 1] = {{0}};
	bool seeded = false;
	int index, c, code = 0;

	for (size_t i = 0; i < COUNT(rows); i++)
		accepted[i] = (struct option){
			rows[i].name, rows[i].argument ? required_argument : no_argument, NULL, 0};
	*options = (struct gen_options){
		.duration_ms = 60000,
		.body_size = 1024,
		.domain_suffix = SUFFIX_DEFAULT,
		.http_batch_size = 1,
	};
	optind = 1;
	opterr = 0; /* what is wrong is the caller's to say */
	while (code == 0 && (c = getopt_long(argc, argv, ":", accepted, &index)) >= 0) {
		if (c != 0) {
			code = err_set(err, -EINVAL,
				c == ':' ? "%s: a value is missing" : "%s: no such option", argv[optind - 1]);
			break;
		}
		seeded |= rows[index].offset == offsetof(struct gen_options, seed);
		code = take(options, &rows[index], optarg, err);
	}
	if (code == 0 && optind < argc)
		code = err_set(err, -EINVAL, "%s: gen takes options only", argv[optind]);
	if (code == 0)
		code = complete(options, seeded, err);
	if (code < 0)
		gen_options_done(options);
	return code;
}

void gen_options_done(struct gen_options *options)
{
	free(options->domains.texts);
	free(options->headers.texts);
	free(options->sources.texts);
	free(options->tenants.texts);
	*options = (struct gen_options){0};
}

void gen_options_usage(FILE *to)
{
	fprintf(to, "usage: mxmirage gen [OPTION…]\nput a load on a mail server, with traffic-gen's options; "
		    "it sends "
		    "to --target alone\n\n");
	for (size_t i = 0; i < COUNT(rows); i++) {
		int used = fprintf(to, "  --%s%s%s", rows[i].name, rows[i].argument ? " " : "",
			rows[i].argument ? rows[i].argument : "");
		fprintf(to, "%*s%s\n", used < 34 ? 34 - used : 1, "", rows[i].meaning);
	}
}
