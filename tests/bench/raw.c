/*
 * raw: the floor under every sink. Answers the dialogue of `mxmirage gen` and throws its messages
 * away unread, for it was told how long they are; those of smtp-source, which waits behind each for
 * the reply, end where what was read ends with a dot. What is left is what the kernel takes for the
 * bytes. Not an SMTP server: it understands nothing but what these two send. Ends with a signal.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX      256
#define RECEIVE_MAX     65536
#define RECEIVE_COMMAND 2048 /* of a client that sends by BDAT: the rest is not even copied */
#define REPLIES_MAX     65536
#define BACKLOG         4096
#define UNTIL_DOT       SIZE_MAX

static const char end_of_text[] = "\r\n.\r\n";
#define END_LEN (sizeof(end_of_text) - 1)

struct connection {
	int fd;
	char verb;        /* the command line's first letter; 0 at its start */
	size_t text_left; /* bytes of the message still to come, its dot included; or UNTIL_DOT */
	char tail[END_LEN];
	bool chunks; /* sends by BDAT */
};

static char received[RECEIVE_MAX], replies[REPLIES_MAX];
static size_t message_size, replies_len;

static void reply(const char *text)
{
	size_t len = strlen(text);
	if (replies_len + len > REPLIES_MAX)
		abort();
	memcpy(replies + replies_len, text, len);
	replies_len += len;
}

static void answer(struct connection *connection)
{
	switch (connection->verb) {
	case 'E':
		reply("250-raw\r\n250-CHUNKING\r\n250 PIPELINING\r\n");
		break;
	case 'D':
		connection->text_left = message_size > 0 ? message_size + strlen(".\r\n") : UNTIL_DOT;
		reply("354 go ahead\r\n");
		break;
	case 'B':
		connection->text_left = message_size;
		connection->chunks = true;
		break;
	case 'Q':
		reply("221 bye\r\n");
		break;
	default:
		reply("250 ok\r\n");
	}
}

/* Keeps the last bytes of the text. Returns whether they end it. */
static bool text_ends(struct connection *connection, const char *data, size_t len)
{
	size_t kept = len < END_LEN ? END_LEN - len : 0;
	memmove(connection->tail, connection->tail + END_LEN - kept, kept);
	memcpy(connection->tail + kept, data + len - (END_LEN - kept), END_LEN - kept);
	return memcmp(connection->tail, end_of_text, END_LEN) == 0;
}

/* Takes what `data` has of the text. Returns how much that was. */
static size_t text_take(struct connection *connection, const char *data, size_t len)
{
	if (connection->text_left == UNTIL_DOT) {
		if (text_ends(connection, data, len))
			connection->text_left = 0;
	} else {
		if (len > connection->text_left)
			len = connection->text_left;
		connection->text_left -= len;
	}
	if (connection->text_left == 0)
		reply("250 ok\r\n");
	return len;
}

/* Returns false at a QUIT. */
static bool connection_take(struct connection *connection, const char *at, const char *end)
{
	bool quit = false;
	while (at < end) {
		if (connection->text_left > 0) {
			at += text_take(connection, at, (size_t)(end - at));
			continue;
		}
		if (!connection->verb)
			connection->verb = *at;
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		if (!newline)
			break;
		at = newline + 1;
		quit = connection->verb == 'Q';
		answer(connection);
		connection->verb = 0;
	}
	return !quit;
}

/* Returns false at the end of the connection. */
static bool connection_serve(struct connection *connection)
{
	bool open = true, more = true;
	replies_len = 0;
	if (!connection->chunks || connection->text_left == 0) {
		size_t wanted = connection->chunks ? RECEIVE_COMMAND : RECEIVE_MAX;
		ssize_t n = recv(connection->fd, received, wanted, 0);
		if (n <= 0)
			return false;
		open = connection_take(connection, received, received + n);
		more = (size_t)n == wanted;
	}
	if (more && connection->chunks && connection->text_left > 0) {
		ssize_t n = recv(connection->fd, NULL, connection->text_left, MSG_TRUNC);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			return false;
		if (n > 0)
			text_take(connection, NULL, (size_t)n);
	}
	if (replies_len > 0 && send(connection->fd, replies, replies_len, MSG_NOSIGNAL) < 0)
		return false;
	return open;
}

static void connection_accept(int epoll, int listener)
{
	static const char banner[] = "220 raw\r\n";
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return;
	struct connection *connection = calloc(1, sizeof(*connection));
	if (!connection)
		abort();
	connection->fd = fd;
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) ||
		send(fd, banner, strlen(banner), MSG_NOSIGNAL) < 0) {
		close(fd);
		free(connection);
	}
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: raw PORT MESSAGE_SIZE (0: each ends at its dot)\n");
		return 2;
	}
	message_size = (size_t)atol(argv[2]);
	const struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)atoi(argv[1])),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const int on = 1;
	static const char reno[] = "reno"; /* the cheapest, and mxmirage's choice: see listener.c */
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
	if (setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
		setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) ||
		setsockopt(listener, IPPROTO_TCP, TCP_CONGESTION, reno, sizeof(reno) - 1) ||
		bind(listener, (const struct sockaddr *)&address, sizeof(address)) ||
		listen(listener, BACKLOG) || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event)) {
		perror("raw");
		return 1;
	}
	for (;;) {
		struct epoll_event events[EVENTS_MAX];
		int n = epoll_wait(epoll, events, EVENTS_MAX, -1);
		for (int i = 0; i < n; i++) {
			struct connection *connection = events[i].data.ptr;
			if (!connection) {
				connection_accept(epoll, listener);
			} else if (!connection_serve(connection)) {
				close(connection->fd);
				free(connection);
			}
		}
	}
}
