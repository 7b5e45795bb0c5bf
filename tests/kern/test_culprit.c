#include "culprit.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "escape_scene.h"
#include "netns.h"
#include "suite.h"

struct frames {
	unsigned count, per_second;
};

/* SYNs past the IP stack, by a marked packet socket. */
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
	must(setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) == 0, "mark: %s", strerror(errno));
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
		/* The kernel tells it that the frame was dropped. */
		must(sendto(fd, &frame, sizeof(frame), 0, (void *)&out, sizeof(out)) < 0,
			"a frame was not dropped");
	}
	pause(); /* to be found, until all are named */
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
	sender_kill(seen.sender);
	ck_assert_uint_eq(seen.events, frames.count);
	ck_assert_uint_eq(escape_lost(scene.escape), 0);
	printf("%u frames, %u named %s\n", seen.events, seen.named, seen.culprit.name);
	ck_assert_int_eq(seen.last.path, ESCAPE_EGRESS);
	ck_assert_uint_eq(seen.last.mark, 0x2525);
	ck_assert_uint_eq(seen.last.uid, 0);
	ck_assert_str_eq(seen.last.out_device, "out");
	assert_ends(&seen.last, HOST4, STRANGER4);
	assert_named(&seen);
	scene_end(&scene);
}
END_TEST

/* What a foreign rule rewrote is named by its source port. */
static const struct {
	const char *rule;
	uint16_t port, rewritten;
	enum escape_path path;
} rewrites[] = {
	{"type nat hook output priority -199; ip daddr " STRANGER4 " tcp dport 25 dnat to " STRANGER4
	 ":2587;",
		25, 2587, ESCAPE_OUTPUT},
	{"type filter hook postrouting priority mangle; ip daddr " STRANGER4
	 " tcp dport 2525 tcp dport set 25;",
		2525, 25, ESCAPE_POSTROUTING},
};

START_TEST(test_rewritten)
{
	const struct connects connects = {.address = STRANGER4, .count = 1, .port = rewrites[_i].port};
	struct ruleset_observation observation = observation_of(true);
	struct scene scene;
	scene_make(&scene, &observation);
	shell("nft 'table ip foreign { chain c { %s }; }'", rewrites[_i].rule);
	struct sightings seen = {.scene = &scene};
	seen.sender = sender_start(act_try, &connects, 0);
	watch(&seen, 1);
	sender_kill(seen.sender);
	ck_assert_uint_eq(seen.events, 1);
	ck_assert_int_eq(seen.last.path, rewrites[_i].path);
	ck_assert_uint_eq(seen.last.packet.destination_port, rewrites[_i].rewritten);
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

START_TEST(test_raw_socket)
{
	static const struct syns syns = {100, 1000, true};
	struct ruleset_observation observation = observation_of(true);
	struct scene scene;
	scene_make(&scene, &observation);
	shell(NOTRACK("output"));
	struct sightings seen = {.scene = &scene};
	seen.sender = sender_start(act_raw, &syns, 0);
	watch(&seen, syns.count);
	sender_kill(seen.sender);
	ck_assert_uint_eq(seen.events, syns.count);
	ck_assert_int_eq(seen.last.path, ESCAPE_OUTPUT);
	assert_ends(&seen.last, HOST4, STRANGER4);
	assert_named(&seen);
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
	/* One a second, on a slow processor in two: each search has a second's budget, however many processes run here. */
	const struct connects connects = {
		STRANGER4, 3, test_slowness() > 1 ? test_slowness() / 2 : 1, ECONNREFUSED, 0};
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
	pid_t sender = suite_fork();
	if (sender == 0) {
		must(shell_status("echo %d > %s%s/cgroup.procs", getpid(), place, group) == 0, "%s", group);
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

int main(void)
{
	Suite *suite = suite_create("culprit");
	TCase *cases = tcase_create("culprit");
	tcase_set_timeout(cases, 60);
	tcase_add_test(cases, test_packet_socket);
	tcase_add_loop_test(cases, test_rewritten, 0, (int)(sizeof(rewrites) / sizeof(rewrites[0])));
	tcase_add_test(cases, test_forwarded);
	tcase_add_test(cases, test_raw_socket);
	tcase_add_test(cases, test_without_the_right_to_look);
	suite_add_tcase(suite, cases);
	return suite_run(suite);
}
