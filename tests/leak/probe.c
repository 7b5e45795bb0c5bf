/*
 * probe [-r RATE] [-n COUNT] [-s SECONDS] [-l LINGER_MS] STREAM...: sends probes of all streams in turn,
 * RATE a second in all (0: as fast as it goes), until COUNT of each, SECONDS, or SIGTERM; waits LINGER_MS for
 * answers that are still to come; prints what became of them as one line of JSON. stream.h says what a
 * stream is. It never waits for an answer before it sends the next probe: it has to hit short moments.
 * Only for network namespaces made for it.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stream.h"

#define STREAMS_MAX 64
#define SECONDS_MAX 300
#define BURST       64
#define TOO_OLD_NS  1500000000ULL
#define PAUSE_MS    1

static volatile sig_atomic_t stop;

static void on_stop(int number)
{
	(void)number;
	stop = 1;
}

static void print_stream(const struct stream *stream)
{
	printf("{\"stream\": \"%s\", \"sent\": %" PRIu64, stream->word, stream->sent);
	const struct {
		const char *name;
		uint64_t count;
	} counts[] = {{"connected", stream->connected}, {"greeted", stream->greeted},
		{"refused", stream->refused}, {"reset", stream->reset}, {"unanswered", stream->unanswered},
		{"cut", stream->cut}, {"closed", stream->closed}};
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		printf(", \"%s\": %" PRIu64, counts[i].name, counts[i].count);
	printf(", \"errors\": {");
	const char *comma = "";
	for (int i = 0; i < ERRNO_MAX; i++)
		if (stream->errors[i]) {
			const char *name = strerrorname_np(i);
			printf("%s\"%s\": %" PRIu64, comma, name ? name : "unknown", stream->errors[i]);
			comma = ", ";
		}
	printf("}}");
}

static void send_all(struct stream *streams, size_t count, struct connects *connects, double rate,
	uint64_t limit, double seconds)
{
	int packet_sockets[] = {-1, -1};
	uint64_t begun = now_ns(), end = begun + (uint64_t)(seconds * 1e9), sent = 0;
	while (!stop && now_ns() < end && sent < limit) {
		uint64_t due =
			rate > 0 ? (uint64_t)((double)(now_ns() - begun) * rate / 1e9) + 1 : sent + BURST;
		for (unsigned burst = 0; sent < due && sent < limit && burst < BURST; burst++, sent++) {
			struct stream *stream = &streams[sent % count];
			if (stream->kind == STREAM_CONNECT)
				connects_begin(connects, stream);
			else
				raw_send(stream, packet_sockets);
		}
		connects_reap(connects, rate > 0 && sent >= due ? PAUSE_MS : 0, TOO_OLD_NS);
	}
}

int main(int argc, char **argv)
{
	double rate = 1000, seconds = SECONDS_MAX;
	uint64_t limit = UINT64_MAX;
	int linger_ms = 50, option;
	while ((option = getopt(argc, argv, "r:n:s:l:")) != -1)
		switch (option) {
		case 'r':
			rate = atof(optarg);
			break;
		case 'n':
			limit = strtoull(optarg, NULL, 10);
			break;
		case 's':
			seconds = atof(optarg);
			break;
		case 'l':
			linger_ms = atoi(optarg);
			break;
		default:
			return 2;
		}
	static struct stream streams[STREAMS_MAX];
	size_t count = (size_t)(argc - optind);
	if (count == 0 || count > STREAMS_MAX)
		return 2;
	for (size_t i = 0; i < count; i++)
		if (stream_parse(&streams[i], argv[(size_t)optind + i]))
			return 2;
	struct connects *connects = connects_new();
	if (!connects)
		return 1;
	signal(SIGTERM, on_stop);
	signal(SIGINT, on_stop);
	signal(SIGPIPE, SIG_IGN);
	/* Whoever waits for this line may end the program from now on. */
	printf("\n");
	fflush(stdout);
	uint64_t begun = now_ns();
	send_all(streams, count, connects, rate, limit == UINT64_MAX ? limit : limit * count,
		seconds < SECONDS_MAX ? seconds : SECONDS_MAX);
	uint64_t ended = now_ns();
	double gap = connects_gap_ms(connects);
	while (connects_open(connects) && now_ns() < ended + (uint64_t)linger_ms * 1000000)
		connects_reap(connects, PAUSE_MS, TOO_OLD_NS);
	connects_free(connects);
	printf("{\"seconds\": %.3f, \"gap_ms\": %.3f, \"streams\": [", (double)(ended - begun) / 1e9, gap);
	for (size_t i = 0; i < count; i++) {
		printf("%s", i ? ", " : "");
		print_stream(&streams[i]);
	}
	printf("]}\n");
	return 0;
}
