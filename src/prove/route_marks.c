#include "route_marks.h"

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>

#include "rtnl.h"

/* Shows firewall rules that let marked packets pass, whatever the mark. */
#define ANY_MARK 1

static void add(struct route_marks *found, uint32_t mark)
{
	for (size_t i = 0; i < found->count; i++)
		if (found->marks[i] == mark)
			return;
	if (mark != 0 && found->count < ROUTE_MARKS_MAX)
		found->marks[found->count++] = mark;
}

static int rule_answer(const struct nlmsghdr *answer, void *data)
{
	const struct nlattr *attr;
	mnl_attr_for_each(attr, answer, sizeof(struct fib_rule_hdr))
	{
		if (mnl_attr_get_type(attr) == FRA_FWMARK)
			add(data, mnl_attr_get_u32(attr));
	}
	return MNL_CB_OK;
}

void route_marks_find(struct route_marks *found)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	*found = (struct route_marks){.marks = {ANY_MARK}, .count = 1};
	struct rtnl rtnl;
	if (rtnl_open(&rtnl) < 0)
		return;
	for (size_t i = 0; i < sizeof(families); i++) {
		struct nlmsghdr *request = rtnl_begin(&rtnl, RTM_GETRULE, NLM_F_DUMP);
		struct fib_rule_hdr *rule = mnl_nlmsg_put_extra_header(request, sizeof(*rule));
		rule->family = families[i];
		/* A kernel without rules for a family has no marks in them. */
		(void)rtnl_talk(&rtnl, request, rule_answer, found);
	}
	rtnl_close(&rtnl);
}
