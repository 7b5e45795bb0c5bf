/* In the control's network: no rule but those that a test loads, and no packet leaves it. Needs root and nft. */
#include "canary_flight.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control_net.h"
#include "suite.h"

static const struct conf conf = {.divert = {.ports = {25, 2525}, .port_count = 2}};

/* The network is the test's own: its process ends with it. */
static void network_enter(struct canary_plan *plan)
{
	struct err err;
	signal(SIGALRM, SIG_DFL); /* Check's handler ends the process group */
	alarm(180);
	*plan = (struct canary_plan){.v4 = canary_range_choose(AF_INET, &conf, NULL, 0),
		.v6 = canary_range_choose(AF_INET6, &conf, NULL, 0)};
	ck_assert_msg(control_net_enter(&plan->v4, &plan->v6, &err) == 0, "%s", err.text);
}

static void rules_load(const char *rules)
{
	FILE *to = popen("nft -f -", "w");
	ck_assert_ptr_nonnull(to);
	fputs(rules, to);
	ck_assert_int_eq(pclose(to), 0);
}

static void fly(struct canary_plan *plan)
{
	struct err err;
	struct witness witness;
	int home = netspace_own();
	ck_assert_int_ge(home, 0);
	ck_assert_msg(witness_open(&witness, &plan->v4, &plan->v6, &err) == 0, "%s", err.text);
	ck_assert_msg(canary_plan_make(plan, &conf, NULL, &err) == 0, "%s", err.text);
	ck_assert_uint_eq(canary_flight(plan, &witness, home), 0);
	witness_close(&witness);
	close(home);
}

static unsigned count_outcome(const struct canary_plan *plan, enum canary_outcome outcome)
{
	unsigned count = 0;
	for (size_t i = 0; i < plan->count; i++)
		count += plan->canaries[i].outcome == outcome;
	return count;
}

static const struct canary *find(
	const struct canary_plan *plan, const char *kind, uint8_t family, const char *where)
{
	for (size_t i = 0; i < plan->count; i++) {
		const struct canary *canary = &plan->canaries[i];
		if (strcmp(canary->kind->name, kind) == 0 && canary->destination.family == family &&
			(!where || strcmp(canary->where, where) == 0))
			return canary;
	}
	ck_abort_msg("no canary %s, family %u", kind, family);
}

/* Each kind, in each family, for each port and by each device. */
START_TEST(without_rules_every_kind_is_seen_to_leave)
{
	struct canary_plan plan;
	network_enter(&plan);
	fly(&plan);
	for (size_t i = 0; i < plan.count; i++) {
		const struct canary *canary = &plan.canaries[i];
		/* The pair's far end has neither address nor route, and its queue may still be asleep. */
		if (strcmp(canary->where, "canary1") == 0)
			continue;
		ck_assert_msg(canary->outcome == CANARY_LEFT, "%s %s port %u family %u: %s (%s)",
			canary->kind->name, canary->where, canary->port, canary->destination.family,
			canary_outcome_name(canary->outcome), canary->detail);
		ck_assert_str_eq(canary->seen_on, "canary0");
		ck_assert_str_eq(canary->detail, "");
	}
	for (const struct canary_kind *kind = canary_kinds; kind->name; kind++) {
		if (kind->scope == CANARY_PER_CONTAINER)
			continue;
		const struct canary *canary =
			find(&plan, kind->name, kind->families & CANARY_IPV4 ? AF_INET : AF_INET6, NULL);
		ck_assert_uint_eq(canary->port, 25);
	}
	canary_plan_done(&plan);
}
END_TEST

