#include "feature.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libnftnl/chain.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/table.h>
#include <limits.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_tuple_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/xt_NFQUEUE.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guard.h"
#include "kernel_table.h"
#include "nlsock.h"

/* The child is done within milliseconds, but for modules that are loaded from a slow disk. */
#define PROBE_SECONDS 30
#define PROBE_TABLE   "mxmirage_probe"
#define PROBE_CHAIN   "probe"
#define PROBE_QUEUE   25
/* linux/netfilter.h calls it NF_NETDEV_EGRESS from 5.16 on. */
#define HOOK_EGRESS 1

/* What a probe loads into a table of its own: a chain, and one rule of one or two expressions. */
struct probe {
	const char *name, *modules;
	uint32_t flags; /* of the table */
	uint8_t family;
	const char *type; /* of the chain; NULL = the table alone */
	uint32_t hook;
	int32_t priority;
	bool (*rule)(struct nftnl_rule *rule); /* NULL = none; false when out of memory */
	const char *device;                    /* of a netdev chain */
};

static struct nftnl_expr *expr_add(struct nftnl_rule *rule, const char *name)
{
	struct nftnl_expr *expr = nftnl_expr_alloc(name);
	if (expr)
		nftnl_rule_add_expr(rule, expr);
	return expr;
}

/* Redirect and reset ask for TCP ahead of them. */
static bool add_tcp(struct nftnl_rule *rule)
{
	static const uint8_t tcp = IPPROTO_TCP;
	struct nftnl_expr *meta = expr_add(rule, "meta"), *cmp = expr_add(rule, "cmp");
	if (!meta || !cmp)
		return false;
	nftnl_expr_set_u32(meta, NFTNL_EXPR_META_KEY, NFT_META_L4PROTO);
	nftnl_expr_set_u32(meta, NFTNL_EXPR_META_DREG, NFT_REG_1);
	nftnl_expr_set_u32(cmp, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
	nftnl_expr_set_u32(cmp, NFTNL_EXPR_CMP_OP, NFT_CMP_EQ);
	nftnl_expr_set(cmp, NFTNL_EXPR_CMP_DATA, &tcp, sizeof(tcp));
	return true;
}

static bool add_redir(struct nftnl_rule *rule)
{
	return add_tcp(rule) && expr_add(rule, "redir");
}

static bool add_fib(struct nftnl_rule *rule)
{
	struct nftnl_expr *expr = expr_add(rule, "fib");
	if (!expr)
		return false;
	nftnl_expr_set_u32(expr, NFTNL_EXPR_FIB_DREG, NFT_REG_1);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_FIB_FLAGS, NFTA_FIB_F_DADDR);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
	return true;
}

static bool add_ct(struct nftnl_rule *rule)
{
	struct nftnl_expr *expr = expr_add(rule, "ct");
	if (!expr)
		return false;
	nftnl_expr_set_u32(expr, NFTNL_EXPR_CT_KEY, NFT_CT_PROTO_DST);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_CT_DREG, NFT_REG_1);
	nftnl_expr_set_u8(expr, NFTNL_EXPR_CT_DIR, IP_CT_DIR_ORIGINAL);
	return true;
}

static bool add_reject(struct nftnl_rule *rule)
{
	struct nftnl_expr *expr = add_tcp(rule) ? expr_add(rule, "reject") : NULL;
	if (!expr)
		return false;
	nftnl_expr_set_u32(expr, NFTNL_EXPR_REJECT_TYPE, NFT_REJECT_TCP_RST);
	nftnl_expr_set_u8(expr, NFTNL_EXPR_REJECT_CODE, 0);
	return true;
}

static bool add_queue(struct nftnl_rule *rule)
{
	struct nftnl_expr *expr = expr_add(rule, "queue");
	if (!expr)
		return false;
	nftnl_expr_set_u16(expr, NFTNL_EXPR_QUEUE_NUM, PROBE_QUEUE);
	nftnl_expr_set_u16(expr, NFTNL_EXPR_QUEUE_TOTAL, 1);
	return true;
}

static bool add_xt_queue(struct nftnl_rule *rule)
{
	struct xt_NFQ_info_v3 *info = calloc(1, sizeof(*info));
	struct nftnl_expr *expr = info ? expr_add(rule, "target") : NULL;
	if (!expr) {
		free(info);
		return false;
	}
	*info = (struct xt_NFQ_info_v3){.queuenum = PROBE_QUEUE, .queues_total = 1};
	nftnl_expr_set_str(expr, NFTNL_EXPR_TG_NAME, "NFQUEUE");
	nftnl_expr_set_u32(expr, NFTNL_EXPR_TG_REV, 3);
	/* The expression takes the allocation over. */
	nftnl_expr_set(expr, NFTNL_EXPR_TG_INFO, info, sizeof(*info));
	return true;
}

static bool add_log(struct nftnl_rule *rule)
{
	struct nftnl_expr *expr = expr_add(rule, "log");
	if (!expr)
		return false;
	nftnl_expr_set_u16(expr, NFTNL_EXPR_LOG_GROUP, PROBE_QUEUE);
	return true;
}

