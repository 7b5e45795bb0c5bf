#include "bypass.h"

#include <check.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "netns.h"
#include "suite.h"

static struct bypass found[8];

static int look(void)
{
	struct err err = {""};
	int count = bypass_find(found, 8, &err);
	ck_assert_msg(count >= 0, "%s", err.text);
	return count;
}

START_TEST(test_nothing)
{
	netns_fresh();
	shell("ip link add one type veth peer name two");
	ck_assert_int_eq(look(), 0);
}
END_TEST

START_TEST(test_tc)
{
	netns_fresh();
	shell("ip link add one type veth peer name two && tc qdisc add dev one %s",
		_i ? "clsact" : "ingress");
	ck_assert_int_eq(look(), 1);
	ck_assert_str_eq(found[0].device, "one");
	ck_assert(found[0].tc && !found[0].xdp);
	shell("tc qdisc del dev one %s", _i ? "clsact" : "ingress");
	ck_assert_int_eq(look(), 0);
}
END_TEST

/* An XDP program of two instructions that lets every packet pass. */
static int xdp_pass(void)
{
	const struct bpf_insn code[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS},
		{.code = BPF_JMP | BPF_EXIT},
	};
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_XDP,
		.insns = (uintptr_t)code,
		.insn_cnt = sizeof(code) / sizeof(code[0]),
		.license = (uintptr_t) "GPL",
	};
	return (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
}

START_TEST(test_xdp)
{
	netns_fresh();
	shell("ip link add one type veth peer name two");
	int program = xdp_pass();
	ck_assert_msg(program >= 0, "the kernel takes no XDP program: %m");
	union bpf_attr attr = {0};
	attr.link_create.prog_fd = (uint32_t)program;
	attr.link_create.target_ifindex = if_nametoindex("two");
	attr.link_create.attach_type = BPF_XDP;
	attr.link_create.flags = XDP_FLAGS_SKB_MODE;
	int attached = (int)syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
	ck_assert_msg(attached >= 0, "the program cannot be attached: %m");
	ck_assert_int_eq(look(), 1);
	ck_assert_str_eq(found[0].device, "two");
	ck_assert(found[0].xdp && !found[0].tc);
	close(attached);
	close(program);
	ck_assert_int_eq(look(), 0);
}
END_TEST

START_TEST(test_more_than_fit)
{
	netns_fresh();
	struct err err = {""};
	shell("for i in 1 2 3; do ip link add a$i type veth peer name b$i; tc qdisc add dev a$i clsact; "
	      "done");
	ck_assert_int_eq(bypass_find(found, 2, &err), 2);
	ck_assert_int_eq(look(), 3);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bypass");
	TCase *tcase = tcase_create("bypass");
	tcase_add_test(tcase, test_nothing);
	tcase_add_loop_test(tcase, test_tc, 0, 2);
	tcase_add_test(tcase, test_xdp);
	tcase_add_test(tcase, test_more_than_fit);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