/* The tap sits behind the last of the kernel's filters: what that drops is not seen, past the queue or not. */
START_TEST(what_egress_drops_is_not_seen)
{
	struct canary_plan plan;
	network_enter(&plan);
	rules_load("table netdev t {\nchain c {\ntype filter hook egress devices = { canary0, canary1 } "
		   "priority 0\n"
		   "drop\n}\n}\n");
	fly(&plan);
	ck_assert_uint_gt(plan.count, 20);
	ck_assert_uint_eq(count_outcome(&plan, CANARY_LEFT), 0);
	ck_assert_int_eq(find(&plan, "packet socket, no queue", AF_INET, NULL)->outcome, CANARY_STOPPED);
	ck_assert_int_eq(find(&plan, "connect", AF_INET, NULL)->outcome, CANARY_SILENT);
	canary_plan_done(&plan);
}
END_TEST

/* One hole: the witness names the one path that leads through it. */
START_TEST(one_hole_is_named)
{
	struct canary_plan plan;
	network_enter(&plan);
	rules_load("table netdev t {\nchain c {\ntype filter hook egress devices = { canary0, canary1 } "
		   "priority 0\n"
		   "meta protocol ip ip frag-off & 0x1fff != 0 accept\ndrop\n}\n}\n"
		   "table inet u {\nchain c {\ntype filter hook output priority 0\n"
		   "meta l4proto tcp drop\n}\n}\n");
	fly(&plan);
	for (size_t i = 0; i < plan.count; i++) {
		const struct canary *canary = &plan.canaries[i];
		bool hole = canary->kind->send == canary_frame_rest && canary->destination.family == AF_INET;
		ck_assert_msg((canary->outcome == CANARY_LEFT) == hole, "%s %s: %s", canary->kind->name,
			canary->where, canary_outcome_name(canary->outcome));
	}
	canary_plan_done(&plan);
}
END_TEST

/* A foreign nat sends it elsewhere, from another address: it is known by what nat leaves alone. */
START_TEST(rewritten_canary_is_known)
{
	struct canary_plan plan;
	network_enter(&plan);
	rules_load("table inet t {\nchain c {\ntype nat hook output priority -150\n"
		   "tcp dport 25 dnat ip to 198.51.100.254:587\n}\n"
		   "chain p {\ntype filter hook output priority 0\n"
		   "ip daddr 198.51.100.254 accept\nmeta l4proto tcp drop\n}\n}\n");
	fly(&plan);
	const struct canary *canary = find(&plan, "connect", AF_INET, NULL);
	ck_assert_int_eq(canary->outcome, CANARY_LEFT);
	ck_assert_str_eq(canary->detail, "rewritten to 198.51.100.254 port 587");
	ck_assert_int_ne(find(&plan, "connect", AF_INET6, NULL)->outcome, CANARY_LEFT);
	canary_plan_done(&plan);
}
END_TEST

static const struct {
	const char *rule;
	uint8_t family;
	enum canary_outcome outcome;
} answers[] = {
	/* SYNs alone: the reset, too, would meet a rule on TCP. */
	{"tcp flags & (syn | rst) == syn reject with tcp reset", AF_INET, CANARY_REFUSED},
	{"tcp flags & (syn | rst) == syn reject with tcp reset", AF_INET6, CANARY_REFUSED},
	{"meta l4proto tcp reject with icmpx admin-prohibited", AF_INET, CANARY_REFUSED},
	{"meta l4proto tcp reject with icmpx no-route", AF_INET, CANARY_REFUSED},
	{"meta l4proto tcp drop", AF_INET, CANARY_SILENT},
	{"meta l4proto tcp drop", AF_INET6, CANARY_SILENT},
};

START_TEST(answers_are_told_apart)
{
	struct canary_plan plan;
	network_enter(&plan);
	char rules[512];
	snprintf(rules, sizeof(rules),
		"table inet t {\nchain c {\ntype filter hook output priority 0\n%s\n}\n}\n",
		answers[_i].rule);
	rules_load(rules);
	/* Rejection is an answer that comes by way of loopback. */
	ck_assert_int_eq(system("ip link set lo up"), 0);
	fly(&plan);
	const struct canary *canary = find(&plan, "connect", answers[_i].family, NULL);
	ck_assert_msg(canary->outcome == answers[_i].outcome, "%s: %s (%s)", answers[_i].rule,
		canary_outcome_name(canary->outcome), canary->detail);
	ck_assert_int_eq(canary_in_order(canary), answers[_i].outcome != CANARY_SILENT);
	ck_assert_int_eq(find(&plan, "raw IP", answers[_i].family, NULL)->outcome, CANARY_STOPPED);
	canary_plan_done(&plan);
}
END_TEST

