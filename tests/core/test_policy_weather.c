/* What comes on top of any answer: delays, faults, connections refused or ignored; and limits in force. */
#include <check.h>

#include "core/dialogue.h"
#include "core/tree.h"
#include "policy.h"
#include "suite.h"

#define FAULT(form, phase, odds) TABLE(NULL, TEXT("form", form), TEXT("phase", phase), NUMBER("odds", odds))
#define REPLY(kind, phase, code, text) \
	TABLE(NULL, TEXT("kind", kind), TEXT("phase", phase), NUMBER("code", code), TEXT("text", text))
#define DOMAIN(name) ARRAY("domains", TEXT(NULL, name))

static const struct toml_node profiles = TABLE("",
	TABLE("provider",
		TABLE("slow", DOMAIN("slow.test"),
			TABLE("delay", TEXT("connect", "2s"), TEXT("ehlo", "100ms..300ms"),
				TEXT("mail", "lognormal(2s, 0.5)"), TEXT("rcpt", "1ms"),
				TEXT("data", "5s..5s"), TEXT("end_of_data", "lognormal(100ms, 0)"))),
		TABLE("broken", DOMAIN("broken.test"),
			ARRAY("fault", FAULT("reset", "mail", 40), FAULT("close", "mail", 30),
				FAULT("stall", "mail", 20), FAULT("truncate", "data", 50),
				FAULT("garble", "end_of_data", 100))),
		TABLE("shy", DOMAIN("shy.test"), NUMBER("refuse", 30), NUMBER("black_hole", 50)),
		TABLE("paced", DOMAIN("paced.test"), TEXT("max_message_rate", "2/min"),
			NUMBER("max_message_size", 1000),
			ARRAY("reply", REPLY("max_message_rate", "mail", 450, "too fast"),
				REPLY("max_message_size", "mail", 552, "declared too large"),
				REPLY("max_message_size", "end_of_data", 552, "is too large"))),
		TABLE("vast", DOMAIN("vast.test"), NUMBER("max_message_size", 500000000),
			NUMBER("max_recipients_per_message", 1500),
			ARRAY("reply", REPLY("max_message_size", "mail", 552, "vast enough"),
				REPLY("max_recipients_per_message", "rcpt", 452, "enough of them"))),
		TABLE("strict", DOMAIN("strict.test"), NUMBER("provider_connection_limit", 1),
			ARRAY("reply", REPLY("connection_limit", "mail", 451, "one at a time, {rcpt}")))));

static struct policy_state state;
static uint64_t clock_ms;
static const struct policy *policy;

static void start(void)
{
	struct err err = {""};
	ck_assert_int_eq(policy_state_init(&state, &err), 0);
	clock_ms = 1000000;
	struct conf *conf = conf_new("test", NULL, 1, &err);
	struct provider_set *set = provider_set_new(&err);
	ck_assert_msg(provider_set_add(set, "test", &profiles, "current", &err) == 0, "%s", err.text);
	policy = policy_new(conf, set, 1, &err);
	conf_unref(conf);
	ck_assert_ptr_nonnull(policy);
}

static void stop(void)
{
	policy_unref(policy);
	policy_state_done(&state);
}

/* To the provider of a domain, known as such from the first byte on, or not. */
static void aim(struct dialogue *d, const char *domain, bool known)
{
	dialogue_init(d, policy, &state, "198.51.100.7", &clock_ms);
	if (known)
		d->session.dialled = provider_by_domain(policy->providers, span_of(domain));
}

static void ck_assert_seen(const char *got, const char *wanted)
{
	ck_assert_msg(strncmp(got, wanted, strlen(wanted)) == 0, "saw \"%s\", not \"%s\"", got, wanted);
}

/* In the order of a session's phases. A lognormal one has no bounds but those of draw_normal(), 6 sigma. */
static const struct {
	const char *line;
	uint32_t low_ms, high_ms;
	bool varies;
} waits[PROVIDER_PHASES] = {
	{"", 2000, 2000, false},
	{"EHLO mta.example\r\n", 100, 300, true},
	{"MAIL FROM:<a@x.test>\r\n", 99, 40171, true},
	{"RCPT TO:<ann@slow.test>\r\n", 1, 1, false},
	{"DATA\r\n", 5000, 5000, false},
	{".\r\n", 100, 100, false},
};

