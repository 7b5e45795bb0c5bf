#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <string.h>

#include "encode.h"
#include "escape.h"
#include "nlsock.h"

#include <libnftnl/table.h>

/* Never exists outside a batch that is only checked. */
#define PROBE_TABLE "mxmirage_probe"

/* One table, one chain, one rule with the term in question. */
static int probe_add(struct nlbatch *batch, enum ruleset_kind kind)
{
	const struct ruleset_table probed = {.name = PROBE_TABLE, .family = NFPROTO_INET};
	const struct ruleset_chain_spec probe = {"probe", "filter", NF_INET_LOCAL_OUT, 0, NULL, 0};
	const struct ruleset_rule rule = {"probe", {{.kind = kind}}, 1};
	struct nftnl_table *table = nftnl_table_alloc();
	struct nftnl_chain *chain = encode_chain(&probed, &probe);
	struct nftnl_rule *encoded = encode_rule(&probed, &rule);
	struct nlmsghdr *nlh = NULL;
	if (!table || !chain || !encoded)
		goto out;
	nftnl_table_set_u32(table, NFTNL_TABLE_FAMILY, NFPROTO_INET);
	nftnl_table_set_str(table, NFTNL_TABLE_NAME, PROBE_TABLE);
	nlh = nlbatch_add(batch, NFT_MSG_NEWTABLE, NFPROTO_INET, NLM_F_CREATE, "table inet " PROBE_TABLE);
	if (nlh)
		nftnl_table_nlmsg_build_payload(nlh, table);
	nlh = nlbatch_add(batch, NFT_MSG_NEWCHAIN, NFPROTO_INET, NLM_F_CREATE, "chain probe");
	if (nlh)
		nftnl_chain_nlmsg_build_payload(nlh, chain);
	nlh = nlbatch_add(
		batch, NFT_MSG_NEWRULE, NFPROTO_INET, NLM_F_CREATE | NLM_F_APPEND, "rule of chain probe");
	if (nlh)
		nftnl_rule_nlmsg_build_payload(nlh, encoded);
out:
	if (table)
		nftnl_table_free(table);
	if (chain)
		nftnl_chain_free(chain);
	if (encoded)
		nftnl_rule_free(encoded);
	return nlh ? 0 : -ENOMEM;
}

/* 0 where the kernel would take it, else a negative errno. */
static int probe(struct nlsock *sock, enum ruleset_kind kind, struct err *err)
{
	struct nlbatch batch;
	int code = nlbatch_init(&batch, sock, 0);
	if (code == 0)
		code = probe_add(&batch, kind);
	if (code < 0)
		err_set(err, code, "no memory to ask the kernel what it has");
	else
		code = nlsock_check(sock, &batch, err);
	nlbatch_done(&batch);
	return code;
}

int escape_probe(struct ruleset_observation *observation, struct err *err)
{
	static const enum ruleset_kind kinds[] = {
		[RULESET_BY_NFT_QUEUE] = RULESET_QUEUE,
		[RULESET_BY_XT_QUEUE] = RULESET_QUEUE_XT,
		[RULESET_BY_LOG] = RULESET_LOG,
	};
	*observation = (struct ruleset_observation){.output = RULESET_BY_COUNTERS};
	struct nlsock sock;
	int code = nlsock_open(&sock, -1, err);
	if (code < 0)
		return code;
	/* Without the right to ask, every answer would be no. */
	struct err refused;
	for (int means = RULESET_BY_LOG; means >= 0; means--) {
		code = probe(&sock, kinds[means], &refused);
		if (code == -EPERM || code == -ENOMEM)
			break;
		if (code == 0)
			observation->output = means;
		if (code == 0 && means == RULESET_BY_LOG)
			observation->log = true;
		code = 0;
	}
	if (code < 0)
		err_set(err, code, "%s", refused.text);
	nlsock_close(&sock);
	return code;
}
