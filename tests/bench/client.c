#include "client.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX     256
#define RECEIVE_MAX    16384
#define IDLE_AT_A_TIME 128 /* connections in the making: fewer than any sink's backlog */
#define SOURCES        16  /* loopback addresses that connections come from */
#define WAIT_MS        50  /* how late the end of a run may be noticed when nothing happens */

struct connection {
	int fd; /* -1 when lost */
	bool idle;
	uint8_t step;
	uint8_t replies; /* to the step, so far */
	uint8_t column;  /* of the reply line being read; stays at 4 behind the code */
	bool continued;  /* the line is not a reply's last */
	uint16_t code;
	size_t sent;    /* bytes of the step */
	uint64_t to_do; /* messages not begun on this connection */
};

struct client {
	struct client_options options;
	struct client_counts counts;
	struct script script;
	int epoll;
	unsigned sending; /* connections that send and are not lost */
	unsigned holding; /* idle connections that were answered */
	unsigned opened;  /* idle connections that were begun */
	unsigned next_source;
	struct connection *connections; /* first those that send, then the idle ones */
};

double client_clock(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void connection_close(struct connection *connection)
{
	/* A reset leaves no TIME_WAIT behind that the next run would meet. */
	const struct linger reset = {.l_onoff = 1, .l_linger = 0};
	setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(connection->fd);
	connection->fd = -1;
}

static void connection_lost(
	struct client *client, struct connection *connection, const char *why, const char *detail)
{
	if (client->counts.errors++ == 0)
		snprintf(client->counts.first_error, sizeof(client->counts.first_error),
			"%s connection, step %u: %s: %s", connection->idle ? "idle" : "sending",
			connection->step, why, detail);
	if (connection->idle) {
		if (connection->step == SCRIPT_FIRST_MAIL)
			client->holding--;
	} else {
		client->sending--;
	}
	if (connection->fd >= 0)
		connection_close(connection);
}

/* Whether nothing is to be said any more: any word of the sink's is one too many. */
static bool connection_is_silent(const struct connection *connection)
{
	return connection->step == SCRIPT_END || (connection->idle && connection->step == SCRIPT_FIRST_MAIL);
}

/* Sends what is left of the step. What does not fit now goes with the next event. */
static void connection_send(struct client *client, struct connection *connection)
{
	const struct script_step *step = &client->script.steps[connection->step];
	while (connection->sent < step->len) {
		ssize_t n = send(connection->fd, step->bytes + connection->sent, step->len - connection->sent,
			MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0) {
			if (errno != EAGAIN && errno != EINTR)
				connection_lost(client, connection, "send", strerror(errno));
			return;
		}
		connection->sent += (size_t)n;
	}
}

static void connection_enter(struct client *client, struct connection *connection, uint8_t step)
{
	connection->step = step;
	connection->replies = 0;
	connection->sent = 0;
	if (connection_is_silent(connection)) {
		client->holding += connection->idle;
		return;
	}
	if (client->script.steps[step].opens)
		connection->to_do--;
	connection_send(client, connection);
}

/* From where on the loopback: one address has ports for some 28,000 connections to one target. */
static void bind_source(struct client *client, int fd)
{
	const struct sockaddr_in *target = (const struct sockaddr_in *)&client->options.target;
	if (target->sin_family != AF_INET || ntohl(target->sin_addr.s_addr) >> 24 != IN_LOOPBACKNET)
		return;
	struct sockaddr_in source = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + client->next_source++ % SOURCES)};
	const int on = 1;
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	/* Where the bind fails the connection comes from 127.0.0.1: no harm but the fewer ports. */
	(void)bind(fd, (struct sockaddr *)&source, sizeof(source));
}

static void connection_open(struct client *client, struct connection *connection)
{
	const struct client_options *options = &client->options;
	bool idle = connection->idle;
	*connection = (struct connection){.fd = -1,
		.idle = idle,
		.step = SCRIPT_GREETING,
		.to_do = options->per_connection ? options->per_connection : UINT64_MAX};
	int fd = socket(options->target.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		connection_lost(client, connection, "socket", strerror(errno));
		return;
	}
	connection->fd = fd;
	const int on = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	bind_source(client, fd);
	client->counts.connections++;
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = connection};
	if ((connect(fd, (const struct sockaddr *)&options->target, options->target_len) &&
		    errno != EINPROGRESS) ||
		epoll_ctl(client->epoll, EPOLL_CTL_ADD, fd, &event))
		connection_lost(client, connection, "connect", strerror(errno));
}

/* A reply is complete. */
static void connection_reply(
	struct client *client, struct connection *connection, const char *rest, size_t len)
{
	unsigned code = connection->code;
	bool silent = connection_is_silent(connection);
	const struct script_step *step = silent ? NULL : &client->script.steps[connection->step];