START_TEST(delays_keep_to_their_form)
{
	uint32_t low[PROVIDER_PHASES], high[PROVIDER_PHASES] = {0};
	unsigned below_median = 0;
	memset(low, 0xff, sizeof(low));
	for (int i = 0; i < 1000; i++) {
		struct dialogue d;
		aim(&d, "slow.test", true);
		for (int phase = 0; phase < PROVIDER_PHASES; phase++) {
			say(&d, waits[phase].line);
			ck_assert_int_eq((int)d.phase, phase);
			uint32_t ms = d.verdict.delay_ms;
			ck_assert_uint_ge(ms, waits[phase].low_ms);
			ck_assert_uint_le(ms, waits[phase].high_ms);
			low[phase] = ms < low[phase] ? ms : low[phase];
			high[phase] = ms > high[phase] ? ms : high[phase];
			below_median += phase == SMTP_PHASE_MAIL && ms < 2000;
		}
		dialogue_end(&d);
	}
	for (int phase = 0; phase < PROVIDER_PHASES; phase++)
		ck_assert_int_eq(low[phase] < high[phase], waits[phase].varies);
	/* Half of them, by 4 standard errors. */
	ck_assert_uint_ge(below_median, 437);
	ck_assert_uint_le(below_median, 563);
}
END_TEST

static void ck_assert_share(const char *what, unsigned seen, unsigned of, unsigned percent)
{
	double mean = of * (percent / 100.0), variance = mean * (1 - percent / 100.0);
	double off = seen - mean;
	ck_assert_msg(off * off <= 16 * variance, "%s: %u of %u, not %u %%", what, seen, of, percent);
}

START_TEST(faults_keep_to_their_odds)
{
	unsigned mail[5] = {0}, mails = 4000, truncated = 0, data = 0;
	for (unsigned i = 0; i < mails; i++) {
		struct dialogue d;
		aim(&d, "broken.test", true);
		dialogue_greet(&d);
		say(&d, "MAIL FROM:<a@x.test>\r\n");
		if (d.verdict.faulted)
			mail[d.verdict.fault]++;
		if (!d.closed) {
			say(&d, "RCPT TO:<ann@broken.test>\r\n");
			ck_assert(!d.verdict.faulted);
			say(&d, "DATA\r\n");
			data++;
			truncated += d.verdict.faulted;
			ck_assert(!d.verdict.faulted || d.verdict.fault == PROVIDER_FAULT_TRUNCATE);
		}
		if (!d.closed)
			ck_assert_str_eq(say(&d, ".\r\n"), "(garble)");
		dialogue_end(&d);
	}
	ck_assert_share("reset", mail[PROVIDER_FAULT_RESET], mails, 40);
	ck_assert_share("close", mail[PROVIDER_FAULT_CLOSE], mails, 30);
	ck_assert_share("stall", mail[PROVIDER_FAULT_STALL], mails, 20);
	ck_assert_share("truncate", truncated, data, 50);
}
END_TEST

START_TEST(connections_are_refused_by_odds)
{
	unsigned refused = 0, ignored = 0, all = 4000;
	for (unsigned i = 0; i < all; i++) {
		struct dialogue d;
		aim(&d, "shy.test", true);
		const char *seen = dialogue_begin(&d);
		refused += strcmp(seen, "(reset)") == 0;
		ignored += strcmp(seen, "(hang)") == 0;
		ck_assert(d.closed || strncmp(seen, "220 ", 4) == 0);
		dialogue_end(&d);
	}
	ck_assert_share("refuse", refused, all, 30);
	ck_assert_share("black_hole", ignored, all, 50);
}
END_TEST

/* A rate is one of messages, whether or not the first one's provider was known at MAIL. */
START_TEST(every_message_counts_against_the_rate)
{
	for (int i = 0; i < 4; i++) {
		struct dialogue d;
		aim(&d, "paced.test", i % 2 == 1);
		dialogue_greet(&d);
		const char *seen = say(&d, "MAIL FROM:<a@x.test>\r\n");
		if (!dialogue_refused(&d))
			seen = say(&d, "RCPT TO:<ann@paced.test>\r\n");
		ck_assert_seen(seen, i < 2 ? "250 " : "450 too fast\n");
		dialogue_end(&d);
	}
	clock_ms += 30000;
	struct dialogue d;
	aim(&d, "paced.test", true);
	dialogue_greet(&d);
	ck_assert_seen(say(&d, "MAIL FROM:<a@x.test>\r\n"), "250 ");
	dialogue_end(&d);
}
END_TEST

START_TEST(a_declared_size_is_refused_at_once)
{
	struct dialogue d;
	aim(&d, "paced.test", true);
	dialogue_greet(&d);
	for (int i = 0; i < 20; i++)
		ck_assert_str_eq(say(&d, "MAIL FROM:<a@x.test> SIZE=1001\r\n"), "552 declared too large\n");
	say(&d, "MAIL FROM:<a@x.test> SIZE=1000\r\nRCPT TO:<ann@paced.test>\r\nDATA\r\n");
	char body[1100];
	memset(body, 'x', sizeof(body));
	memcpy(body + 1000, "\r\n.\r\n", 6);
	ck_assert_str_eq(say(&d, body), "552 is too large\n");
	dialogue_end(&d);
	/* Where the provider was not known at MAIL, with its first recipient. */
	aim(&d, "paced.test", false);
	dialogue_greet(&d);
	ck_assert_seen(say(&d, "MAIL FROM:<a@x.test> SIZE=1001\r\n"), "250 ");
	ck_assert_str_eq(say(&d, "RCPT TO:<ann@paced.test>\r\n"), "552 declared too large\n");
	dialogue_end(&d);
}
END_TEST

