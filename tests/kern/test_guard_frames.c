/* What packet sockets and raw sockets send past the IP stack, seen (or not) by a witness on the far side. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/rules.h"
#include "guard.h"
#include "internet.h"
#include "links.h"
#include "netns.h"
#include "suite.h"

#define SOURCE_MAC "\x02\0\0\0\0\xa1"
#define TARGET_MAC "\x02\0\0\0\0\xa2"
#define BOTH_MACS  TARGET_MAC SOURCE_MAC
#define TAG        "\x81\0\0\7"
/* Tags whose priority reads as a version of IP. */
#define TAG_AS_IP4 "\x81\0\x40\7"
#define TAG_AS_IP6 "\x81\0\x60\7"
/* The second number is where IPv6 has its length. */
#define TAGS_AS_IP6(inner) TAG_AS_IP6 inner "\0\7"

/* 192.0.2.1 to 198.51.100.1, total length and fragment offset as given, protocol TCP. */
#define IP4(first, len, fragment) first "\0\0" len "\x4d\x58" fragment "\x40\6\0\0\xc0\0\2\1\xc6\x33\x64\1"
/* 2001:db8:a::1 to 2001:db8::1. */
#define IP6(len, next)          \
	"\x60\0\0\0\0" len next \
	"\x40\x20\1\r\xb8\0\x0a\0\0\0\0\0\0\0\0\0\1\x20\1\r\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
#define SYN(port)                   "\x30\x39" port "\0\0\0\1\0\0\0\0\x50\2\xff\xff\0\0\0\0"
#define OPTIONS                     "\1\1\1\1" /* no operation, four times */
#define TCP(source, port, seq, ack) source port seq ack "\x50\2\xff\xff\0\0\0\0"
/* From a source of the sender's choice, to 2001:db8::1. */
#define IP6_FROM(source, len) "\x60\0\0\0\0" len "\6\x40" source "\x20\1\r\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
#define SMTP                  "\0\x19"
#define DISCARD               "\0\x09"
#define OFFSET_NONE           "\0\0"

struct frame {
	const char *what;
	bool stopped;
	uint16_t protocol; /* as the sender says; 0: let the kernel look */
	size_t len;
	const char *bytes;
};

#define FRAME(what, stopped, protocol, bytes)                     \
	{                                                         \
		what, stopped, protocol, sizeof(bytes) - 1, bytes \
	}

