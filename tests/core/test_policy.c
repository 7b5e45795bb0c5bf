/* What is answered to whom: addresses that ask, destinations that do not fit, providers and their presentation. */
#include "policy.h"

#include <check.h>

#include "core/dialogue.h"
#include "core/tree.h"
#include "mapped.h"
#include "suite.h"

#define REPLY(kind, phase, code, text) \
	TABLE(NULL, TEXT("kind", kind), TEXT("phase", phase), NUMBER("code", code), TEXT("text", text))

/* Three providers: "always" bounces all, "late" defers all at the end of data, "calm" accepts all. */
static const struct toml_node profiles = TABLE("",
	TABLE("provider",
		TABLE("default", TEXT("banner", "{mx} ESMTP"),
			ARRAY("reply", REPLY("mx_mismatch", "rcpt", 554, "{rcpt}: relay access denied"),
				REPLY("bounce", "rcpt", 550, "default's bounce"))),
		TABLE("always", ARRAY("match", TABLE(NULL, TEXT("MXSuffix", ".always.example"))),
			ARRAY("domains", TEXT(NULL, "always.test")), NUMBER("bounce", 100),
			ARRAY("reply",
				REPLY("bounce", "rcpt", 550, "always refuses {rcpt} of {domain} from {ip}"))),
		TABLE("late", ARRAY("match", TABLE(NULL, TEXT("MXSuffix", ".late.example"))),
			ARRAY("domains", TEXT(NULL, "late.test")), NUMBER("defer", 100),
			ARRAY("reply", REPLY("defer", "end_of_data", 451, "late for {rcpt} from {from}"))),
		TABLE("calm", ARRAY("match", TABLE(NULL, TEXT("MXSuffix", ".calm.example"))),
			ARRAY("domains", TEXT(NULL, "calm.test")),
			TEXT("banner", "{mx} calm since {date}, {ip}"),
			ARRAY("extensions", TEXT(NULL, "PIPELINING"), TEXT(NULL, "SIZE 1000"))),
		TABLE("wordless", ARRAY("domains", TEXT(NULL, "wordless.test")), NUMBER("bounce", 100))));

/* The smart sink's file: always.test is accepted, calm.test refused. */
static const struct toml_node responses = TABLE("",
	TABLE("domain", TABLE("always.test", NUMBER("bounce", 0), NUMBER("defer", 0)),
		TABLE("calm.test", NUMBER("bounce", 100), NUMBER("defer", 0))),
	TABLE("bounce",
		ARRAY("calm.test", TABLE(NULL, NUMBER("code", 552), TEXT("msg", "5.2.2 as the file says")))));

static const struct toml_node sink_conf = TABLE("", TABLE("answer", TEXT("mode", "sink")));
static const struct toml_node accept_conf = TABLE("", TABLE("answer", TEXT("mx_mismatch", "accept")));

static struct policy_state state;
static uint64_t clock_ms;
static const struct policy *policy;

static struct policy *make(const struct toml_node *conf_tree, const struct toml_node *more)
{
	struct err err = {""};
	struct conf *conf = conf_new("test", conf_tree, 1, &err);
	ck_assert_msg(conf != NULL, "%s", err.text);
	struct provider_set *set = NULL;
	if (conf->answer.mode == CONF_ANSWER_SMART) {
		set = provider_set_new(&err);
		ck_assert_ptr_nonnull(set);
		ck_assert_msg(provider_set_add(set, "test", &profiles, "current", &err) == 0, "%s", err.text);
		if (more)
			ck_assert_int_eq(
				provider_set_add_responses(set, "responses", more, NULL, NULL, &err), 0);
	}
	struct policy *made = policy_new(conf, set, 1, &err);
	conf_unref(conf);
	ck_assert_msg(made != NULL, "%s", err.text);
	return made;
}

static void start(void)
{
	struct err err;
	ck_assert_int_eq(policy_state_init(&state, &err), 0);
	clock_ms = 1000000;
	policy = make(NULL, NULL);
}

static void stop(void)
{
	policy_unref(policy);
	policy_state_done(&state);
}

static void use(const struct toml_node *conf_tree, const struct toml_node *more)
{
	policy_unref(policy);
	policy = make(conf_tree, more);
}

static void open_to(struct dialogue *d)
{
	dialogue_init(d, policy, &state, "198.51.100.7", &clock_ms);
	dialogue_greet(d);
}