#define OWNED         KERNEL_TABLE_OWNER
#define OWNED_PERSIST (KERNEL_TABLE_OWNER | KERNEL_TABLE_PERSIST)
#define LAST          "filter", NF_INET_LOCAL_OUT, INT_MAX
#define EGRESS        "filter", HOOK_EGRESS, 0
#define DIVERT        "nat", NF_INET_LOCAL_OUT, -199

static const struct probe probes[FEATURES] = {
	[FEATURE_TABLE] = {"nf_tables", "nf_tables", 0, NFPROTO_INET, NULL, 0, 0, NULL, NULL},
	[FEATURE_FILTER] = {"filter chains in inet", "nf_tables_inet", 0, NFPROTO_INET, LAST, NULL, NULL},
	[FEATURE_NAT] = {"nat chains in inet", "nft_chain_nat", 0, NFPROTO_INET, DIVERT, NULL, NULL},
	[FEATURE_REDIR] = {"redirect", "nft_redir", 0, NFPROTO_INET, DIVERT, add_redir, NULL},
	[FEATURE_FIB] = {"fib", "nft_fib_inet", 0, NFPROTO_INET, LAST, add_fib, NULL},
	[FEATURE_CT] = {"ct", "nft_ct", 0, NFPROTO_INET, LAST, add_ct, NULL},
	[FEATURE_REJECT] = {"reject", "nft_reject_inet", 0, NFPROTO_INET, LAST, add_reject, NULL},
	/* Every namespace has a loopback device, and a new one no other. */
	[FEATURE_EGRESS] = {"netdev egress chains", "", 0, NFPROTO_NETDEV, EGRESS, NULL, "lo"},
	[FEATURE_AHEAD] = {"egress chains for devices to come", "", 0, NFPROTO_NETDEV, EGRESS, NULL,
		"to_come"},
	[FEATURE_OWNER] = {"tables with an owner", "", OWNED, NFPROTO_INET, NULL, 0, 0, NULL, NULL},
	[FEATURE_PERSIST] = {"tables that outlive their owner", "", OWNED_PERSIST, NFPROTO_INET, NULL, 0, 0,
		NULL},
	[FEATURE_QUEUE] = {"nft_queue", "nft_queue", 0, NFPROTO_INET, LAST, add_queue, NULL},
	[FEATURE_XT_QUEUE] = {"xt_NFQUEUE, through nft_compat", "nft_compat xt_NFQUEUE", 0, NFPROTO_INET,
		LAST, add_xt_queue, NULL},
	[FEATURE_LOG] = {"NFLOG", "nft_log nfnetlink_log", 0, NFPROTO_INET, LAST, add_log, NULL},
};

const char *feature_name(enum feature feature)
{
	return probes[feature].name;
}

const char *feature_modules(enum feature feature)
{
	return probes[feature].modules;
}

static struct nlmsghdr *message_add(
	struct nlbatch *batch, const struct probe *probe, uint16_t type, uint16_t flags)
{
	return nlbatch_add(batch, type, probe->family, flags, "%s", probe->name);
}

/* Each adds its message to the batch; false when out of memory. */

static bool table_add(struct nlbatch *batch, const struct probe *probe)
{
	struct nlmsghdr *nlh = message_add(batch, probe, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL);
	if (!nlh)
		return false;
	mnl_attr_put_strz(nlh, NFTA_TABLE_NAME, PROBE_TABLE);
	mnl_attr_put_u32(nlh, NFTA_TABLE_FLAGS, htonl(probe->flags));
	return true;
}

