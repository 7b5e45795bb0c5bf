/* The control socket's HTTP, spoken to over a real Unix socket by hand-written requests. */
#include <check.h>
#include <event2/event.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "admin.h"
#include "clock.h"
#include "listener.h"
#include "suite.h"

static const struct stats_layout layout = {.blocks = 2, .rows = {32, 32, 32, 32}};

static char directory[64], path[96];
static struct event_base *base;
static struct stats stats;
static struct policy_state state;
static struct admin *admin;
/* What the warden would do. */
static bool warden_answers;
static int reload_code;
static const char *reload_text;

static void refresh(void *arg)
{
	(void)arg;
	if (!warden_answers)
		return;
	struct stats_kernel kernel = {.armed = true, .owner = true, .persist = true, .diverting = true};
	kernel.packets[RULESET_DIVERTED] = 77;
	stats_kernel_write(&stats, &kernel);
	admin_refreshed(admin);
}

static void reload(void *arg)
{
	(void)arg;
	admin_reloaded(admin, reload_code, reload_text);
}

static void setup(void)
{
	struct err err;
	signal(SIGPIPE, SIG_IGN); /* as the responder does */
	snprintf(directory, sizeof(directory), "/tmp/mxmirage-test-admin-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/control.sock", directory);
	void *memory =
		mmap(NULL, stats_size(&layout), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(memory, MAP_FAILED);
	stats_format(&stats, memory, &layout, 1000);
	ck_assert_int_eq(policy_state_init(&state, &err), 0);
	base = event_base_new();
	int listener = listener_open_unix(path, getegid(), &err);
	ck_assert_msg(listener >= 0, "%s", err.text);
	const struct admin_setup of = {
		.base = base,
		.listener = listener,
		.stats = &stats,
		.refresh = refresh,
		.reload = reload,
		.started_ms = clock_ms() - 70000,
		.state = &state,
	};
	admin = admin_new(&of, &err);
	ck_assert_ptr_nonnull(admin);
	warden_answers = true;
	reload_code = 0;
	reload_text = "reloaded";
}

static void teardown(void)
{
	admin_free(admin);
	event_base_free(base);
	policy_state_done(&state);
	munmap(stats.memory, stats_size(&layout));
	unlink(path);
	rmdir(directory);
}

/* Sends a request and runs the loop until the server closed. Returns the whole answer, static storage. */
static const char *ask(const char *request)
{
	static char answer[65536];
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	ck_assert_int_eq(send(fd, request, strlen(request), 0), (ssize_t)strlen(request));
	size_t len = 0;
	for (int i = 0; i < 500; i++) {
		event_base_loop(base, EVLOOP_NONBLOCK);
		ssize_t n = recv(fd, answer + len, sizeof(answer) - 1 - len, MSG_DONTWAIT);
		if (n == 0)
			break;
		if (n > 0)
			len += (size_t)n;
		else
			usleep(5000);
	}
	answer[len] = '\0';
	close(fd);
	event_base_loop(base, EVLOOP_NONBLOCK);
	return answer;
}

static const char *get(const char *what)
{
	char request[512];
	snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", what);
	return ask(request);
}

static int status_of(const char *answer)
{
	int status = 0;
	return sscanf(answer, "HTTP/1.1 %d", &status) == 1 ? status : 0;
}

static json_t *body_of(const char *answer)
{
	const char *body = strstr(answer, "\r\n\r\n");
	ck_assert_msg(status_of(answer) == 200 && body, "%s", answer);
	json_t *value = json_loads(body + 4, 0, NULL);
	ck_assert_msg(value != NULL, "%s", answer);
	return value;
}

static json_int_t number(const json_t *object, const char *group, const char *key)
{
	json_t *value = json_object_get(json_object_get(object, group), key);
	ck_assert_msg(json_is_integer(value), "%s.%s is no integer", group, key);
	return json_integer_value(value);
}

START_TEST(status_holds_what_scripts_rely_on)
{
	stats_add(stats_block(&stats, 0), STATS_CONNECTIONS, 5);
	stats_add(stats_block(&stats, 1), STATS_CONNECTIONS, 2);
	stats_add(stats_block(&stats, 0), STATS_CONNECTIONS_CLOSED, 3);
	stats_add(stats_block(&stats, 0), STATS_MESSAGES_ACCEPTED, 9);
	stats_add(stats_block(&stats, 1), STATS_DNS_LOOKUPS, 4);
	json_t *status = body_of(get("/api/v1/status"));
	ck_assert(json_is_string(json_object_get(status, "version")));
	/* Of the monotonic clock: the time of day, which may be set, says nothing of it. */
	json_int_t uptime_s = json_integer_value(json_object_get(status, "uptime_s"));
	ck_assert_int_ge(uptime_s, 70);
	ck_assert_int_le(uptime_s, 100);
	ck_assert_int_eq(number(status, "connections", "total"), 7);
	ck_assert_int_eq(number(status, "connections", "open"), 4);
	ck_assert_int_eq(number(status, "connections", "undiverted"), 0);
	ck_assert_int_eq(number(status, "messages", "accepted"), 9);
	static const char *const messages[] = {"tempfail", "permfail", "bytes"};
	for (size_t i = 0; i < 3; i++)
		ck_assert_int_eq(number(status, "messages", messages[i]), 0);
	static const char *const firewall[] = {"diverted", "excluded", "rejected_output", "rejected_forward",
		"dropped_postrouting", "dropped_egress", "undiverted_refused"};
	for (size_t i = 0; i < sizeof(firewall) / sizeof(firewall[0]); i++) {
		json_t *counters = json_object_get(status, "firewall");
		ck_assert_int_eq(number(counters, firewall[i], "packets"), i == 0 ? 77 : 0);
		ck_assert_int_eq(number(counters, firewall[i], "bytes"), 0);
	}
	static const char *const guard[] = {"armed", "owner", "persist", "static"};
	for (size_t i = 0; i < 4; i++)
		ck_assert(json_is_boolean(json_object_get(json_object_get(status, "guard"), guard[i])));
	ck_assert(json_is_array(json_object_get(json_object_get(status, "guard"), "devices")));
	ck_assert_int_eq(number(status, "dns", "lookups"), 4);
	ck_assert_int_eq(number(status, "dns", "cached"), 0);
	ck_assert_int_eq(number(status, "tables", "senders_without_room"), 0);
	ck_assert_int_eq(number(status, "tables", "tries_without_room"), 0);
	ck_assert_int_eq(number(status, "tls", "handshakes"), 0);
	ck_assert_int_eq(number(status, "tls", "failed"), 0);
	json_decref(status);
}
END_TEST

/* The warden is away: the last known counters are better than none. */
START_TEST(status_does_not_wait_for_ever)
{
	warden_answers = false;
	json_t *status = body_of(get("/api/v1/status"));
	ck_assert_int_eq(number(status, "connections", "total"), 0);
	json_decref(status);
}
END_TEST

START_TEST(tables_list_rows_and_other)
{
	struct stats_block *block = stats_block(&stats, 0);
	uint32_t row = stats_row(block, STATS_DESTINATIONS, (struct span){"\xc6\x33\x64\x01", 4});
	stats_row_add(block, STATS_DESTINATIONS, row, STATS_ROW_CONNECTIONS, 2);
	const char six[] = "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x19";
	row = stats_row(block, STATS_DESTINATIONS, (struct span){six, 16});
	stats_row_add(block, STATS_DESTINATIONS, row, STATS_ROW_CONNECTIONS, 1);
	json_t *table = body_of(get("/api/v1/destinations"));
	json_t *rows = json_object_get(table, "destinations");
	ck_assert_uint_eq(json_array_size(rows), 2);
	ck_assert_str_eq(
		json_string_value(json_object_get(json_array_get(rows, 0), "address")), "198.51.100.1");
	ck_assert_int_eq(json_integer_value(json_object_get(json_array_get(rows, 0), "connections")), 2);
	ck_assert_str_eq(
		json_string_value(json_object_get(json_array_get(rows, 1), "address")), "2001:db8::19");
	ck_assert_int_eq(number(table, "other", "accepted"), 0);
	json_decref(table);
}
END_TEST

/* facts, rows 50 and 51: names are what peers choose. */
START_TEST(a_strange_domain_is_still_json)
{
	struct stats_block *block = stats_block(&stats, 0);
	static const char *const names[] = {"a\"} 1\nx{", "\xff\xfe.example", "b\x1b[31m"};
	for (size_t i = 0; i < 3; i++)
		stats_row_add(block, STATS_DOMAINS, stats_row(block, STATS_DOMAINS, span_of(names[i])),
			STATS_ROW_ACCEPTED, 1);
	json_t *table = body_of(get("/api/v1/domains"));
	json_t *rows = json_object_get(table, "domains");
	ck_assert_uint_eq(json_array_size(rows), 3);
	ck_assert_str_eq(json_string_value(json_object_get(json_array_get(rows, 0), "domain")), "a\"} 1\nx{");
	ck_assert_str_eq(json_string_value(json_object_get(json_array_get(rows, 2), "domain")), "??.example");
	json_decref(table);
}
END_TEST

START_TEST(reload_tells_the_outcome)
{
	const char *request = "POST /api/v1/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"
			      "Connection: close\r\n\r\n";
	json_t *outcome = body_of(ask(request));
	ck_assert(json_is_true(json_object_get(outcome, "reloaded")));
	json_decref(outcome);
	reload_code = -22;
	reload_text = "x.toml:3: unknown key \"prots\"";
	outcome = body_of(ask(request));
	ck_assert(json_is_false(json_object_get(outcome, "reloaded")));
	ck_assert_str_eq(json_string_value(json_object_get(outcome, "text")), reload_text);
	json_decref(outcome);
}
END_TEST

/* facts, row 57 */
static const struct {
	const char *request;
	int status;
} refused[] = {
	{"GET /api/v1/reload HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 405},
	{"POST /api/v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 405},
	{"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404},
	{"GET /api/v1/nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404},
	{"POST /api/v1/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\nConnection: close\r\n\r\n",
		413},
};

START_TEST(what_is_not_offered_is_refused)
{
	ck_assert_int_eq(status_of(ask(refused[_i].request)), refused[_i].status);
}
END_TEST

START_TEST(a_client_that_leaves_while_it_waits_harms_nobody)
{
	warden_answers = false;
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	const char *request = "GET /api/v1/status HTTP/1.1\r\nHost: x\r\n\r\n";
	ck_assert_int_eq(send(fd, request, strlen(request), 0), (ssize_t)strlen(request));
	for (int i = 0; i < 5; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	close(fd);
	for (int i = 0; i < 5; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	warden_answers = true;
	admin_refreshed(admin);
	json_decref(body_of(get("/api/v1/status")));
}
END_TEST

/* What cannot be said in JSON is refused, and not for want of memory. */
START_TEST(an_address_of_other_bytes_is_refused)
{
	json_t *value = body_of(get("/api/v1/explain?address=a@%ff.example"));
	ck_assert(json_is_string(json_object_get(value, "error")));
	json_decref(value);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("admin");
	TCase *tcase = tcase_create("admin");
	tcase_set_timeout(tcase, 30);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, status_holds_what_scripts_rely_on);
	tcase_add_test(tcase, an_address_of_other_bytes_is_refused);
	tcase_add_test(tcase, status_does_not_wait_for_ever);
	tcase_add_test(tcase, tables_list_rows_and_other);
	tcase_add_test(tcase, a_strange_domain_is_still_json);
	tcase_add_test(tcase, reload_tells_the_outcome);
	tcase_add_loop_test(tcase, what_is_not_offered_is_refused, 0, sizeof(refused) / sizeof(refused[0]));
	tcase_add_test(tcase, a_client_that_leaves_while_it_waits_harms_nobody);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
