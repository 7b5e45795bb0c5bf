#include "escape_scene.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <limits.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "netns.h"

void scene_arm(struct scene *scene, const struct ruleset_observation *observation)
{
	struct err err = {""};
	const char devices[][IFNAMSIZ] = {"out", "docker"};
	const struct conf conf = conf_default();
	scene->rules = ruleset_new(&conf, RULESET_ALL, &(struct ruleset_devices){devices, 2, NULL}, &err);
	ck_assert_msg(scene->rules && ruleset_observe(scene->rules, observation, &err) == 0, "%s", err.text);
	scene->guard = guard_new(-1, &err);
	ck_assert_msg(scene->guard && guard_arm(scene->guard, scene->rules, &err) == 0, "%s", err.text);
}

void scene_listen(struct scene *scene, const struct ruleset_observation *observation)
{
	struct err err = {""};
	scene->escape = escape_new(observation, &err);
	must(scene->escape != NULL, "%s", err.text);
	scene->search = culprit_search_new(&err);
	must(scene->search != NULL, "%s", err.text);
}

void scene_make(struct scene *scene, const struct ruleset_observation *observation)
{
	netns_fresh();
	internet_make(&scene->world);
	scene->arrived = internet_arrived(&scene->world);
	scene_arm(scene, observation);
	scene_listen(scene, observation);
}

void scene_end(struct scene *scene)
{
	ck_assert_uint_eq(internet_arrived(&scene->world), scene->arrived);
	escape_free(scene->escape);
	culprit_search_free(scene->search);
	ruleset_free(scene->rules);
	guard_free(scene->guard);
}

/* What this machine's kernel has, or one of the lesser means. */
struct ruleset_observation observation_of(bool queue)
{
	struct ruleset_observation observation;
	struct err err = {""};
	ck_assert_msg(escape_probe(&observation, &err) == 0, "%s", err.text);
	ck_assert_msg(observation.log && observation.output != RULESET_BY_COUNTERS,
		"this kernel shows nothing of what is stopped");
	if (!queue)
		observation.output = RULESET_BY_LOG;
	return observation;
}

static void see(void *arg, const struct escape_event *event)
{
	struct sightings *seen = arg;
	seen->last = *event;
	culprit_find(seen->scene->search, event, &seen->culprit);
	seen->events++;
	seen->named += seen->culprit.pid == seen->sender && strcmp(seen->culprit.name, SENDER) == 0;
}

static void watch_patiently(struct sightings *seen, unsigned events, int patience_ms)
{
	struct escape *escape = seen->scene->escape;
	struct pollfd readable = {escape_fd(escape), POLLIN, 0};
	while (seen->events < events && poll(&readable, 1, patience_ms * (int)test_slowness()) == 1) {
		struct err err = {""};
		ck_assert_msg(escape_read(escape, see, seen, &err) >= 0, "%s", err.text);
	}
}

void watch(struct sightings *seen, unsigned events)
{
	watch_patiently(seen, events, 10000);
}

void watch_what_came(struct sightings *seen)
{
	watch_patiently(seen, UINT_MAX, 1000);
}

/* A process of SENDER_UID that does `act` in the caller's namespace. */
pid_t sender_start(void (*act)(const void *), const void *arg, pid_t where)
{
	pid_t child = suite_fork();
	if (child != 0)
		return child;
	alarm(120 * test_slowness());
	if (where)
		netns_enter(where);
	prctl(PR_SET_NAME, SENDER);
	act(arg);
	_exit(EXIT_SUCCESS);
}

static void become(void)
{
	must(setresgid(SENDER_UID, SENDER_UID, SENDER_UID) == 0 &&
			setresuid(SENDER_UID, SENDER_UID, SENDER_UID) == 0,
		"uid %d: %s", SENDER_UID, strerror(errno));
}

