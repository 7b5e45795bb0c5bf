/* What a client sees of a provider's manners, over loopback: replies, silences, ends, delays; and of slow DNS. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/tree.h"
#include "injection.h"
#include "suite.h"
#include "worker_scene.h"

#define BROKEN(name, form_)                                     \
	TABLE(name, ARRAY("domains", TEXT(NULL, name ".test")), \
		ARRAY("fault",                                  \
			TABLE(NULL, TEXT("form", form_), TEXT("phase", "rcpt"), NUMBER("odds", 100))))
#define REPLY(kind, phase, code, text) \
	TABLE(NULL, TEXT("kind", kind), TEXT("phase", phase), NUMBER("code", code), TEXT("text", text))

static const struct toml_node profiles = TABLE("",
	TABLE("provider", BROKEN("reset", "reset"), BROKEN("close", "close"), BROKEN("stall", "stall"),
		BROKEN("truncate", "truncate"), BROKEN("garble", "garble"),
		TABLE("small", ARRAY("domains", TEXT(NULL, "small.test")), NUMBER("max_message_size", 100),
			ARRAY("reply", REPLY("max_message_size", "end_of_data", 552, "too large"))),
		TABLE("calm", ARRAY("domains", TEXT(NULL, "calm.test"))),
		TABLE("stern", ARRAY("domains", TEXT(NULL, "stern.test")), NUMBER("bounce", 100),
			NUMBER("max_recipients_per_message", 1),
			ARRAY("reply", REPLY("bounce", "rcpt", 550, "stern to {rcpt}"),
				REPLY("max_recipients_per_message", "rcpt", 452, "one each")))));

static const struct toml_node refusing =
	TABLE("", TABLE("provider", TABLE("default", NUMBER("refuse", 100))));
static const struct toml_node ignoring =
	TABLE("", TABLE("provider", TABLE("default", NUMBER("black_hole", 100))));

static const struct origdst_finder finders[] = {{"listener", AF_INET, served_find_listener}, {0}};

static void start_with(const struct toml_node *tree, const char *dns_servers)
{
	struct err err = {""};
	struct conf *conf = conf_new("test", NULL, 1, &err);
	struct provider_set *set = provider_set_new(&err);
	ck_assert_msg(
		conf && set && provider_set_add(set, "test", tree, "current", &err) == 0, "%s", err.text);
	const struct policy *policy = policy_new(conf, set, 1, &err);
	conf_unref(conf);
	ck_assert_msg(policy != NULL, "%s", err.text);
	served_start(policy, finders, dns_servers);
}

static void start(void)
{
	start_with(&profiles, NULL);
}

static double seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* How a connection ended, or that it did not. */
enum end {
	STILL_OPEN,
	CLOSED,
	RESET,
};

/* Reads until `lines` lines or the end have come, or nothing does for so long. */
static enum end take(int fd, int lines, int patience_ms, char text[4096])
{
	size_t len = 0;
	text[0] = '\0';
	while (lines > 0 && len + 1 < 4096) {
		struct pollfd poll_fd = {fd, POLLIN, 0};
		if (poll(&poll_fd, 1, patience_ms) == 0)
			return STILL_OPEN;
		ssize_t n = recv(fd, text + len, 1, 0);
		if (n < 0)
			ck_assert_int_eq(errno, ECONNRESET);
		if (n <= 0)
			return n == 0 ? CLOSED : RESET;
		text[++len] = '\0';
		lines -= text[len - 1] == '\n';
	}
	return STILL_OPEN;
}

/* What is to come is waited for; that nothing comes is seen by then. */
static int patience_ms(enum end end)
{
	return end == STILL_OPEN ? 1000 : 5000;
}

static void ck_assert_reply(int fd, const char *begins)
{
	char text[4096];
	do
		take(fd, 1, 5000, text);
	while (strlen(text) > 3 && text[3] == '-');
	ck_assert_msg(strncmp(text, begins, strlen(begins)) == 0, "\"%s\" in place of \"%s\"", text, begins);
}

/* Up to an accepted MAIL. */
static int greet(void)
{
	int fd = dial();
	ck_assert_reply(fd, "220 ");
	put(fd, "EHLO mta.example\r\n");
	ck_assert_reply(fd, "250 ");
	put(fd, "MAIL FROM:<a@mta.example>\r\n");
	ck_assert_reply(fd, "250 ");
	return fd;
}

