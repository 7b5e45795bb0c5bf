#include "escape.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/rules.h"
#include "culprit.h"
#include "guard.h"
#include "internet.h"
#include "netns.h"

#define SENDER_UID 4321
#define SENDER     "some-offender"

/* A foreign rule that keeps connections away from the divert. */
#define NOTRACK(hook)                                                \
	"nft 'table inet foreign { chain c { type filter hook " hook \
	" priority raw; tcp dport 25 notrack; }; }'"

struct scene {
	struct internet world;
	struct guard *guard;
	struct ruleset *rules;
	struct escape *escape;
	struct culprit_search *search;
	unsigned long arrived; /* before */
};

static uint64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void scene_arm(struct scene *scene, const struct ruleset_observation *observation)
{
	struct err err = {""};
	const char devices[][IFNAMSIZ] = {"out", "docker"};
	const struct conf conf = conf_default();
	scene->rules = ruleset_new(&conf, RULESET_ALL, &(struct ruleset_devices){devices, 2}, &err);
	ck_assert_msg(scene->rules && ruleset_observe(scene->rules, observation, &err) == 0, "%s", err.text);
	scene->guard = guard_new(-1, &err);
	ck_assert_msg(scene->guard && guard_arm(scene->guard, scene->rules, &err) == 0, "%s", err.text);
}

static void scene_listen(struct scene *scene, const struct ruleset_observation *observation)
{
	struct err err = {""};
	scene->escape = escape_new(observation, &err);
	ck_assert_msg(scene->escape != NULL, "%s", err.text);
	scene->search = culprit_search_new(&err);
	ck_assert_msg(scene->search != NULL, "%s", err.text);
}

static void scene_make(struct scene *scene, const struct ruleset_observation *observation)
{
	netns_fresh();
	internet_make(&scene->world);
	scene->arrived = internet_arrived(&scene->world);
	scene_arm(scene, observation);
	scene_listen(scene, observation);
}

static void scene_end(struct scene *scene)
{
	ck_assert_uint_eq(internet_arrived(&scene->world), scene->arrived);
	escape_free(scene->escape);
	culprit_search_free(scene->search);
	ruleset_free(scene->rules);
	guard_free(scene->guard);
}

/* What this machine's kernel has, or one of the lesser means. */
static struct ruleset_observation observation_of(bool queue)
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

/* What was seen. */
struct sightings {
	struct scene *scene;
	unsigned events, named; /* named: the sender's process was found */
	pid_t sender;
	struct escape_event last;
	struct culprit culprit; /* of the last */
};

static void see(void *arg, const struct escape_event *event)
{
	struct sightings *seen = arg;
	seen->last = *event;
	culprit_find(seen->scene->search, event, &seen->culprit);
	seen->events++;
	seen->named += seen->culprit.pid == seen->sender && strcmp(seen->culprit.name, SENDER) == 0;
}

/* Reads until so many events came, or nothing came for 1 s. */
static void watch(struct sightings *seen, unsigned events)
{
	struct escape *escape = seen->scene->escape;
	struct pollfd readable = {escape_fd(escape), POLLIN, 0};
	while (seen->events < events && poll(&readable, 1, 1000) == 1) {
		struct err err = {""};
		ck_assert_msg(escape_read(escape, see, seen, &err) >= 0, "%s", err.text);
	}
}

/* A process of SENDER_UID that does `act` in the caller's namespace. */
static pid_t sender_start(void (*act)(const void *), const void *arg, pid_t where)
{
	pid_t child = fork();
	ck_assert_int_ge(child, 0);
	if (child > 0)
		return child;
	alarm(30);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (where)
		netns_enter(where);
	prctl(PR_SET_NAME, SENDER);
	act(arg);
	_exit(EXIT_SUCCESS);
}

static void become(void)
{
	ck_assert_int_eq(setresgid(SENDER_UID, SENDER_UID, SENDER_UID), 0);
	ck_assert_int_eq(setresuid(SENDER_UID, SENDER_UID, SENDER_UID), 0);
}

