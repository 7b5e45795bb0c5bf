/*
 * Every shipped profile and each limit: who keeps within it never hears of it; who exceeds it by one hears exactly
 * what that provider says, at the phase where it says it; and who waits, or closes connections, is heard again.
 */
#include <check.h>
#include <inttypes.h>

#include "core/dialogue.h"
#include "suite.h"
#include "top/corpus_policy.h"

#define SOURCE "198.51.100.7"
/* More than any profile allows at once, but for what is opened one after the other. */
#define OPEN_MAX 64

static struct policy_state state;
static uint64_t clock_ms;
static const struct policy *policy;

/* The provider at hand and whom to write to there: a domain of its own, or one whose MX host is its. */
static const struct provider *provider;
static const char *domain;
static char mx_name[256];
static struct mx_host mx_host;
static struct mx_answer mx_answer;

static void aim_at(size_t index)
{
	provider = provider_at(policy->providers, index);
	domain = provider->domain_count ? provider->domains[0] : "hosted.example";
	mx_host = (struct mx_host){.preference = 10};
	mx_answer = (struct mx_answer){.status = MX_UNKNOWN, .hosts = &mx_host, .host_count = 1};
	if (provider->mx_suffix_count)
		snprintf(mx_name, sizeof(mx_name), "mx%s", provider->mx_suffixes[0]);
	else if (provider->mx_name_count)
		snprintf(mx_name, sizeof(mx_name), "%s", provider->mx_names[0]);
	if (provider->mx_suffix_count || provider->mx_name_count) {
		mx_answer.status = MX_FOUND;
		snprintf(mx_host.name, sizeof(mx_host.name), "%s", mx_name);
	}
}

static void use(unsigned kept, unsigned added)
{
	struct err err;
	policy_unref(policy);
	policy = corpus_policy(kept, added, 1);
	policy_state_done(&state);
	ck_assert_int_eq(policy_state_init(&state, &err), 0);
}

static void start(void)
{
	clock_ms = 1000000;
}

static void stop(void)
{
	policy_unref(policy);
	policy = NULL;
	policy_state_done(&state);
}

/* Who is spoken to: known from the destination, or from the first recipient. */
static void dial(struct dialogue *d, bool known)
{
	dialogue_init(d, policy, &state, SOURCE, &clock_ms);
	d->answer = &mx_answer;
	if (known)
		d->session.dialled = provider;
}

/* One word of a template, or one character of it, filled in. */
static const char *fill(const char *template, char *to, size_t size, const char *from, const char *rcpt)
{
	const struct {
		const char *name, *value;
	} facts[] = {
		{"{ip}", SOURCE},
		{"{rcpt}", rcpt},
		{"{from}", from},
		{"{domain}", strchr(rcpt, '@') ? strchr(rcpt, '@') + 1 : ""},
		{"{mx}", policy->profile.hostname},
		{"{date}", DIALOGUE_TODAY},
		{"{id}", "\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1"}, /* any hexadecimal digit */
		{"{{", "{"},
		{"}}", "}"},
	};
	size_t count = sizeof(facts) / sizeof(facts[0]), i = 0;
	while (i < count && strncmp(template, facts[i].name, strlen(facts[i].name)) != 0)
		i++;
	snprintf(to, size, "%.*s", i < count ? (int)strlen(facts[i].value) : 1,
		i < count ? facts[i].value : template);
	return template + (i < count ? strlen(facts[i].name) : 1);
}

/* What a client sees of a reply: "421-4.7.0 line", "421 4.7.0 last line". */
static void render(
	const struct provider_reply *reply, const char *from, const char *rcpt, char *to, size_t size)
{
	static const char *const silences[] = {
		[PROVIDER_CLOSE] = "(close)", [PROVIDER_RESET] = "(reset)", [PROVIDER_HANG] = "(hang)"};
	if (reply->action >= PROVIDER_CLOSE) {
		snprintf(to, size, "%s", silences[reply->action]);
		return;
	}
	FILE *out = fmemopen(to, size, "w");
	for (const char *line = reply->text; line;) {
		const char *end = strchr(line, '\n');
		fprintf(out, "%u%c%s%s", reply->code, end ? '-' : ' ', reply->enhanced,
			reply->enhanced[0] ? " " : "");
		while (*line && line != end) {
			char word[256];
			line = fill(line, word, sizeof(word), from, rcpt);
			fputs(word, out);
		}
		fputc('\n', out);
		line = end ? end + 1 : NULL;
	}
	fclose(out);
}