static void inject(enum smtp_phase phase, enum provider_action action, unsigned code, uint32_t delay_ms)
{
	struct err err;
	struct injection injection = {
		.phase = phase,
		.reply =
			{.kind = PROVIDER_DEFER, .phase = phase, .action = action, .code = code, .weight = 1},
		.text = "injected",
		.delay_ms = delay_ms,
		.count = 1,
	};
	ck_assert_int_ge(injections_add(served.state.injections, &injection, 1000, &err), 0);
}

/* What is heard behind what was said before it, which is always heard. */
static const struct {
	const char *what;
	enum provider_action action;
	const char *heard;
	enum end end;
} actions[] = {
	{"a reply", PROVIDER_REPLY, "450 injected\r\n", STILL_OPEN},
	{"a reply and the end", PROVIDER_REPLY_CLOSE, "450 injected\r\n", CLOSED},
	{"the end", PROVIDER_CLOSE, "", CLOSED},
	{"a reset", PROVIDER_RESET, "", RESET},
	{"nothing", PROVIDER_HANG, "", STILL_OPEN},
};

START_TEST(actions_are_seen)
{
	char text[4096];
	inject(SMTP_PHASE_RCPT, actions[_i].action, 450, 0);
	int fd = greet();
	put(fd, "RCPT TO:<ann@calm.test>\r\n");
	enum end end = take(fd, 2, patience_ms(actions[_i].end), text);
	ck_assert_msg(end == actions[_i].end, "%s: %d", actions[_i].what, (int)end);
	ck_assert_str_eq(text, actions[_i].heard);
	if (end == STILL_OPEN) {
		/* A hung session takes what it is sent, and answers none of it. */
		put(fd, "NOOP\r\n");
		bool answers = actions[_i].action == PROVIDER_REPLY;
		take(fd, 1, answers ? 5000 : 300, text);
		ck_assert_int_eq(text[0] == '2', answers);
	}
	close(fd);
	ck_assert(comes_to(STATS_CONNECTIONS_CLOSED, 1));
}
END_TEST

/* At the first byte there is nothing before it to be seen. */
START_TEST(actions_at_connect)
{
	char text[4096];
	inject(SMTP_PHASE_CONNECT, actions[_i].action, 450, 0);
	int fd = dial();
	enum end end = take(fd, 2, patience_ms(actions[_i].end), text);
	ck_assert_msg(end == actions[_i].end, "%s: %d", actions[_i].what, (int)end);
	ck_assert_str_eq(text, actions[_i].heard);
	close(fd);
	ck_assert(comes_to(STATS_CONNECTIONS_CLOSED, 1));
}
END_TEST

static const struct {
	const char *domain, *heard;
	enum end end;
} faults[] = {
	{"reset.test", "", RESET},
	{"close.test", "", CLOSED},
	{"stall.test", "", STILL_OPEN},
	{"truncate.test", "250 2.1", CLOSED},
	{"garble.test", "############\r\n", STILL_OPEN},
};

START_TEST(faults_are_seen)
{
	char text[4096], line[64];
	int fd = greet();
	snprintf(line, sizeof(line), "RCPT TO:<ann@%s>\r\n", faults[_i].domain);
	put(fd, line);
	enum end end = take(fd, 2, patience_ms(faults[_i].end), text);
	ck_assert_msg(end == faults[_i].end, "%s: %d", faults[_i].domain, (int)end);
	ck_assert_str_eq(text, faults[_i].heard);
	ck_assert_uint_eq(stats_sum(&served.stats, STATS_FAULTS), 1);
	close(fd);
	ck_assert(comes_to(STATS_CONNECTIONS_CLOSED, 1));
}
END_TEST

START_TEST(connections_are_refused_or_ignored)
{
	char text[4096];
	start_with(_i ? &ignoring : &refusing, NULL);
	int fd = dial();
	enum end end = _i ? STILL_OPEN : RESET;
	ck_assert_int_eq(take(fd, 1, patience_ms(end), text), end);
	ck_assert_str_eq(text, "");
	close(fd);
	ck_assert(comes_to(STATS_CONNECTIONS_CLOSED, 1));
	served_stop();
}
END_TEST

