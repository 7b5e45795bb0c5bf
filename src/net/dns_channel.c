#include "dns_channel.h"

#include <ares.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/queue.h>

/*
 * The smallest size that no common path fragments: a larger answer comes truncated, and is asked for again
 * by TCP.
 */
#define EDNS_SIZE 1232

/* A socket of c-ares': one a server, and one more for TCP. */
struct dns_socket {
	LIST_ENTRY(dns_socket) link;
	int fd;
	struct event *event;
};

struct dns_channel {
	struct event_base *base;
	ares_channel ares;
	bool closing;
	LIST_HEAD(, dns_socket) sockets;
};

static void socket_ready(evutil_socket_t fd, short what, void *arg)
{
	struct dns_channel *channel = arg;
	ares_process_fd(
		channel->ares, what & EV_READ ? fd : ARES_SOCKET_BAD, what & EV_WRITE ? fd : ARES_SOCKET_BAD);
}

static void socket_free(struct dns_socket *socket)
{
	LIST_REMOVE(socket, link);
	if (socket->event)
		event_free(socket->event);
	free(socket);
}

/*
 * c-ares says what it waits for on a socket; nothing means that it is about to close it. Where there is no
 * memory for it the questions on the socket end by their time.
 */
static void socket_changed(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct dns_channel *channel = arg;
	struct dns_socket *socket;
	LIST_FOREACH(socket, &channel->sockets, link)
	if (socket->fd == fd)
		break;
	if (!readable && !writable) {
		if (socket)
			socket_free(socket);
		return;
	}
	if (!socket) {
		socket = calloc(1, sizeof(*socket));
		if (!socket)
			return;
		socket->fd = fd;
		LIST_INSERT_HEAD(&channel->sockets, socket, link);
	}
	if (socket->event)
		event_free(socket->event);
	short what = (short)((readable ? EV_READ : 0) | (writable ? EV_WRITE : 0) | EV_PERSIST);
	socket->event = event_new(channel->base, fd, what, socket_ready, channel);
	if (socket->event)
		event_add(socket->event, NULL);
}

struct dns_channel *dns_channel_new(
	struct event_base *base, const char *servers, uint32_t try_ms, struct err *err)
{
	struct dns_channel *channel = calloc(1, sizeof(*channel));
	if (!channel) {
		err_set(err, -ENOMEM, "resolver: out of memory");
		return NULL;
	}
	channel->base = base;
	LIST_INIT(&channel->sockets);
	struct ares_options options = {
		.flags = ARES_FLAG_EDNS,
		.timeout = (int)try_ms,
		.tries = 2,
		.ednspsz = EDNS_SIZE,
		.sock_state_cb = socket_changed,
		.sock_state_cb_data = channel,
	};
	/* ares_library_init() is for Windows alone. */
	int code = ares_init_options(&channel->ares, &options,
		ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_EDNSPSZ |
			ARES_OPT_SOCK_STATE_CB);
	if (code != ARES_SUCCESS) {
		err_set(err, -EINVAL, "resolver: c-ares does not start: %s", ares_strerror(code));
		free(channel);
		return NULL;
	}
	if (servers)
		code = ares_set_servers_ports_csv(channel->ares, servers);
	if (code != ARES_SUCCESS) {
		err_set(err, -EINVAL,
			"resolver: servers \"%s\" cannot be read (%s); wanted are addresses with ports, "
			"such as \"192.0.2.53:53,[2001:db8::53]:53\"",
			servers, ares_strerror(code));
		dns_channel_free(channel);
		return NULL;
	}
	return channel;
}

void dns_channel_free(struct dns_channel *channel)
{
	if (!channel)
		return;
	channel->closing = true;
	ares_destroy(channel->ares);
	while (!LIST_EMPTY(&channel->sockets))
		socket_free(LIST_FIRST(&channel->sockets));
	free(channel);
}

static enum dns_result result_of(int status)
{
	switch (status) {
	case ARES_SUCCESS:
		return DNS_ANSWERED;
	case ARES_ENODATA:
		return DNS_NO_DATA;
	case ARES_ENOTFOUND:
		return DNS_NO_NAME;
	default:
		return DNS_FAILED;
	}
}

static void query_ended(void *arg, int status, int timeouts, unsigned char *message, int len)
{
	(void)timeouts;
	struct dns_query *query = arg;
	if (query->channel->closing)
		return;
	enum dns_result result = result_of(status);
	struct span span = {(const char *)message, message && len > 0 ? (size_t)len : 0};
	query->done(query, result, result == DNS_ANSWERED ? span : (struct span){NULL, 0});
}

void dns_channel_ask(struct dns_channel *channel, struct dns_query *query, const char *name, ns_type type)
{
	query->channel = channel;
	ares_query(channel->ares, name, ns_c_in, (int)type, query_ended, query);
}

void dns_channel_expire(struct dns_channel *channel)
{
	ares_process_fd(channel->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}
