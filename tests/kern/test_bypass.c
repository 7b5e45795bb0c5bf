#include "bypass.h"

#include <check.h>
#include <errno.h>
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

/* A program of two instructions that gives every packet the same answer. */
static int program_load(uint32_t type, int32_t answer)
{
	const struct bpf_insn code[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = answer},
		{.code = BPF_JMP | BPF_EXIT},
	};
	union bpf_attr attr = {
		.prog_type = type,
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
	int program = program_load(BPF_PROG_TYPE_XDP, XDP_PASS);
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

/* As eBPF networks for containers do it today: no qdisc, nothing that tc would show. */
START_TEST(test_tcx)
{
	static const uint32_t hooks[] = {46, 47}; /* BPF_TCX_INGRESS, BPF_TCX_EGRESS */
	netns_fresh();
	shell("ip link add one type veth peer name two");
	int program = program_load(BPF_PROG_TYPE_SCHED_CLS, 0);
	ck_assert_msg(program >= 0, "the kernel takes no program for tc: %m");
	union bpf_attr attr = {0};
	attr.link_create.prog_fd = (uint32_t)program;
	attr.link_create.target_ifindex = if_nametoindex("two");
	attr.link_create.attach_type = hooks[_i];
	int attached = (int)syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
	/* Before 6.6 there is none. */
	ck_assert_msg(attached >= 0 || errno == EINVAL, "the program cannot be attached: %m");
	if (attached >= 0) {
		ck_assert_int_eq(look(), 1);
		ck_assert_str_eq(found[0].device, "two");
		ck_assert(found[0].tcx && !found[0].tc && !found[0].xdp);
		close(attached);
	}
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
	tcase_add_loop_test(tcase, test_tcx, 0, 2);
	tcase_add_test(tcase, test_more_than_fit);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
