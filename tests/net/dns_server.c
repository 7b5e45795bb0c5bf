#include "dns_server.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <check.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGE_MAX 65535
#define UDP_MAX     1232
#define JUMPS_MAX   20
#define FLOOD       4000

struct dns_server {
	const struct dns_server_record *records;
	const struct dns_server_rule *rules;
	struct event_base *base;
	struct event *udp, *stop;
	struct evconnlistener *tcp;
	int fd, stop_pipe[2];
	char address[32];
	atomic_uint udp_count, tcp_count;
	pthread_t thread;
};

struct message {
	uint8_t bytes[MESSAGE_MAX];
	size_t len;
};

/* A reply that waits for its time. */
struct reply {
	struct dns_server *server;
	struct event *timer;
	enum dns_server_manner manner;
	struct sockaddr_in to;
	struct message message;
};

static void put16(struct message *message, unsigned value)
{
	message->bytes[message->len++] = (uint8_t)(value >> 8);
	message->bytes[message->len++] = (uint8_t)value;
}

static void put_name(struct message *message, const char *name)
{
	while (*name && strcmp(name, ".") != 0) {
		size_t len = strcspn(name, ".");
		message->bytes[message->len++] = (uint8_t)len;
		memcpy(message->bytes + message->len, name, len);
		message->len += len;
		name += len + (name[len] == '.');
	}
	message->bytes[message->len++] = 0;
}

static void put_record(struct message *message, const char *owner, const struct dns_server_record *record)
{
	if (message->len + 2 * NS_MAXDNAME > MESSAGE_MAX)
		return;
	put_name(message, owner);
	put16(message, (unsigned)record->type);
	put16(message, ns_c_in);
	put16(message, record->ttl >> 16);
	put16(message, record->ttl & 0xffff);
	size_t len_at = message->len;
	message->len += 2;
	char *rest = NULL;
	switch (record->type) {
	case ns_t_mx:
		put16(message, (unsigned)strtoul(record->data, &rest, 10));
		put_name(message, rest + 1);
		break;
	case ns_t_cname:
		put_name(message, record->data);
		break;
	default:
		ck_assert_int_eq(inet_pton(record->type == ns_t_a ? AF_INET : AF_INET6, record->data,
					 message->bytes + message->len),
			1);
		message->len += record->type == ns_t_a ? 4 : 16;
	}
	size_t end = message->len;
	message->len = len_at;
	put16(message, (unsigned)(end - len_at - 2));
	message->len = end;
	message->bytes[7]++;
	if (message->bytes[7] == 0)
		message->bytes[6]++;
}

/* Whether a pattern is the name, or "*.example" and above it. */
static bool name_matches(const char *pattern, const char *name)
{
	if (pattern[0] != '*')
		return strcasecmp(pattern, name) == 0;
	size_t len = strlen(name), below = strlen(pattern + 1);
	return len > below && strcasecmp(name + len - below, pattern + 1) == 0;
}

/* The records of a name, and of those that its CNAMEs lead to. */
static void put_answer(const struct dns_server *server, struct message *message, const char *name, int type)
{
	bool exists = false;
	for (int jump = 0; jump < JUMPS_MAX && name; jump++) {
		const char *next = NULL;
		exists = false;
		for (const struct dns_server_record *record = server->records; record->name; record++) {
			if (!name_matches(record->name, name))
				continue;
			exists = true;
			if (record->type == type || record->type == ns_t_cname)
				put_record(message, name, record);
			if (record->type == ns_t_cname)
				next = record->data;
		}
		name = next;
	}
	if (!exists)
		message->bytes[3] |= ns_r_nxdomain;
}

/* Takes the question apart. Its end, or 0 where it is none. */
static size_t question_read(const uint8_t *bytes, size_t len, char name[NS_MAXDNAME], int *type)
{
	size_t at = NS_HFIXEDSZ, to = 0;
	while (at < len && bytes[at] > 0 && at + bytes[at] + 1 < len) {
		memcpy(name + to, bytes + at + 1, bytes[at]);
		to += bytes[at];
		name[to++] = '.';
		at += bytes[at] + 1u;
	}
	name[to ? to - 1 : 0] = '\0';
	if (at + 5 > len)
		return 0;
	*type = bytes[at + 1] << 8 | bytes[at + 2];
	return at + 5;
}

static const struct dns_server_rule *rule_of(const struct dns_server *server, const char *name, int type)
{
	static const struct dns_server_rule honest = {"", DNS_SERVER_HONEST, 0, 0};
	for (const struct dns_server_rule *rule = server->rules; rule->name; rule++)
		if (name_matches(rule->name, name) && (rule->type == 0 || rule->type == type))
			return rule;
	return &honest;
}