static void ck_assert_seen(const char *got, const char *wanted)
{
	ck_assert_msg(strncmp(got, wanted, strlen(wanted)) == 0, "saw \"%s\", not \"%s\"", got, wanted);
}

/*
 * What addresses ask for, at each phase, by DATA and by BDAT, which has no DATA phase: what was asked for there
 * comes at the end then. "always.test" bounces whatever does not ask for acceptance.
 */
static const struct {
	const char *sender, *rcpt;
	const char *mail, *to, *data, *end; /* what is seen; NULL: not got that far */
	const char *end_of_bdat;
} asked[] = {
	{"a@x.test", "ann@calm.test", "250", "250", "354", "250", "250"},
	{"a@x.test", "tempfail@calm.test", "250", "451 4.7.1", NULL, NULL, NULL},
	{"a@x.test", "x.permfail@calm.test", "250", "550 5.7.1", NULL, NULL, NULL},
	{"a+550-5.7.1-mail@x.test", "ann@calm.test", "550 5.7.1", NULL, NULL, NULL, NULL},
	{"a@x.test", "452-4.2.2@calm.test", "250", "452 4.2.2 452-4.2.2\n", NULL, NULL, NULL},
	{"a@x.test", "552-5.2.2-data@calm.test", "250", "250", "552 5.2.2 ", NULL, "552 5.2.2 "},
	{"a@x.test", "ann+451-4.3.0-end_of_data@calm.test", "250", "250", "354", "451 4.3.0 ", "451 4.3.0 "},
	{"a@x.test", "450-end_of_data@calm.test", "250", "250", "354", "450 ", "450 "},
	{"a@x.test", "550-5.1.1-rcpt@calm.test", "250", "550 5.1.1 ", NULL, NULL, NULL},
	{"a@x.test", "bounce@calm.test", "250", "550 5.1.1 ", NULL, NULL, NULL},
	{"a@x.test", "421-4.7.0@calm.test", "250", "421 4.7.0 ", NULL, NULL, NULL},
	{"a@x.test", "success@calm.test", "250", "250", "354", "250", "250"},
};

static void ask_all(size_t row, bool by_chunks)
{
	char line[256];
	struct dialogue d;
	open_to(&d);
	snprintf(line, sizeof(line), "MAIL FROM:<%s>\r\n", asked[row].sender);
	ck_assert_seen(say(&d, line), asked[row].mail);
	if (asked[row].to) {
		snprintf(line, sizeof(line), "RCPT TO:<%s>\r\n", asked[row].rcpt);
		ck_assert_seen(say(&d, line), asked[row].to);
	}
	if (asked[row].data && by_chunks) {
		ck_assert_seen(say(&d, "BDAT 6 LAST\r\nbody\r\n"), asked[row].end_of_bdat);
	} else if (asked[row].data) {
		ck_assert_seen(say(&d, "DATA\r\n"), asked[row].data);
		if (asked[row].end)
			ck_assert_seen(say(&d, "body\r\n.\r\n"), asked[row].end);
	}
	/* The next message of the session is not asked for anything. */
	if (!d.closed) {
		say(&d, "RSET\r\n");
		ck_assert_seen(say(&d, "MAIL FROM:<b@x.test>\r\n"), "250");
		ck_assert_seen(say(&d, "RCPT TO:<bob@calm.test>\r\n"), "250");
		ck_assert_seen(say(&d, "DATA\r\n"), "354");
		ck_assert_seen(say(&d, ".\r\n"), "250");
	}
	dialogue_end(&d);
}

/* The destination is what this answer says it is. */
static void dial(struct dialogue *d, const struct mx_answer *answer)
{
	struct policy_mx mx = policy_mx_of(policy, span_of(""), answer);
	d->session.dialled = mx.provider;
	d->session.dialled_site = mx.site;
}

START_TEST(an_address_asks)
{
	ask_all((size_t)_i, false);
	ask_all((size_t)_i, true);
	use(&sink_conf, NULL);
	ask_all((size_t)_i, false);
	ask_all((size_t)_i, true);
}
END_TEST

START_TEST(asking_outweighs_the_odds)
{
	struct dialogue d;
	open_to(&d);
	say(&d, "MAIL FROM:<a@x.test>\r\n");
	ck_assert_seen(say(&d, "RCPT TO:<ann@always.test>\r\n"),
		"550 always refuses ann@always.test of always.test from 198.51.100.7\n");
	ck_assert_seen(say(&d, "RCPT TO:<250-ann@always.test>\r\n"), "250 ");
	ck_assert_seen(say(&d, "RCPT TO:<success@always.test>\r\n"), "250 ");
	ck_assert_seen(say(&d, "RCPT TO:<451-4.7.1@always.test>\r\n"), "451 4.7.1 ");
	dialogue_end(&d);
}
END_TEST

