/*
 * acceptors: stands in for the responder on the listener ports where one process may not have
 * enough descriptors: accepts and holds, and asks the kernel of each connection whom it was meant
 * for. Says `ready` once it listens; prints what came as one line of JSON when its standard input
 * ends.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "crowd.h"

#define PORTS_MAX    16
#define BACKLOG      65535 /* as far as net.core.somaxconn lets it */
#define ADDRESSES    256
#define MEANT_FOR    25
#define MEANT_PREFIX 0xc6336400u /* 198.51.100.0/24 */

struct seen {
	atomic_uint accepted;
	atomic_uint diverted; /* meant for port 25 in MEANT_PREFIX, as the kernel says */
	atomic_uint by_port[PORTS_MAX];
	atomic_uint by_address[ADDRESSES]; /* by the last octet of the original destination */
};

static unsigned port_first, ports;
static int listeners[PORTS_MAX];

/* One dual-stack socket a port serves IPv4 too, as the daemon's do. */
static int listener_open(unsigned port)
{
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	const int on = 1, off = 0;
	const struct sockaddr_in6 any = {
		.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT, .sin6_port = htons((uint16_t)port)};
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) ||
		bind(fd, (const struct sockaddr *)&any, sizeof(any)) || listen(fd, BACKLOG))
		return -1;
	crowd_reset_on_close(fd);
	return fd;
}

static void count(struct seen *seen, unsigned port, int fd)
{
	struct sockaddr_in meant;
	socklen_t len = sizeof(meant);

	atomic_fetch_add(&seen->accepted, 1);
	atomic_fetch_add(&seen->by_port[port], 1);
	if (getsockopt(fd, SOL_IP, SO_ORIGINAL_DST, &meant, &len))
		return;
	uint32_t address = ntohl(meant.sin_addr.s_addr);
	if (ntohs(meant.sin_port) == MEANT_FOR && (address & ~0xffu) == MEANT_PREFIX) {
		atomic_fetch_add(&seen->diverted, 1);
		atomic_fetch_add(&seen->by_address[address & 0xff], 1);
	}
}

/* Takes what waits at a listener. False when this process is full. */
static bool listener_drain(struct crowd *crowd, unsigned port, unsigned *held)
{
	while (*held < crowd->each) {
		int fd = accept4(listeners[port], NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			return errno != EMFILE;
		++*held;
		count(crowd->shared, port, fd);
	}
	return false;
}

static void accept_all(struct crowd *crowd, unsigned index)
{
	(void)index;
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	for (unsigned port = 0; port < ports; port++) {
		struct epoll_event event = {.events = EPOLLIN, .data.u32 = port};
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, listeners[port], &event))
			return;
	}
	unsigned held = 0;
	for (bool room = true; room;) {
		struct epoll_event events[PORTS_MAX];
		int n = epoll_wait(epoll, events, PORTS_MAX, -1);
		for (int i = 0; i < n && room; i++)
			room = listener_drain(crowd, events[i].data.u32, &held);
	}
	/* Full: what comes now is for the others to be woken for. */
	close(epoll);
}

static void print_seen(const struct seen *seen)
{
	unsigned addresses = 0;
	for (unsigned i = 0; i < ADDRESSES; i++)
		addresses += seen->by_address[i] > 0;
	printf("{\"accepted\": %u, \"diverted\": %u, \"destinations\": %u, \"by_port\": {", seen->accepted,
		seen->diverted, addresses);
	for (unsigned port = 0; port < ports; port++)
		printf("%s\"%u\": %u", port ? ", " : "", port_first + port, seen->by_port[port]);
	printf("}}\n");
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: acceptors FIRST_PORT LAST_PORT CONNECTIONS\n");
		return 2;
	}
	port_first = (unsigned)atoi(argv[1]);
	ports = (unsigned)atoi(argv[2]) - port_first + 1;
	struct crowd crowd = {0};
	if (ports > PORTS_MAX || crowd_init(&crowd, (unsigned)atoi(argv[3]), sizeof(struct seen))) {
		fprintf(stderr, "acceptors: too many ports or connections\n");
		return 2;
	}
	for (unsigned port = 0; port < ports; port++) {
		listeners[port] = listener_open(port_first + port);
		if (listeners[port] < 0) {
			fprintf(stderr, "acceptors: port %u: %s\n", port_first + port, strerror(errno));
			return 1;
		}
	}
	int failed = crowd_start(&crowd, accept_all);
	if (!failed) {
		puts("ready");
		fflush(stdout);
		crowd_await_end();
		print_seen(crowd.shared);
	}
	crowd_done(&crowd);
	return failed ? 1 : 0;
}