/* The reply to a question and how to give it; NULL where there is none to give. */
static const struct dns_server_rule *reply_make(
	const struct dns_server *server, const uint8_t *bytes, size_t len, struct message *message)
{
	char name[NS_MAXDNAME];
	int type;
	size_t question = len > NS_HFIXEDSZ ? question_read(bytes, len, name, &type) : 0;
	if (!question)
		return NULL;
	memcpy(message->bytes, bytes, question);
	message->len = question;
	message->bytes[2] = 0x81; /* a response, recursion desired */
	message->bytes[3] = 0x80; /* and available */
	memset(message->bytes + 6, 0, 6);
	const struct dns_server_rule *rule = rule_of(server, name, type);
	switch (rule->manner) {
	case DNS_SERVER_SILENT:
		return NULL;
	case DNS_SERVER_SERVFAIL:
		message->bytes[3] |= ns_r_servfail;
		break;
	case DNS_SERVER_REFUSED:
		message->bytes[3] |= ns_r_refused;
		break;
	case DNS_SERVER_GARBAGE:
		message->bytes[7] = 3;
		for (int i = 0; i < 100; i++)
			message->bytes[message->len++] = (uint8_t)(i * 37 + 11);
		break;
	case DNS_SERVER_NOISE:
		for (message->len = 0; message->len < 100; message->len++)
			message->bytes[message->len] = (uint8_t)(message->len * 151 + 7);
		break;
	case DNS_SERVER_POINTER_LOOP:
		put_answer(server, message, name, type);
		message->bytes[question] = 0xc0;
		message->bytes[question + 1] = (uint8_t)question;
		break;
	default:
		put_answer(server, message, name, type);
	}
	if (rule->manner == DNS_SERVER_WRONG_ID)
		message->bytes[1] ^= 1;
	if (rule->manner == DNS_SERVER_WRONG_QUESTION)
		message->bytes[NS_HFIXEDSZ + 1] ^= 1;
	if (rule->manner == DNS_SERVER_HALF)
		message->len = question + (message->len - question) / 2;
	return rule;
}

static void send_to(const struct reply *reply, const struct message *message)
{
	sendto(reply->server->fd, message->bytes, message->len, 0, (const struct sockaddr *)&reply->to,
		sizeof(reply->to));
}

static void lie(const struct reply *reply, unsigned times)
{
	struct message *lies = malloc(sizeof(*lies));
	for (unsigned i = 0; i < times; i++) {
		*lies = reply->message;
		lies->bytes[i % 3 == 0 ? 0 : i % 3 == 1 ? NS_HFIXEDSZ + 1 : 2] ^= 0x7f;
		if (i % 3 == 2)
			lies->len = 5;
		send_to(reply, lies);
	}
	free(lies);
}

static void reply_send(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct reply *reply = arg;
	if (reply->manner == DNS_SERVER_LIES_FIRST)
		lie(reply, 3);
	if (reply->manner == DNS_SERVER_FLOOD) {
		/* The truth later, when there is room for it in the asker's socket again. */
		const struct timeval after = {0, 100 * 1000};
		lie(reply, FLOOD);
		reply->manner = DNS_SERVER_HONEST;
		evtimer_add(reply->timer, &after);
		return;
	}
	if (reply->message.len > UDP_MAX || reply->manner == DNS_SERVER_TRUNCATED) {
		reply->message.bytes[2] |= 0x02;
		memset(reply->message.bytes + 6, 0, 6);
		char name[NS_MAXDNAME];
		int type;
		reply->message.len = question_read(reply->message.bytes, reply->message.len, name, &type);
	}
	send_to(reply, &reply->message);
	event_free(reply->timer);
	free(reply);
}

static void udp_read(evutil_socket_t fd, short what, void *arg)
{
	(void)what;
	struct dns_server *server = arg;
	uint8_t bytes[NS_PACKETSZ * 4];
	struct reply *reply = malloc(sizeof(*reply));
	socklen_t len = sizeof(reply->to);
	ssize_t got = recvfrom(fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&reply->to, &len);
	atomic_fetch_add(&server->udp_count, got > 0);
	const struct dns_server_rule *rule =
		got > 0 ? reply_make(server, bytes, (size_t)got, &reply->message) : NULL;
	if (!rule) {
		free(reply);
		return;
	}
	reply->server = server;
	reply->manner = rule->manner;
	reply->timer = evtimer_new(server->base, reply_send, reply);
	const struct timeval after = {rule->delay_ms / 1000, rule->delay_ms % 1000 * 1000};
	evtimer_add(reply->timer, &after);
}

