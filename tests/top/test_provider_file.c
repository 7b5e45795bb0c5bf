/* Profiles as users write them: what each key becomes, and what is said of each mistake. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "provider.h"
#include "suite.h"
#include "toml_reader.h"

static int add(struct provider_set *set, const char *file, const char *text, struct err *err)
{
	struct toml_node *root = toml_read(file, text, strlen(text), err);
	ck_assert_msg(root != NULL, "%s", err->text);
	int rc = provider_set_add(set, file, root, "all", err);
	toml_free(root);
	return rc;
}

static const char everything[] =
	"[provider.\"x\"]\n"
	"match = [{MXSuffix = \".X.test\"}, {HostName = \"mx.y.test\"}]\n"
	"domains = [\"X.test\"]\n"
	"banner = \"{mx} ESMTP {id}\"\n"
	"extensions = [\"SIZE 1000\", \"PIPELINING\"]\n"
	"bounce = 0.0001\n"
	"defer = 99.9999\n"
	"connection_limit = \"local:5\"\n"
	"provider_connection_limit = 6\n"
	"max_connection_rate = \"100/min\"\n"
	"max_message_rate = \"2/s\"\n"
	"max_deliveries_per_connection = 7\n"
	"max_recipients_per_message = 8\n"
	"max_message_size = 5_000_000_000\n"
	"reputation_after = 9\n"
	"reputation_recovers = \"90m\"\n"
	"greylist = \"5m\"\n"
	"refuse = 12.5\n"
	"black_hole = 1\n"
	"delay = {connect = \"2s\", rcpt = \"100ms..1s\", end_of_data = \"lognormal(2s, 0.8)\"}\n"
	"fault = [{form = \"reset\", phase = \"data\", odds = 0.1}, {form = \"garble\", phase = \"ehlo\", "
	"odds = 3}]\n"
	"enable_tls = \"Required\"\n"
	"consecutive_connection_failures_before_delay = 5\n"
	"[[provider.\"x\".automation]]\n"
	"regex = \"RL0000\"\n"
	"action = \"Suspend\"\n"
	"[[provider.\"x\".reply]]\n"
	"code = 421\n"
	"kind = \"connection_limit\"\n"
	"text = \"too many\"\n"
	"[[provider.\"x\".reply]]\n"
	"kind = \"max_deliveries_per_connection\"\n"
	"action = \"hang\"\n"
	"[[provider.\"x\".reply]]\n"
	"kind = \"bounce\"\n"
	"phase = \"end_of_data\"\n"
	"code = 550\n"
	"enhanced = \"5.7.1\"\n"
	"text = \"\"\"\none\ntwo {ip}\"\"\"\n"
	"weight = 3\n"
	"wording = \"old\"\n"
	"source = \"KB\"\n"
	"seen = \"2026-02-11\"\n";

START_TEST(every_key_is_read)
{
	struct err err = {.text = ""};
	struct provider_set *set = provider_set_new(&err);
	ck_assert_msg(add(set, "x.toml", everything, &err) == 0, "%s", err.text);
	const struct provider *x = provider_by_name(set, span_of("x"));
	ck_assert_str_eq(x->mx_suffixes[0], ".x.test");
	ck_assert_str_eq(x->mx_names[0], "mx.y.test");
	ck_assert_str_eq(x->domains[0], "x.test");
	ck_assert_str_eq(x->banner, "{mx} ESMTP {id}");
	ck_assert_str_eq(x->extensions, "SIZE 1000\nPIPELINING");
	ck_assert_uint_eq(x->bounce_ppm, 1);
	ck_assert_uint_eq(x->defer_ppm, 999999);
	ck_assert_uint_eq(x->limits.site_connections, 5);
	ck_assert_uint_eq(x->limits.provider_connections, 6);
	ck_assert_uint_eq(x->limits.connection_rate.count, 100);
	ck_assert_uint_eq(x->limits.connection_rate.period_s, 60);
	ck_assert_uint_eq(x->limits.message_rate.count, 2);
	ck_assert_uint_eq(x->limits.deliveries_per_connection, 7);
	ck_assert_uint_eq(x->limits.recipients_per_message, 8);
	ck_assert_uint_eq(x->limits.message_size, UINT64_C(5000000000));
	ck_assert_uint_eq(x->reputation_after, 9);
	ck_assert_uint_eq(x->reputation_recovers_s, 5400);
	ck_assert_uint_eq(x->greylist_s, 300);
	ck_assert_uint_eq(x->refuse_ppm, 125000);
	ck_assert_uint_eq(x->black_hole_ppm, 10000);
	ck_assert_int_eq(x->delays[SMTP_PHASE_CONNECT].form, PROVIDER_DELAY_FIXED);
	ck_assert_uint_eq(x->delays[SMTP_PHASE_CONNECT].low_ms, 2000);
	ck_assert_int_eq(x->delays[SMTP_PHASE_RCPT].form, PROVIDER_DELAY_UNIFORM);
	ck_assert_uint_eq(x->delays[SMTP_PHASE_RCPT].low_ms, 100);
	ck_assert_uint_eq(x->delays[SMTP_PHASE_RCPT].high_ms, 1000);
	ck_assert_int_eq(x->delays[SMTP_PHASE_END_OF_DATA].form, PROVIDER_DELAY_LOGNORMAL);
	ck_assert_uint_eq(x->delays[SMTP_PHASE_END_OF_DATA].low_ms, 2000);
	ck_assert_double_eq_tol(x->delays[SMTP_PHASE_END_OF_DATA].sigma, 0.8, 1e-9);
	ck_assert_int_eq(x->delays[SMTP_PHASE_DATA].form, PROVIDER_DELAY_NONE);
	ck_assert_uint_eq(x->fault_count, 2);
	ck_assert_int_eq(x->faults[0].form, PROVIDER_FAULT_RESET);
	ck_assert_int_eq(x->faults[0].phase, SMTP_PHASE_DATA);
	ck_assert_uint_eq(x->faults[0].odds_ppm, 1000);
	ck_assert_int_eq(x->faults[1].form, PROVIDER_FAULT_GARBLE);
	ck_assert_uint_eq(x->reply_count, 3);
	/* The phase that is usual for a kind, where none is named. */
	ck_assert_int_eq(x->replies[0].phase, SMTP_PHASE_CONNECT);
	ck_assert_int_eq(x->replies[0].action, PROVIDER_REPLY);
	ck_assert_str_eq(x->replies[0].wording, "");
	ck_assert_uint_eq(x->replies[0].weight, 1);
	ck_assert_int_eq(x->replies[1].phase, SMTP_PHASE_MAIL);
	ck_assert_int_eq(x->replies[1].action, PROVIDER_HANG);
	ck_assert_uint_eq(x->replies[1].code, 0);
	ck_assert_int_eq(x->replies[2].phase, SMTP_PHASE_END_OF_DATA);
	ck_assert_str_eq(x->replies[2].enhanced, "5.7.1");
	ck_assert_str_eq(x->replies[2].text, "one\ntwo {ip}");
	ck_assert_uint_eq(x->replies[2].weight, 3);
	ck_assert_str_eq(x->replies[2].wording, "old");
	ck_assert_str_eq(x->replies[2].source, "KB");
	ck_assert_str_eq(x->replies[2].seen, "2026-02-11");
	ck_assert_str_eq(x->replies[2].file, "x.toml");
	provider_set_free(set);
}
END_TEST

