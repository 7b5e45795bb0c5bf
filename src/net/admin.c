#include "admin.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "admin_json.h"
#include "clock.h"
#include "explain.h"
#include "mapped.h"

/* What a client of the control socket may make grow. */
#define HEADERS_MAX 8192
#define BODY_MAX    65536
#define TIMEOUT_S   10
/* For a table of a million rows, read by somebody who is not in a hurry. */
#define TABLE_TIMEOUT_S 120
#define WAITING_MAX     256

/* Kernel counters older than this are better than no answer: the warden may be busy or gone. */
static const struct timeval refresh_patience = {0, 500 * 1000};
static const struct timeval reload_patience = {30, 0};

struct route;

/* A request that waits for the warden. */
struct waiting {
	TAILQ_ENTRY(waiting) link;
	struct admin *admin;
	struct evhttp_request *request;
	const struct route *route;
	struct event *patience;
};

TAILQ_HEAD(waiting_list, waiting);

struct admin {
	struct admin_setup setup;
	struct evhttp *http;
	const struct policy *policy;
	struct waiting_list refreshing, reloading;
	unsigned waiting;
};

struct route {
	const char *path;
	enum evhttp_cmd_type method;
	void (*answer)(struct admin *admin, const struct route *route, struct evhttp_request *request);
	int table;
	bool refresh; /* with fresh kernel counters */
};

static void reply_body(struct evhttp_request *request, int code, const char *type, struct evbuffer *body)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
	evhttp_add_header(headers, "Content-Type", type);
	evhttp_add_header(headers, "Cache-Control", "no-store");
	evhttp_send_reply(request, code, NULL, body);
}

static void reply_text(struct evhttp_request *request, int code, const char *type, const char *text)
{
	struct evbuffer *body = evhttp_request_get_output_buffer(request);
	evbuffer_add(body, text, strlen(text));
	reply_body(request, code, type, NULL);
}

static void reply_json(struct evhttp_request *request, json_t *value)
{
	char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
	json_decref(value);
	if (text)
		reply_text(request, HTTP_OK, "application/json", text);
	else
		evhttp_send_error(request, HTTP_INTERNAL, "out of memory");
	free(text);
}

static void answer_status(struct admin *admin, const struct route *route, struct evhttp_request *request)
{
	(void)route;
	reply_json(request, admin_json_status(admin->setup.stats, admin->setup.state,
				    (clock_ms() - admin->setup.started_ms) / 1000,
				    admin->policy ? admin->policy->conf : NULL));
}

static void answer_table(struct admin *admin, const struct route *route, struct evhttp_request *request)
{
	struct evbuffer *body = evbuffer_new();
	bool good = body && admin_json_table(admin->setup.stats, (enum stats_table_id)route->table, body);
	/* A long table takes seconds to make and to send, and evhttp's time-out to read runs meanwhile: from now on, and longer. */
	event_base_update_cache_time(admin->setup.base);
	evhttp_connection_set_timeout(evhttp_request_get_connection(request), TABLE_TIMEOUT_S);
	if (good)
		reply_body(request, HTTP_OK, "application/json", body);
	else
		evhttp_send_error(request, HTTP_INTERNAL, "out of memory");
	if (body)
		evbuffer_free(body);
}

static void answer_alive(struct admin *admin, const struct route *route, struct evhttp_request *request)
{
	(void)admin;
	(void)route;
	reply_text(request, HTTP_OK, "text/plain", "ok\n");
}

static void waiting_done(struct waiting *waiting)
{
	struct waiting_list *list =
		waiting->route->refresh ? &waiting->admin->refreshing : &waiting->admin->reloading;
	TAILQ_REMOVE(list, waiting, link);
	waiting->admin->waiting--;
	struct evhttp_connection *connection = evhttp_request_get_connection(waiting->request);
	if (connection)
		evhttp_connection_set_closecb(connection, NULL, NULL);
	event_free(waiting->patience);
	free(waiting);
}

