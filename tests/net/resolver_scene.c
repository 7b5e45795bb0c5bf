#include "resolver_scene.h"

#include <check.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <unistd.h>

#include "mapped.h"
#include "resolver_zone.h"
#include "shared.h"

/*
 * The loop is never held up for longer, whatever a server does. Some 3 ms are measured, 40 on a busy machine: a
 * hypervisor takes processors away, and this thread pays for the kernel's work on others' packets. One lookup that
 * blocks takes 300 ms here.
 */
#define BLOCKED_MAX_MS 250

struct scene scene;

/* A timer of 1 ms on the resolver's own loop: how long was it held up? */
static struct event *pulse;
static struct timespec pulse_at;
static uint64_t pulse_waited_ns, blocked_ns;

/* What this thread has waited for a processor: nobody's fault here. */
static uint64_t waited_ns(void)
{
	static int fd = -1;
	if (fd < 0)
		fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
	char text[128] = "";
	unsigned long long ran = 0, waited = 0;
	if (fd >= 0 && pread(fd, text, sizeof(text) - 1, 0) > 0)
		sscanf(text, "%llu %llu", &ran, &waited);
	return waited;
}

static uint64_t since_ns(const struct timespec *from)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)((now.tv_sec - from->tv_sec) * 1000000000 + now.tv_nsec - from->tv_nsec);
}

static void pulse_beat(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	uint64_t waited = waited_ns(), gap = since_ns(&pulse_at), ours = waited - pulse_waited_ns;
	if (gap > ours && gap - ours > blocked_ns)
		blocked_ns = gap - ours;
	pulse_waited_ns = waited;
	clock_gettime(CLOCK_MONOTONIC, &pulse_at);
}

const struct resolver_setup scene_setup = {
	.timeout_ms = 2000,
	.cache_entries = 1000,
	.pending_max = 1000,
	.negative_ttl_s = 30,
	.ttl_min_s = 1,
	.ttl_max_s = 86400,
};

void scene_resolver_start(struct resolver_setup setup, const char *servers)
{
	struct err err = {""};
	setup.base = scene.base;
	setup.servers = servers;
	setup.block = stats_block(&scene.stats, 0);
	scene.resolver = resolver_new(&setup, &err);
	ck_assert_msg(scene.resolver != NULL, "%s", err.text);
}

void scene_start(void)
{
	const struct stats_layout layout = {.blocks = 1, .rows = {1, 1, 1, 1}};
	void *memory = shared_new(1, stats_size(&layout));
	ck_assert_ptr_nonnull(memory);
	stats_format(&scene.stats, memory, &layout, 0);
	scene.server = dns_server_start(resolver_zone_records(), resolver_zone_rules);
	struct event_config *config = event_config_new();
	event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
	scene.base = event_base_new_with_config(config);
	event_config_free(config);
	pulse = event_new(scene.base, -1, EV_PERSIST, pulse_beat, NULL);
	const struct timeval interval = {0, 1000};
	event_add(pulse, &interval);
	blocked_ns = 0;
	pulse_waited_ns = waited_ns();
	clock_gettime(CLOCK_MONOTONIC, &pulse_at);
}

void scene_stop(void)
{
	pulse_beat(-1, 0, NULL);
	ck_assert_msg(blocked_ns < BLOCKED_MAX_MS * 1000000ull, "the loop was held up for %llu µs",
		(unsigned long long)blocked_ns / 1000);
	resolver_free(scene.resolver);
	scene.resolver = NULL;
	event_free(pulse);
	event_base_free(scene.base);
	dns_server_stop(scene.server);
	shared_free(scene.stats.memory, 1, stats_size(&scene.stats.layout));
}

void scene_start_default(void)
{
	scene_start();
	scene_resolver_start(scene_setup, dns_server_address(scene.server));
}

static const char *describe(const struct mx_answer *answer, char text[16384])
{
	static const char *const statuses[] = {"found", "null", "no domain", "unknown"};
	size_t len = (size_t)snprintf(text, 16384, "%s", statuses[answer->status]);
	for (size_t i = 0; i < answer->host_count; i++)
		len += (size_t)snprintf(text + len, 16384 - len, " %u %s", answer->hosts[i].preference,
			answer->hosts[i].name);
	for (size_t i = 0; i < answer->address_count; i++) {
		char address[INET6_ADDRSTRLEN];
		mapped_text(&answer->addresses[i], address);
		len += (size_t)snprintf(text + len, 16384 - len, "%s %s", i == 0 ? " at" : "", address);
	}
	if (answer->partial)
		snprintf(text + len, 16384 - len, ", partial");
	return text;
}

static void heard(void *arg, struct resolver_entry *entry)
{
	struct asker *asker = arg;
	asker->answers++;
	asker->entry = entry;
	asker->after_ms = (unsigned)(since_ns(&asker->asked) / 1000000);
	describe(&entry->answer, asker->heard);
	ck_assert_uint_eq(entry->owner, 0);
	ck_assert_ptr_null(entry->provider);
	ck_assert_uint_eq(entry->site, 0);
}

void scene_ask(struct asker *asker, const char *domain)
{
	*asker = (struct asker){.answers = 0};
	clock_gettime(CLOCK_MONOTONIC, &asker->asked);
	asker->question = resolver_ask(scene.resolver, span_of(domain), heard, asker);
	ck_assert_ptr_nonnull(asker->question);
	ck_assert_int_eq(asker->answers, 0);
}

/* Runs the loop until all have heard, or for so long. */
void scene_run(const struct asker *askers, size_t count, unsigned max_ms)
{
	struct timespec from;
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (size_t done = 0; done < count || count == 0;) {
		event_base_loop(scene.base, EVLOOP_ONCE);
		for (done = 0; done < count && askers[done].answers; done++)
			;
		if (since_ns(&from) > max_ms * 1000000ull)
			return;
	}
}

bool scene_comes_to(bool (*condition)(void))
{
	for (int i = 0; i < 1000 && !condition(); i++)
		scene_run(NULL, 0, 10);
	return condition();
}

const char *scene_lookup(const char *domain)
{
	static struct asker asker;
	scene_ask(&asker, domain);
	scene_run(&asker, 1, 5000);
	ck_assert_msg(asker.answers == 1, "%s: %d answers", domain, asker.answers);
	return asker.heard;
}

uint64_t scene_count(enum stats_counter counter)
{
	return stats_sum(&scene.stats, counter);
}