static void sender_end(pid_t sender)
{
	int status;
	ck_assert_int_eq(waitpid(sender, &status, 0), sender);
	ck_assert_int_eq(status, 0);
}

struct connects {
	const char *address;
	unsigned count;
	unsigned per_second;
	int wanted; /* errno */
};

static void pace(uint64_t start, unsigned done, unsigned per_second)
{
	uint64_t due = start + done * 1000ull / per_second, now = now_ms();
	if (due > now)
		usleep((useconds_t)(due - now) * 1000);
}

static void act_connect(const void *arg)
{
	const struct connects *connects = arg;
	bool six = strchr(connects->address, ':');
	struct sockaddr_in6 to6 = {.sin6_family = AF_INET6, .sin6_port = htons(25)};
	struct sockaddr_in to4 = {.sin_family = AF_INET, .sin_port = htons(25)};
	ck_assert_int_eq(inet_pton(six ? AF_INET6 : AF_INET, connects->address,
				 six ? (void *)&to6.sin6_addr : (void *)&to4.sin_addr),
		1);
	become();
	uint64_t start = now_ms();
	for (unsigned i = 0; i < connects->count; i++) {
		pace(start, i, connects->per_second);
		int fd = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		ck_assert_int_eq(
			connect(fd, six ? (void *)&to6 : (void *)&to4, six ? sizeof(to6) : sizeof(to4)), -1);
		ck_assert_msg(errno == connects->wanted, "connect: %s", strerror(errno));
		close(fd);
	}
}

static void assert_ends(const struct escape_event *event, const char *from, const char *to)
{
	char source[INET6_ADDRSTRLEN], destination[INET6_ADDRSTRLEN];
	ck_assert(event->readable && event->packet.has_ports);
	inet_ntop(event->packet.family, event->packet.source, source, sizeof(source));
	inet_ntop(event->packet.family, event->packet.destination, destination, sizeof(destination));
	ck_assert_str_eq(source, from);
	ck_assert_str_eq(destination, to);
	ck_assert_uint_eq(event->packet.destination_port, 25);
}

START_TEST(test_probe_changes_nothing)
{
	netns_fresh();
	shell("nft add table inet other");
	char *before = shell_output("nft list ruleset");
	struct ruleset_observation observation = observation_of(true);
	char *after = shell_output("nft list ruleset");
	ck_assert_str_eq(before, after);
	/* The best that there is: what it named can be loaded, what is better cannot. */
	struct ruleset *rules = rules_default();
	ck_assert_int_eq(ruleset_observe(rules, &observation, NULL), 0);
	struct guard *guard = guard_new(-1, NULL);
	ck_assert_int_eq(guard_arm(guard, rules, NULL), 0);
	ruleset_free(rules);
	if (observation.output > RULESET_BY_NFT_QUEUE) {
		rules = rules_default();
		observation.output--;
		ck_assert_int_eq(ruleset_observe(rules, &observation, NULL), 0);
		ck_assert_int_lt(guard_arm(guard, rules, NULL), 0);
		ruleset_free(rules);
	}
	guard_free(guard);
	free(before);
	free(after);
}
END_TEST

/* nft lists what was printed, and the guard finds what it loaded; with each means that this kernel has. */
START_TEST(test_rules_are_as_printed)
{
	struct ruleset_observation observation = observation_of(true);
	if (_i < (int)observation.output || _i == RULESET_BY_COUNTERS)
		return;
	observation.output = _i;
	struct scene scene = {0};
	netns_fresh();
	shell("ip link add out type veth peer name docker");
	scene_arm(&scene, &observation);
	char *listed = nft_list(), *printed = rules_text(scene.rules);
	assert_same_text(listed, printed);
	struct err err = {""};
	ck_assert_msg(guard_verify(scene.guard, scene.rules, &err) == 0, "%s", err.text);
	free(listed);
	free(printed);
	ruleset_free(scene.rules);
	guard_free(scene.guard);
}
END_TEST