/* A profile whose second line on is wrong in one thing; what is said, to its end. */
#define X(rest)     "[provider.x]\ndomains = [\"x.test\"]\n" rest
#define REPLY(rest) X("bounce = 1\n[[provider.x.reply]]\n" rest)

static const struct {
	const char *text;
	const char *says;
} mistakes[] = {
	/* Tables. */
	{"provider = 5\n", "f.toml:1: \"provider\" is no table; write [provider.\"NAME\"]"},
	{"[provider]\nx = 5\n",
		"f.toml:2: \"x\" is no provider; write [provider.\"NAME\"], the name not empty and "
		"without \"domain:\""},
	{"[provider.\"\"]\n",
		"f.toml:1: \"\" is no provider; write [provider.\"NAME\"], the name not empty and "
		"without \"domain:\""},
	{"[provider.\"domain:x\"]\n",
		"f.toml:1: \"domain:x\" is no provider; write [provider.\"NAME\"], the name "
		"not empty and without \"domain:\""},
	{"[provider.gmail]\nbounce = 1\n",
		"f.toml:1: provider \"gmail\" matches nothing; write match = [{MXSuffix = \".example.com\"}] "
		"or "
		"domains = [\"example.com\"], or the name of a provider that there is"},
	{"[provider.defualt]\nbounce = 1\n",
		"f.toml:1: provider \"defualt\" matches nothing (did you mean \"default\"?); write match = "
		"[{MXSuffix = \".example.com\"}] or domains = [\"example.com\"], or the name of a provider "
		"that "
		"there is"},
	{"[provider.default]\ndomains = [\"x.test\"]\n",
		"f.toml:1: provider \"default\" is for what no other matches; leave match and domains out"},
	{X("bouncy = 1\n"),
		"f.toml:3: provider \"x\": unknown key \"bouncy\" in a provider's table (did you mean "
		"\"bounce\"?)"},
	{X("banana = 1\n"),
		"f.toml:3: provider \"x\": unknown key \"banana\" in a provider's table; leave it out"},
	/* Odds. */
	{X("bounce = 60\ndefer = 40.0001\n"), "f.toml:4: provider \"x\": bounce = 60 and defer = 40.0001 are "
					      "over 100 % together; lower one"},
	{X("black_hole = 60\nrefuse = 41\n"), "f.toml:3: provider \"x\": refuse = 41 and black_hole = 60 are "
					      "over 100 % together; lower one"},
	{X("bounce = 101\n"),
		"f.toml:3: provider \"x\": bounce = 101 is no percentage; write one from 0 to 100"},
	{X("bounce = -1\n"),
		"f.toml:3: provider \"x\": bounce = -1 is no percentage; write one from 0 to 100"},
	{X("bounce = nan\n"),
		"f.toml:3: provider \"x\": bounce = nan is no percentage; write one from 0 to 100"},
	{X("bounce = inf\n"),
		"f.toml:3: provider \"x\": bounce = inf is no percentage; write one from 0 to 100"},
	{X("bounce = 0.00001\n"),
		"f.toml:3: provider \"x\": bounce = 1e-05 is finer than a millionth; write at most "
		"four places behind the point"},
	{X("bounce = \"10\"\n"),
		"f.toml:3: provider \"x\": bounce wants a percentage such as 10 or 0.5, not a string"},
	/* Limits. */
	{X("connection_limit = -5\n"),
		"f.toml:3: provider \"x\": connection_limit = -5 is out of range; write a "
		"number from 0 (no limit) to 4294967295"},
	{X("connection_limit = \"5\"\n"),
		"f.toml:3: provider \"x\": connection_limit wants a number, not a string"},
	{X("connection_limit = \"local:5x\"\n"),
		"f.toml:3: provider \"x\": connection_limit wants a number, not a string"},
	{X("max_message_rate = 5\n"), "f.toml:3: provider \"x\": max_message_rate wants a rate such as "
				      "\"100/min\", not an integer"},
	{X("max_message_rate = \"5\"\n"), "f.toml:3: provider \"x\": max_message_rate = \"5\" is no rate; "
					  "write so many per time, as in "
					  "\"100/min\", \"2/s\" or \"10000/h\""},
	{X("greylist = \"5\"\n"),
		"f.toml:3: provider \"x\": greylist = \"5\" is no time; write a number and a unit, "
		"as in \"90m\", \"60s\", \"3 days\" or \"500ms\""},
	{X("greylist = \"1500ms\"\n"),
		"f.toml:3: provider \"x\": greylist = \"1500ms\" is no whole number of seconds"},
	{X("greylist = 5\n"),
		"f.toml:3: provider \"x\": greylist wants a time such as \"5m\", not an integer"},
	{X("reputation_after = 5\n"),
		"f.toml:1: provider \"x\": reputation_after without reputation_recovers; write "
		"reputation_recovers = \"1h\""},
	/* Whom it matches. */
	{X("match = 5\n"), "f.toml:3: provider \"x\": match wants an array; write match = [...]"},
	{X("match = [\".x.test\"]\n"), "f.toml:3: provider \"x\": match wants items such as {MXSuffix = "
				       "\".example.com\"}"},
	{X("match = [{MxSufix = \".x.test\"}]\n"),
		"f.toml:3: provider \"x\": match \"MxSufix\" is unknown (did you mean \"MXSuffix\"?)"},
	{X("match = [{MXSuffix = \".x.test.\"}]\n"), "f.toml:3: provider \"x\": MXSuffix = \".x.test.\" ends "
						     "in a dot, which MX hosts do not when they "
						     "are compared: it would match none; write it without"},
	{X("match = [{MXSuffix = 5}]\n"), "f.toml:3: provider \"x\": MXSuffix wants a string"},
	{X("match = [{MXSuffix = \".y.test\"}]\n[provider.z]\nmatch = [{MXSuffix = \".mail.y.test\"}]\n"),
		"f.toml:5: provider \"z\": match is never reached: provider \"x\" (f.toml:1) has these MX "
		"hosts and "
		"comes first; change that one, or name domains instead"},
	{"[provider.x]\ndomains = [\"x.test\"]\n[provider.y]\ndomains = [\"X.test\"]\n",
		"f.toml:4: provider \"y\": domains: \"x.test\" is already provider \"x\"'s (line 1)"},
	{X("extensions = [\"PIPELINIG\"]\n"), "f.toml:3: provider \"x\": extensions \"PIPELINIG\" is unknown "
					      "(did you mean \"PIPELINING\"?)"},
	{X("extensions = [\"SIZE many\"]\n"), "f.toml:3: provider \"x\": extensions: \"SIZE many\" is no "
					      "line of EHLO; write \"SIZE 35882577\" or a "
					      "keyword alone"},
	{X("extensions = [\"DSN\", \"DSN\"]\n"),
		"f.toml:3: provider \"x\": extensions: \"DSN\" stands twice"},
	{X("banner = \"one\\ntwo\"\n"), "f.toml:3: provider \"x\": banner has several lines; write one"},
	{X("banner = \"{mxx}\"\n"),
		"f.toml:3: provider \"x\": banner is wrong: unknown placeholder {mxx} (did you mean {mx}?)"},
	/* Delays and faults. */
	{X("delay = 5\n"), "f.toml:3: provider \"x\": delay wants a table; write [provider.\"x\".delay]"},
	{X("delay = {rctp = \"2s\"}\n"),
		"f.toml:3: provider \"x\": unknown key \"rctp\" in delay (did you mean \"rcpt\"?)"},
	{X("delay = {rcpt = \"2\"}\n"),
		"f.toml:3: provider \"x\": rcpt is no delay; write \"2s\", \"1s..5s\" or "
		"\"lognormal(2s, 0.8)\", at most 10 minutes"},
	{X("delay = {rcpt = \"11m\"}\n"),
		"f.toml:3: provider \"x\": rcpt is no delay; write \"2s\", \"1s..5s\" or "
		"\"lognormal(2s, 0.8)\", at most 10 minutes"},
	{X("delay = {rcpt = \"5s..1s\"}\n"),
		"f.toml:3: provider \"x\": rcpt is no delay; write \"2s\", \"1s..5s\" or "
		"\"lognormal(2s, 0.8)\", at most 10 minutes"},
	{X("delay = {rcpt = \"lognormal(2s, -1)\"}\n"), "f.toml:3: provider \"x\": rcpt is no delay; write "
							"\"2s\", \"1s..5s\" or \"lognormal(2s, 0.8)\", at "
							"most 10 minutes"},
	{X("fault = [{form = \"reset\", odds = 1}]\n"),
		"f.toml:3: provider \"x\": fault wants items of form, phase and odds"},
	{X("fault = [{form = \"restet\", phase = \"data\", odds = 1}]\n"),
		"f.toml:3: provider \"x\": form \"restet\" is unknown (did you mean \"reset\"?)"},
	{X("fault = [{form = \"reset\", phase = \"data\", odds = 60},\n{form = \"stall\", phase = \"data\", "
	   "odds = "
	   "60}]\n"),
		"f.toml:4: provider \"x\": fault: the odds of phase \"data\" are over 100 % together; lower "
		"one"},
	/* Replies. */
	{X("[provider.x.reply]\n"),
		"f.toml:3: provider \"x\": reply wants an array of tables; write [[provider.\"x\".reply]]"},
	{REPLY("code = 550\ntext = \"no\"\n"),
		"f.toml:4: provider \"x\": reply without a kind; write kind = \"bounce\" or another"},
	{REPLY("kind = \"bouce\"\ncode = 550\ntext = \"no\"\n"),
		"f.toml:5: provider \"x\": kind \"bouce\" is unknown (did you mean \"bounce\"?)"},
	{REPLY("kind = \"bounce\"\nphase = \"banner\"\ncode = 550\ntext = \"no\"\n"),
		"f.toml:6: provider \"x\": phase \"banner\" is unknown; there are connect, ehlo, mail, rcpt, "
		"data, "
		"end_of_data"},
	{REPLY("kind = \"bounce\"\ntext = \"no\"\n"),
		"f.toml:4: provider \"x\": reply without code and text; write both, or action = \"close\""},
	{REPLY("kind = \"bounce\"\ncode = 250\ntext = \"no\"\n"),
		"f.toml:6: provider \"x\": code wants a number from 400 to 599"},
	{REPLY("kind = \"bounce\"\ncode = 450\ntext = \"no\"\n"),
		"f.toml:4: provider \"x\": reply of kind \"bounce\" wants a code 5xx, not 450"},
	{REPLY("kind = \"bounce\"\ncode = 550\nenhanced = \"4.1.1\"\ntext = \"no\"\n"),
		"f.toml:4: provider \"x\": reply has code 550 and enhanced 4.1.1, which contradict"},
	{REPLY("kind = \"bounce\"\ncode = 550\nenhanced = \"5.1\"\ntext = \"no\"\n"),
		"f.toml:7: provider \"x\": enhanced wants an enhanced code such as \"4.7.1\", or \"\" for "
		"none"},
	{REPLY("kind = \"bounce\"\ncode = 550\ntext = \"550 no\"\n"),
		"f.toml:4: provider \"x\": reply has a text that repeats the code 550; leave it out"},
	{REPLY("kind = \"bounce\"\ncode = 550\ntext = \"\"\n"),
		"f.toml:4: provider \"x\": reply has an empty text; write what the provider says"},
	{REPLY("kind = \"bounce\"\ncode = 550\ntext = \"a\\r\\nb\"\n"),
		"f.toml:7: provider \"x\": text is wrong: a CR would break the reply; divide lines by \\n "
		"alone"},
	{REPLY("kind = \"bounce\"\naction = \"close\"\ncode = 550\ntext = \"no\"\n"),
		"f.toml:4: provider \"x\": reply with an action that says nothing has words; leave code, "
		"enhanced "
		"and text out, or write action = \"reply_close\""},
	{REPLY("kind = \"bounce\"\ncode = 550\ntext = \"no\"\nweight = 0\n"),
		"f.toml:8: provider \"x\": weight wants a whole number from 1 to 1000000"},
	{REPLY("kind = \"bounce\"\ncode = 550\ntext = \"no\"\nseen = \"2026\"\n"),
		"f.toml:8: provider \"x\": seen wants a month or day such as \"2026-02\""},
	{REPLY("kind = \"bounce\"\ncode = 550\ntext = \"no\"\nwording = \"new\"\n"),
		"f.toml:8: provider \"x\": wording \"new\" is unknown; there are current, old"},
	{REPLY("kind = \"bounce\"\ncode = 550\ntext = \"no\"\nwieght = 2\n"),
		"f.toml:8: provider \"x\": unknown key \"wieght\" in a reply (did you mean \"weight\"?)"},
	{REPLY("kind = \"connection_limit\"\nphase = \"end_of_data\"\ncode = 421\ntext = \"no\"\n"),
		"f.toml:4: provider \"x\": reply of kind \"connection_limit\" cannot come at phase "
		"\"end_of_data\"; "
		"write phase = \"connect\""},
	{REPLY("kind = \"defer\"\ncode = 450\ntext = \"no\"\n"),
		"f.toml:4: provider \"x\": reply of kind \"defer\" is never given without defer; write defer "
		"= 2 above "
		"it"},
	{REPLY("kind = \"max_message_rate\"\ncode = 450\ntext = \"no\"\n"),
		"f.toml:4: provider \"x\": reply of kind \"max_message_rate\" is never given without "
		"max_message_rate; "
		"write max_message_rate = \"100/min\" above it"},
};