START_TEST(a_delay_holds_up_its_own_session_alone)
{
	inject(SMTP_PHASE_RCPT, PROVIDER_REPLY, 0, 2000);
	int slow = greet(), other = greet();
	double began = seconds();
	put(slow, "NOOP\r\nRCPT TO:<ann@calm.test>\r\nRCPT TO:<bob@calm.test>\r\nNOOP\r\n");
	ck_assert_reply(slow, "250 2.0.0");
	put(other, "NOOP\r\n");
	ck_assert_reply(other, "250 2.0.0");
	ck_assert_double_lt(seconds() - began, 1.9);
	ck_assert_reply(slow, "250 2.1.5");
	ck_assert_double_ge(seconds() - began, 1.99);
	ck_assert_reply(slow, "250 2.1.5");
	ck_assert_reply(slow, "250 2.0.0");
	ck_assert_double_lt(seconds() - began, 3.9);
	/* What comes while a session waits is answered in its turn. */
	inject(SMTP_PHASE_DATA, PROVIDER_REPLY, 0, 300);
	put(slow, "DATA\r\n");
	usleep(100000);
	put(slow, "early\r\n.\r\nNOOP\r\n");
	ck_assert_reply(slow, "354 ");
	ck_assert_reply(slow, "250 2.0.0");
	ck_assert_reply(slow, "250 2.0.0");
	close(slow);
	close(other);
}
END_TEST

/* To wait for it is what a late banner is there to try. */
START_TEST(a_late_banner_is_waited_for)
{
	char text[4096];
	inject(SMTP_PHASE_CONNECT, PROVIDER_REPLY, 0, 1500);
	int fd = dial();
	usleep(50 * 1000);
	put(fd, "EHLO mta.example\r\n");
	ck_assert_int_eq(take(fd, 9, 5000, text), CLOSED);
	ck_assert_str_eq(text, "554 5.5.1 Input before the banner, closing\r\n");
	close(fd);
	inject(SMTP_PHASE_CONNECT, PROVIDER_REPLY, 0, 200);
	close(greet());
	ck_assert(comes_to(STATS_CONNECTIONS_CLOSED, 2));
}
END_TEST

START_TEST(a_delayed_refusal_closes_behind_its_reply)
{
	char text[4096];
	inject(SMTP_PHASE_RCPT, PROVIDER_REPLY_CLOSE, 450, 500);
	int fd = greet();
	double began = seconds();
	put(fd, "RCPT TO:<ann@calm.test>\r\n");
	ck_assert_int_eq(take(fd, 2, 5000, text), CLOSED);
	ck_assert_str_eq(text, "450 injected\r\n");
	ck_assert_double_ge(seconds() - began, 0.49);
	close(fd);
}
END_TEST

START_TEST(outcomes_are_counted_by_provider)
{
	struct stats_row rows[8];
	int fd = greet();
	put(fd, "RCPT TO:<ann@calm.test>\r\nRCPT TO:<ann@stern.test>\r\nRCPT "
		"TO:<bob@elsewhere.test>\r\nDATA\r\n");
	ck_assert_reply(fd, "250 ");
	ck_assert_reply(fd, "452 one each");
	ck_assert_reply(fd, "250 ");
	ck_assert_reply(fd, "354 ");
	put(fd, "12\r\n.\r\n");
	ck_assert_reply(fd, "250 ");
	put(fd, "MAIL FROM:<a@mta.example>\r\nRCPT TO:<ann@stern.test>\r\nQUIT\r\n");
	ck_assert_reply(fd, "250 ");
	ck_assert_reply(fd, "550 stern to ann@stern.test");
	ck_assert_reply(fd, "221 ");
	close(fd);
	static const struct {
		const char *name;
		uint64_t accepted, tempfail, permfail, bytes;
	} wanted[] = {{"calm", 1, 0, 0, 4}, {"stern", 0, 1, 1, 0}, {"default", 1, 0, 0, 4}};
	size_t count = stats_rows(&served.stats, STATS_PROVIDERS, rows, 8);
	ck_assert_uint_eq(count, 1 + 3);
	for (size_t i = 0; i < 3; i++) {
		size_t at = 1;
		while (at < count && !span_is(rows[at].key, wanted[i].name))
			at++;
		ck_assert_msg(at < count, "%s is not counted", wanted[i].name);
		ck_assert_uint_eq(rows[at].fields[STATS_ROW_ACCEPTED], wanted[i].accepted);
		ck_assert_uint_eq(rows[at].fields[STATS_ROW_TEMPFAIL], wanted[i].tempfail);
		ck_assert_uint_eq(rows[at].fields[STATS_ROW_PERMFAIL], wanted[i].permfail);
		ck_assert_uint_eq(rows[at].fields[STATS_ROW_BYTES], wanted[i].bytes);
	}
	ck_assert_uint_eq(stats_sum(&served.stats, STATS_LIMITED), 1);
	ck_assert_uint_eq(stats_sum(&served.stats, STATS_DNS_FAILED), 0);
}
END_TEST