/* A thousand connections a second that the divert does not see: all are refused, shown, and named. */
START_TEST(test_untracked_connects)
{
	static const struct connects connects[] = {
		{STRANGER4, 3000, 1000, ECONNREFUSED}, {STRANGER6, 1000, 1000, ECONNREFUSED}};
	struct ruleset_observation observation = observation_of(true);
	struct scene scene;
	scene_make(&scene, &observation);
	shell(NOTRACK("output"));
	for (size_t i = 0; i < sizeof(connects) / sizeof(connects[0]); i++) {
		struct sightings seen = {.scene = &scene};
		uint64_t start = now_ms();
		seen.sender = sender_start(act_connect, &connects[i], 0);
		watch(&seen, connects[i].count);
		uint64_t lasted = now_ms() - start;
		sender_end(seen.sender);
		ck_assert_uint_eq(seen.events, connects[i].count);
		ck_assert_uint_eq(escape_lost(scene.escape), 0);
		printf("%u connects in %llu ms, %u named\n", seen.events, (unsigned long long)lasted,
			seen.named);
		ck_assert_int_eq(seen.last.path, ESCAPE_OUTPUT);
		ck_assert_uint_eq(seen.last.uid, SENDER_UID);
		ck_assert_uint_eq(seen.last.gid, SENDER_UID);
		ck_assert_str_eq(seen.last.out_device, "out");
		assert_ends(&seen.last, i == 0 ? HOST4 : HOST6, connects[i].address);
		if (seen.last.waits)
			ck_assert_uint_eq(seen.named, seen.events);
	}
	scene_end(&scene);
}
END_TEST

/* Logged instead of queued: every one is shown with its user; its process is there or gone. */
START_TEST(test_untracked_connects_logged)
{
	static const struct connects connects = {STRANGER4, 1000, 1000, ECONNREFUSED};
	struct ruleset_observation observation = observation_of(false);
	struct scene scene;
	scene_make(&scene, &observation);
	shell(NOTRACK("output"));
	struct sightings seen = {.scene = &scene};
	seen.sender = sender_start(act_connect, &connects, 0);
	watch(&seen, connects.count);
	sender_end(seen.sender);
	ck_assert_uint_eq(seen.events, connects.count);
	ck_assert_uint_eq(escape_lost(scene.escape), 0);
	ck_assert_uint_eq(seen.last.uid, SENDER_UID);
	ck_assert(!seen.last.waits);
	scene_end(&scene);
}
END_TEST

/* The unified hierarchy's place, NULL where this machine has none that can be written to. */
static const char *hierarchy(void)
{
	static const char *const places[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
	for (size_t i = 0; i < 2; i++)
		if (shell_status("test -w %s/cgroup.procs && test $(stat -fc %%T %s) = cgroup2fs", places[i],
			    places[i]) == 0)
			return places[i];
	return NULL;
}

static void capability_set(unsigned capability, bool on)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	ck_assert_int_eq(syscall(SYS_capget, &header, data), 0);
	uint32_t bit = 1u << capability % 32;
	data[capability / 32].effective =
		on ? data[capability / 32].effective | bit : data[capability / 32].effective & ~bit;
	ck_assert_int_eq(syscall(SYS_capset, &header, data), 0);
}

/* A warden that may not look into others' processes, as under systemd: the group names the service. */
START_TEST(test_without_the_right_to_look)
{
	static const struct connects connects = {STRANGER4, 5, 1000, ECONNREFUSED};
	struct ruleset_observation observation = observation_of(true);
	const char *place = hierarchy();
	if (!place || observation.output == RULESET_BY_LOG)
		return;
	struct scene scene;
	scene_make(&scene, &observation);
	shell(NOTRACK("output"));
	shell("mkdir -p %s/mxmirage-test-%d/a.service", place, getpid());
	char group[96];
	snprintf(group, sizeof(group), "/mxmirage-test-%d/a.service", getpid());
	pid_t sender = fork();
	if (sender == 0) {
		shell("echo %d > %s%s/cgroup.procs", getpid(), place, group);
		prctl(PR_SET_NAME, SENDER);
		act_connect(&connects);
		_exit(EXIT_SUCCESS);
	}
	capability_set(CAP_SYS_PTRACE, false);
	struct sightings seen = {.scene = &scene, .sender = sender};
	watch(&seen, connects.count);
	capability_set(CAP_SYS_PTRACE, true);
	sender_end(sender);
	shell("rmdir %s%s %s/mxmirage-test-%d", place, group, place, getpid());
	ck_assert_uint_eq(seen.events, connects.count);
	ck_assert_str_eq(seen.culprit.cgroup, group);
	ck_assert_uint_eq(seen.named, seen.events);
	scene_end(&scene);
}
END_TEST