START_TEST(mistakes_are_told)
{
	struct err err = {.text = ""};
	struct provider_set *set = provider_set_new(&err);
	ck_assert_int_eq(add(set, "f.toml", mistakes[_i].text, &err), -EINVAL);
	ck_assert_str_eq(err.text, mistakes[_i].says);
	provider_set_free(set);
}
END_TEST

/* One reading shows all. */
START_TEST(mistakes_are_gathered)
{
	struct err err = {.text = ""};
	struct provider_set *set = provider_set_new(&err);
	ck_assert_int_eq(add(set, "f.toml", X("bounce = 101\nbouncy = 1\n"), &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "f.toml:3: "));
	ck_assert_ptr_nonnull(strstr(err.text, "\nf.toml:4: "));
	provider_set_free(set);
}
END_TEST

static const char *const fine[] = {
	/* A whole file of a configuration's other sections. */
	"[divert]\nports = [25]\n",
	/* Of default, words without a limit: they stand in for others. */
	"[provider.default]\n[[provider.default.reply]]\nkind = \"greylist\"\ncode = 451\ntext = \"later\"\n",
	/* Greylisting is turned on by one line of the user's. */
	X("[[provider.x.reply]]\nkind = \"greylist\"\ncode = 451\ntext = \"later\"\n"),
	X("bounce = 100\ndefer = 0\n"),
	X("extensions = []\n"),
	/* One host of two is the earlier provider's: the match is reached by the other. */
	X("match = [{MXSuffix = \".y.test\"}]\n[provider.z]\nmatch = [{MXSuffix = \".y.test\"}, {MXSuffix = "
	  "\".z.test\"}]\n"),
	/* As a shaping file has it. */
	"[provider.\"outlook\"]\nmatch=[{MXSuffix=\".olc.protection.outlook.com\"}]\n"
	"max_deliveries_per_connection = 50\nprovider_connection_limit = 5\nenable_tls = \"Required\"\n"
	"[[provider.\"outlook\".automation]]\nregex = \"x\"\naction = {SetConfig={name=\"connection_limit\", "
	"value=1}}\n",
};

