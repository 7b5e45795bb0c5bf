/* Canaries by the kernel's own TCP. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "canary.h"

static int socket_new(const struct canary *canary, sa_family_t family, int protocol)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
	if (fd < 0)
		return -1;
	/* Asked for before it is known what the route allows: what is sent may be less. */
	int mss = canary->mss;
	setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &mss, sizeof(mss));
	/* The canary is to leave no trace: neither unread bytes nor TIME_WAIT. */
	struct linger reset = {1, 0};
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	return fd;
}

static void port_note(struct canary *canary)
{
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);
	if (getsockname(canary->fd, (struct sockaddr *)&name, &len) == 0)
		canary->source_port =
			ntohs(name.ss_family == AF_INET ? ((struct sockaddr_in *)&name)->sin_port
							: ((struct sockaddr_in6 *)&name)->sin6_port);
}

/* Takes fd over; -1 and errno where there is none. */
static void start(struct canary *canary, int fd, bool prepared,
	ssize_t (*begin)(int, const struct sockaddr *, socklen_t), const struct sockaddr *to, socklen_t len)
{
	if (fd < 0 || !prepared) {
		canary_unsent(canary, errno);
	} else if (begin(fd, to, len) >= 0 || errno == EINPROGRESS) {
		canary->fd = fd;
		port_note(canary);
		return;
	} else {
		canary_refused(canary, errno);
	}
	if (fd >= 0)
		close(fd);
}

static ssize_t plain(int fd, const struct sockaddr *to, socklen_t len)
{
	return connect(fd, to, len);
}

static ssize_t with_data(int fd, const struct sockaddr *to, socklen_t len)
{
	static const char line[] = "QUIT\r\n";
	return sendto(fd, line, sizeof(line) - 1, MSG_FASTOPEN | MSG_NOSIGNAL, to, len);
}

static void to_destination(struct canary *canary, int fd, bool prepared,
	ssize_t (*begin)(int, const struct sockaddr *, socklen_t))
{
	struct sockaddr_storage to;
	socklen_t len = address_socket(&canary->destination, canary->port, &to);
	start(canary, fd, prepared, begin, (struct sockaddr *)&to, len);
}

void canary_connect(struct canary *canary)
{
	int fd = socket_new(canary, canary->destination.family, 0);
	bool prepared = true;
	if (fd >= 0 && canary->source.family) {
		struct sockaddr_storage from;
		socklen_t len = address_socket(&canary->source, 0, &from);
		prepared = bind(fd, (struct sockaddr *)&from, len) == 0;
	}
	to_destination(canary, fd, prepared, plain);
}

static void with_option(struct canary *canary, int option, int value)
{
	int fd = socket_new(canary, canary->destination.family, 0);
	bool prepared = fd >= 0 && setsockopt(fd, SOL_SOCKET, option, &value, sizeof(value)) == 0;
	to_destination(canary, fd, prepared, plain);
}

void canary_connect_marked(struct canary *canary)
{
	with_option(canary, SO_MARK, (int)canary->mark);
}

void canary_connect_device(struct canary *canary)
{
	with_option(canary, SO_BINDTOIFINDEX, (int)canary->device);
}

void canary_connect_mapped(struct canary *canary)
{
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(canary->port)};
	to.sin6_addr.s6_addr[10] = to.sin6_addr.s6_addr[11] = 0xff;
	memcpy(to.sin6_addr.s6_addr + 12, canary->destination.bytes, 4);
	start(canary, socket_new(canary, AF_INET6, 0), true, plain, (struct sockaddr *)&to, sizeof(to));
}

void canary_connect_mptcp(struct canary *canary)
{
	to_destination(canary, socket_new(canary, canary->destination.family, IPPROTO_MPTCP), true, plain);
}

void canary_connect_fast_open(struct canary *canary)
{
	to_destination(canary, socket_new(canary, canary->destination.family, 0), true, with_data);
}
