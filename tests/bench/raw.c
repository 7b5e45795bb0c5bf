/*
 * raw: the floor under every sink. Answers the dialogue of `mxmirage gen` and throws its messages
 * away unread, for it was told how long they are: what is left is what the kernel takes for the
 * bytes. Not an SMTP server: it understands nothing but what gen sends. Ends with a signal.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX  256
#define RECEIVE_MAX 65536
#define REPLIES_MAX 65536
#define BACKLOG     4096

struct connection {
	int fd;
	char verb;        /* the command line's first letter; 0 at its start */
	size_t text_left; /* bytes of the message still to come, its dot included */
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
		connection->text_left = message_size + strlen(".\r\n");
		reply("354 go ahead\r\n");
		break;
	case 'B':
		connection->text_left = message_size;
		break;
	case 'Q':
		reply("221 bye\r\n");
		break;
	default:
		reply("250 ok\r\n");
	}
}

/* Returns false at the end of the connection. */
static bool connection_serve(struct connection *connection)
{
	ssize_t n = recv(connection->fd, received, sizeof(received), 0);
	if (n <= 0)
		return false;
	bool quit = false;
	replies_len = 0;
	for (const char *at = received, *end = received + n; at < end;) {
		if (connection->text_left > 0) {
			size_t part = (size_t)(end - at);
			if (part > connection->text_left)
				part = connection->text_left;
			connection->text_left -= part;
			at += part;
			if (connection->text_left == 0)
				reply("250 ok\r\n");
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
	if (replies_len > 0 && send(connection->fd, replies, replies_len, MSG_NOSIGNAL) < 0)
		return false;
	return !quit;
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
		fprintf(stderr, "usage: raw PORT MESSAGE_SIZE\n");
		return 2;
	}
	message_size = (size_t)atol(argv[2]);
	const struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)atoi(argv[1])),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const int on = 1;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
	if (setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
		setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) ||
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
