#include "encode.h"

#include <libnftnl/expr.h>

#include "core/rules.h"
#include "suite.h"

/* The end of a block is the first address behind it; a block that reaches to the last has none. */
static const struct {
	const char *first;
	uint8_t prefix;
	const char *end; /* NULL: open */
} ends[] = {
	{"192.0.2.0", 24, "192.0.3.0"},
	{"192.0.2.255", 32, "192.0.3.0"},
	{"192.0.2.4", 31, "192.0.2.6"},
	{"192.255.255.255", 32, "193.0.0.0"},
	{"0.0.0.0", 1, "128.0.0.0"},
	{"0.0.0.0", 0, NULL},
	{"128.0.0.0", 1, NULL},
	{"255.255.255.255", 32, NULL},
	{"255.255.255.254", 32, "255.255.255.255"},
	{"2001:db8::", 32, "2001:db9::"},
	{"2001:db8::ffff", 128, "2001:db8::1:0"},
	{"2001:db8:ff::", 47, "2001:db8:101::"},
	{"::", 0, NULL},
	{"ff00::", 8, NULL},
};

START_TEST(test_block_ends)
{
	struct conf_block one = block(ends[_i].first, ends[_i].prefix);
	struct ruleset_set_spec set = {.type = RULESET_SET_IPV4, .blocks = &one, .count = 1};
	if (one.family == AF_INET6)
		set.type = RULESET_SET_IPV6;
	struct encode_element elements[2];
	size_t count = encode_elements(&set, elements);
	ck_assert_uint_eq(count, ends[_i].end ? 2 : 1);
	ck_assert_mem_eq(elements[0].key, one.address, sizeof(one.address));
	ck_assert(!elements[0].end);
	ck_assert_int_eq(elements[0].open, !ends[_i].end);
	if (ends[_i].end) {
		struct conf_block end = block(ends[_i].end, 0);
		ck_assert_mem_eq(elements[1].key, end.address, sizeof(end.address));
		ck_assert(elements[1].end);
	}
}
END_TEST

START_TEST(test_ports)
{
	static const uint16_t ports[] = {25, 2525};
	struct ruleset_set_spec set = {.type = RULESET_SET_SERVICE, .ports = ports, .count = 2};
	struct encode_element elements[4];
	ck_assert_uint_eq(encode_elements(&set, elements), 2);
	ck_assert_mem_eq(elements[0].key, "\0\x19", 2);
	ck_assert_mem_eq(elements[1].key, "\x09\xdd", 2);
	ck_assert(!elements[1].end && !elements[1].open);
}
END_TEST

/* As `nft --debug=netlink` shows for the same rule. */
static const struct {
	struct ruleset_term term;
	const char *expressions;
} terms[] = {
	{{.kind = RULESET_DPORT_IN_SET, .set = RULESET_PORTS},
		"[ meta load l4proto => reg 1 ] [ cmp eq reg 1 0x00000006 ] "
		"[ payload load 2b @ transport header + 2 => reg 1 ] "
		"[ lookup reg 1 set ports 0x0 ] "},
	{{.kind = RULESET_DPORT_LISTENERS}, "[ meta load l4proto => reg 1 ] [ cmp eq reg 1 0x00000006 ] "
					    "[ payload load 2b @ transport header + 2 => reg 1 ] "
					    "[ cmp gte reg 1 0x0000b90f ] [ cmp lte reg 1 0x0000c00f ] "},
	{{.kind = RULESET_DADDR6_IN_SET, .set = RULESET_EXCLUDE6},
		"[ meta load nfproto => reg 1 ] [ cmp eq reg 1 0x0000000a ] "
		"[ payload load 16b @ network header + 24 => reg 1 ] "
		"[ lookup reg 1 set exclude6 0x0 ] "},
	{{.kind = RULESET_DADDR_LOCAL}, "[ fib daddr type => reg 1 ] [ cmp eq reg 1 0x00000002 ] "},
	{{.kind = RULESET_CT_ORIGINAL_PORT_IN, .set = RULESET_PORTS},
		"[ ct load proto_dst => reg 1 , dir original ] [ lookup reg 1 set ports 0x0 ] "},
	{{.kind = RULESET_CT_NOT_DNAT}, "[ ct load status => reg 1 ] "
					"[ bitwise reg 1 = ( reg 1 & 0x00000020 ) ^ 0x00000000 ] "
					"[ cmp eq reg 1 0x00000000 ] "},
	{{.kind = RULESET_COUNT, .counter = RULESET_DIVERTED}, "[ objref type 1 name diverted ] "},
	{{.kind = RULESET_LIMIT}, "[ limit rate 1200/second burst 900 type packets flags 0x0 ] "},
	{{.kind = RULESET_LOG}, "[ log group 2525 snaplen 0 qthreshold 0 ] "},
	{{.kind = RULESET_QUEUE}, "[ queue num 2525 bypass ] "},
	{{.kind = RULESET_QUEUE_XT}, "[ target name NFQUEUE rev 3 ] "},
	{{.kind = RULESET_RESET}, "[ reject type 1 code 0 ] "},
	{{.kind = RULESET_REDIRECT}, "[ immediate reg 1 0x0000b90f ] [ immediate reg 2 0x0000c00f ] "
				     "[ redir proto_min reg 1 proto_max reg 2 flags 0x2 ] "},
	{{.kind = RULESET_SADDR_MISROUTED}, "[ fib saddr . iif oif present => reg 1 ] "
					    "[ cmp eq reg 1 0x00000000 ] "},
	{{.kind = RULESET_CT_REPLY_LOOPBACK4}, "[ ct load src_ip => reg 1 , dir reply ] "
					       "[ cmp eq reg 1 0x0100007f ] "},
};