/* The client went away while it waited; evhttp frees its request. */
static void waiting_closed(struct evhttp_connection *connection, void *arg)
{
	(void)connection;
	waiting_done(arg);
}

static void waiting_answer(struct waiting *waiting)
{
	struct admin *admin = waiting->admin;
	struct evhttp_request *request = waiting->request;
	const struct route *route = waiting->route;
	waiting_done(waiting);
	route->answer(admin, route, request);
}

static void waiting_impatient(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct waiting *waiting = arg;
	if (waiting->route->refresh) {
		waiting_answer(waiting);
		return;
	}
	struct evhttp_request *request = waiting->request;
	waiting_done(waiting);
	reply_text(request, HTTP_SERVUNAVAIL, "text/plain", "the warden does not answer\n");
}

static void wait_for_warden(struct admin *admin, const struct route *route, struct evhttp_request *request)
{
	struct waiting *waiting = admin->waiting < WAITING_MAX ? calloc(1, sizeof(*waiting)) : NULL;
	if (waiting)
		waiting->patience = evtimer_new(admin->setup.base, waiting_impatient, waiting);
	if (!waiting || !waiting->patience) {
		free(waiting);
		reply_text(request, HTTP_SERVUNAVAIL, "text/plain", "too many requests at once\n");
		return;
	}
	waiting->admin = admin;
	waiting->request = request;
	waiting->route = route;
	admin->waiting++;
	struct waiting_list *list = route->refresh ? &admin->refreshing : &admin->reloading;
	TAILQ_INSERT_TAIL(list, waiting, link);
	evtimer_add(waiting->patience, route->refresh ? &refresh_patience : &reload_patience);
	evhttp_connection_set_closecb(evhttp_request_get_connection(request), waiting_closed, waiting);
	if (route->refresh)
		admin->setup.refresh(admin->setup.arg);
	else
		admin->setup.reload(admin->setup.arg);
}

void admin_refreshed(struct admin *admin)
{
	struct waiting *waiting;
	while ((waiting = TAILQ_FIRST(&admin->refreshing)))
		waiting_answer(waiting);
}

void admin_reloaded(struct admin *admin, int code, const char *text)
{
	/* Each was asked for by one message, and the warden answers in order. */
	struct waiting *waiting = TAILQ_FIRST(&admin->reloading);
	if (!waiting)
		return;
	struct evhttp_request *request = waiting->request;
	waiting_done(waiting);
	json_t *outcome = json_object();
	json_object_set_new(outcome, "reloaded", json_boolean(code == 0));
	json_object_set_new(outcome, "text", json_string(text));
	reply_json(request, outcome);
}

static void answer_reset(struct admin *admin, const struct route *route, struct evhttp_request *request)
{
	(void)route;
	admin->setup.reset(admin->setup.arg);
	reply_json(request, json_pack("{s:b}", "reset", 1));
}

static void answer_injections(struct admin *admin, const struct route *route, struct evhttp_request *request)
{
	(void)route;
	reply_json(request, explain_injections(admin->setup.state->injections, clock_ms()));
}

static int add_injection(struct admin *admin, const json_t *value, struct err *err)
{
	struct injection injection;
	int code = explain_read_injection(value, admin->policy->providers, clock_ms(), &injection, err);
	return code < 0 ? code : injections_add(admin->setup.state->injections, &injection, clock_ms(), err);
}

/* By its number in the list, which begins at 1. */
static int end_injection(struct admin *admin, json_int_t number, struct err *err)
{
	if (number > 0 && injections_end(admin->setup.state->injections, (size_t)number - 1, clock_ms()))
		return 0;
	return err_set(err, -ENOENT,
		"no injection %lld is in force: `mxmirage inject` lists them with their numbers",
		(long long)number);
}