struct frames {
	unsigned count, per_second;
};

/* SYNs past the IP stack, by a marked packet socket that another user opened while it could. */
static void act_frames(const void *arg)
{
	const struct frames *frames = arg;
	uint32_t mark = 0x2525;
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	struct sockaddr_ll out = {.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_IP),
		.sll_halen = ETH_ALEN,
		.sll_addr = {2, 0, 0, 0, 0, 0xa2}};
	out.sll_ifindex = (int)if_nametoindex("out");
	setegid(SENDER_UID);
	seteuid(SENDER_UID);
	int own = socket(AF_INET, SOCK_DGRAM, 0);
	close(own);
	seteuid(0);
	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)), 0);
	struct {
		struct ether_header ether;
		struct iphdr ip;
		struct tcphdr tcp;
	} __attribute__((packed)) frame = {
		.ether = {{2, 0, 0, 0, 0, 0xa2}, {2, 0, 0, 0, 0, 0xa1}, htons(ETH_P_IP)},
		.ip = {.version = 4, .ihl = 5, .tot_len = htons(40), .ttl = 64, .protocol = IPPROTO_TCP},
		.tcp = {.source = htons(4242), .dest = htons(25), .doff = 5, .syn = 1, .window = htons(1024)},
	};
	frame.ip.saddr = inet_addr(HOST4);
	frame.ip.daddr = inet_addr(STRANGER4);
	uint64_t start = now_ms();
	for (unsigned i = 0; i < frames->count; i++) {
		pace(start, i, frames->per_second);
		ck_assert_int_ge(sendto(fd, &frame, sizeof(frame), 0, (void *)&out, sizeof(out)), -1);
	}
	usleep(200 * 1000);
}

START_TEST(test_packet_socket)
{
	static const struct frames frames = {3000, 1000};
	struct ruleset_observation observation = observation_of(true);
	struct scene scene;
	scene_make(&scene, &observation);
	struct sightings seen = {.scene = &scene};
	seen.sender = sender_start(act_frames, &frames, 0);
	watch(&seen, frames.count);
	sender_end(seen.sender);
	ck_assert_uint_eq(seen.events, frames.count);
	ck_assert_uint_eq(escape_lost(scene.escape), 0);
	printf("%u frames, %u named %s\n", seen.events, seen.named, seen.culprit.name);
	ck_assert_int_eq(seen.last.path, ESCAPE_EGRESS);
	ck_assert_uint_eq(seen.last.mark, 0x2525);
	ck_assert_uint_eq(seen.last.uid, 0);
	ck_assert_str_eq(seen.last.out_device, "out");
	assert_ends(&seen.last, HOST4, STRANGER4);
	ck_assert_uint_eq(seen.named, seen.events);
	scene_end(&scene);
}
END_TEST

/* Opens connections without waiting for them, and stays while they try. */
static void act_try(const void *arg)
{
	const struct connects *connects = arg;
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(25)};
	ck_assert_int_eq(inet_pton(AF_INET, connects->address, &to.sin_addr), 1);
	become();
	for (unsigned i = 0; i < connects->count; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		ck_assert_int_eq(connect(fd, (void *)&to, sizeof(to)), -1);
		ck_assert_msg(errno == EINPROGRESS || errno == ECONNREFUSED, "connect: %s", strerror(errno));
	}
	pause();
}

static void sender_kill(pid_t sender)
{
	kill(sender, SIGKILL);
	waitpid(sender, NULL, 0);
}