/* The same in a table of frames. */
static const struct {
	struct ruleset_term term;
	const char *expressions;
} frame_terms[] = {
	/* An address in a table of frames: the protocol says whether there is one. */
	{{.kind = RULESET_DADDR4_IN_SET, .set = RULESET_EXCLUDE4},
		"[ meta load protocol => reg 1 ] [ cmp eq reg 1 0x00000008 ] "
		"[ payload load 4b @ network header + 16 => reg 1 ] "
		"[ lookup reg 1 set exclude4 0x0 ] "},
	{{.kind = RULESET_FRAGMENT6},
		"[ meta load protocol => reg 1 ] [ cmp eq reg 1 0x0000dd86 ] "
		"[ meta load l4proto => reg 1 ] [ cmp eq reg 1 0x00000006 ] "
		"[ exthdr load ipv6 2b @ 44 + 2 => reg 1 ] "
		"[ bitwise reg 1 = ( reg 1 & 0x0000f8ff ) ^ 0x00000000 ] [ cmp neq reg 1 0x00000000 ] "},
	{{.kind = RULESET_ROUTING6}, "[ meta load protocol => reg 1 ] [ cmp eq reg 1 0x0000dd86 ] "
				     "[ exthdr load ipv6 1b @ 43 + 0 present => reg 1 ] "
				     "[ cmp eq reg 1 0x00000001 ] "},
	{{.kind = RULESET_DPORT_ANY}, "[ meta load l4proto => reg 1 ] [ cmp eq reg 1 0x00000006 ] "
				      "[ payload load 2b @ transport header + 2 => reg 1 ] "
				      "[ cmp gte reg 1 0x00000000 ] [ cmp lte reg 1 0x0000ffff ] "},
	{{.kind = RULESET_OIF_ETHERNET}, "[ meta load oiftype => reg 1 ] [ cmp eq reg 1 0x00000001 ] "},
	{{.kind = RULESET_OIF_BARE}, "[ meta load oiftype => reg 1 ] [ cmp eq reg 1 0x0000fffe ] "},
	{{.kind = RULESET_GOTO_STOPPED}, "[ immediate reg 0 goto -> stopped ] "},
	{{.kind = RULESET_BYTES,
		 .bytes = {.offset = 24, .len = 2, .differ = true, .mask = 0x1fff, .value = 0}},
		"[ payload load 2b @ link header + 24 => reg 1 ] "
		"[ bitwise reg 1 = ( reg 1 & 0x0000ff1f ) ^ 0x00000000 ] [ cmp neq reg 1 0x00000000 ] "},
};

static int expression_append(struct nftnl_expr *expr, void *data)
{
	char *text = data;
	size_t used = strlen(text);
	used += (size_t)sprintf(text + used, "[ %s ", nftnl_expr_get_str(expr, NFTNL_EXPR_NAME));
	used += (size_t)nftnl_expr_snprintf(text + used, 1024 - used, expr, NFTNL_OUTPUT_DEFAULT, 0);
	strcpy(text + used, "] ");
	return 0;
}

static void assert_expressions(
	enum ruleset_table_id id, const char *chain, const struct ruleset_term *term, const char *expressions)
{
	struct ruleset *rules = rules_default();
	struct ruleset_rule rule = {.chain = chain, .terms = {*term}, .term_count = 1};
	struct nftnl_rule *encoded = encode_rule(&rules->tables[id], &rule);
	ck_assert_ptr_nonnull(encoded);
	ck_assert_str_eq(nftnl_rule_get_str(encoded, NFTNL_RULE_CHAIN), chain);
	char text[1024] = "";
	nftnl_expr_foreach(encoded, expression_append, text);
	ck_assert_str_eq(text, expressions);
	nftnl_rule_free(encoded);
	ruleset_free(rules);
}

START_TEST(test_terms)
{
	assert_expressions(RULESET_GUARD, "guard_output", &terms[_i].term, terms[_i].expressions);
}
END_TEST

START_TEST(test_frame_terms)
{
	assert_expressions(RULESET_EGRESS, "egress", &frame_terms[_i].term, frame_terms[_i].expressions);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("encode");
	TCase *cases = tcase_create("encode");
	tcase_add_loop_test(cases, test_block_ends, 0, (int)(sizeof(ends) / sizeof(ends[0])));
	tcase_add_test(cases, test_ports);
	tcase_add_loop_test(cases, test_terms, 0, (int)(sizeof(terms) / sizeof(terms[0])));
	tcase_add_loop_test(cases, test_frame_terms, 0, (int)(sizeof(frame_terms) / sizeof(frame_terms[0])));
	suite_add_tcase(suite, cases);
	return suite_run(suite);
}