/* What was to be said of it later is not said of the next one. */
START_TEST(a_refused_mail_leaves_nothing_behind)
{
	int fd = greet();
	put(fd, "RCPT TO:<ann@small.test>\r\nRSET\r\nMAIL FROM:<a@mta.example> SIZE=999999999999\r\n");
	ck_assert_reply(fd, "250 ");
	ck_assert_reply(fd, "250 ");
	ck_assert_reply(fd, "552 5.3.4 Message size exceeds limit");
	put(fd, "MAIL FROM:<a@mta.example>\r\nRCPT TO:<ann@small.test>\r\nDATA\r\n");
	ck_assert_reply(fd, "250 ");
	ck_assert_reply(fd, "250 ");
	ck_assert_reply(fd, "354 ");
	put(fd, "12\r\n.\r\n");
	ck_assert_reply(fd, "250 ");
	close(fd);
}
END_TEST

/* Each try is counted with its recipients, and one that was refused is not aborted as well. */
START_TEST(a_refused_data_may_be_tried_again)
{
	int fd = greet();
	for (int i = 0; i < 2; i++)
		inject(SMTP_PHASE_DATA, PROVIDER_REPLY, 451, 0);
	put(fd, "RCPT TO:<ann@calm.test>\r\nRCPT TO:<bob@elsewhere.test>\r\nDATA\r\n");
	ck_assert_reply(fd, "250 ");
	ck_assert_reply(fd, "250 ");
	ck_assert_reply(fd, "451 injected");
	put(fd, "DATA\r\n");
	ck_assert_reply(fd, "451 injected");
	ck_assert_uint_eq(stats_sum(&served.stats, STATS_MESSAGES_TEMPFAIL), 2);
	ck_assert_uint_eq(stats_sum(&served.stats, STATS_RECIPIENTS_TEMPFAIL), 4);
	int other = greet();
	inject(SMTP_PHASE_DATA, PROVIDER_REPLY, 451, 0);
	put(other, "RCPT TO:<ann@calm.test>\r\nDATA\r\n");
	ck_assert_reply(other, "250 ");
	ck_assert_reply(other, "451 injected");
	put(fd, "DATA\r\n");
	ck_assert_reply(fd, "354 ");
	put(fd, "12\r\n.\r\n");
	ck_assert_reply(fd, "250 ");
	ck_assert_uint_eq(stats_sum(&served.stats, STATS_MESSAGES_ACCEPTED), 1);
	ck_assert_uint_eq(stats_sum(&served.stats, STATS_RECIPIENTS_ACCEPTED), 2);
	close(fd);
	close(other);
	ck_assert(comes_to(STATS_CONNECTIONS_CLOSED, 2));
	ck_assert_uint_eq(stats_sum(&served.stats, STATS_MESSAGES_TEMPFAIL), 3);
	ck_assert_uint_eq(stats_sum(&served.stats, STATS_MESSAGES_ABORTED), 0);
}
END_TEST

/* A name server that takes questions and answers none. */
static int dead_name_server(char server[32])
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in at = {.sin_family = AF_INET};
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	snprintf(server, 32, "127.0.0.1:%u", served_port_of(fd));
	return fd;
}