/* Of two that ask for later, the earlier phase comes first and nothing is forgotten. */
START_TEST(two_recipients_ask_for_later)
{
	struct dialogue d;
	open_to(&d);
	say(&d, "MAIL FROM:<a@x.test>\r\n");
	say(&d, "RCPT TO:<552-5.2.2-data@calm.test>\r\n");
	say(&d, "RCPT TO:<451-4.3.0-end_of_data@calm.test>\r\n");
	ck_assert_seen(say(&d, "DATA\r\n"), "552 5.2.2 ");
	dialogue_end(&d);
}
END_TEST

/* A reply that waits for the end of data does not hide what another recipient is told at once. */
START_TEST(each_recipient_has_its_own_outcome)
{
	struct dialogue d;
	open_to(&d);
	say(&d, "MAIL FROM:<a@x.test>\r\n");
	ck_assert_seen(say(&d, "RCPT TO:<ann@late.test>\r\n"), "250 ");
	ck_assert_seen(say(&d, "RCPT TO:<bob@always.test>\r\n"), "550 always refuses bob@always.test");
	ck_assert_seen(say(&d, "RCPT TO:<carl@calm.test>\r\n"), "250 ");
	ck_assert_seen(say(&d, "DATA\r\n"), "354 ");
	ck_assert_seen(say(&d, ".\r\n"), "451 late for ann@late.test from a@x.test\n");
	ck_assert_ptr_nonnull(d.verdict.from);
	ck_assert_int_eq(d.verdict.kind, PROVIDER_DEFER);
	/* It is over with its transaction, also where that is dropped. */
	for (int dropped = 0; dropped < 2; dropped++) {
		say(&d, "MAIL FROM:<a@x.test>\r\n");
		say(&d, "RCPT TO:<ann@late.test>\r\n");
		if (dropped)
			say(&d, "RSET\r\n");
		else
			say(&d, "EHLO again.example\r\n");
		say(&d, "MAIL FROM:<a@x.test>\r\nRCPT TO:<carl@calm.test>\r\n");
		ck_assert_seen(say(&d, "DATA\r\n"), "354 ");
		ck_assert_seen(say(&d, ".\r\n"), "250 ");
	}
	dialogue_end(&d);
}
END_TEST

/* DNS's answers for the cases below. */
static struct mx_host calm_hosts[] = {{"mx1.calm.example", 10}, {"mx2.calm.example", 20}};
static struct mx_host other_calm_hosts[] = {{"in.other.calm.example", 10}};
static struct mx_host late_hosts[] = {{"mx.late.example", 10}};
static struct mx_host mixed_hosts[] = {{"mx1.calm.example", 10}, {"mx.late.example", 20}};
static struct mx_host own_hosts[] = {{"mail.own.example", 10}};
static struct mx_host other_own_hosts[] = {{"mail.other-own.example", 10}};
static struct in6_addr at_destination;

#define ANSWER(list, addresses_, address_count_, partial_)                                       \
	{                                                                                        \
		.status = MX_FOUND, .hosts = list, .host_count = sizeof(list) / sizeof(list[0]), \
		.addresses = addresses_, .address_count = address_count_, .partial = partial_    \
	}

static const struct mx_answer calm = ANSWER(calm_hosts, NULL, 0, false);
static const struct mx_answer other_calm = ANSWER(other_calm_hosts, NULL, 0, false);
static const struct mx_answer late = ANSWER(late_hosts, NULL, 0, false);
static const struct mx_answer late_partial = ANSWER(late_hosts, NULL, 0, true);
static const struct mx_answer late_here = ANSWER(late_hosts, &at_destination, 1, false);
static const struct mx_answer mixed = ANSWER(mixed_hosts, NULL, 0, false);
static const struct mx_answer own = ANSWER(own_hosts, NULL, 0, false);
static const struct mx_answer other_own = ANSWER(other_own_hosts, NULL, 0, false);
static const struct mx_answer silent = {.status = MX_UNKNOWN};
static const struct mx_answer nothing = {.status = MX_NO_DOMAIN};