START_TEST(good_ones_are_taken)
{
	struct err err = {.text = ""};
	struct provider_set *set = provider_set_new(&err);
	ck_assert_msg(add(set, "f.toml", fine[_i], &err) == 0, "%s", err.text);
	provider_set_free(set);
}
END_TEST

/* A setting that puts an earlier file's replies out of use is no mistake. */
START_TEST(earlier_replies_may_rest)
{
	struct err err = {.text = ""};
	struct provider_set *set = provider_set_new(&err);
	ck_assert_msg(add(set, "a.toml", REPLY("kind = \"bounce\"\ncode = 550\ntext = \"no\"\n"), &err) == 0,
		"%s", err.text);
	ck_assert_msg(add(set, "b.toml", "[provider.x]\nbounce = 0\n", &err) == 0, "%s", err.text);
	/* A domain may go to another file's provider. */
	ck_assert_msg(
		add(set, "c.toml", "[provider.mine]\ndomains = [\"x.test\"]\n", &err) == 0, "%s", err.text);
	ck_assert_str_eq(provider_by_domain(set, span_of("x.test"))->name, "mine");
	provider_set_free(set);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("provider_file");
	TCase *tcase = tcase_create("provider_file");
	tcase_add_test(tcase, every_key_is_read);
	tcase_add_loop_test(tcase, mistakes_are_told, 0, sizeof(mistakes) / sizeof(mistakes[0]));
	tcase_add_test(tcase, mistakes_are_gathered);
	tcase_add_loop_test(tcase, good_ones_are_taken, 0, sizeof(fine) / sizeof(fine[0]));
	tcase_add_test(tcase, earlier_replies_may_rest);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