void sender_end(pid_t sender)
{
	int status;
	ck_assert_int_eq(waitpid(sender, &status, 0), sender);
	ck_assert_int_eq(status, 0);
}

void assert_named(const struct sightings *seen)
{
	ck_assert_uint_gt(seen->named, 0);
	if (test_slowness() == 1)
		ck_assert_uint_ge(4 * seen->named, seen->events);
}

void pace(uint64_t start, unsigned done, unsigned per_second)
{
	uint64_t due = start + done * 1000ull * test_slowness() / per_second, now = now_ms();
	if (due > now)
		usleep((useconds_t)(due - now) * 1000);
}

void act_connect(const void *arg)
{
	const struct connects *connects = arg;
	bool six = strchr(connects->address, ':');
	struct sockaddr_in6 to6 = {.sin6_family = AF_INET6, .sin6_port = htons(25)};
	struct sockaddr_in to4 = {.sin_family = AF_INET, .sin_port = htons(25)};
	must(inet_pton(six ? AF_INET6 : AF_INET, connects->address,
		     six ? (void *)&to6.sin6_addr : (void *)&to4.sin_addr) == 1,
		"%s", connects->address);
	become();
	uint64_t start = now_ms();
	for (unsigned i = 0; i < connects->count; i++) {
		pace(start, i, connects->per_second);
		int fd = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		int code = connect(fd, six ? (void *)&to6 : (void *)&to4, six ? sizeof(to6) : sizeof(to4));
		must(code < 0 && errno == connects->wanted, "connect: %s",
			code < 0 ? strerror(errno) : "accepted");
		close(fd);
	}
}

void assert_ends(const struct escape_event *event, const char *from, const char *to)
{
	char source[INET6_ADDRSTRLEN], destination[INET6_ADDRSTRLEN];
	ck_assert(event->readable && event->packet.has_ports);
	inet_ntop(event->packet.family, event->packet.source, source, sizeof(source));
	inet_ntop(event->packet.family, event->packet.destination, destination, sizeof(destination));
	ck_assert_str_eq(source, from);
	ck_assert_str_eq(destination, to);
	ck_assert_uint_eq(event->packet.destination_port, 25);
}

/* Opens connections without waiting for them, and stays while they try. */
void act_try(const void *arg)
{
	const struct connects *connects = arg;
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(connects->port ? connects->port : 25)};
	must(inet_pton(AF_INET, connects->address, &to.sin_addr) == 1, "%s", connects->address);
	become();
	for (unsigned i = 0; i < connects->count; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		must(connect(fd, (void *)&to, sizeof(to)) < 0 &&
				(errno == EINPROGRESS || errno == ECONNREFUSED),
			"connect: %s", strerror(errno));
	}
	pause();
}

void sender_kill(pid_t sender)
{
	kill(sender, SIGKILL);
	waitpid(sender, NULL, 0);
}

void act_raw(const void *arg)
{
	const struct syns *syns = arg;
	int fd = -1;
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(STRANGER4)};
	struct {
		struct iphdr ip;
		struct tcphdr tcp;
	} packet = {
		.ip = {.version = 4, .ihl = 5, .tot_len = htons(40), .ttl = 64, .protocol = IPPROTO_TCP},
		.tcp = {.dest = htons(25), .doff = 5, .syn = 1, .window = htons(1024)},
	};
	packet.ip.saddr = inet_addr(HOST4);
	packet.ip.daddr = inet_addr(STRANGER4);
	for (unsigned i = 0; i < syns->count; i++) {
		/* Packets that wait fill their socket's buffer. */
		if (i % 64 == 0)
			fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
		packet.tcp.source = htons((uint16_t)(1024 + i % 60000));
		/* A dropped packet may be told to its sender: EPERM. */
		sendto(fd, &packet, sizeof(packet), 0, (void *)&to, sizeof(to));
		if (syns->pause_us > 0)
			usleep(syns->pause_us * test_slowness());
	}
	if (syns->stays)
		pause();
}