/* What a foreign rule rewrote is named by its source port. */
START_TEST(test_rewritten)
{
	static const struct connects connects = {.address = STRANGER4, .count = 1};
	struct ruleset_observation observation = observation_of(true);
	struct scene scene;
	scene_make(&scene, &observation);
	shell("nft 'table ip foreign { chain c { type nat hook output priority -199;"
	      " ip daddr " STRANGER4 " tcp dport 25 dnat to " STRANGER4 ":2587; }; }'");
	struct sightings seen = {.scene = &scene};
	seen.sender = sender_start(act_try, &connects, 0);
	watch(&seen, 1);
	sender_kill(seen.sender);
	ck_assert_uint_eq(seen.events, 1);
	ck_assert_int_eq(seen.last.path, ESCAPE_POSTROUTING);
	ck_assert_uint_eq(seen.last.packet.destination_port, 2587);
	ck_assert_uint_eq(seen.named, 1);
	scene_end(&scene);
}
END_TEST

/* What is forwarded has no process here: it is known where it came in. */
START_TEST(test_forwarded)
{
	static const struct connects connects = {.address = STRANGER4, .count = 3};
	struct ruleset_observation observation = observation_of(true);
	struct scene scene;
	scene_make(&scene, &observation);
	shell(NOTRACK("prerouting"));
	struct sightings seen = {.scene = &scene};
	pid_t sender = sender_start(act_try, &connects, scene.world.container);
	watch(&seen, connects.count);
	sender_kill(sender);
	ck_assert_uint_eq(seen.events, connects.count);
	ck_assert_int_eq(seen.last.path, ESCAPE_FORWARD);
	ck_assert_uint_eq(seen.last.uid, ESCAPE_UNKNOWN);
	ck_assert_int_eq(seen.culprit.pid, 0);
	ck_assert_str_eq(seen.last.in_device, "docker");
	ck_assert_str_eq(seen.last.out_device, "out");
	assert_ends(&seen.last, "203.0.113.130", STRANGER4);
	scene_end(&scene);
}
END_TEST

struct syns {
	unsigned count;
	unsigned pause_us; /* after each */
};

static void act_raw(const void *arg)
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
			usleep(syns->pause_us);
	}
	usleep(300 * 1000);
}

START_TEST(test_raw_socket)
{
	static const struct syns syns = {100, 1000};
	struct ruleset_observation observation = observation_of(true);
	struct scene scene;
	scene_make(&scene, &observation);
	shell(NOTRACK("output"));
	struct sightings seen = {.scene = &scene};
	seen.sender = sender_start(act_raw, &syns, 0);
	watch(&seen, syns.count);
	sender_end(seen.sender);
	ck_assert_uint_eq(seen.events, syns.count);
	ck_assert_int_eq(seen.last.path, ESCAPE_OUTPUT);
	assert_ends(&seen.last, HOST4, STRANGER4);
	ck_assert_uint_eq(seen.named, seen.events);
	scene_end(&scene);
}
END_TEST

static uint64_t rejected(struct scene *scene)
{
	struct guard_counts counts;
	struct err err = {""};
	ck_assert_msg(guard_counts(scene->guard, RULESET_OWNED, &counts, &err) == 0, "%s", err.text);
	return counts.counters[RULESET_REJECTED_OUTPUT].packets;
}

static const struct connects few = {STRANGER4, 20, 1000, ECONNREFUSED};

static void assert_few_refused(struct scene *scene)
{
	uint64_t before = rejected(scene);
	sender_end(sender_start(act_connect, &few, 0));
	ck_assert_uint_eq(rejected(scene), before + few.count);
}

START_TEST(test_nobody_listens)
{
	struct ruleset_observation observation = observation_of(true);
	struct scene scene = {0};
	netns_fresh();
	internet_make(&scene.world);
	scene.arrived = internet_arrived(&scene.world);
	scene_arm(&scene, &observation);
	shell(NOTRACK("output"));
	assert_few_refused(&scene);
	scene_end(&scene);
}
END_TEST

