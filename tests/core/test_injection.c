/* Which decisions an injected behaviour is for, when it ends, and what becomes of the answer. */
#include "injection.h"

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "core/dialogue.h"
#include "core/tree.h"
#include "suite.h"

static struct injection injection_of(enum smtp_phase phase, unsigned code, const char *text)
{
	struct injection injection = {
		.phase = phase,
		.enhanced = "4.7.28",
		.reply = {.kind = PROVIDER_DEFER, .phase = phase, .code = code, .weight = 1},
	};
	snprintf(injection.text, sizeof(injection.text), "%s", text);
	return injection;
}

static const struct {
	const char *domain, *provider, *source; /* of the filter */
	enum smtp_phase phase;
	bool fits;
} filters[] = {
	{"", "", "", SMTP_PHASE_RCPT, true},
	{"", "", "", SMTP_PHASE_MAIL, false},
	{"", "", "", SMTP_PHASE_END_OF_DATA, false},
	{"gmail.com", "", "", SMTP_PHASE_RCPT, true},
	{"mail.com", "", "", SMTP_PHASE_RCPT, false},
	{"gmail.co", "", "", SMTP_PHASE_RCPT, false},
	{".com", "", "", SMTP_PHASE_RCPT, true},
	{".gmail.com", "", "", SMTP_PHASE_RCPT, false},
	{"", "google", "", SMTP_PHASE_RCPT, true},
	{"", "goog", "", SMTP_PHASE_RCPT, false},
	{"", "", "198.51.100.7", SMTP_PHASE_RCPT, true},
	{"", "", "198.51.100.70", SMTP_PHASE_RCPT, false},
	{"gmail.com", "google", "198.51.100.7", SMTP_PHASE_RCPT, true},
	{"gmail.com", "yahoo", "198.51.100.7", SMTP_PHASE_RCPT, false},
	{"yahoo.com", "google", "198.51.100.7", SMTP_PHASE_RCPT, false},
};

static size_t count_for(const struct injections *injections, uint64_t now_ms)
{
	return injections_for(injections, span_of("gmail.com"), "google", "198.51.100.7", now_ms);
}

START_TEST(filters_choose)
{
	struct err err;
	struct injections *injections = injections_new();
	struct injection injection = injection_of(filters[_i].phase, 421, "injected");
	snprintf(injection.domain, sizeof(injection.domain), "%s", filters[_i].domain);
	snprintf(injection.provider, sizeof(injection.provider), "%s", filters[_i].provider);
	snprintf(injection.source, sizeof(injection.source), "%s", filters[_i].source);
	ck_assert(!injections_any(injections));
	ck_assert_int_eq(injections_add(injections, &injection, 1000, &err), 0);
	ck_assert(injections_any(injections));
	/* The caller's is copied, with its texts. */
	memset(&injection, 'x', sizeof(injection));
	if (filters[_i].phase == SMTP_PHASE_RCPT)
		ck_assert_uint_eq(count_for(injections, 1000), filters[_i].fits);
	const struct injection *found = injections_match(
		injections, SMTP_PHASE_RCPT, span_of("GMail.com"), "google", "198.51.100.7", 1000);
	ck_assert_int_eq(found != NULL, filters[_i].fits);
	if (found) {
		ck_assert_str_eq(found->reply.text, "injected");
		ck_assert_str_eq(found->reply.enhanced, "4.7.28");
	}
	injections_free(injections);
}
END_TEST

static const struct injection *match(struct injections *injections, uint64_t now_ms)
{
	return injections_match(
		injections, SMTP_PHASE_RCPT, span_of("gmail.com"), "google", "198.51.100.7", now_ms);
}

START_TEST(ends_by_count_and_time)
{
	struct err err;
	struct injections *injections = injections_new();
	struct injection counted = injection_of(SMTP_PHASE_RCPT, 421, "counted");
	struct injection timed = injection_of(SMTP_PHASE_RCPT, 450, "timed");
	struct injection copy;
	uint32_t used;
	counted.count = 3;
	timed.until_ms = 2000;
	injections_add(injections, &counted, 1000, &err);
	injections_add(injections, &timed, 1000, &err);
	ck_assert_uint_eq(count_for(injections, 1999), 2);
	for (int i = 0; i < 3; i++)
		ck_assert_str_eq(match(injections, 1000)->text, "counted");
	ck_assert_uint_eq(count_for(injections, 1999), 1);
	ck_assert_uint_eq(count_for(injections, 2000), 0);
	/* The first that fits and has not ended. */
	ck_assert_str_eq(match(injections, 1999)->text, "timed");
	ck_assert_ptr_null(match(injections, 2000));
	ck_assert(injections_at(injections, 0, &copy, &used));
	ck_assert_uint_eq(used, 3);
	ck_assert(injections_at(injections, 1, &copy, &used));
	ck_assert_uint_eq(used, 1);
	ck_assert(!injections_at(injections, 2, &copy, &used));
	injections_reset(injections);
	ck_assert(!injections_any(injections));
	ck_assert_ptr_null(match(injections, 1000));
	/* A new one in the place of an old one begins at 0. */
	injections_add(injections, &counted, 1000, &err);
	for (int i = 0; i < 3; i++)
		ck_assert_ptr_nonnull(match(injections, 1000));
	ck_assert_ptr_null(match(injections, 1000));
	injections_free(injections);
}
END_TEST

