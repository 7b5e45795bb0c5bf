#include "lookout.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "culprit.h"
#include "escape.h"
#include "log.h"

/* A sender that goes on is said again after this time, in seconds. */
#define REPEAT_S 300
/* Lines a second: many senders at once are in the table, not in the log. */
#define LINES_PER_SECOND 5

struct lookout {
	struct event *on_packet;
	struct escape *escape;
	struct culprit_search *search;
	struct escapes *escapes;
	void (*urgent)(void *arg);
	void *urgent_arg;
	uint64_t said_s[ESCAPES_ROWS]; /* when the row was last in the log */
	uint64_t second;
	unsigned lines, suppressed; /* in that second; since the last line */
};

static const char *const remedies[ESCAPE_PATHS] = {
	[ESCAPE_OUTPUT] =
		"the divert did not see it: look for a rule with notrack or a connection older than the "
		"divert; stop the program, or divert.exclude the destination",
	[ESCAPE_FORWARD] =
		"the divert did not see it: look for a rule with notrack or a spoofed source; stop who "
		"sends it, or divert.exclude the destination",
	[ESCAPE_POSTROUTING] =
		"another rule rewrote it: look for dnat and mangle rules in `nft list ruleset`",
	[ESCAPE_EGRESS] =
		"it went past the IP stack: look for a packet socket, a bridge or a macvlan guest; stop "
		"the program that sends it",
};

static void address_text(const struct escape_record *record, const uint8_t *address, char *text, size_t size)
{
	char plain[INET6_ADDRSTRLEN];
	if (record->family == 0 || !inet_ntop((int)record->family, address, plain, sizeof(plain)))
		snprintf(text, size, "several");
	else
		snprintf(text, size, record->family == AF_INET6 ? "[%s]" : "%s", plain);
}

/* ` key=VALUE`, or nothing where the number is unknown. */
static void number_text(char *text, size_t size, const char *key, uint32_t number, uint32_t unknown)
{
	text[0] = '\0';
	if (number != unknown)
		snprintf(text, size, " %s=%u", key, number);
}

static void say(struct lookout *lookout, const struct escape_record *record, uint64_t now_s)
{
	if (lookout->second != now_s) {
		lookout->second = now_s;
		lookout->lines = 0;
	}
	if (lookout->lines++ >= LINES_PER_SECOND) {
		lookout->suppressed++;
		return;
	}
	char from[INET6_ADDRSTRLEN + 2], to[INET6_ADDRSTRLEN + 2], uid[32], pid[32];
	address_text(record, record->source, from, sizeof(from));
	address_text(record, record->destination, to, sizeof(to));
	number_text(uid, sizeof(uid), "uid", record->uid, ESCAPE_UNKNOWN);
	number_text(pid, sizeof(pid), "pid", record->pid, 0);
	log_warning("escape path=%s%s process=\"%s\"%s cgroup=\"%s\" device=%s%s%s from=%s to=%s port=%u "
		    "packets=%llu "
		    "stopped=yes remedy=\"%s\"",
		escape_path_name(record->path), uid, record->program[0] ? record->program : "unknown", pid,
		record->cgroup, record->device, record->in_device[0] ? " from_device=" : "",
		record->in_device, from, to, record->port, (unsigned long long)record->packets,
		remedies[record->path]);
	if (lookout->suppressed > 0)
		log_warning(
			"escape more=%u remedy=\"`mxmirage status --json` lists them\"", lookout->suppressed);
	lookout->suppressed = 0;
}

static void see(void *arg, const struct escape_event *event)
{
	struct lookout *lookout = arg;
	struct culprit culprit;
	/* A search may take milliseconds. */
	lookout->urgent(lookout->urgent_arg);
	culprit_find(lookout->search, event, &culprit);

	struct escape_record record = {
		.path = event->path,
		.uid = event->uid,
		.gid = event->gid,
		.pid = (uint32_t)culprit.pid,
	};
	memcpy(record.device, event->out_device, sizeof(record.device));
	memcpy(record.in_device, event->in_device, sizeof(record.in_device));
	memcpy(record.program, culprit.name, sizeof(record.program));
	memcpy(record.cgroup, culprit.cgroup, sizeof(record.cgroup));
	if (event->readable) {
		record.family = (uint32_t)event->packet.family;
		record.port = event->packet.has_ports ? event->packet.destination_port : 0;
		memcpy(record.source, event->packet.source, sizeof(record.source));
		memcpy(record.destination, event->packet.destination, sizeof(record.destination));
	}
	uint64_t now_s = (uint64_t)time(NULL);
	bool is_new;
	int row = escapes_add(lookout->escapes, &record, now_s, &is_new);
	if (row < 0 || (!is_new && now_s - lookout->said_s[row] < REPEAT_S))
		return;
	lookout->said_s[row] = now_s;
	escapes_get(lookout->escapes, row, &record);
	say(lookout, &record, now_s);
}

static void packets_wait(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct lookout *lookout = arg;
	struct err err;
	if (escape_read(lookout->escape, see, lookout, &err) < 0)
		log_error("escape-unread %s", err.text);
}

static int lookout_open(struct lookout *lookout, struct event_base *base,
	const struct ruleset_observation *observation, struct err *err)
{
	lookout->search = culprit_search_new(err);
	lookout->escape = lookout->search ? escape_new(observation, err) : NULL;
	if (!lookout->escape)
		return -EIO;
	lookout->on_packet =
		event_new(base, escape_fd(lookout->escape), EV_READ | EV_PERSIST, packets_wait, lookout);
	if (!lookout->on_packet || event_add(lookout->on_packet, NULL) < 0)
		return err_set(err, -ENOMEM, "the escape queue: no memory");
	return 0;
}

struct lookout *lookout_new(struct event_base *base, struct escapes *escapes,
	struct ruleset_observation *observation, void (*urgent)(void *arg), void *urgent_arg)
{
	struct err err = {"no memory"};
	struct lookout *lookout = calloc(1, sizeof(*lookout));
	int code = lookout ? escape_probe(observation, &err) : -ENOMEM;
	if (code == 0 && observation->output != RULESET_BY_COUNTERS) {
		lookout->escapes = escapes;
		lookout->urgent = urgent;
		lookout->urgent_arg = urgent_arg;
		code = lookout_open(lookout, base, observation, &err);
		if (code == 0)
			return lookout;
	}
	if (code < 0)
		log_warning("escapes-unseen reason=\"%s\" guard=\"stops and counts them all the same\"",
			err.text);
	*observation = (struct ruleset_observation){.output = RULESET_BY_COUNTERS};
	lookout_free(lookout);
	return NULL;
}

void lookout_free(struct lookout *lookout)
{
	if (!lookout)
		return;
	if (lookout->on_packet)
		event_free(lookout->on_packet);
	escape_free(lookout->escape);
	culprit_search_free(lookout->search);
	free(lookout);
}

uint64_t lookout_lost(const struct lookout *lookout)
{
	return lookout ? escape_lost(lookout->escape) : 0;
}