static bool fits(const char *wanted, const char *seen)
{
	for (; *wanted && *seen; wanted++, seen++)
		if (*wanted == 1 ? !strchr("0123456789abcdef", *seen) : *wanted != *seen)
			return false;
	return *wanted == *seen;
}

/* Which of a kind's replies were given; so that each is seen where a test can afford it. */
struct heard {
	unsigned count;
	bool which[256];
};

/*
 * The last decision of d refused as this provider does for this kind: a limit that was passed at phase `found` is
 * answered there, or later where its reply says so.
 */
static void ck_assert_own_reply(const struct dialogue *d, enum provider_kind kind, enum smtp_phase found,
	const char *rcpt, struct heard *heard)
{
	const struct provider *speaker =
		provider->weight[kind] ? provider : provider_at(policy->providers, 0);
	const struct provider_reply *from = d->verdict.from;
	char wanted[4096];
	ck_assert_msg(dialogue_refused(d) && from, "%s, %s: not refused: %s", provider->name,
		provider_kind_name(kind), d->seen);
	ck_assert_msg(from >= speaker->replies && from < speaker->replies + speaker->reply_count,
		"%s: the words of another: %s", provider->name, d->seen);
	ck_assert_msg(from->kind == kind && d->verdict.kind == kind, "%s: \"%s\" in place of \"%s\": %s",
		provider->name, provider_kind_name(from->kind), provider_kind_name(kind), d->seen);
	ck_assert_msg(d->phase == (from->phase > found ? from->phase : found), "%s, %s: at phase %s: %s",
		provider->name, provider_kind_name(kind), provider_phase_name(d->phase), d->seen);
	render(from, d->phase < SMTP_PHASE_MAIL ? "" : "a@sender.test",
		d->phase < SMTP_PHASE_RCPT ? "" : rcpt, wanted, sizeof(wanted));
	ck_assert_msg(
		fits(wanted, d->seen), "%s: \"%s\" in place of \"%s\"", provider->name, d->seen, wanted);
	size_t index = (size_t)(from - speaker->replies);
	ck_assert_uint_lt(index, sizeof(heard->which));
	if (heard && !heard->which[index]) {
		heard->which[index] = true;
		heard->count++;
	}
}

static unsigned replies_of(enum provider_kind kind)
{
	const struct provider *speaker =
		provider->weight[kind] ? provider : provider_at(policy->providers, 0);
	unsigned count = 0;
	for (size_t i = 0; i < speaker->reply_count; i++)
		count += speaker->replies[i].kind == kind;
	return count;
}

static void ck_assert_fine(const struct dialogue *d, const char *what, uint64_t which)
{
	ck_assert_msg(!dialogue_refused(d), "%s: %s %" PRIu64 " is within the limits: %s", provider->name,
		what, which, d->seen);
}

/* Banner and EHLO; false once something is refused. */
static bool greet(struct dialogue *d)
{
	dialogue_begin(d);
	if (!dialogue_refused(d))
		say(d, "EHLO mta.example\r\n");
	return !dialogue_refused(d);
}

static const char *rcpt_line(unsigned number, char rcpt[320])
{
	static char line[512];
	snprintf(rcpt, 320, "u%u@%s", number, domain);
	snprintf(line, sizeof(line), "RCPT TO:<%s>\r\n", rcpt);
	return line;
}

/* A body of so many octets, as one chunk. */
static void chunk(struct dialogue *d, uint64_t octets)
{
	static char block[1 << 20];
	char line[64];
	snprintf(line, sizeof(line), "BDAT %" PRIu64 " LAST\r\n", octets);
	say(d, line);
	while (octets > 0) {
		size_t len = octets < sizeof(block) ? (size_t)octets : sizeof(block);
		dialogue_feed(d, (struct span){block, len});
		octets -= len;
	}
}