static const struct frame frames[] = {
	FRAME("IPv4", true, ETH_P_IP, BOTH_MACS "\x08\0" IP4("\x45", "\x28", OFFSET_NONE) SYN(SMTP)),
	FRAME("IPv6", true, ETH_P_IPV6, BOTH_MACS "\x86\xdd" IP6("\x14", "\6") SYN(SMTP)),
	FRAME("IPv4 with options", true, ETH_P_IP,
		BOTH_MACS "\x08\0" IP4("\x46", "\x2c", OFFSET_NONE) OPTIONS SYN(SMTP)),
	FRAME("IPv4 with a false protocol", true, 0x1234,
		BOTH_MACS "\x08\0" IP4("\x45", "\x28", OFFSET_NONE) SYN(SMTP)),
	FRAME("IPv6 with a false protocol", true, 0x1234, BOTH_MACS "\x86\xdd" IP6("\x14", "\6") SYN(SMTP)),
	FRAME("a later fragment", true, ETH_P_IP, BOTH_MACS "\x08\0" IP4("\x45", "\x1c", "\0\1") "rest of."),
	FRAME("IPv6 with extension header", true, ETH_P_IPV6,
		BOTH_MACS "\x86\xdd" IP6("\x1c", "\x3c") "\6\0\1\4\0\0\0\0" SYN(SMTP)),
	FRAME("IPv6 later fragment", true, ETH_P_IPV6,
		BOTH_MACS "\x86\xdd" IP6("\x10", "\x2c") "\6\0\0\x08\0\0\0\1"
							 "rest of."),
	FRAME("a first fragment that ends before the port", true, ETH_P_IP,
		BOTH_MACS "\x08\0" IP4("\x45", "\x16", "\x20\0") "\x30\x39"),
	FRAME("IPv6 first fragment without its TCP header", true, ETH_P_IPV6,
		BOTH_MACS "\x86\xdd" IP6("\x10", "\x2c") "\x3c\0\0\1\0\0\0\1"
							 "\6\0\1\4\0\0\0\0"),
	FRAME("tagged", true, 0, BOTH_MACS TAG "\x08\0" IP4("\x45", "\x28", OFFSET_NONE) SYN(SMTP)),
	FRAME("tagged IPv6", true, 0, BOTH_MACS TAG "\x86\xdd" IP6("\x14", "\6") SYN(SMTP)),
	FRAME("tagged IPv4 with options", true, 0,
		BOTH_MACS TAG "\x08\0" IP4("\x46", "\x2c", OFFSET_NONE) OPTIONS SYN(SMTP)),
	FRAME("tagged later fragment", true, 0,
		BOTH_MACS TAG "\x08\0" IP4("\x45", "\x1c", "\0\1") "rest of."),
	FRAME("tagged IPv6 with extension header", true, 0,
		BOTH_MACS TAG "\x86\xdd" IP6("\x1c", "\x3c") "\6\0\1\4\0\0\0\0" SYN(SMTP)),
	FRAME("twice tagged", true, 0, BOTH_MACS TAG TAG "\x08\0" IP4("\x45", "\x28", OFFSET_NONE) SYN(SMTP)),
	FRAME("twice tagged IPv6", true, 0, BOTH_MACS TAG TAG "\x86\xdd" IP6("\x14", "\6") SYN(SMTP)),
	FRAME("three times tagged", true, 0,
		BOTH_MACS TAG TAG TAG "\x08\0" IP4("\x45", "\x28", OFFSET_NONE) SYN(SMTP)),
	/* Who names a protocol, a true one or not, and bypasses the queue leaves the frame's beginning unknown. */
	FRAME("tagged, as it says", true, ETH_P_8021Q,
		BOTH_MACS TAG "\x08\0" IP4("\x45", "\x28", OFFSET_NONE) SYN(SMTP)),
	FRAME("tagged IPv4 with options, as it says", true, ETH_P_8021Q,
		BOTH_MACS TAG "\x08\0" IP4("\x46", "\x2c", OFFSET_NONE) OPTIONS SYN(SMTP)),
	FRAME("tagged later fragment, as it says", true, ETH_P_8021Q,
		BOTH_MACS TAG "\x08\0" IP4("\x45", "\x1c", "\0\1") "rest of."),
	FRAME("twice tagged IPv6 with extension header, as it says", true, ETH_P_8021Q,
		BOTH_MACS TAG TAG "\x86\xdd" IP6("\x1c", "\x3c") "\6\0\1\4\0\0\0\0" SYN(SMTP)),
	FRAME("three times tagged, as it says", true, ETH_P_8021Q,
		BOTH_MACS TAG TAG TAG "\x08\0" IP4("\x45", "\x28", OFFSET_NONE) SYN(SMTP)),
	FRAME("IPv4 with options and a false protocol", true, 0x1234,
		BOTH_MACS "\x08\0" IP4("\x46", "\x2c", OFFSET_NONE) OPTIONS SYN(SMTP)),
	FRAME("IPv6 later fragment with a false protocol", true, ETH_P_ARP,
		BOTH_MACS "\x86\xdd" IP6("\x10", "\x2c") "\6\0\0\x08\0\0\0\1"
							 "rest of."),
	FRAME("tagged with a false protocol", true, ETH_P_ARP,
		BOTH_MACS TAG "\x08\0" IP4("\x45", "\x28", OFFSET_NONE) SYN(SMTP)),
	FRAME("tagged IPv6 with a false protocol", true, ETH_P_IP,
		BOTH_MACS TAG "\x86\xdd" IP6("\x14", "\6") SYN(SMTP)),
	FRAME("twice tagged IPv4 said to be IPv6", true, ETH_P_IPV6,
		BOTH_MACS TAGS_AS_IP6("\x81\0") "\x08\0" IP4("\x45", "\x28", OFFSET_NONE) SYN(SMTP)),
	FRAME("twice tagged IPv6 said to be IPv6", true, ETH_P_IPV6,
		BOTH_MACS TAGS_AS_IP6("\x88\xa8") "\x86\xdd" IP6("\x14", "\6") SYN(SMTP)),
	FRAME("three times tagged IPv4 said to be IPv6", true, ETH_P_IPV6,
		BOTH_MACS TAGS_AS_IP6("\x81\0") TAG "\x08\0" IP4("\x45", "\x28", OFFSET_NONE) SYN(SMTP)),
	/* And none of what is nobody's mail. */
	FRAME("another port", false, ETH_P_IP,
		BOTH_MACS "\x08\0" IP4("\x45", "\x28", OFFSET_NONE) SYN(DISCARD)),
	FRAME("another port, tagged", false, 0,
		BOTH_MACS TAG "\x08\0" IP4("\x45", "\x28", OFFSET_NONE) SYN(DISCARD)),
	FRAME("another port, IPv6 twice tagged", false, 0,
		BOTH_MACS TAG TAG "\x86\xdd" IP6("\x14", "\6") SYN(DISCARD)),
	FRAME("ARP", false, ETH_P_ARP,
		BOTH_MACS "\x08\6"
			  "\0\1\x08\0\6\4\0\1" SOURCE_MAC "\xc0\0\2\1"
			  "\0\0\0\0\0\0"
			  "\xc0\0\2\2"),
	/* Behind a tag the address of its card stands where TCP would be with one more. */
	FRAME("ARP, tagged", false, 0,
		BOTH_MACS TAG "\x08\6"
			      "\0\1\x08\0\6\4\0\1"
			      "\x02\0\0\0\0\6\xc0\0\2\1"
			      "\0\0\0\0\0\0"
			      "\xc0\0\2\2"),
	FRAME("a listener report", false, 0,
		BOTH_MACS TAG "\x86\xdd" IP6("\x10", "\0") "\x3a\0\5\2\0\0\0\0"
							   "\x83\0\0\0\0\0\0\0"),
};