/* It ends with packets that wait for its word. */
START_TEST(test_listener_is_killed)
{
	static const struct connects connects = {.address = STRANGER4, .count = 500};
	struct ruleset_observation observation = observation_of(true);
	struct scene scene = {0};
	netns_fresh();
	internet_make(&scene.world);
	scene.arrived = internet_arrived(&scene.world);
	scene_arm(&scene, &observation);
	shell(NOTRACK("output"));
	int ready[2];
	ck_assert_int_eq(pipe(ready), 0);
	pid_t listener = fork();
	if (listener == 0) {
		alarm(30);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		scene_listen(&scene, &observation);
		ck_assert_int_eq(write(ready[1], "", 1), 1);
		pause();
	}
	char byte;
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	pid_t sender = sender_start(act_try, &connects, 0);
	char *waiting = NULL;
	for (int i = 0; i < 100 && !waiting; i++) {
		usleep(20 * 1000);
		waiting = shell_output(
			"awk '$1 == 2525 && $3 == 500 { print }' /proc/net/netfilter/nfnetlink_queue");
		if (observation.output == RULESET_BY_LOG || *waiting)
			break;
		free(waiting);
		waiting = NULL;
	}
	ck_assert_msg(waiting != NULL, "the packets do not wait for the listener");
	free(waiting);
	sender_kill(listener);
	ck_assert_uint_eq(internet_arrived(&scene.world), scene.arrived);
	sender_kill(sender);
	assert_few_refused(&scene);
	scene_end(&scene);
}
END_TEST

/* It does not keep up: what finds no room is lost to its eyes, and stopped like the rest. */
START_TEST(test_overflow)
{
	static const struct syns syns = {40000, 0};
	struct ruleset_observation observation = observation_of(true);
	struct scene scene;
	scene_make(&scene, &observation);
	shell(NOTRACK("output"));
	for (int i = 0; i < 3; i++)
		sender_end(sender_start(act_raw, &syns, 0));
	ck_assert_uint_eq(internet_arrived(&scene.world), scene.arrived);
	struct sightings seen = {.scene = &scene};
	watch(&seen, 3 * syns.count);
	if (seen.last.waits) {
		ck_assert_uint_eq(seen.events, 1024);
		ck_assert_uint_gt(escape_lost(scene.escape), 0);
		ck_assert_uint_eq(rejected(&scene) + escape_lost(scene.escape), 3 * syns.count);
	} else {
		ck_assert_uint_eq(rejected(&scene), 3 * syns.count);
	}
	escape_free(scene.escape);
	scene.escape = NULL;
	assert_few_refused(&scene);
	scene_end(&scene);
}
END_TEST

/* Another program listens under the number. */
START_TEST(test_number_is_taken)
{
	struct ruleset_observation observation = observation_of(true);
	netns_fresh();
	struct err err = {""};
	struct escape *first = escape_new(&observation, &err);
	ck_assert_msg(first != NULL, "%s", err.text);
	ck_assert_ptr_null(escape_new(&observation, &err));
	ck_assert_msg(strstr(err.text, "another program"), "%s", err.text);
	escape_free(first);
	first = escape_new(&observation, &err);
	ck_assert_msg(first != NULL, "%s", err.text);
	escape_free(first);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("escape");
	TCase *cases = tcase_create("escape");
	tcase_set_timeout(cases, 60);
	tcase_add_test(cases, test_probe_changes_nothing);
	tcase_add_loop_test(cases, test_rules_are_as_printed, 0, RULESET_MEANS);
	tcase_add_test(cases, test_untracked_connects);
	tcase_add_test(cases, test_untracked_connects_logged);
	tcase_add_test(cases, test_without_the_right_to_look);
	tcase_add_test(cases, test_packet_socket);
	tcase_add_test(cases, test_rewritten);
	tcase_add_test(cases, test_forwarded);
	tcase_add_test(cases, test_raw_socket);
	tcase_add_test(cases, test_nobody_listens);
	tcase_add_test(cases, test_listener_is_killed);
	tcase_add_test(cases, test_overflow);
	tcase_add_test(cases, test_number_is_taken);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
