#include <stdio.h>
#include <string.h>

#include "client.h"
#include "escapes_text.h"
#include "guard_text.h"
#include "text.h"

static uint64_t number(const json_t *object, const char *group, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(json_object_get(object, group), key));
}

static bool yes(const json_t *object, const char *group, const char *key)
{
	return json_is_true(json_object_get(json_object_get(object, group), key));
}

/* What each firewall counter means to a reader; nothing is shown of those that are 0 and all is well. */
static const struct {
	const char *key, *meaning;
	bool always;
} firewall[] = {
	{"diverted", "connections diverted to here", true},
	{"excluded", "connections let through: divert.exclude", false},
	{"rejected_output", "packets of this host stopped: the divert did not catch them", false},
	{"rejected_forward", "forwarded packets stopped: the divert did not catch them", false},
	{"dropped_postrouting", "packets stopped at the last hook: something rewrote them", false},
	{"dropped_replies", "packets from port 25 stopped that no server here sent: spoofed sources", false},
	{"dropped_egress", "packets stopped at a device: sent past the IP stack", false},
	{"undiverted_refused", "attempts to reach the listener ports directly, refused", false},
};

/* What else happened, where it did. */
static const struct {
	const char *group, *key, *title, *meaning;
} oddities[] = {
	{"messages", "aborted", "aborted", "connection lost before the end of data"},
	{"messages", "limited", "limited",
		"replies for a limit that a sender passed: `mxmirage explain` lists them, `reset` forgives"},
	{"recipients", "mx_mismatch", "not served",
		"recipients refused: no MX of theirs is where the connection went (answer.mx_mismatch)"},
	{"dns", "failed", "no DNS",
		"questions without an answer: provider default spoke, but for domains that a profile names"},
	{"dns", "refused", "no DNS",
		"questions not asked: too many were under way (dns.servers: nearer, faster)"},
	{"tables", "senders_without_room", "unlimited",
		"connections held against no limit: too many senders at the same time"},
	{"tables", "tries_without_room", "not told apart",
		"recipients tried beyond what is remembered: outcomes do not repeat; `reset` forgets all"},
	{"connections", "timed_out", "timed out", "connections closed: their sender was silent for too long"},
	{"connections", "accept_pauses", "held back",
		"times that connections had to wait for descriptors: the log says how to raise the limit"},
	{"connections", "faults", "faults", "replies broken or withheld on purpose: `fault` in a profile"},
};

/* Beside what systemd holds no static wall stands. */
static bool owned_by_systemd(const json_t *status)
{
	return yes(status, "guard", "owner") && !yes(status, "guard", "static");
}

/* "port 25", "ports 25, 587": what is shut. */
static void ports_words(const json_t *status, char *to, size_t size)
{
	const json_t *ports = json_object_get(json_object_get(status, "guard"), "ports");
	size_t count = json_array_size(ports);
	size_t used = (size_t)snprintf(to, size, count == 1 ? "port" : "ports");
	for (size_t i = 0; i < count && used < size; i++)
		used += (size_t)snprintf(to + used, size - used, "%s %lld", i ? "," : "",
			(long long)json_integer_value(json_array_get(ports, i)));
}

static void guard_print(const json_t *status)
{
	char ports[160];
	ports_words(status, ports, sizeof(ports));
	printf("guard        ");
	if (!yes(status, "guard", "diverting"))
		printf("plain sink: nothing is diverted and NOTHING IS GUARDED (--no-divert)\n");
	else if (!yes(status, "guard", "armed") && yes(status, "guard", "static"))
		printf("NOT DIVERTING; the static wall stands: %s blocked\n", ports);
	else if (!yes(status, "guard", "armed"))
		printf("NOT ARMED: %s open\n", ports);
	else if (!yes(status, "guard", "owner"))
		printf("armed, but nobody owns the rules: root tools can remove them\n");
	else if (owned_by_systemd(status))
		printf("armed; systemd owns the rules: nobody can remove them, whether or not mxmirage "
		       "lives\n");
	else
		printf("armed; the rules are ours alone, and block %s when mxmirage is killed\n", ports);
	if (yes(status, "guard", "armed"))
		printf("             devices guarded: %s; to open %s%s `mxmirage guard disarm`\n",
			text_number(number(status, "guard", "device_count")).chars, ports,
			owned_by_systemd(status) ? ":" : " stop mxmirage, then");
}

static void print(const json_t *status)
{
	uint64_t since = (uint64_t)json_integer_value(json_object_get(status, "counting_since_s"));
	uint64_t uptime = (uint64_t)json_integer_value(json_object_get(status, "uptime_s"));
	printf("mxmirage %s, up %s, counting since %s, mode %s\n\n",
		json_string_value(json_object_get(status, "version")), text_duration(uptime).chars,
		text_time(since).chars, json_string_value(json_object_get(status, "mode")));
	guard_print(status);
	uint64_t repairs = number(status, "guard", "repairs");
	if (repairs > 0)
		printf("             the rules were found changed and put right %s: see the log\n",
			text_times(repairs).chars);
	const json_t *counters = json_object_get(status, "firewall");
	for (size_t i = 0; i < sizeof(firewall) / sizeof(firewall[0]); i++) {
		uint64_t packets = number(counters, firewall[i].key, "packets");
		if (packets > 0 || (firewall[i].always && yes(status, "guard", "diverting")))
			printf("  %15s  %s\n", text_number(packets).chars, firewall[i].meaning);
	}
	escapes_text(status);
	printf("\nconnections  %s, %s open", text_number(number(status, "connections", "total")).chars,
		text_number(number(status, "connections", "open")).chars);
	if (number(status, "connections", "undiverted") > 0)
		printf(", %s undiverted", text_number(number(status, "connections", "undiverted")).chars);
	printf("\n\n%-12s %15s %15s %15s\n", "", "accepted", "tempfail", "permfail");
	static const char *const groups[] = {"messages", "recipients"};
	for (size_t i = 0; i < 2; i++)
		printf("%-12s %15s %15s %15s\n", groups[i],
			text_number(number(status, groups[i], "accepted")).chars,
			text_number(number(status, groups[i], "tempfail")).chars,
			text_number(number(status, groups[i], "permfail")).chars);
	printf("%-12s %15s\n", "bytes", text_bytes(number(status, "messages", "bytes")).chars);
	for (size_t i = 0; i < sizeof(oddities) / sizeof(oddities[0]); i++) {
		uint64_t count = number(status, oddities[i].group, oddities[i].key);
		if (count > 0)
			printf("%-12s %15s  %s\n", oddities[i].title, text_number(count).chars,
				oddities[i].meaning);
	}
	uint64_t starts = number(status, "responder", "starts");
	if (starts > 1)
		printf("\nThe responder was started %s; what it had counted was kept.\n",
			text_times(starts).chars);
}

enum exit_code command_status(const struct command *command, const struct options *options)
{
	(void)command;
	json_t *status;
	enum exit_code code = client_ask(options, CLIENT_GET, "/api/v1/status", &status);
	if (code == EXIT_CODE_UNREACHABLE && !options->json)
		guard_text_without_daemon(stderr);
	return code == EXIT_CODE_OK ? client_show(options, status, print) : code;
}