static void tcp_read(struct bufferevent *connection, void *arg)
{
	struct dns_server *server = arg;
	struct evbuffer *in = bufferevent_get_input(connection);
	uint8_t *bytes = evbuffer_pullup(in, -1);
	size_t have = evbuffer_get_length(in);
	if (have < 2 || have < 2u + (size_t)(bytes[0] << 8 | bytes[1]))
		return;
	size_t len = (size_t)(bytes[0] << 8 | bytes[1]);
	struct message *message = malloc(sizeof(*message));
	atomic_fetch_add(&server->tcp_count, 1);
	const struct dns_server_rule *rule = reply_make(server, bytes + 2, len, message);
	evbuffer_drain(in, len + 2);
	if (rule && rule->manner == DNS_SERVER_TRUNCATED) {
		bufferevent_free(connection);
	} else if (rule) {
		uint8_t prefix[2] = {(uint8_t)(message->len >> 8), (uint8_t)message->len};
		bufferevent_write(connection, prefix, 2);
		bufferevent_write(connection, message->bytes, message->len);
	}
	free(message);
}

static void tcp_end(struct bufferevent *connection, short what, void *arg)
{
	(void)what;
	(void)arg;
	bufferevent_free(connection);
}

static void tcp_accept(
	struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from, int len, void *arg)
{
	(void)from;
	(void)len;
	struct bufferevent *connection =
		bufferevent_socket_new(evconnlistener_get_base(listener), fd, BEV_OPT_CLOSE_ON_FREE);
	bufferevent_setcb(connection, tcp_read, NULL, tcp_end, arg);
	bufferevent_enable(connection, EV_READ);
}

static void stop_now(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct dns_server *server = arg;
	event_base_loopbreak(server->base);
}

static void *serve(void *arg)
{
	struct dns_server *server = arg;
	event_base_dispatch(server->base);
	return NULL;
}

struct dns_server *dns_server_start(
	const struct dns_server_record *records, const struct dns_server_rule *rules)
{
	struct dns_server *server = calloc(1, sizeof(*server));
	server->records = records;
	server->rules = rules;
	server->base = event_base_new();
	server->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	ck_assert_int_eq(bind(server->fd, (struct sockaddr *)&at, len), 0);
	ck_assert_int_eq(getsockname(server->fd, (struct sockaddr *)&at, &len), 0);
	int size = 4 << 20;
	setsockopt(server->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	snprintf(server->address, sizeof(server->address), "127.0.0.1:%u", ntohs(at.sin_port));
	server->udp = event_new(server->base, server->fd, EV_READ | EV_PERSIST, udp_read, server);
	event_add(server->udp, NULL);
	server->tcp = evconnlistener_new_bind(server->base, tcp_accept, server,
		LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE, 16, (struct sockaddr *)&at, sizeof(at));
	ck_assert_ptr_nonnull(server->tcp);
	ck_assert_int_eq(pipe(server->stop_pipe), 0);
	server->stop = event_new(server->base, server->stop_pipe[0], EV_READ, stop_now, server);
	event_add(server->stop, NULL);
	ck_assert_int_eq(pthread_create(&server->thread, NULL, serve, server), 0);
	return server;
}

static int reply_drop(const struct event_base *base, const struct event *event, void *arg)
{
	(void)base;
	(void)arg;
	if (event_get_callback(event) != reply_send)
		return 0;
	struct reply *reply = event_get_callback_arg(event);
	event_free(reply->timer);
	free(reply);
	return 1;
}

void dns_server_stop(struct dns_server *server)
{
	close(server->stop_pipe[1]);
	pthread_join(server->thread, NULL);
	while (event_base_foreach_event(server->base, reply_drop, NULL))
		;
	event_free(server->udp);
	event_free(server->stop);
	evconnlistener_free(server->tcp);
	event_base_free(server->base);
	close(server->fd);
	close(server->stop_pipe[0]);
	free(server);
}

const char *dns_server_address(const struct dns_server *server)
{
	return server->address;
}

unsigned dns_server_udp_count(struct dns_server *server)
{
	return atomic_load(&server->udp_count);
}

unsigned dns_server_tcp_count(struct dns_server *server)
{
	return atomic_load(&server->tcp_count);
}

void dns_server_isolate(void)
{
	if (unshare(CLONE_NEWNET) < 0)
		return;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	if (ioctl(fd, SIOCSIFFLAGS, &lo) < 0) {
		perror("loopback");
		abort();
	}
	close(fd);
}