static void answer_inject(struct admin *admin, const struct route *route, struct evhttp_request *request)
{
	(void)route;
	struct err err = {"the request's body is no JSON object"};
	struct evbuffer *body = evhttp_request_get_input_buffer(request);
	size_t len = evbuffer_get_length(body);
	json_t *value = json_loadb((const char *)evbuffer_pullup(body, -1), len, 0, NULL);
	int code = -EINVAL;
	if (json_object_get(value, "end"))
		code = end_injection(admin, json_integer_value(json_object_get(value, "end")), &err);
	else if (json_is_object(value))
		code = add_injection(admin, value, &err);
	json_decref(value);
	if (code >= 0)
		answer_injections(admin, route, request);
	else
		reply_json(request, json_pack("{s:s}", "error", err.text));
}

/* A question of explain that waits for DNS. */
struct explaining {
	struct admin *admin;
	struct evhttp_request *request;
	struct resolver_question *question;
	char address[EXPLAIN_ADDRESS_MAX];
	bool has_from, has_to;
	struct in6_addr from, to;
};

static void explain_reply(struct explaining *explaining, const struct mx_answer *answer)
{
	struct admin *admin = explaining->admin;
	json_t *value = explain_address(admin->policy, admin->setup.state, explaining->address,
		explaining->has_from ? &explaining->from : NULL, explaining->has_to ? &explaining->to : NULL,
		answer, clock_ms());
	struct evhttp_connection *connection = evhttp_request_get_connection(explaining->request);
	if (connection)
		evhttp_connection_set_closecb(connection, NULL, NULL);
	reply_json(explaining->request, value);
	free(explaining);
}

static void explain_answered(void *arg, struct resolver_entry *entry)
{
	explain_reply(arg, &entry->answer);
}

static void explain_closed(struct evhttp_connection *connection, void *arg)
{
	(void)connection;
	struct explaining *explaining = arg;
	resolver_forget(explaining->question);
	free(explaining);
}

static void answer_explain(struct admin *admin, const struct route *route, struct evhttp_request *request)
{
	(void)route;
	struct evkeyvalq query;
	struct explaining *explaining = calloc(1, sizeof(*explaining));
	const char *text = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(request));
	if (!explaining || evhttp_parse_query_str(text ? text : "", &query) < 0) {
		free(explaining);
		evhttp_send_error(request, HTTP_BADREQUEST, NULL);
		return;
	}
	const char *address = evhttp_find_header(&query, "address"),
		   *from = evhttp_find_header(&query, "from"), *to = evhttp_find_header(&query, "to");
	explaining->admin = admin;
	explaining->request = request;
	snprintf(explaining->address, sizeof(explaining->address), "%s", address ? address : "");
	explaining->has_from = from && mapped_read(from, &explaining->from);
	explaining->has_to = to && mapped_read(to, &explaining->to);
	bool bad = !address || !explain_is_recipient(address) || (from && !explaining->has_from) ||
		   (to && !explaining->has_to);
	evhttp_clear_headers(&query);
	if (bad) {
		free(explaining);
		reply_json(request, json_pack("{s:s}", "error",
					    "say explain USER@DOMAIN, as in RCPT but without <>, and an IP "
					    "address behind --from and --to"));
		return;
	}
	struct span domain = span_of(strrchr(explaining->address, '@') + 1);
	struct resolver *resolver = admin->setup.resolver;
	struct resolver_entry *entry = resolver ? resolver_cached(resolver, domain) : NULL;
	if (resolver && !entry)
		explaining->question = resolver_ask(resolver, domain, explain_answered, explaining);
	if (!explaining->question)
		explain_reply(explaining, entry ? &entry->answer : NULL);
	else
		evhttp_connection_set_closecb(
			evhttp_request_get_connection(request), explain_closed, explaining);
}

