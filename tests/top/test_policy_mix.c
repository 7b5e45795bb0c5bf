/*
 * A million messages in the mix that large senders publish: every provider's outcomes come as often as its profile
 * says, and are the same for the same seed, however many threads there are.
 */
#include <check.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "core/dialogue.h"
#include "draw.h"
#include "suite.h"
#include "top/corpus_policy.h"

#ifdef __SANITIZE_ADDRESS__
#define MESSAGES 200000u /* where each takes ten times as long */
#else
#define MESSAGES 1000000u
#endif
/* Where the destination is known, too: there is more to do for each. */
#define MESSAGES_KNOWN (MESSAGES / 5)
#define THREADS_MAX    2

/* Parts of a thousand of all mail. */
static const struct {
	const char *domain;
	unsigned weight;
} mix[] = {
	{"gmail.com", 674},
	{"hotmail.com", 88},
	{"yahoo.com", 59},
	{"aol.com", 15},
	{"icloud.com", 12},
	{"outlook.com", 12},
	{"comcast.net", 5},
	{"msn.com", 5},
	{"orange.fr", 4},
	{"live.com", 3},
	{"sbcglobal.net", 3},
	{"bellsouth.net", 2},
	{"me.com", 2},
};
#define DOMAINS (sizeof(mix) / sizeof(mix[0]))

/* Of one message: 0, or 1 and the place of the reply among its speaker's; with this where that is "default". */
#define LENT 0x8000u

/* Of each message, what it goes to: the same in all runs. */
static uint8_t domains[MESSAGES];

/* One for all runs: its tables' pages are dear. Each run but a retry begins with nothing tried before. */
static struct policy_state state;

struct run {
	const struct policy *policy;
	uint32_t messages;
	unsigned threads;
	bool known; /* the destination tells the provider; else the recipient */
	uint16_t *outcomes;
};

struct part {
	struct run *run;
	unsigned index;
};

static void start(void)
{
	struct err err;
	unsigned total = 0;
	ck_assert_int_eq(policy_state_init(&state, &err), 0);
	/* Room for what is sent here, and not for more: a table's pages are made when they are first touched. */
	attempt_table_free(state.attempts);
	state.attempts = attempt_table_new(MESSAGES);
	ck_assert_ptr_nonnull(state.attempts);
	for (size_t i = 0; i < DOMAINS; i++)
		total += mix[i].weight;
	for (uint32_t message = 0; message < MESSAGES; message++) {
		uint64_t at = draw_below(draw_number(1, message), total);
		uint8_t i = 0;
		for (; at >= mix[i].weight; i++)
			at -= mix[i].weight;
		domains[message] = i;
	}
}

static void stop(void)
{
	policy_state_done(&state);
}

static uint16_t outcome_of(const struct policy_verdict *verdict, const struct provider *provider,
	const struct provider *fallback)
{
	const struct provider_reply *from = verdict->from;
	if (from >= provider->replies && from < provider->replies + provider->reply_count)
		return (uint16_t)(1 + (from - provider->replies));
	return (uint16_t)(LENT | (1 + (from - fallback->replies)));
}

/* A message as a client sends it. */
static uint16_t send_one(struct run *run, struct dialogue *d, uint32_t message, const char *domain)
{
	static const uint64_t clock_ms = 1000000;
	const struct provider_set *set = run->policy->providers;
	const struct provider *provider = provider_by_domain(set, span_of(domain));
	char lines[4][96];
	snprintf(lines[0], sizeof(lines[0]), "MAIL FROM:<s%u@sender.test>\r\n", run->known ? message : 0);
	snprintf(lines[1], sizeof(lines[1]), "RCPT TO:<u%u@%s>\r\n", message, domain);
	strcpy(lines[2], "DATA\r\n");
	strcpy(lines[3], "body\r\n.\r\n");
	bool fresh = d->closed || !d->session.policy || run->known;
	if (fresh) {
		if (d->session.policy)
			dialogue_end(d);
		dialogue_init(d, run->policy, &state, "198.51.100.7", &clock_ms);
		if (run->known)
			d->session.dialled = provider;
		dialogue_greet(d);
	}
	for (int i = 0; i < 4; i++) {
		say(d, lines[i]);
		if (!dialogue_refused(d))
			continue;
		uint16_t outcome = outcome_of(&d->verdict, provider, provider_at(set, 0));
		if (!d->closed && i < 3)
			say(d, "RSET\r\n");
		return outcome;
	}
	return 0;
}

static void *run_part(void *arg)
{
	const struct part *part = arg;
	struct run *run = part->run;
	struct dialogue *d = calloc(1, sizeof(*d));
	for (uint32_t i = part->index; i < run->messages; i += run->threads)
		run->outcomes[i] = send_one(run, d, i, mix[domains[i]].domain);
	dialogue_end(d);
	free(d);
	return NULL;
}

static void run_threads(struct run *run)
{
	pthread_t threads[THREADS_MAX];
	struct part parts[THREADS_MAX];
	run->outcomes = calloc(run->messages, sizeof(*run->outcomes));
	ck_assert_ptr_nonnull(run->outcomes);
	for (unsigned i = 0; i < run->threads; i++) {
		parts[i] = (struct part){run, i};
		ck_assert_int_eq(pthread_create(&threads[i], NULL, run_part, &parts[i]), 0);
	}
	for (unsigned i = 0; i < run->threads; i++)
		pthread_join(threads[i], NULL);
}