/* The engine has limits of its own; a provider's larger ones are not cut short by them. */
START_TEST(large_limits_are_the_providers)
{
	struct dialogue d;
	aim(&d, "vast.test", true);
	dialogue_greet(&d);
	ck_assert_str_eq(say(&d, "MAIL FROM:<a@x.test> SIZE=500000001\r\n"), "552 vast enough\n");
	ck_assert_seen(say(&d, "MAIL FROM:<a@x.test> SIZE=500000000\r\n"), "250 ");
	for (int i = 0; i < 1500; i++) {
		char line[64];
		snprintf(line, sizeof(line), "RCPT TO:<u%d@vast.test>\r\n", i);
		ck_assert_seen(say(&d, line), "250 ");
	}
	ck_assert_str_eq(say(&d, "RCPT TO:<more@vast.test>\r\n"), "452 enough of them\n");
	dialogue_end(&d);
}
END_TEST

/*
 * What concerns the connection is said at each message, and ends with the connection, not with a transaction. No
 * recipient is known when it is first said at MAIL.
 */
START_TEST(a_connection_too_many_stays_so)
{
	struct dialogue first, second;
	aim(&first, "strict.test", true);
	aim(&second, "strict.test", true);
	dialogue_greet(&first);
	dialogue_greet(&second);
	ck_assert_str_eq(say(&second, "MAIL FROM:<a@x.test>\r\n"), "451 one at a time, \n");
	say(&second, "RSET\r\n");
	dialogue_end(&first);
	ck_assert_str_eq(say(&second, "MAIL FROM:<a@x.test>\r\n"), "451 one at a time, \n");
	dialogue_end(&second);
	aim(&first, "strict.test", true);
	dialogue_greet(&first);
	ck_assert_seen(say(&first, "MAIL FROM:<a@x.test>\r\n"), "250 ");
	/* Known by its first recipient alone: the phase of the reply has passed. */
	aim(&second, "strict.test", false);
	dialogue_greet(&second);
	ck_assert_seen(say(&second, "MAIL FROM:<a@x.test>\r\n"), "250 ");
	ck_assert_str_eq(
		say(&second, "RCPT TO:<ann@strict.test>\r\n"), "451 one at a time, ann@strict.test\n");
	dialogue_end(&first);
	dialogue_end(&second);
}
END_TEST

/* What explain shows of a sender. */
START_TEST(standing_is_told)
{
	struct policy_standing standing;
	struct dialogue d;
	aim(&d, "strict.test", true);
	const struct provider *strict = d.session.dialled;
	dialogue_greet(&d);
	policy_standing(&state, strict, &d.session.source, clock_ms, &standing);
	ck_assert_uint_eq(standing.connections, 1);
	ck_assert_uint_eq(standing.violations, 0);
	struct dialogue second;
	aim(&second, "strict.test", true);
	dialogue_greet(&second);
	policy_standing(&state, strict, &d.session.source, clock_ms, &standing);
	ck_assert_uint_eq(standing.connections, 2);
	ck_assert_uint_eq(standing.violations, 1);
	/* Another address is another sender. */
	const struct in6_addr other = dialogue_address("2001:db8::7");
	policy_standing(&state, strict, &other, clock_ms, &standing);
	ck_assert_uint_eq(standing.connections, 0);
	dialogue_end(&second);
	dialogue_end(&d);
	policy_standing(&state, strict, &d.session.source, clock_ms, &standing);
	ck_assert_uint_eq(standing.connections, 0);
	ck_assert_uint_eq(standing.violations, 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("policy_weather");
	TCase *tcase = tcase_create("weather");
	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, start, stop);
	tcase_add_test(tcase, delays_keep_to_their_form);
	tcase_add_test(tcase, faults_keep_to_their_odds);
	tcase_add_test(tcase, connections_are_refused_by_odds);
	tcase_add_test(tcase, every_message_counts_against_the_rate);
	tcase_add_test(tcase, a_declared_size_is_refused_at_once);
	tcase_add_test(tcase, large_limits_are_the_providers);
	tcase_add_test(tcase, a_connection_too_many_stays_so);
	tcase_add_test(tcase, standing_is_told);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