/* One message to one recipient; false once something is refused. */
static bool mail(struct dialogue *d, unsigned number, char rcpt[320])
{
	rcpt[0] = '\0';
	say(d, "MAIL FROM:<a@sender.test>\r\n");
	if (!dialogue_refused(d))
		say(d, rcpt_line(number, rcpt));
	if (!dialogue_refused(d))
		say(d, "DATA\r\n");
	if (!dialogue_refused(d))
		say(d, "body\r\n.\r\n");
	return !dialogue_refused(d);
}

static bool session(struct dialogue *d, bool known, char rcpt[320])
{
	rcpt[0] = '\0';
	dial(d, known);
	return greet(d) && mail(d, 1, rcpt);
}

#define FOR_EACH_PROVIDER(kept, added)                                                \
	use(kept, added);                                                             \
	for (size_t p = 0, count = provider_count(policy->providers); p < count; p++) \
		for (int known = 0; aim_at(p), known < 2; known++, clock_ms += 100 * 3600000)

#define KIND(kind) (1u << (kind))

START_TEST(connections_at_once)
{
	FOR_EACH_PROVIDER(KIND(PROVIDER_CONNECTIONS), KIND(PROVIDER_CONNECTIONS))
	{
		static struct dialogue d[OPEN_MAX + 1];
		struct heard heard = {0};
		char rcpt[320];
		uint64_t limit = corpus_limit(provider, PROVIDER_CONNECTIONS);
		ck_assert_uint_le(limit, OPEN_MAX);
		for (uint64_t i = 0; i < limit; i++) {
			session(&d[i], known, rcpt);
			ck_assert_fine(&d[i], "connection", i + 1);
		}
		for (int i = 0; i < 200 && heard.count < replies_of(PROVIDER_CONNECTIONS); i++) {
			session(&d[limit], known, rcpt);
			ck_assert_own_reply(&d[limit], PROVIDER_CONNECTIONS,
				known ? SMTP_PHASE_CONNECT : SMTP_PHASE_RCPT, rcpt, &heard);
			dialogue_end(&d[limit]);
		}
		ck_assert_uint_eq(heard.count, replies_of(PROVIDER_CONNECTIONS));
		/* Who is there already is not troubled; and one that closes makes room for another. */
		mail(&d[0], 2, rcpt);
		ck_assert_fine(&d[0], "connection", 1);
		dialogue_end(&d[0]);
		session(&d[0], known, rcpt);
		ck_assert_fine(&d[0], "connection", limit);
		for (uint64_t i = 0; i < limit; i++)
			dialogue_end(&d[i]);
	}
}
END_TEST

/* Both rates: `limit` at once, then one more for each part of the period. */
static void rates(enum provider_kind kind)
{
	FOR_EACH_PROVIDER(KIND(kind), KIND(kind))
	{
		struct dialogue d;
		char rcpt[320];
		struct rate rate = kind == PROVIDER_MESSAGE_RATE ? provider->limits.message_rate
								 : provider->limits.connection_rate;
		enum smtp_phase found = !known                          ? SMTP_PHASE_RCPT
					: kind == PROVIDER_MESSAGE_RATE ? SMTP_PHASE_MAIL
									: SMTP_PHASE_CONNECT;
		for (int round = 0; round < 3; round++) {
			for (uint32_t i = 0; i < (round ? 1 : rate.count); i++) {
				session(&d, known, rcpt);
				ck_assert_fine(&d, provider_kind_name(kind), i + 1);
				dialogue_end(&d);
			}
			session(&d, known, rcpt);
			ck_assert_own_reply(&d, kind, found, rcpt, NULL);
			dialogue_end(&d);
			clock_ms += (rate.period_s * UINT64_C(1000) + rate.count - 1) / rate.count;
		}
	}
}

START_TEST(message_rate)
{
	rates(PROVIDER_MESSAGE_RATE);
}
END_TEST

START_TEST(connection_rate)
{
	rates(PROVIDER_CONNECTION_RATE);
}
END_TEST

START_TEST(messages_per_connection)
{
	FOR_EACH_PROVIDER(KIND(PROVIDER_DELIVERIES), KIND(PROVIDER_DELIVERIES))
	{
		struct dialogue d;
		char rcpt[320];
		for (int connection = 0; connection < 2; connection++) {
			dial(&d, known);
			greet(&d);
			uint64_t limit = corpus_limit(provider, PROVIDER_DELIVERIES);
			for (unsigned i = 0; i < limit; i++) {
				mail(&d, i, rcpt);
				ck_assert_fine(&d, "message", i + 1);
			}
			mail(&d, 0, rcpt);
			ck_assert_own_reply(&d, PROVIDER_DELIVERIES, SMTP_PHASE_MAIL, rcpt, NULL);
			dialogue_end(&d);
		}
	}
}
END_TEST