	client->counts.replies[code < CLIENT_CODES ? code : 0]++;
	if (silent || connection->sent < step->due || step->replies[connection->replies] != code) {
		char text[100];
		snprintf(text, sizeof(text), "%u%.*s", code, (int)(len > 90 ? 90 : len), rest);
		connection_lost(client, connection, "a reply that was not due", text);
		return;
	}
	connection->replies++;
	if (step->finishes == connection->replies)
		client->counts.messages++;
	if (connection->replies == script_replies(step))
		connection_enter(client, connection, connection->to_do ? step->next : step->last);
}

/* Takes reply lines apart: three digits, a hyphen where more lines follow, text, LF. */
static void connection_parse(
	struct client *client, struct connection *connection, const char *data, size_t len)
{
	const char *end = data + len;
	while (data < end && connection->fd >= 0) {
		if (connection->column < 4) {
			if (connection->column < 3) {
				if (*data < '0' || *data > '9') {
					connection_lost(client, connection, "not a reply code", "");
					return;
				}
				connection->code = (uint16_t)(connection->code * 10 + *data - '0');
			} else {
				connection->continued = *data == '-';
			}
			connection->column++;
			data++;
			continue;
		}
		const char *newline = memchr(data, '\n', (size_t)(end - data));
		if (!newline)
			return;
		if (!connection->continued)
			connection_reply(client, connection, data, (size_t)(newline - data));
		connection->column = 0;
		connection->code = 0;
		data = newline + 1;
	}
}

static void connection_receive(struct client *client, struct connection *connection, bool hangup)
{
	char data[RECEIVE_MAX];
	for (;;) {
		ssize_t n = recv(connection->fd, data, sizeof(data), MSG_DONTWAIT);
		if (n < 0) {
			if (errno != EAGAIN && errno != EINTR)
				connection_lost(client, connection, "receive", strerror(errno));
			return;
		}
		if (n == 0) {
			if (connection->step != SCRIPT_END) {
				connection_lost(client, connection, "closed by the sink", "");
				return;
			}
			connection_close(connection);
			connection_open(client, connection);
			return;
		}
		connection_parse(client, connection, data, (size_t)n);
		if (connection->fd < 0)
			return;
		/* With edge-triggered events an end that is known already is not told again. */
		if ((size_t)n < sizeof(data) && !hangup)
			return;
	}
}

static void client_turn(struct client *client)
{
	struct epoll_event events[EVENTS_MAX];
	int count = epoll_wait(client->epoll, events, EVENTS_MAX, WAIT_MS);
	for (int i = 0; i < count; i++) {
		struct connection *connection = events[i].data.ptr;
		if (connection->fd < 0)
			continue;
		if (events[i].events & EPOLLOUT && !connection_is_silent(connection))
			connection_send(client, connection);
		if (connection->fd >= 0 && events[i].events & ~(uint32_t)EPOLLOUT)
			connection_receive(
				client, connection, events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
	}
}

struct client *client_new(const struct client_options *options)
{
	struct client *client = calloc(1, sizeof(*client));
	if (!client)
		return NULL;
	client->options = *options;
	client->epoll = epoll_create1(EPOLL_CLOEXEC);
	client->connections = calloc((size_t)options->connections + options->idle, sizeof(struct connection));
	if (client->epoll < 0 || !client->connections ||
		script_init(&client->script, options->size, options->form)) {
		client_free(client);
		return NULL;
	}
	for (unsigned i = 0; i < options->connections + options->idle; i++)
		client->connections[i] = (struct connection){.fd = -1, .idle = i >= options->connections};
	return client;
}

void client_free(struct client *client)
{
	for (unsigned i = 0; client->connections && i < client->options.connections + client->options.idle;
		i++) {
		if (client->connections[i].fd >= 0)
			connection_close(&client->connections[i]);
	}
	if (client->epoll >= 0)
		close(client->epoll);
	script_done(&client->script);
	free(client->connections);
	free(client);
}

int client_open_idle(struct client *client, double seconds)
{
	double deadline = client_clock() + seconds;
	while (client->holding < client->options.idle) {
		if (client->counts.errors || client_clock() > deadline)
			return -1;
		while (client->opened < client->options.idle &&
			client->opened - client->holding < IDLE_AT_A_TIME)
			connection_open(
				client, &client->connections[client->options.connections + client->opened++]);
		client_turn(client);
	}
	return 0;
}

void client_open(struct client *client)
{
	client->sending = client->options.connections;
	for (unsigned i = 0; i < client->options.connections; i++)
		connection_open(client, &client->connections[i]);
}

void client_run(struct client *client, double seconds, uint64_t messages)
{
	double deadline = client_clock() + seconds;
	while (client->sending && client_clock() < deadline &&
		(!messages || client->counts.messages < messages))
		client_turn(client);
}

const struct client_counts *client_counts(const struct client *client)
{
	return &client->counts;
}