/* Without routes nothing can leave by connect(); packet sockets ask for none. */
START_TEST(no_route_is_said)
{
	struct canary_plan plan;
	network_enter(&plan);
	ck_assert_int_eq(system("ip route flush table main && ip -6 route flush table main"), 0);
	fly(&plan);
	ck_assert_int_eq(find(&plan, "connect", AF_INET, NULL)->outcome, CANARY_NO_ROUTE);
	ck_assert_int_eq(find(&plan, "connect", AF_INET6, NULL)->outcome, CANARY_NO_ROUTE);
	ck_assert_int_eq(find(&plan, "packet socket", AF_INET, "canary0")->outcome, CANARY_LEFT);
	canary_plan_done(&plan);
}
END_TEST

/* Each mark that routing rules know has a way of its own. */
START_TEST(marks_take_their_own_way)
{
	struct canary_plan plan;
	network_enter(&plan);
	ck_assert_int_eq(
		system("ip rule add fwmark 0x19 lookup 25 && ip rule add fwmark 0x20/0xff unreachable && "
		       "ip -6 rule add fwmark 0x19 lookup 25 && ip route add default dev canary1 table 25"),
		0);
	fly(&plan);
	ck_assert_int_eq(find(&plan, "connect, marked", AF_INET, "mark 0x1")->outcome, CANARY_LEFT);
	ck_assert_str_eq(find(&plan, "connect, marked", AF_INET, "mark 0x1")->seen_on, "canary0");
	ck_assert_int_eq(find(&plan, "connect, marked", AF_INET, "mark 0x20")->outcome, CANARY_NO_ROUTE);
	ck_assert_int_ne(find(&plan, "connect, marked", AF_INET, "mark 0x19")->outcome, CANARY_NO_ROUTE);
	canary_plan_done(&plan);
}
END_TEST

/* More than there are addresses for: a host with many source addresses. */
START_TEST(many_sources_take_several_rounds)
{
	struct canary_plan plan;
	network_enter(&plan);
	ck_assert_int_eq(system("for i in $(seq 1 200); do for j in 1 2; do "
				"echo address add 10.0.$j.$i/32 dev canary0; done; done | ip -batch -"),
		0);
	fly(&plan);
	unsigned sources = 0;
	for (size_t i = 0; i < plan.count; i++) {
		const struct canary *canary = &plan.canaries[i];
		if (canary->kind->scope != CANARY_PER_SOURCE || canary->destination.family != AF_INET)
			continue;
		sources++;
		ck_assert_msg(canary->outcome == CANARY_LEFT, "%s: %s", canary->where,
			canary_outcome_name(canary->outcome));
	}
	ck_assert_uint_eq(sources, 2 * 401);
	canary_plan_done(&plan);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("canary_flight");
	TCase *tcase = tcase_create("canary_flight");
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, without_rules_every_kind_is_seen_to_leave);
	tcase_add_test(tcase, what_egress_drops_is_not_seen);
	tcase_add_test(tcase, one_hole_is_named);
	tcase_add_test(tcase, rewritten_canary_is_known);
	tcase_add_loop_test(tcase, answers_are_told_apart, 0, sizeof(answers) / sizeof(answers[0]));
	tcase_add_test(tcase, no_route_is_said);
	tcase_add_test(tcase, marks_take_their_own_way);
	tcase_add_test(tcase, many_sources_take_several_rounds);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
