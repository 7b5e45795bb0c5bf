/*
 * load: puts a load on an SMTP sink and prints one line of JSON about what it took: messages and
 * seconds of the measured stretch, CPU time of the sink's process in it, and what was seen in all.
 * One thread, libc alone; it exits 1 when anything came back that a sink must not answer.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <getopt.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "client.h"

struct options {
	struct client_options client;
	double seconds;
	double warm_up;
	uint64_t messages;
	long sink;
};

static const struct option long_options[] = {
	{"connections", required_argument, NULL, 'c'},
	{"size", required_argument, NULL, 's'},
	{"pipelined", no_argument, NULL, 'p'},
	{"bdat", no_argument, NULL, 'b'},
	{"quit", no_argument, NULL, 'q'},
	{"per-connection", required_argument, NULL, 'n'},
	{"idle", required_argument, NULL, 'i'},
	{"seconds", required_argument, NULL, 't'},
	{"messages", required_argument, NULL, 'm'},
	{"warm-up", required_argument, NULL, 'w'},
	{"sink", required_argument, NULL, 'k'},
	{NULL, 0, NULL, 0},
};

static const char usage[] =
	"usage: load [options] ADDRESS PORT\n"
	"  --connections N      that send at the same time (20)\n"
	"  --size N             octets a message (102400)\n"
	"  --pipelined          MAIL, RCPT and DATA in one group, with the text before them\n"
	"  --bdat               the whole message in one group, by BDAT\n"
	"  --quit               no messages: a connection, QUIT, and a new connection\n"
	"  --per-connection N   messages, then QUIT and a new connection (0: no end)\n"
	"  --idle N             connections held open beside them (0)\n"
	"  --seconds S          how long to measure (2)\n"
	"  --messages N         end sooner, after so many messages (0: any number)\n"
	"  --warm-up S          how long to send before measuring (0.5)\n"
	"  --sink PID           whose CPU time to read\n";

/* CPU time of all threads of a process in ns, or 0 when it cannot be read. */
static uint64_t process_cpu(long pid)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%ld/task", pid);
	DIR *tasks = pid ? opendir(path) : NULL;
	if (!tasks)
		return 0;
	uint64_t sum = 0;
	for (const struct dirent *task; (task = readdir(tasks));) {
		char name[sizeof(path) + sizeof(task->d_name) + 16];
		snprintf(name, sizeof(name), "%s/%s/schedstat", path, task->d_name);
		FILE *file = task->d_name[0] == '.' ? NULL : fopen(name, "r");
		if (!file)
			continue;
		uint64_t ns = 0;
		if (fscanf(file, "%" SCNu64, &ns) == 1)
			sum += ns;
		fclose(file);
	}
	closedir(tasks);
	return sum;
}

/* Memory of a process's own, in bytes; 0 when it cannot be read. */
static uint64_t process_memory(long pid)
{
	char path[64], line[128];
	snprintf(path, sizeof(path), "/proc/%ld/smaps_rollup", pid);
	FILE *file = pid ? fopen(path, "r") : NULL;
	uint64_t kb = 0;
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "Anonymous: %" SCNu64, &kb) == 1)
			break;
	if (file)
		fclose(file);
	return kb * 1024;
}

static double own_cpu(void)
{
	struct timespec used;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

static int parse_options(struct options *options, int argc, char **argv)
{
	*options =
		(struct options){.client = {.connections = 20, .size = 102400}, .seconds = 2, .warm_up = 0.5};
	for (int c; (c = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
		switch (c) {
		case 'c':
			options->client.connections = (unsigned)atoi(optarg);
			break;
		case 's':
			options->client.size = (size_t)atol(optarg);
			break;
		case 'p':
			options->client.form = SCRIPT_PIPELINED;
			break;
		case 'b':
			options->client.form = SCRIPT_BDAT;
			break;
		case 'q':
			options->client.form = SCRIPT_QUIT;
			break;
		case 'n':
			options->client.per_connection = (uint64_t)atoll(optarg);
			break;
		case 'i':
			options->client.idle = (unsigned)atoi(optarg);
			break;
		case 't':
			options->seconds = atof(optarg);
			break;
		case 'm':
			options->messages = (uint64_t)atoll(optarg);
			break;
		case 'w':
			options->warm_up = atof(optarg);
			break;
		case 'k':
			options->sink = atol(optarg);
			break;
		default:
			return -1;
		}
	}
	if (argc - optind != 2)
		return -1;
	const struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
	struct addrinfo *found;
	int error = getaddrinfo(argv[optind], argv[optind + 1], &hints, &found);
	if (error) {
		fprintf(stderr, "load: %s %s: %s; give an address and a port in digits\n", argv[optind],
			argv[optind + 1], gai_strerror(error));
		return -1;
	}
	memcpy(&options->client.target, found->ai_addr, found->ai_addrlen);
	options->client.target_len = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

/* Every connection is a descriptor. */
static void raise_descriptors(void)
{
	struct rlimit limit;
	if (!getrlimit(RLIMIT_NOFILE, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static void print_report(const struct options *options, const struct client_counts *counts, uint64_t messages,
	double seconds, uint64_t sink_cpu, double cpu, uint64_t memory)
{
	printf("{\"messages\": %" PRIu64 ", \"seconds\": %.6f, \"sink_cpu_ns\": %" PRIu64
	       ", \"client_cpu_s\": %.6f, \"errors\": %" PRIu64 ", \"connections\": %" PRIu64
	       ", \"idle\": %u, \"idle_bytes\": %" PRIu64 ", \"messages_in_all\": %" PRIu64
	       ", \"replies\": {",
		messages, seconds, sink_cpu, cpu, counts->errors, counts->connections, options->client.idle,
		memory, counts->messages);
	const char *comma = "";
	for (unsigned code = 0; code < CLIENT_CODES; code++) {
		if (!counts->replies[code])
			continue;
		printf("%s\"%u\": %" PRIu64, comma, code, counts->replies[code]);
		comma = ", ";
	}
	printf("}}\n");
}

int main(int argc, char **argv)
{
	struct options options;
	if (parse_options(&options, argc, argv)) {
		fputs(usage, stderr);
		return 2;
	}
	raise_descriptors();
	struct client *client = client_new(&options.client);
	if (!client) {
		fprintf(stderr, "load: no memory, or a message of %zu octets is too small\n",
			options.client.size);
		return 2;
	}
	const struct client_counts *counts = client_counts(client);
	uint64_t messages = 0, sink_cpu = 0;
	double seconds = 0, cpu = 0;
	uint64_t memory = process_memory(options.sink);
	int failed = client_open_idle(client, 120);
	memory = process_memory(options.sink) - memory;
	if (!failed) {
		client_open(client);
		client_run(client, options.warm_up, 0);

		uint64_t messages_before = counts->messages;
		uint64_t sink_before = process_cpu(options.sink);
		double before = client_clock(), cpu_before = own_cpu();
		client_run(client, options.seconds, options.messages);
		seconds = client_clock() - before;
		cpu = own_cpu() - cpu_before;
		sink_cpu = process_cpu(options.sink) - sink_before;
		messages = counts->messages - messages_before;
	}
	print_report(&options, counts, messages, seconds, sink_cpu, cpu, memory);
	if (failed)
		fprintf(stderr, "load: the idle connections were not all answered in 120 s\n");
	if (counts->errors)
		fprintf(stderr, "load: %" PRIu64 " errors; the first: %s\n", counts->errors,
			counts->first_error);
	failed |= counts->errors || !counts->messages;
	client_free(client);
	return failed ? 1 : 0;
}