START_TEST(too_many_are_refused)
{
	struct err err = {""};
	struct injections *injections = injections_new();
	const struct injection injection = injection_of(SMTP_PHASE_RCPT, 421, "one of many");
	for (int i = 0; i < INJECTIONS_MAX; i++)
		ck_assert_int_eq(injections_add(injections, &injection, 1000, &err), i);
	ck_assert_int_eq(injections_add(injections, &injection, 1000, &err), -ENOSPC);
	ck_assert_ptr_nonnull(strstr(err.text, "mxmirage reset"));
	injections_reset(injections);
	ck_assert_int_eq(injections_add(injections, &injection, 1000, &err), 0);
	injections_free(injections);
}
END_TEST

/* The 3rd by its count at 2000, the 5th by its time at 3000. */
START_TEST(ended_ones_make_room)
{
	struct err err = {""};
	struct injections *injections = injections_new();
	const struct injection next = injection_of(SMTP_PHASE_MAIL, 450, "next");
	for (int i = 0; i < INJECTIONS_MAX; i++) {
		struct injection injection =
			injection_of(i == 2 ? SMTP_PHASE_RCPT : SMTP_PHASE_DATA, 421, "one");
		injection.count = i == 2 ? 2 : 0;
		injection.until_ms = i == 4 ? 3000 : 0;
		ck_assert_int_eq(injections_add(injections, &injection, 1000, &err), i);
	}
	ck_assert_ptr_nonnull(match(injections, 1500));
	ck_assert_ptr_nonnull(match(injections, 2000));
	ck_assert_ptr_null(match(injections, 2000));
	/* A worker may still be reading them. */
	ck_assert_int_eq(injections_add(injections, &next, 11999, &err), -ENOSPC);
	ck_assert_int_eq(injections_add(injections, &next, 12000, &err), 2);
	ck_assert_int_eq(injections_add(injections, &next, 12999, &err), -ENOSPC);
	ck_assert_int_eq(injections_add(injections, &next, 13000, &err), 4);
	ck_assert_int_eq(injections_add(injections, &next, 99999, &err), -ENOSPC);
	const struct injection *found = injections_match(
		injections, SMTP_PHASE_MAIL, span_of("gmail.com"), "google", "198.51.100.7", 13000);
	ck_assert_ptr_nonnull(found);
	ck_assert_str_eq(found->reply.text, "next");
	injections_free(injections);
}
END_TEST

#define THREADS 4
#define LOOKS   100000

static void *count_matches(void *arg)
{
	uintptr_t matched = 0;
	for (int i = 0; i < LOOKS; i++)
		matched += match(arg, 1000) != NULL;
	return (void *)matched;
}

/* "The next 100,000": not one more or less, whichever worker meets them. */
START_TEST(a_count_is_shared_by_all_workers)
{
	struct err err;
	struct injections *injections = injections_new();
	struct injection injection = injection_of(SMTP_PHASE_RCPT, 421, "counted");
	pthread_t threads[THREADS];
	uintptr_t all = 0;
	injection.count = LOOKS;
	injections_add(injections, &injection, 1000, &err);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, count_matches, injections), 0);
	for (int i = 0; i < THREADS; i++) {
		void *matched;
		pthread_join(threads[i], &matched);
		all += (uintptr_t)matched;
	}
	ck_assert_uint_eq(all, LOOKS);
	injections_free(injections);
}
END_TEST

/* The rest is seen by a client. "broken" resets each connection at its first byte, when nothing is injected. */
static const struct toml_node profiles =
	TABLE("", TABLE("provider",
			  TABLE("broken", ARRAY("domains", TEXT(NULL, "broken.test")),
				  ARRAY("fault", TABLE(NULL, TEXT("form", "reset"), TEXT("phase", "connect"),
							 NUMBER("odds", 100)))),
			  TABLE("calm", ARRAY("domains", TEXT(NULL, "calm.test")))));

static struct policy_state state;
static uint64_t clock_ms = 1000;
static const struct policy *policy;