static const struct {
	const char *what;
	const struct mx_answer *dialled, *rcpt;
	bool undiverted, refused;
	const char *provider;
} mismatches[] = {
	{"the same site", &calm, &calm, false, false, "calm"},
	{"the same provider at another site and address", &calm, &other_calm, false, false, "calm"},
	{"another provider", &calm, &late, false, true, "late"},
	{"another provider, not diverted", &calm, &late, true, false, "late"},
	{"another provider, but the address is the recipient's, too", &calm, &late_here, false, false,
		"late"},
	{"another provider, of which not all addresses are known", &calm, &late_partial, false, false,
		"late"},
	{"a destination that nobody knows", NULL, &late, false, false, "late"},
	{"DNS says nothing of the recipient", &calm, &silent, false, false, "default"},
	{"the recipient's domain does not exist", &calm, &nothing, false, false, "default"},
	{"hosts of two providers are nobody's", &calm, &mixed, false, true, "default"},
	{"two sites that no profile knows", &own, &other_own, false, true, "default"},
	{"one site that no profile knows", &own, &own, false, false, "default"},
	{"from an unknown site to a provider", &own, &late, false, true, "late"},
};

static void dial_mismatch(size_t row, bool refused)
{
	struct dialogue d;
	dialogue_init(&d, policy, &state, "198.51.100.7", &clock_ms);
	d.session.diverted = !mismatches[row].undiverted;
	if (mismatches[row].dialled)
		dial(&d, mismatches[row].dialled);
	d.answer = mismatches[row].rcpt;
	dialogue_greet(&d);
	say(&d, "MAIL FROM:<a@x.test>\r\n");
	const char *seen = say(&d, "RCPT TO:<success@unlisted.test>\r\nRCPT TO:<250-x@unlisted.test>\r\n");
	ck_assert_seen(seen, "250 ");
	/* Who asks by address gets what was asked for; "late" speaks at the end of data. */
	seen = say(&d, "RCPT TO:<ann@unlisted.test>\r\n");
	if (refused)
		ck_assert_msg(strcmp(seen, "554 ann@unlisted.test: relay access denied\n") == 0, "%s: %s",
			mismatches[row].what, seen);
	else
		ck_assert_msg(strncmp(seen, "250 ", 4) == 0, "%s: %s", mismatches[row].what, seen);
	ck_assert_msg(strcmp(d.verdict.provider->name, mismatches[row].provider) == 0, "%s: %s",
		mismatches[row].what, d.verdict.provider->name);
	ck_assert_msg(!refused || d.verdict.kind == PROVIDER_MISMATCH, "%s", mismatches[row].what);
	dialogue_end(&d);
}

START_TEST(destinations_that_do_not_fit)
{
	ck_assert(mapped_read("203.0.113.1", &at_destination));
	dial_mismatch((size_t)_i, mismatches[_i].refused);
	use(&accept_conf, NULL);
	dial_mismatch((size_t)_i, false);
}
END_TEST

/* Whose a domain is: by MX, by its name where DNS does not say, by responses.toml before both. */
static const struct {
	const char *domain;
	const struct mx_answer *answer;
	bool diverted, with_responses;
	const char *provider;
	unsigned asked_mx;
} belongings[] = {
	{"calm.test", NULL, false, false, "calm", 0},
	{"CALM.test", NULL, false, false, "calm", 0},
	{"calm.test", &late, true, false, "late", 1},
	{"calm.test", &silent, true, false, "calm", 1},
	{"calm.test", &own, true, false, "calm", 1},
	{"calm.test", NULL, true, false, "calm", 1},
	{"calm.test", &late, true, true, "domain:calm.test", 0},
	{"calm.test", &late, false, true, "domain:calm.test", 0},
	{"unlisted.test", &late, false, false, "late", 1},
	{"unlisted.test", &late, true, true, "late", 1},
	{"unlisted.test", &own, false, false, "default", 1},
	{"unlisted.test", &silent, false, false, "default", 1},
	{"unlisted.test", NULL, true, false, "default", 1},
};