/*
 * Each says that it is what it is not, so that an address of ours stands where the destination would: with
 * 192.0.2.0/24, 2001:db8:a::/48 and fd00::/8 excluded.
 */
static const struct frame frames_excluded[] = {
	FRAME("tagged IPv4 said to be IPv4", true, ETH_P_IP,
		BOTH_MACS TAG_AS_IP4 "\x08\0" IP4("\x45", "\x28", OFFSET_NONE) SYN(SMTP)),
	FRAME("IPv4 said to be IPv6", true, ETH_P_IPV6,
		BOTH_MACS "\x08\0" IP4("\x45", "\x28", OFFSET_NONE)
			TCP("\x30\x39", SMTP, "\x20\1\r\xb8", "\0\x0a\0\0")),
	FRAME("IPv6 said to be IPv4", true, ETH_P_IP,
		BOTH_MACS "\x86\xdd" IP6_FROM("\x20\1\r\xb8\0\x0a\0\0\xc0\0\2\1\0\0\0\1", "\x14") SYN(SMTP)),
	FRAME("tagged IPv4 said to be IPv6", true, ETH_P_IPV6,
		BOTH_MACS TAG_AS_IP6 "\x08\0" IP4("\x45", "\x28", OFFSET_NONE)
			TCP("\xfd\0", SMTP, "\0\0\0\1", "\0\0\0\0")),
	FRAME("tagged IPv6 said to be IPv6", true, ETH_P_IPV6,
		BOTH_MACS TAG_AS_IP6 "\x86\xdd" IP6_FROM("\x20\1\r\xb8\0\x0a\0\0\0\0\0\0\xfd\0\0\1", "\x14")
			SYN(SMTP)),
	FRAME("tagged, to an excluded one", true, 0,
		BOTH_MACS TAG "\x08\0"
			      "\x45\0\0\x28\x4d\x58\0\0\x40\6\0\0\xc0\0\2\1\xc0\0\2\2" SYN(SMTP)),
	FRAME("to an excluded one and on from there", true, ETH_P_IP,
		BOTH_MACS "\x08\0"
			  "\x47\0\0\x30\x4d\x58\0\0\x40\6\0\0\xc0\0\2\1\xc0\0\2\2"
			  "\1\x83\7\4\xc6\x33\x64\1" SYN(SMTP)),
	FRAME("to an excluded one and on from there, IPv6", true, ETH_P_IPV6,
		BOTH_MACS "\x86\xdd"
			  "\x60\0\0\0\0\x2c\x2b\x40\x20\1\r\xb8\0\x0a\0\0\0\0\0\0\0\0\0\1"
			  "\x20\1\r\xb8\0\x0a\0\0\0\0\0\0\0\0\0\2"
			  "\6\2\4\1\0\0\0\0\x20\1\r\xb8\0\0\0\0\0\0\0\0\0\0\0\1" SYN(SMTP)),
	FRAME("to an excluded one", false, ETH_P_IP,
		BOTH_MACS "\x08\0"
			  "\x45\0\0\x28\x4d\x58\0\0\x40\6\0\0\xc0\0\2\1\xc0\0\2\2" SYN(SMTP)),
	FRAME("to an excluded one, IPv6", false, ETH_P_IPV6,
		BOTH_MACS "\x86\xdd"
			  "\x60\0\0\0\0\x14\6\x40\x20\1\r\xb8\0\x0a\0\0\0\0\0\0\0\0\0\1"
			  "\x20\1\r\xb8\0\x0a\0\0\0\0\0\0\0\0\0\2" SYN(SMTP)),
};

/* A socket that sees what arrives at the internet's end of the wire. */
static int witness_open(const struct internet *world)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/ns/net", world->internet);
	int home = open("/proc/self/ns/net", O_RDONLY), there = open(path, O_RDONLY);
	ck_assert(home >= 0 && there >= 0 && setns(there, CLONE_NEWNET) == 0);
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(ETH_P_ALL));
	ck_assert_int_ge(fd, 0);
	struct sockaddr_ll in = {.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = (int)if_nametoindex("in")};
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	int on = 1;
	ck_assert_int_eq(setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)), 0);
	ck_assert_int_eq(setns(home, CLONE_NEWNET), 0);
	close(home);
	close(there);
	return fd;
}