static void start(void)
{
	struct err err = {""};
	ck_assert_int_eq(policy_state_init(&state, &err), 0);
	struct conf *conf = conf_new("test", NULL, 1, &err);
	struct provider_set *set = provider_set_new(&err);
	ck_assert_msg(provider_set_add(set, "test", &profiles, "current", &err) == 0, "%s", err.text);
	policy = policy_new(conf, set, 1, &err);
	conf_unref(conf);
}

static void stop(void)
{
	policy_unref(policy);
	policy_state_done(&state);
}

/* In the order of a session's phases. */
static const char *const lines[PROVIDER_PHASES] = {"", "EHLO mta.example\r\n", "MAIL FROM:<a@x.test>\r\n",
	"RCPT TO:<ann@calm.test>\r\n", "DATA\r\n", "body\r\n.\r\n"};

START_TEST(each_phase_can_be_injected)
{
	struct err err;
	struct injection injection = injection_of((enum smtp_phase)_i, 450, "for {rcpt} by {from} from {ip}");
	injection.count = 1;
	injection.delay_ms = 70;
	injections_add(state.injections, &injection, 1000, &err);
	for (int pass = 0; pass < 2; pass++) {
		struct dialogue d;
		dialogue_init(&d, policy, &state, "198.51.100.7", &clock_ms);
		for (int phase = 0; phase < PROVIDER_PHASES; phase++) {
			const char *seen = say(&d, lines[phase]);
			if (pass == 1 || phase != _i) {
				ck_assert_msg(strncmp(seen, "450", 3) != 0, "%s", seen);
				ck_assert_uint_eq(d.verdict.delay_ms, 0);
				continue;
			}
			ck_assert_msg(strncmp(seen, "450 4.7.28 for ", 15) == 0, "%s", seen);
			ck_assert_ptr_nonnull(strstr(seen, "from 198.51.100.7\n"));
			ck_assert(phase < SMTP_PHASE_MAIL || strstr(seen, "by a@x.test "));
			ck_assert(phase < SMTP_PHASE_RCPT || strstr(seen, "for ann@calm.test "));
			ck_assert_uint_eq(d.verdict.delay_ms, 70);
			break;
		}
		dialogue_end(&d);
	}
}
END_TEST

static const struct {
	enum provider_action action;
	const char *seen;
} actions[] = {
	{PROVIDER_REPLY, "450 4.7.28 acted\n"},
	{PROVIDER_REPLY_CLOSE, "450 4.7.28 acted\n"},
	{PROVIDER_CLOSE, "(close)"},
	{PROVIDER_RESET, "(reset)"},
	{PROVIDER_HANG, "(hang)"},
};

START_TEST(each_action_can_be_injected)
{
	struct err err;
	struct dialogue d;
	struct injection injection = injection_of(SMTP_PHASE_MAIL, 450, "acted");
	injection.reply.action = actions[_i].action;
	injections_add(state.injections, &injection, 1000, &err);
	dialogue_init(&d, policy, &state, "198.51.100.7", &clock_ms);
	dialogue_greet(&d);
	ck_assert_str_eq(say(&d, "MAIL FROM:<a@x.test>\r\n"), actions[_i].seen);
	ck_assert_int_eq(d.closed, actions[_i].action != PROVIDER_REPLY);
	dialogue_end(&d);
}
END_TEST

START_TEST(only_a_delay)
{
	struct err err;
	struct dialogue d;
	struct injection injection = injection_of(SMTP_PHASE_RCPT, 0, "");
	injection.delay_ms = 1500;
	snprintf(injection.domain, sizeof(injection.domain), "calm.test");
	injections_add(state.injections, &injection, 1000, &err);
	dialogue_init(&d, policy, &state, "198.51.100.7", &clock_ms);
	dialogue_greet(&d);
	say(&d, "MAIL FROM:<a@x.test>\r\n");
	ck_assert_int_eq(strncmp(say(&d, "RCPT TO:<ann@calm.test>\r\n"), "250 ", 4), 0);
	ck_assert_uint_eq(d.verdict.delay_ms, 1500);
	say(&d, "RCPT TO:<ann@other.test>\r\n");
	ck_assert_uint_eq(d.verdict.delay_ms, 0);
	dialogue_end(&d);
}
END_TEST