static bool chain_add(struct nlbatch *batch, const struct probe *probe)
{
	struct nlmsghdr *nlh = message_add(batch, probe, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
	struct nftnl_chain *chain = nlh ? nftnl_chain_alloc() : NULL;
	if (!chain)
		return false;
	nftnl_chain_set_str(chain, NFTNL_CHAIN_TABLE, PROBE_TABLE);
	nftnl_chain_set_str(chain, NFTNL_CHAIN_NAME, PROBE_CHAIN);
	nftnl_chain_set_str(chain, NFTNL_CHAIN_TYPE, probe->type);
	nftnl_chain_set_u32(chain, NFTNL_CHAIN_HOOKNUM, probe->hook);
	nftnl_chain_set_s32(chain, NFTNL_CHAIN_PRIO, probe->priority);
	if (probe->device)
		nftnl_chain_set_str(chain, NFTNL_CHAIN_DEV, probe->device);
	nftnl_chain_nlmsg_build_payload(nlh, chain);
	nftnl_chain_free(chain);
	return true;
}

static bool rule_add(struct nlbatch *batch, const struct probe *probe)
{
	struct nlmsghdr *nlh = message_add(batch, probe, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
	struct nftnl_rule *rule = nlh ? nftnl_rule_alloc() : NULL;
	if (!rule)
		return false;
	nftnl_rule_set_u32(rule, NFTNL_RULE_FAMILY, probe->family);
	nftnl_rule_set_str(rule, NFTNL_RULE_TABLE, PROBE_TABLE);
	nftnl_rule_set_str(rule, NFTNL_RULE_CHAIN, PROBE_CHAIN);
	bool fine = probe->rule(rule);
	if (fine)
		nftnl_rule_nlmsg_build_payload(nlh, rule);
	nftnl_rule_free(rule);
	return fine;
}

static int flags_take(const struct nlmsghdr *nlh, void *data)
{
	struct nftnl_table *table = nftnl_table_alloc();
	if (!table || nftnl_table_nlmsg_parse(nlh, table) < 0) {
		errno = table ? EBADMSG : ENOMEM;
		nftnl_table_free(table);
		return MNL_CB_ERROR;
	}
	*(uint32_t *)data = nftnl_table_get_u32(table, NFTNL_TABLE_FLAGS);
	nftnl_table_free(table);
	return MNL_CB_OK;
}

/* That the table is there, with the flags that it was loaded with. */
static int read_back(struct nlsock *sock, const struct probe *probe)
{
	_Alignas(struct nlmsghdr) char buf[8192];
	struct nlmsghdr *nlh = nlsock_prepare(sock, buf, NFT_MSG_GETTABLE, probe->family, 0);
	mnl_attr_put_strz(nlh, NFTA_TABLE_NAME, PROBE_TABLE);
	uint32_t flags = 0;
	int code = nlsock_request(sock, nlh, flags_take, &flags);
	return code == 0 && flags != probe->flags ? -EOPNOTSUPP : code;
}

static int remove_table(struct nlsock *sock, const struct probe *probe)
{
	struct nlbatch batch;
	int code = nlbatch_init(&batch, sock, 0);
	struct nlmsghdr *nlh = code == 0 ? message_add(&batch, probe, NFT_MSG_DELTABLE, 0) : NULL;
	if (nlh) {
		mnl_attr_put_strz(nlh, NFTA_TABLE_NAME, PROBE_TABLE);
		code = nlsock_commit(sock, &batch, NULL, NULL);
	}
	nlbatch_done(&batch);
	return code;
}

static int probe_run(struct nlsock *sock, const struct probe *probe)
{
	struct nlbatch batch;
	/* Generation 0: whatever it is; nobody else is in this namespace. */
	int code = nlbatch_init(&batch, sock, 0);
	if (code == 0 && (!table_add(&batch, probe) || (probe->type && !chain_add(&batch, probe)) ||
				 (probe->rule && !rule_add(&batch, probe))))
		code = -ENOMEM;
	if (code == 0)
		code = nlsock_commit(sock, &batch, NULL, NULL);
	nlbatch_done(&batch);
	if (code < 0)
		return code;
	code = read_back(sock, probe);
	int removed = remove_table(sock, probe);
	return code < 0 ? code : removed;
}

/* The child's part. */
static void probe_all(struct feature_report *report, const struct ruleset *rules)
{
	struct nlsock sock;
	int code = nlsock_open(&sock, -1, &report->rules_err);
	for (int i = 0; i < FEATURES; i++)
		report->codes[i] = code < 0 ? code : probe_run(&sock, &probes[i]);
	nlsock_close(&sock);
	struct guard *guard = guard_new(-1, &report->rules_err);
	report->rules_code = guard ? guard_arm(guard, rules, &report->rules_err) : -EPROTONOSUPPORT;
	guard_free(guard);
}

static void child_run(int to, pid_t parent, const struct ruleset *rules)
{
	struct feature_report report = {0};
	alarm(PROBE_SECONDS);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	/* Who is not root may have one inside a user namespace, where the distribution allows it. */
	if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		_exit(2);
	probe_all(&report, rules);
	ssize_t sent = write(to, &report, sizeof(report));
	_exit(sent == (ssize_t)sizeof(report) ? 0 : 1);
}

int feature_probe(struct feature_report *report, const struct ruleset *rules, struct err *err)
{
	int ends[2];
	if (pipe(ends) < 0)
		return err_set(err, -errno, "a pipe: %s", strerror(errno));
	pid_t parent = getpid(), child = fork();
	if (child < 0) {
		int code = -errno;
		close(ends[0]);
		close(ends[1]);
		return err_set(err, code, "a process to try the kernel in: %s", strerror(-code));
	}
	if (child == 0) {
		close(ends[0]);
		child_run(ends[1], parent, rules);
	}
	close(ends[1]);
	size_t got = 0;
	ssize_t len = 1;
	while (got < sizeof(*report) && len > 0) {
		len = read(ends[0], (char *)report + got, sizeof(*report) - got);
		if (len < 0 && errno == EINTR)
			len = 1;
		else if (len > 0)
			got += (size_t)len;
	}
	close(ends[0]);
	int status = 0;
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (got == sizeof(*report))
		return 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
		return err_set(err, -EPERM, "no network namespace may be made here (needs CAP_SYS_ADMIN)");
	return err_set(err, -EIO, "the process that tried the kernel ended early (status 0x%x)", status);
}
