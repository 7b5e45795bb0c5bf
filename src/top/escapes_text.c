#include "escapes_text.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "text.h"

/* Of the most counted; --json has all. */
#define SHOWN 10

static const char *words(const json_t *row, const char *key, const char *unknown)
{
	const char *value = json_string_value(json_object_get(row, key));
	return value ? value : unknown;
}

/* "kumod (uid 998 kumo, pid 4711)" */
static void sender_text(const json_t *row, char *to, size_t size)
{
	const json_t *uid = json_object_get(row, "uid"), *pid = json_object_get(row, "pid");
	if (!json_is_integer(uid)) {
		snprintf(to, size, "forwarded from %s", words(row, "from_device", "another device"));
		return;
	}
	const struct passwd *user = getpwuid((uid_t)json_integer_value(uid));
	/* A process that is not to be seen, or that is gone, may still be known by its service. */
	const char *name = words(row, "process", words(row, "cgroup", "unknown process"));
	int len = snprintf(to, size, "%s (uid %lld%s%s", name, (long long)json_integer_value(uid),
		user ? " " : "", user ? user->pw_name : "");
	if (json_is_integer(pid) && len > 0 && (size_t)len < size)
		len += snprintf(
			to + len, size - (size_t)len, ", pid %lld", (long long)json_integer_value(pid));
	if (len > 0 && (size_t)len < size)
		snprintf(to + len, size - (size_t)len, ")");
}

void escapes_text(const json_t *status)
{
	const json_t *guard = json_object_get(status, "guard"), *escapes = json_object_get(status, "escapes");
	const char *queue = words(guard, "escape_queue", "counters");
	if (json_is_true(json_object_get(guard, "armed")) && strcmp(queue, "counters") == 0)
		printf("             this kernel can count what is stopped, not show it: who tried is "
		       "unknown "
		       "(modprobe nft_queue nfnetlink_queue nfnetlink_log)\n");
	size_t count = json_array_size(escapes);
	if (count == 0)
		return;
	printf("\nwho tried to get past the divert (all of it was stopped; seen by %s)\n", queue);
	printf("%12s  %-11s  %-40s  %s\n", "packets", "path", "sender", "to");
	for (size_t i = 0; i < count && i < SHOWN; i++) {
		const json_t *row = json_array_get(escapes, i);
		char sender[160], port[24] = "";
		uint16_t number = (uint16_t)json_integer_value(json_object_get(row, "port"));
		sender_text(row, sender, sizeof(sender));
		/* A fragment has none, and several have several. */
		if (number > 0)
			snprintf(port, sizeof(port), " port %u", number);
		printf("%12s  %-11s  %-40s  %s%s by %s\n",
			text_number((uint64_t)json_integer_value(json_object_get(row, "packets"))).chars,
			words(row, "path", ""), sender, words(row, "to", "several"), port,
			words(row, "device", "?"));
	}
	if (count > SHOWN)
		printf("%12s  and %zu more: --json lists them\n", "", count - SHOWN);
}