static struct run run_new(uint64_t seed, uint32_t messages, unsigned threads, bool known)
{
	struct run run = {.messages = messages, .threads = threads, .known = known};
	run.policy = corpus_policy(LIMITS_ODDS, 0, seed);
	attempt_table_reset(state.attempts);
	run_threads(&run);
	return run;
}

static void run_done(struct run *run)
{
	policy_unref(run->policy);
	free(run->outcomes);
}

static void ck_assert_often(const struct provider *provider, const char *what, uint64_t seen, uint64_t of,
	double share, double errors)
{
	double off = fabs((double)seen - (double)of * share);
	ck_assert_msg(off <= errors * sqrt((double)of * share * (1 - share)),
		"%s, %.60s: %llu of %llu, not %g", provider->name, what, (unsigned long long)seen,
		(unsigned long long)of, share);
}

/* Of one provider: its kinds within 3 standard errors, each reply among its kind's within 4. */
static void check_provider(const struct run *run, const struct provider *provider)
{
	bool served[DOMAINS];
	for (size_t i = 0; i < DOMAINS; i++)
		served[i] = provider_by_domain(run->policy->providers, span_of(mix[i].domain)) == provider;
	uint64_t all = 0, kinds[2] = {0}, *replies = calloc(provider->reply_count, sizeof(*replies));
	for (uint32_t i = 0; i < run->messages; i++) {
		if (!served[domains[i]])
			continue;
		uint16_t outcome = run->outcomes[i];
		all++;
		ck_assert_msg(!(outcome & LENT), "%s has words of its own", provider->name);
		if (outcome == 0)
			continue;
		ck_assert_uint_le(provider->replies[outcome - 1].kind, PROVIDER_DEFER);
		kinds[provider->replies[outcome - 1].kind]++;
		replies[outcome - 1]++;
	}
	ck_assert_uint_gt(all, run->messages / 1000);
	ck_assert_often(provider, "bounce", kinds[PROVIDER_BOUNCE], all, provider->bounce_ppm / 1e6, 3);
	ck_assert_often(provider, "defer", kinds[PROVIDER_DEFER], all, provider->defer_ppm / 1e6, 3);
	for (size_t i = 0; i < provider->reply_count; i++) {
		const struct provider_reply *reply = &provider->replies[i];
		if (reply->kind <= PROVIDER_DEFER)
			ck_assert_often(provider, reply->text, replies[i], kinds[reply->kind],
				(double)reply->weight / (double)provider->weight[reply->kind], 4);
	}
	free(replies);
}

static void check_shares(const struct run *run)
{
	const struct provider_set *set = run->policy->providers;
	unsigned checked = 0;
	for (size_t i = 0; i < provider_count(set); i++) {
		bool served = false;
		for (size_t j = 0; j < DOMAINS; j++)
			served |= provider_by_domain(set, span_of(mix[j].domain)) == provider_at(set, i);
		if (served)
			check_provider(run, provider_at(set, i));
		checked += served;
	}
	/* Google, Outlook, Yahoo, Apple, Comcast, Orange. */
	ck_assert_uint_eq(checked, 6);
}

static uint32_t differences(const struct run *a, const uint16_t *b)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < a->messages; i++)
		count += a->outcomes[i] != b[i];
	return count;
}

START_TEST(shares_and_threads)
{
	bool known = _i == 1;
	uint32_t messages = known ? MESSAGES_KNOWN : MESSAGES;
	struct run one = run_new(1, messages, 1, known);
	ck_assert_uint_eq(attempt_table_overflows(state.attempts), 0);
	check_shares(&one);

	/* A retry is drawn anew: it has the same shares, whatever became of the first attempt. */
	uint16_t *first = one.outcomes;
	run_threads(&one);
	check_shares(&one);
	uint64_t failed = 0, failed_twice = 0;
	for (uint32_t i = 0; i < messages; i++) {
		failed += first[i] != 0;
		failed_twice += first[i] != 0 && one.outcomes[i] != 0;
	}
	double share = (double)failed / messages;
	ck_assert_often(provider_at(one.policy->providers, 0), "again", failed_twice, failed, share, 5);
	run_done(&one);

	struct run two = run_new(1, messages, 2, known);
	ck_assert_uint_eq(differences(&two, first), 0);
	run_done(&two);
	free(first);
}
END_TEST

START_TEST(another_seed)
{
	struct run one = run_new(1, 100000, 1, false), other = run_new(2, 100000, 2, false);
	struct run again = run_new(2, 100000, 1, false);
	check_shares(&other);
	/* Two independent runs differ where either refuses, nearly: some 14 of 100. */
	ck_assert_uint_gt(differences(&one, other.outcomes), 10000);
	ck_assert_uint_lt(differences(&one, other.outcomes), 18000);
	ck_assert_uint_eq(differences(&again, other.outcomes), 0);
	run_done(&again);
	run_done(&one);
	run_done(&other);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("policy_mix");
	TCase *tcase = tcase_create("mix");
	tcase_set_timeout(tcase, 240);
	tcase_add_unchecked_fixture(tcase, start, stop);
	tcase_add_loop_test(tcase, shares_and_threads, 0, 2);
	tcase_add_test(tcase, another_seed);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