static const struct route routes[] = {
	{"/api/v1/status", EVHTTP_REQ_GET, answer_status, 0, true},
	{"/api/v1/domains", EVHTTP_REQ_GET, answer_table, STATS_DOMAINS, false},
	{"/api/v1/destinations", EVHTTP_REQ_GET, answer_table, STATS_DESTINATIONS, false},
	{"/api/v1/sources", EVHTTP_REQ_GET, answer_table, STATS_SOURCES, false},
	{"/api/v1/providers", EVHTTP_REQ_GET, answer_table, STATS_PROVIDERS, false},
	{"/api/v1/reload", EVHTTP_REQ_POST, NULL, 0, false},
	{"/api/v1/explain", EVHTTP_REQ_GET, answer_explain, 0, false},
	{"/api/v1/injections", EVHTTP_REQ_GET, answer_injections, 0, false},
	{"/api/v1/inject", EVHTTP_REQ_POST, answer_inject, 0, false},
	{"/api/v1/reset", EVHTTP_REQ_POST, answer_reset, 0, false},
	{"/livez", EVHTTP_REQ_GET, answer_alive, 0, false},
};

static void admin_request(struct evhttp_request *request, void *arg)
{
	struct admin *admin = arg;
	const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		const struct route *route = &routes[i];
		if (!path || strcmp(path, route->path) != 0)
			continue;
		if (evhttp_request_get_command(request) != route->method)
			evhttp_send_error(request, HTTP_BADMETHOD, NULL);
		else if (route->refresh || !route->answer)
			wait_for_warden(admin, route, request);
		else
			route->answer(admin, route, request);
		return;
	}
	evhttp_send_error(request, HTTP_NOTFOUND, NULL);
}

static void accept_again(evutil_socket_t fd, short what, void *listener)
{
	(void)fd;
	(void)what;
	evconnlistener_enable(listener);
}

/* Without descriptors accept() fails again at once: libevent itself would spin, and say so each time. */
static void accept_failed(struct evconnlistener *listener, void *http)
{
	(void)http;
	const struct timeval pause = {0, 100 * 1000};
	struct event_base *base = evconnlistener_get_base(listener);
	evconnlistener_disable(listener);
	if (event_base_once(base, -1, EV_TIMEOUT, accept_again, listener, &pause) < 0)
		evconnlistener_enable(listener);
}

void admin_set_policy(struct admin *admin, const struct policy *policy)
{
	policy_unref(admin->policy);
	admin->policy = policy_ref(policy);
}

struct admin *admin_new(const struct admin_setup *setup, struct err *err)
{
	struct admin *admin = calloc(1, sizeof(*admin));
	struct evhttp *http = evhttp_new(setup->base);
	struct evhttp_bound_socket *bound = NULL;
	if (admin && http)
		bound = evhttp_accept_socket_with_handle(http, setup->listener);
	if (!bound) {
		close(setup->listener);
		if (http)
			evhttp_free(http);
		free(admin);
		err_set(err, -ENOMEM, "control socket: out of memory");
		return NULL;
	}
	admin->setup = *setup;
	admin->http = http;
	evconnlistener_set_error_cb(evhttp_bound_socket_get_listener(bound), accept_failed);
	TAILQ_INIT(&admin->refreshing);
	TAILQ_INIT(&admin->reloading);
	evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_POST);
	evhttp_set_max_headers_size(http, HEADERS_MAX);
	evhttp_set_max_body_size(http, BODY_MAX);
	evhttp_set_timeout(http, TIMEOUT_S);
	evhttp_set_gencb(http, admin_request, admin);
	return admin;
}

void admin_free(struct admin *admin)
{
	if (!admin)
		return;
	/* Answers what still waits: evhttp would free the requests under them. */
	admin_refreshed(admin);
	while (!TAILQ_EMPTY(&admin->reloading))
		admin_reloaded(admin, -ESHUTDOWN, "shutting down");
	evhttp_free(admin->http);
	policy_unref(admin->policy);
	free(admin);
}