/*
 * Whether a frame with the same last octets arrives; a tag may have been taken off its head. Where it is to come it is
 * waited for, as a busy kernel hands it on by ksoftirqd; else it has 2 ms, and the counter of what was dropped tells.
 */
static bool witness_saw(int fd, const struct frame *frame, bool waited_for)
{
	char buf[2048];
	bool saw = false;
	ssize_t len;
	struct pollfd arrival = {fd, POLLIN, 0};
	while (poll(&arrival, 1,
		       !waited_for ? 2
		       : saw       ? 0
				   : 5000) == 1 &&
		(len = recv(fd, buf, sizeof(buf), 0)) >= 0)
		saw |= (size_t)len + 4 >= frame->len && len >= 20 &&
		       memcmp(buf + len - 16, frame->bytes + frame->len - 16, 16) == 0;
	return saw;
}

static void send_frame(const struct frame *frame, bool bypass)
{
	int fd = socket(AF_PACKET, SOCK_RAW, 0), on = 1;
	ck_assert_int_ge(fd, 0);
	if (bypass)
		ck_assert_int_eq(setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on)), 0);
	struct sockaddr_ll out = {.sll_family = AF_PACKET,
		.sll_protocol = htons(frame->protocol),
		.sll_ifindex = (int)if_nametoindex("out"),
		.sll_halen = ETH_ALEN};
	memcpy(out.sll_addr, TARGET_MAC, ETH_ALEN);
	/* What is dropped is an error to some senders, and none to others. */
	ssize_t sent = sendto(fd, frame->bytes, frame->len, 0, (struct sockaddr *)&out, sizeof(out));
	ck_assert_msg(sent == (ssize_t)frame->len || errno == ENOBUFS || errno == ENETDOWN || errno == EPERM,
		"%s: %s", frame->what, strerror(errno));
	close(fd);
}

static uint64_t dropped(struct guard *guard)
{
	struct guard_counts counts;
	struct err err = {""};
	ck_assert_msg(guard_counts(guard, RULESET_OWNED, &counts, &err) == 0, "%s", err.text);
	return counts.counters[RULESET_DROPPED_EGRESS].packets;
}

static void assert_all_seen(int witness, bool bypass, const struct frame *all, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		send_frame(&all[i], bypass);
		ck_assert_msg(witness_saw(witness, &all[i], true), "canary: %s was not seen", all[i].what);
	}
}

/* Seen, stopped and counted once the rules stand, seen again without them. */
static void assert_frames(const struct conf *conf, bool bypass, const struct frame *all, size_t count)
{
	struct internet world;
	netns_fresh();
	internet_make(&world);
	int witness = witness_open(&world);
	assert_all_seen(witness, bypass, all, count);

	struct err err = {""};
	struct guard *guard = guard_new(-1, &err);
	struct ruleset *rules = links_ruleset_now(conf, RULESET_OWNED, &err);
	ck_assert_msg(rules && guard_arm(guard, rules, &err) == 0, "%s", err.text);
	for (size_t i = 0; i < count; i++) {
		uint64_t before = dropped(guard);
		send_frame(&all[i], bypass);
		ck_assert_msg(
			witness_saw(witness, &all[i], !all[i].stopped) != all[i].stopped, "%s", all[i].what);
		ck_assert_msg(dropped(guard) - before == all[i].stopped, "%s: counted %llu", all[i].what,
			(unsigned long long)(dropped(guard) - before));
	}
	ck_assert_int_eq(guard_disarm(guard, &err), 0);
	assert_all_seen(witness, bypass, all, count);
	ruleset_free(rules);
	guard_free(guard);
	close(witness);
}

START_TEST(test_frames)
{
	struct conf conf = conf_default();
	assert_frames(&conf, _i, frames, sizeof(frames) / sizeof(frames[0]));
}
END_TEST

START_TEST(test_frames_excluded)
{
	struct conf conf = conf_default();
	struct conf_block lan[] = {
		{AF_INET, 24, {192, 0, 2}},
		{AF_INET6, 48, {0x20, 1, 0x0d, 0xb8, 0, 0x0a}},
		{AF_INET6, 8, {0xfd}},
	};
	conf.divert.exclude = lan;
	conf.divert.exclude_count = sizeof(lan) / sizeof(lan[0]);
	assert_frames(&conf, _i, frames_excluded, sizeof(frames_excluded) / sizeof(frames_excluded[0]));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("guard_frames");
	TCase *cases = tcase_create("guard_frames");
	tcase_set_timeout(cases, 60);
	tcase_add_loop_test(cases, test_frames, 0, 2);
	tcase_add_loop_test(cases, test_frames_excluded, 0, 2);
	suite_add_tcase(suite, cases);
	return suite_run(suite);
}