START_TEST(recipients_per_message)
{
	FOR_EACH_PROVIDER(KIND(PROVIDER_RECIPIENTS), KIND(PROVIDER_RECIPIENTS))
	{
		struct dialogue d;
		char rcpt[320];
		unsigned limit = (unsigned)corpus_limit(provider, PROVIDER_RECIPIENTS);
		dial(&d, known);
		greet(&d);
		for (int message = 0; message < 2; message++) {
			say(&d, "MAIL FROM:<a@sender.test>\r\n");
			for (unsigned i = 0; i < limit; i++) {
				say(&d, rcpt_line(i, rcpt));
				ck_assert_fine(&d, "recipient", i + 1);
			}
			say(&d, rcpt_line(limit, rcpt));
			if (!dialogue_refused(&d))
				say(&d, "DATA\r\n");
			if (!dialogue_refused(&d))
				say(&d, ".\r\n");
			ck_assert_own_reply(&d, PROVIDER_RECIPIENTS, SMTP_PHASE_RCPT, rcpt, NULL);
			if (d.closed)
				break;
			/* Those before it get their message. */
			if (d.phase == SMTP_PHASE_RCPT) {
				say(&d, "DATA\r\n");
				ck_assert_fine(&d, "message", 1);
				say(&d, ".\r\n");
				ck_assert_fine(&d, "message", 1);
			} else {
				say(&d, "RSET\r\n");
			}
		}
		dialogue_end(&d);
	}
}
END_TEST

static void send_octets(struct dialogue *d, bool known, uint64_t octets, bool declared, char rcpt[320])
{
	char line[96];
	rcpt[0] = '\0';
	dial(d, known);
	greet(d);
	snprintf(line, sizeof(line),
		declared ? "MAIL FROM:<a@sender.test> SIZE=%" PRIu64 "\r\n" : "MAIL FROM:<a@sender.test>\r\n",
		octets);
	say(d, line);
	if (!dialogue_refused(d))
		say(d, rcpt_line(1, rcpt));
	if (!dialogue_refused(d))
		chunk(d, octets);
}

START_TEST(message_size)
{
	FOR_EACH_PROVIDER(KIND(PROVIDER_SIZE), KIND(PROVIDER_SIZE))
	{
		struct dialogue d;
		char rcpt[320];
		uint64_t limit = corpus_limit(provider, PROVIDER_SIZE);
		for (int declared = 0; declared < 2; declared++) {
			send_octets(&d, known, limit, declared, rcpt);
			ck_assert_fine(&d, "octet", limit);
			dialogue_end(&d);
			send_octets(&d, known, limit + 1, declared, rcpt);
			enum smtp_phase found = !declared ? SMTP_PHASE_END_OF_DATA
						: known   ? SMTP_PHASE_MAIL
							  : SMTP_PHASE_RCPT;
			ck_assert_own_reply(&d, PROVIDER_SIZE, found, rcpt, NULL);
			dialogue_end(&d);
		}
	}
}
END_TEST

/* One recipient too many, again and again, until the provider has had enough; then time heals. */
START_TEST(reputation)
{
	FOR_EACH_PROVIDER(KIND(PROVIDER_REPUTATION) | KIND(PROVIDER_RECIPIENTS),
		KIND(PROVIDER_REPUTATION) | KIND(PROVIDER_RECIPIENTS))
	{
		struct dialogue d;
		struct heard heard = {0};
		char rcpt[320];
		unsigned recipients = (unsigned)corpus_limit(provider, PROVIDER_RECIPIENTS);
		for (uint64_t i = 0; i <= corpus_limit(provider, PROVIDER_REPUTATION); i++) {
			session(&d, known, rcpt);
			ck_assert_fine(&d, "violation", i);
			say(&d, "MAIL FROM:<a@sender.test>\r\n");
			for (unsigned j = 0; j <= recipients && !d.closed; j++)
				say(&d, rcpt_line(j, rcpt));
			dialogue_end(&d);
		}
		for (int i = 0; i < 200 && heard.count < replies_of(PROVIDER_REPUTATION); i++) {
			session(&d, known, rcpt);
			ck_assert_own_reply(&d, PROVIDER_REPUTATION,
				known ? SMTP_PHASE_CONNECT : SMTP_PHASE_RCPT, rcpt, &heard);
			dialogue_end(&d);
		}
		ck_assert_uint_eq(heard.count, replies_of(PROVIDER_REPUTATION));
		clock_ms += provider->reputation_recovers_s * UINT64_C(1000);
		session(&d, known, rcpt);
		ck_assert_fine(&d, "violation", 0);
		dialogue_end(&d);
	}
}
END_TEST

