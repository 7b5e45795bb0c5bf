#include "links.h"

#include <check.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/rules.h"
#include "netns.h"
#include "suite.h"

/* Whether the devices are these, space-separated, in any order. */
static void assert_devices(const struct links *links, const char *wanted)
{
	char left[4096];
	snprintf(left, sizeof(left), " %s ", wanted);
	for (size_t i = 0; i < links->count; i++) {
		char word[IFNAMSIZ + 2];
		snprintf(word, sizeof(word), " %s ", links->devices[i].name);
		char *at = strstr(left, word);
		ck_assert_msg(at != NULL, "%s is there and should not be", links->devices[i].name);
		memmove(at, at + strlen(word) - 1, strlen(at + strlen(word) - 1) + 1);
	}
	ck_assert_msg(strspn(left, " ") == strlen(left), "missing:%s", left);
}

static void assert_change(struct links *links, int changed, const char *wanted)
{
	struct err err = {""};
	ck_assert_msg(links_read(links, &err) == changed, "%s", err.text);
	assert_devices(links, wanted);
}

static struct links open_in_fresh_netns(void)
{
	struct links links;
	struct err err = {""};
	netns_fresh();
	shell("ip link add eth0 type veth peer name eth1");
	ck_assert_msg(links_open(&links, &err) == 0, "%s", err.text);
	return links;
}

START_TEST(test_follows)
{
	struct links links = open_in_fresh_netns();
	assert_devices(&links, "eth0 eth1");
	assert_change(&links, 0, "eth0 eth1");
	shell("ip link add br0 type bridge; ip link set eth1 master br0; ip link set eth1 up");
	assert_change(&links, 1, "eth0 eth1 br0");
	/* A port that leaves its bridge is still a device. */
	shell("ip link set eth1 nomaster");
	assert_change(&links, 0, "eth0 eth1 br0");
	shell("ip link set eth0 name wan; ip link set wan up");
	assert_change(&links, 1, "wan eth1 br0");
	shell("ip link set eth1 netns %d", netns_peer());
	assert_change(&links, 1, "wan br0");
	shell("ip link del wan; ip link del br0");
	assert_change(&links, 1, "");
	/* Between two readings it came and went. */
	shell("ip link add br1 type bridge; ip link del br1");
	assert_change(&links, 1, "");
	links_close(&links);
}
END_TEST

static unsigned since(const struct links *links, const char *name)
{
	for (size_t i = 0; i < links->count; i++)
		if (strcmp(links->devices[i].name, name) == 0)
			return links->devices[i].since;
	return 0;
}

/* A device that goes and comes again, even with the number that the kernel gave the former, is another one. */
START_TEST(test_tells_a_device_from_its_namesake)
{
	struct links links = open_in_fresh_netns();
	unsigned eth0 = since(&links, "eth0"), eth1 = since(&links, "eth1");
	ck_assert(eth0 != 0 && eth1 != 0 && eth0 != eth1);
	shell("ip link set eth1 up");
	assert_change(&links, 0, "eth0 eth1");
	ck_assert_uint_eq(since(&links, "eth1"), eth1);
	pid_t elsewhere = netns_peer();
	shell("ip link set eth0 netns %d; nsenter -t %d -n ip link set eth0 netns %d", elsewhere, elsewhere,
		getpid());
	assert_change(&links, 1, "eth0 eth1");
	ck_assert_uint_ne(since(&links, "eth0"), eth0);
	ck_assert_uint_eq(since(&links, "eth1"), eth1);
	eth0 = since(&links, "eth0");
	/* Not every kernel renames what is up. */
	shell("ip link set eth0 down; ip link set eth1 down");
	shell("ip link set eth0 name x; ip link set eth1 name eth0; ip link set x name eth1");
	assert_change(&links, 1, "eth0 eth1");
	ck_assert(since(&links, "eth0") != eth0 && since(&links, "eth1") != eth1);
	links_close(&links);
}
END_TEST

/* What cannot be read leaves the devices as they were; as soon as it can be, they are as they are. */
START_TEST(test_is_behind_and_catches_up)
{
	struct links links = open_in_fresh_netns();
	int fd = links_fd(&links), kept = dup(fd), other = open("/dev/null", O_RDONLY);
	struct err err = {""};
	ck_assert(kept >= 0 && other >= 0 && dup2(other, fd) == fd);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_lt(links_read(&links, &err), 0);
		ck_assert(links.stale);
		assert_devices(&links, "eth0 eth1");
	}
	ck_assert_int_eq(dup2(kept, fd), fd);
	shell("ip link add br0 type bridge; ip link del eth0");
	assert_change(&links, 1, "br0");
	ck_assert(!links.stale);
	assert_change(&links, 0, "br0");
	close(kept);
	close(other);
	links_close(&links);
}
END_TEST

/* More is reported than the socket can hold: then what there is is read anew. */
START_TEST(test_loses_nothing)
{
	struct links links = open_in_fresh_netns();
	int small = 1;
	ck_assert_int_eq(setsockopt(links_fd(&links), SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	shell("ip link del eth0; for i in $(seq 1 60); do ip link add d$i type bridge; done; ip link del d7");
	struct err err = {""};
	ck_assert_msg(links_read(&links, &err) == 1, "%s", err.text);
	ck_assert_uint_eq(links.count, 59);
	shell("ip link add last type bridge");
	ck_assert_int_eq(links_read(&links, &err), 1);
	ck_assert_uint_eq(links.count, 60);
	links_close(&links);
}
END_TEST

START_TEST(test_makes_rules)
{
	struct links links = open_in_fresh_netns();
	struct conf conf = conf_default();
	struct err err = {""};
	struct ruleset *rules = links_ruleset(&links, &conf, RULESET_OWNED, &err);
	struct ruleset *now = links_ruleset_now(&conf, RULESET_OWNED, &err);
	ck_assert(rules && now);
	char *text = rules_text(rules), *same = rules_text(now);
	ck_assert_ptr_nonnull(strstr(text, "egress device \"eth1\""));
	ck_assert_ptr_null(strstr(text, "device \"lo\""));
	assert_same_text(same, text);
	free(text);
	free(same);
	ruleset_free(rules);
	ruleset_free(now);
	links_close(&links);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("links");
	TCase *cases = tcase_create("links");
	tcase_set_timeout(cases, 60);
	tcase_add_test(cases, test_follows);
	tcase_add_test(cases, test_tells_a_device_from_its_namesake);
	tcase_add_test(cases, test_is_behind_and_catches_up);
	tcase_add_test(cases, test_loses_nothing);
	tcase_add_test(cases, test_makes_rules);
	suite_add_tcase(suite, cases);
	return suite_run(suite);
}
