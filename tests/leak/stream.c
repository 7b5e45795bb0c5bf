#include "stream.h"

#include <arpa/inet.h>
#include <linux/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PORT 25

uint64_t now_ns(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

void stream_failed(struct stream *stream, int error)
{
	stream->errors[error > 0 && error < ERRNO_MAX ? error : 0]++;
}

struct choice {
	const char *name;
	int value;
};

static int chosen(const struct choice *choices, const char *name)
{
	for (; choices->name; choices++)
		if (name && strcmp(choices->name, name) == 0)
			return choices->value;
	return -1;
}

static const struct choice kinds[] = {
	{"connect", STREAM_CONNECT}, {"raw", STREAM_RAW}, {"packet", STREAM_PACKET}, {0}};
static const struct choice layouts[] = {{"plain", FRAME_PLAIN}, {"options", FRAME_OPTIONS},
	{"frag8", FRAME_FRAG8}, {"tail", FRAME_TAIL}, {"late", FRAME_LATE}, {0}};
/* RFC 9293 3.1: FIN 1, SYN 2, RST 4, ACK 16. */
static const struct choice flags[] = {
	{"syn", 0x02}, {"ack", 0x10}, {"rst", 0x04}, {"fin", 0x11}, {"synack", 0x12}, {0}};

static bool address_parse(const char *text, int *family, struct in6_addr *address)
{
	*family = strchr(text, ':') ? AF_INET6 : AF_INET;
	return inet_pton(*family, text, address) == 1;
}

static bool option_parse(struct stream *stream, const char *name, const char *value)
{
	const struct {
		const char *name;
		bool *at;
	} switches[] = {{"mptcp", &stream->mptcp}, {"fastopen", &stream->fastopen},
		{"nodefrag", &stream->nodefrag}, {"bypass", &stream->bypass}, {"wait", &stream->wait},
		{"unbound", &stream->unbound}};
	for (size_t i = 0; i < sizeof(switches) / sizeof(switches[0]) && !value; i++)
		if (strcmp(name, switches[i].name) == 0)
			return *switches[i].at = true;
	if (!value)
		return false;

	int number = atoi(value), family;
	if (strcmp(name, "port") == 0)
		stream->frame.to_port = (uint16_t)number;
	else if (strcmp(name, "sport") == 0)
		stream->frame.from_port = (uint16_t)number;
	else if (strcmp(name, "mark") == 0)
		stream->mark = (uint32_t)number;
	else if (strcmp(name, "tags") == 0)
		stream->frame.tags = (unsigned)number;
	else if (strcmp(name, "proto") == 0)
		stream->protocol = number;
	else if (strcmp(name, "dev") == 0)
		snprintf(stream->device, sizeof(stream->device), "%s", value);
	else if (strcmp(name, "src") == 0)
		return stream->has_source = address_parse(value, &family, &stream->frame.from);
	else if (strcmp(name, "flags") == 0)
		return (number = chosen(flags, value)) >= 0 &&
		       ((stream->frame.flags = (uint8_t)number), true);
	else if (strcmp(name, "layout") == 0)
		return (number = chosen(layouts, value)) >= 0 &&
		       ((stream->frame.layout = (unsigned)number), true);
	else
		return false;
	return stream->frame.tags <= 3;
}

int stream_parse(struct stream *stream, char *word)
{
	*stream = (struct stream){
		.word = strdup(word), .fd = -1, .protocol = -1, .frame = {.to_port = PORT, .flags = 0x02}};
	char *address = strrchr(word, '@'), *rest = word;
	if (!address || !stream->word)
		goto bad;
	*address++ = '\0';
	int kind = chosen(kinds, strsep(&rest, ","));
	if (kind < 0 || !address_parse(address, &stream->frame.family, &stream->frame.to))
		goto bad;
	stream->kind = (enum stream_kind)kind;
	for (char *name; (name = strsep(&rest, ","));) {
		char *value = name;
		strsep(&value, "=");
		if (!option_parse(stream, name, value))
			goto bad;
	}
	return 0;
bad:
	fprintf(stderr, "probe: %s: not a stream that I know\n", stream->word ? stream->word : word);
	return -1;
}