START_TEST(whose_a_domain_is)
{
	char line[256];
	struct dialogue d;
	if (belongings[_i].with_responses)
		use(NULL, &responses);
	dialogue_init(&d, policy, &state, "198.51.100.7", &clock_ms);
	d.session.diverted = belongings[_i].diverted;
	d.answer = belongings[_i].answer;
	dialogue_greet(&d);
	say(&d, "MAIL FROM:<a@x.test>\r\n");
	snprintf(line, sizeof(line), "RCPT TO:<ann@%s>\r\n", belongings[_i].domain);
	say(&d, line);
	ck_assert_str_eq(d.verdict.provider->name, belongings[_i].provider);
	ck_assert_uint_eq(d.asked_mx, belongings[_i].asked_mx);
	dialogue_end(&d);
}
END_TEST

START_TEST(responses_answer_at_the_end)
{
	struct dialogue d;
	use(NULL, &responses);
	open_to(&d);
	say(&d, "MAIL FROM:<a@x.test>\r\n");
	ck_assert_seen(say(&d, "RCPT TO:<ann@always.test>\r\n"), "250 ");
	ck_assert_seen(say(&d, "RCPT TO:<ann@calm.test>\r\n"), "250 ");
	ck_assert_seen(say(&d, "DATA\r\n"), "354 ");
	ck_assert_seen(say(&d, ".\r\n"), "552 5.2.2 as the file says\n");
	dialogue_end(&d);
}
END_TEST

/* A provider without words of its own for what its odds ask for takes those of "default". */
START_TEST(default_lends_its_words)
{
	struct dialogue d;
	open_to(&d);
	say(&d, "MAIL FROM:<a@x.test>\r\n");
	ck_assert_seen(say(&d, "RCPT TO:<ann@wordless.test>\r\n"), "550 default's bounce\n");
	ck_assert_str_eq(d.verdict.provider->name, "wordless");
	dialogue_end(&d);
}
END_TEST

/* All that the engine knows, for a profile that lists nothing. */
#define OWN_EHLO(host)                                                                                 \
	"250-" host "\n250-SIZE 104857600\n250-PIPELINING\n250-8BITMIME\n250-SMTPUTF8\n250-CHUNKING\n" \
	"250-ENHANCEDSTATUSCODES\n250 DSN\n"

START_TEST(presentation)
{
	struct dialogue d;
	dialogue_init(&d, policy, &state, "2001:db8::7", &clock_ms);
	d.session.diverted = true;
	dial(&d, &calm);
	d.session.mx_name = "mx1.calm.example";
	ck_assert_str_eq(
		dialogue_begin(&d), "220 mx1.calm.example calm since " DIALOGUE_TODAY ", 2001:db8::7\n");
	ck_assert_str_eq(
		say(&d, "EHLO mta.example\r\n"), "250-mx1.calm.example\n250-PIPELINING\n250 SIZE 1000\n");
	ck_assert_str_eq(say(&d, "HELO mta.example\r\n"), "250 mx1.calm.example\n");
	dialogue_end(&d);
	/* Nobody is known to be at the destination; and a profile that says nothing of a banner. */
	dialogue_init(&d, policy, &state, "198.51.100.7", &clock_ms);
	ck_assert_str_eq(dialogue_begin(&d), "220 mx.mxmirage.test ESMTP\n");
	ck_assert_str_eq(say(&d, "EHLO mta.example\r\n"), OWN_EHLO("mx.mxmirage.test"));
	dialogue_end(&d);
	dialogue_init(&d, policy, &state, "198.51.100.7", &clock_ms);
	dial(&d, &late);
	d.session.mx_name = "mx.late.example";
	ck_assert_str_eq(dialogue_begin(&d), "220 mx.late.example ESMTP\n");
	ck_assert_str_eq(say(&d, "EHLO mta.example\r\n"), OWN_EHLO("mx.late.example"));
	dialogue_end(&d);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("policy");
	TCase *tcase = tcase_create("policy");
	tcase_add_checked_fixture(tcase, start, stop);
	tcase_add_loop_test(tcase, an_address_asks, 0, sizeof(asked) / sizeof(asked[0]));
	tcase_add_test(tcase, asking_outweighs_the_odds);
	tcase_add_test(tcase, two_recipients_ask_for_later);
	tcase_add_test(tcase, each_recipient_has_its_own_outcome);
	tcase_add_loop_test(
		tcase, destinations_that_do_not_fit, 0, sizeof(mismatches) / sizeof(mismatches[0]));
	tcase_add_loop_test(tcase, whose_a_domain_is, 0, sizeof(belongings) / sizeof(belongings[0]));
	tcase_add_test(tcase, responses_answer_at_the_end);
	tcase_add_test(tcase, default_lends_its_words);
	tcase_add_test(tcase, presentation);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