START_TEST(comes_before_all_else)
{
	struct err err;
	struct dialogue d;
	struct injection at_connect = injection_of(SMTP_PHASE_CONNECT, 450, "busy");
	struct injection at_rcpt = injection_of(SMTP_PHASE_RCPT, 450, "not even so");
	snprintf(at_connect.provider, sizeof(at_connect.provider), "broken");
	injections_add(state.injections, &at_connect, 1000, &err);
	injections_add(state.injections, &at_rcpt, 1000, &err);
	dialogue_init(&d, policy, &state, "198.51.100.7", &clock_ms);
	d.session.dialled = provider_by_domain(policy->providers, span_of("broken.test"));
	ck_assert_str_eq(dialogue_begin(&d), "450 4.7.28 busy\n");
	dialogue_end(&d);
	dialogue_init(&d, policy, &state, "198.51.100.7", &clock_ms);
	dialogue_greet(&d);
	say(&d, "MAIL FROM:<a@x.test>\r\n");
	ck_assert_str_eq(say(&d, "RCPT TO:<250-ann@calm.test>\r\n"), "450 4.7.28 not even so\n");
	dialogue_end(&d);
}
END_TEST

struct onlooker {
	struct injections *injections;
	_Atomic bool stop;
	unsigned without_text;
};

static void *look(void *arg)
{
	struct onlooker *onlooker = arg;
	while (!onlooker->stop) {
		const struct injection *found =
			injections_match(onlooker->injections, SMTP_PHASE_RCPT, span_of("x.test"), "", "", 1);
		const char *const volatile *text = found ? &found->reply.text : NULL;
		onlooker->without_text += text && !*text;
	}
	return NULL;
}

/* What is matched may be reset and another one be injected while a worker makes a reply of it: never of no text. */
START_TEST(filling_a_slot_again_takes_the_text_from_nobody)
{
	struct err err;
	struct onlooker onlooker = {.injections = injections_new()};
	const struct injection injection = injection_of(SMTP_PHASE_RCPT, 450, "injected");
	pthread_t thread;
	ck_assert_ptr_nonnull(onlooker.injections);
	ck_assert_int_eq(pthread_create(&thread, NULL, look, &onlooker), 0);
	for (int i = 0; i < 1000000; i++) {
		injections_reset(onlooker.injections);
		ck_assert_int_ge(injections_add(onlooker.injections, &injection, 1000, &err), 0);
	}
	onlooker.stop = true;
	pthread_join(thread, NULL);
	injections_free(onlooker.injections);
	ck_assert_uint_eq(onlooker.without_text, 0);
}
END_TEST

START_TEST(one_is_ended_by_hand)
{
	struct err err;
	uint32_t used;
	struct injections *injections = injections_new();
	struct injection injection = injection_of(SMTP_PHASE_RCPT, 421, "injected"), copy;
	injection.count = 3;
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(injections_add(injections, &injection, 1000, &err), i);
	ck_assert(injections_end(injections, 0, 2000));
	ck_assert(!injections_end(injections, 0, 2000));
	ck_assert(!injections_end(injections, 2, 2000));
	ck_assert_uint_eq(count_for(injections, 2000), 1);
	ck_assert(injections_at(injections, 0, &copy, &used));
	ck_assert_uint_eq(copy.until_ms, 2000);
	/* The other one has all three still, and the ended one's place is free 10 s later. */
	for (int i = 0; i < 4; i++) {
		const struct injection *found = injections_match(
			injections, SMTP_PHASE_RCPT, span_of("gmail.com"), "google", "198.51.100.7", 2000);
		ck_assert_int_eq(found != NULL, i < 3);
	}
	for (int i = 2; i < INJECTIONS_MAX; i++)
		ck_assert_int_eq(injections_add(injections, &injection, 2000, &err), i);
	ck_assert_int_eq(injections_add(injections, &injection, 11999, &err), -ENOSPC);
	ck_assert_int_eq(injections_add(injections, &injection, 12000, &err), 0);
	ck_assert(injections_end(injections, 0, 12000));
	injections_free(injections);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("injection");
	TCase *alone = tcase_create("alone");
	tcase_add_loop_test(alone, filters_choose, 0, sizeof(filters) / sizeof(filters[0]));
	tcase_add_test(alone, ends_by_count_and_time);
	tcase_add_test(alone, one_is_ended_by_hand);
	tcase_add_test(alone, too_many_are_refused);
	tcase_add_test(alone, ended_ones_make_room);
	tcase_add_test(alone, a_count_is_shared_by_all_workers);
	tcase_add_test(alone, filling_a_slot_again_takes_the_text_from_nobody);
	tcase_set_timeout(alone, 60);
	suite_add_tcase(suite, alone);
	TCase *decided = tcase_create("decided");
	tcase_add_checked_fixture(decided, start, stop);
	tcase_add_loop_test(decided, each_phase_can_be_injected, 0, PROVIDER_PHASES);
	tcase_add_loop_test(decided, each_action_can_be_injected, 0, sizeof(actions) / sizeof(actions[0]));
	tcase_add_test(decided, only_a_delay);
	tcase_add_test(decided, comes_before_all_else);
	suite_add_tcase(suite, decided);
	return suite_run(suite);
}
