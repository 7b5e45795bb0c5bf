#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stream.h"

#define EVENTS_MAX 256
#define OPEN_MAX   6000

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

/* A connection that waits for its greeting; a ring, the oldest first. */
struct attempt {
	struct stream *stream;
	uint64_t begun;
	int fd; /* -1: done */
	bool connected;
};

struct connects {
	int epoll;
	struct attempt ring[OPEN_MAX];
	size_t first, count;
	unsigned open;
	uint64_t greeted_at, gap; /* ns */
};

struct connects *connects_new(void)
{
	struct connects *connects = calloc(1, sizeof(*connects));
	if (connects)
		connects->epoll = epoll_create1(EPOLL_CLOEXEC);
	return connects;
}

static void attempt_close(struct connects *connects, struct attempt *attempt)
{
	/* A reset: neither side keeps anything of it. */
	const struct linger now = {1, 0};
	setsockopt(attempt->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(attempt->fd);
	attempt->fd = -1;
	connects->open--;
}

void connects_free(struct connects *connects)
{
	if (!connects)
		return;
	for (size_t i = 0; i < connects->count; i++) {
		struct attempt *attempt = &connects->ring[(connects->first + i) % OPEN_MAX];
		if (attempt->fd >= 0) {
			attempt->stream->cut++;
			attempt_close(connects, attempt);
		}
	}
	close(connects->epoll);
	free(connects);
}

unsigned connects_open(const struct connects *connects)
{
	return connects->open;
}

double connects_gap_ms(const struct connects *connects)
{
	if (!connects->greeted_at)
		return -1;
	uint64_t since = now_ns() - connects->greeted_at;
	return (double)(since > connects->gap ? since : connects->gap) / 1e6;
}

static void attempt_failed(struct attempt *attempt, int error)
{
	struct stream *stream = attempt->stream;
	switch (error) {
	case ECONNREFUSED:
		stream->refused++;
		break;
	case ECONNRESET:
		stream->reset++;
		break;
	default:
		stream_failed(stream, error);
	}
}

static socklen_t address_fill(
	const struct stream *stream, const struct in6_addr *address, uint16_t port, void *to)
{
	if (stream->frame.family == AF_INET) {
		struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
		memcpy(&v4.sin_addr, address, 4);
		memcpy(to, &v4, sizeof(v4));
		return sizeof(v4);
	}
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = *address};
	if (IN6_IS_ADDR_LINKLOCAL(address))
		v6.sin6_scope_id = if_nametoindex(stream->device);
	memcpy(to, &v6, sizeof(v6));
	return sizeof(v6);
}

static int attempt_connect(struct stream *stream, int fd)
{
	const int on = 1;
	if (*stream->device && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, stream->device,
				       (socklen_t)strlen(stream->device)))
		return errno;
	if (stream->mark)
		setsockopt(fd, SOL_SOCKET, SO_MARK, &stream->mark, sizeof(stream->mark));
	struct sockaddr_in6 address;
	if (stream->has_source || stream->frame.from_port) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
		socklen_t len = address_fill(stream, &stream->frame.from, stream->frame.from_port, &address);
		if (bind(fd, (struct sockaddr *)&address, len))
			return errno;
	}
	socklen_t len = address_fill(stream, &stream->frame.to, stream->frame.to_port, &address);
	if (!stream->fastopen)
		return connect(fd, (struct sockaddr *)&address, len) ? errno : 0;
	/* Data in the SYN, without the cookie that only an earlier connection could have brought. */
	setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, &on, sizeof(on));
	static const char data[] = "EHLO fast.qa.example\r\n";
	return sendto(fd, data, sizeof(data) - 1, MSG_FASTOPEN | MSG_NOSIGNAL, (struct sockaddr *)&address,
		       len) < 0
		       ? errno
		       : 0;
}

void connects_begin(struct connects *connects, struct stream *stream)
{
	stream->sent++;
	if (connects->count == OPEN_MAX) {
		stream_failed(stream, EMFILE);
		return;
	}
	int fd = socket(stream->frame.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
		stream->mptcp ? IPPROTO_MPTCP : 0);
	if (fd < 0) {
		stream_failed(stream, errno);
		return;
	}
	size_t index = (connects->first + connects->count) % OPEN_MAX;
	struct attempt *attempt = &connects->ring[index];
	*attempt = (struct attempt){stream, now_ns(), fd, false};
	int error = attempt_connect(stream, fd);
	if (error && error != EINPROGRESS) {
		attempt_failed(attempt, error);
		close(fd);
		return;
	}
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.u64 = index};
	epoll_ctl(connects->epoll, EPOLL_CTL_ADD, fd, &event);
	connects->count++;
	connects->open++;
}

static void greeted(struct connects *connects, struct attempt *attempt)
{
	uint64_t now = now_ns();
	attempt->stream->greeted++;
	if (connects->greeted_at && now - connects->greeted_at > connects->gap)
		connects->gap = now - connects->greeted_at;
	connects->greeted_at = now;
}

static void attempt_event(struct connects *connects, struct attempt *attempt, uint32_t events)
{
	if (attempt->fd < 0)
		return;
	if (!attempt->connected && events & EPOLLOUT && !(events & (EPOLLERR | EPOLLHUP))) {
		attempt->connected = true;
		attempt->stream->connected++;
	}
	if (!(events & (EPOLLIN | EPOLLERR | EPOLLHUP)))
		return;
	char text[64];
	ssize_t len = recv(attempt->fd, text, sizeof(text), 0);
	if (len < 0 && errno == EAGAIN)
		return;
	if (len >= 4 && memcmp(text, "220", 3) == 0)
		greeted(connects, attempt);
	else if (len < 0)
		attempt_failed(attempt, errno);
	else
		attempt->stream->closed++;
	attempt_close(connects, attempt);
}

void connects_reap(struct connects *connects, int wait_ms, uint64_t too_old_ns)
{
	struct epoll_event events[EVENTS_MAX];
	int n;
	do {
		n = epoll_wait(connects->epoll, events, EVENTS_MAX, wait_ms);
		for (int i = 0; i < n; i++)
			attempt_event(connects, &connects->ring[events[i].data.u64], events[i].events);
		wait_ms = 0;
	} while (n == EVENTS_MAX);

	uint64_t now = now_ns();
	for (; connects->count; connects->first = (connects->first + 1) % OPEN_MAX, connects->count--) {
		struct attempt *oldest = &connects->ring[connects->first];
		if (oldest->fd >= 0 && now - oldest->begun < too_old_ns)
			break;
		if (oldest->fd >= 0) {
			oldest->stream->unanswered++;
			attempt_close(connects, oldest);
		}
	}
}