START_TEST(dead_dns_holds_nobody_up)
{
	char server[32];
	int dns = dead_name_server(server);
	start_with(&profiles, server);
	int fd = greet(), gone = greet(), other = greet();
	double began = seconds();
	put(gone, "RCPT TO:<ann@unlisted.test>\r\n");
	put(fd, "NOOP\r\nRCPT TO:<ann@unlisted.test>\r\nRCPT TO:<ann@stern.test>\r\nNOOP\r\n");
	ck_assert_reply(fd, "250 2.0.0");
	/* A well-known name needs no answer of DNS's, and no session waits for another's. */
	put(other, "RCPT TO:<bob@calm.test>\r\n");
	ck_assert_reply(other, "250 2.1.5");
	ck_assert_double_lt(seconds() - began, 1.5);
	close(gone);
	ck_assert_reply(fd, "250 2.1.5");
	double waited = seconds() - began;
	ck_assert_double_ge(waited, 1);
	ck_assert_double_le(waited, 3.9);
	ck_assert_reply(fd, "452 one each");
	ck_assert_reply(fd, "250 2.0.0");
	/* Who hung up while he waited is not counted. */
	ck_assert_uint_ge(stats_sum(&served.stats, STATS_DNS_FAILED), 1);
	ck_assert_uint_le(stats_sum(&served.stats, STATS_DNS_FAILED), 2);
	close(fd);
	close(other);
	ck_assert(comes_to(STATS_CONNECTIONS_CLOSED, 3));
	served_stop();
	close(dns);
}
END_TEST

/* A worker that stops while sessions hang, wait for a delay or for DNS: nothing is left behind of them. */
START_TEST(stopping_in_every_state)
{
	char server[32], text[4096];
	int dns = dead_name_server(server);
	start_with(&profiles, server);
	int hung = greet(), delayed = greet(), asking = greet(), talking = greet();
	inject(SMTP_PHASE_DATA, PROVIDER_HANG, 450, 0);
	put(hung, "RCPT TO:<ann@calm.test>\r\nDATA\r\nmore");
	inject(SMTP_PHASE_RCPT, PROVIDER_REPLY, 0, 60000);
	put(delayed, "RCPT TO:<ann@calm.test>\r\nNOOP\r\n");
	put(asking, "RCPT TO:<ann@unlisted.test>\r\nNOOP\r\n");
	put(talking, "NOOP\r\n");
	ck_assert_reply(talking, "250 ");
	usleep(200000);
	double began = seconds();
	served_stop();
	ck_assert_double_lt(seconds() - began, 10);
	ck_assert_reply(talking, "421 4.3.2");
	int waiting[] = {hung, delayed, asking};
	for (size_t i = 0; i < 3; i++) {
		ck_assert_int_ne(take(waiting[i], 9, 1000, text), STILL_OPEN);
		close(waiting[i]);
	}
	close(talking);
	close(dns);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("session_smart");
	TCase *cases = tcase_create("served");
	tcase_set_timeout(cases, 60);
	tcase_add_checked_fixture(cases, start, served_stop);
	tcase_add_loop_test(cases, actions_are_seen, 0, sizeof(actions) / sizeof(actions[0]));
	tcase_add_loop_test(cases, actions_at_connect, 0, sizeof(actions) / sizeof(actions[0]));
	tcase_add_loop_test(cases, faults_are_seen, 0, sizeof(faults) / sizeof(faults[0]));
	tcase_add_test(cases, a_delay_holds_up_its_own_session_alone);
	tcase_add_test(cases, a_late_banner_is_waited_for);
	tcase_add_test(cases, a_delayed_refusal_closes_behind_its_reply);
	tcase_add_test(cases, outcomes_are_counted_by_provider);
	tcase_add_test(cases, a_refused_mail_leaves_nothing_behind);
	tcase_add_test(cases, a_refused_data_may_be_tried_again);
	suite_add_tcase(suite, cases);
	TCase *alone = tcase_create("alone");
	tcase_set_timeout(alone, 60);
	tcase_add_loop_test(alone, connections_are_refused_or_ignored, 0, 2);
	tcase_add_test(alone, dead_dns_holds_nobody_up);
	tcase_add_test(alone, stopping_in_every_state);
	suite_add_tcase(suite, alone);
	return suite_run(suite);
}