START_TEST(greylisting)
{
	FOR_EACH_PROVIDER(KIND(PROVIDER_GREYLIST), KIND(PROVIDER_GREYLIST))
	{
		struct dialogue d;
		char rcpt[320];
		use(KIND(PROVIDER_GREYLIST), KIND(PROVIDER_GREYLIST));
		aim_at(p);
		uint64_t new_ms = corpus_limit(provider, PROVIDER_GREYLIST) * 1000;
		for (int i = 0; i < 2; i++) {
			session(&d, known, rcpt);
			ck_assert_own_reply(&d, PROVIDER_GREYLIST, SMTP_PHASE_RCPT, rcpt, NULL);
			dialogue_end(&d);
			clock_ms += i ? 1 : new_ms - 1;
		}
		session(&d, known, rcpt);
		ck_assert_fine(&d, "known triplet", 1);
		dialogue_end(&d);
	}
}
END_TEST

/* With everything in force but chance: as many connections, messages, recipients and octets as are allowed. */
START_TEST(who_behaves_hears_nothing)
{
	FOR_EACH_PROVIDER(LIMITS_ALL & ~LIMITS_ODDS & ~KIND(PROVIDER_GREYLIST), 0)
	{
		static struct dialogue d[OPEN_MAX];
		char rcpt[320];
		const struct provider_limits *limits = &provider->limits;
		uint64_t connections = corpus_limit(provider, PROVIDER_CONNECTIONS);
		uint64_t messages = limits->deliveries_per_connection,
			 recipients = limits->recipients_per_message;
		connections = connections ? connections : 8;
		messages = messages && messages < 100 ? messages : 100;
		recipients = recipients && recipients < 20 ? recipients : 20;
		const struct rate *pace = &limits->message_rate;
		for (int round = 0; round < 2; round++) {
			for (uint64_t i = 0; i < connections; i++) {
				dial(&d[i], known);
				greet(&d[i]);
				ck_assert_fine(&d[i], "connection", i + 1);
			}
			for (uint64_t m = 0; m < messages * connections; m++) {
				struct dialogue *to = &d[m % connections];
				char line[96];
				snprintf(line, sizeof(line), "MAIL FROM:<a@sender.test> SIZE=%" PRIu64 "\r\n",
					limits->message_size);
				say(to, line);
				ck_assert_fine(to, "message", m + 1);
				for (unsigned r = 0; r < recipients; r++) {
					say(to, rcpt_line(r, rcpt));
					ck_assert_fine(to, "recipient", r + 1);
				}
				say(to, "DATA\r\n");
				say(to, ".\r\n");
				ck_assert_fine(to, "message", m + 1);
				if (pace->count)
					clock_ms += pace->period_s * UINT64_C(1000) / pace->count;
			}
			for (uint64_t i = 0; i < connections; i++)
				dialogue_end(&d[i]);
		}
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("policy_corpus");
	TCase *tcase = tcase_create("limits");
	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, start, stop);
	tcase_add_test(tcase, connections_at_once);
	tcase_add_test(tcase, connection_rate);
	tcase_add_test(tcase, message_rate);
	tcase_add_test(tcase, messages_per_connection);
	tcase_add_test(tcase, recipients_per_message);
	tcase_add_test(tcase, message_size);
	tcase_add_test(tcase, reputation);
	tcase_add_test(tcase, greylisting);
	tcase_add_test(tcase, who_behaves_hears_nothing);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
