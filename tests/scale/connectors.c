/*
 * connectors: opens very many connections from one source address to port 25 of a row of
 * destinations, and holds them all. Prints what became of them as one line of JSON when every one
 * is established or has failed, or none was for so many seconds; resets them on SIGTERM.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "crowd.h"

#define PORT          25
#define AT_A_TIME     2000 /* connections in the making, a process; past the backlog SYNs are lost */
#define EVENTS_MAX    256
#define WAIT_MS       20
#define LOOK_EVERY_NS 20000000L

struct outcome {
	atomic_uint established;
	atomic_uint failed;
	atomic_int error;     /* the first failure's errno */
	atomic_uint finished; /* processes */
	atomic_uint last_ms;  /* since the beginning, when one was established */
};

static struct sockaddr_in source, first;
static unsigned destinations, connections;
static double begun, patience;

static double now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void connection_failed(struct outcome *outcome, int error)
{
	int none = 0;
	atomic_fetch_add(&outcome->failed, 1);
	atomic_compare_exchange_strong(&outcome->error, &none, error);
}

/* Begins the nth of all connections. 0, or an errno. */
static int connection_begin(int epoll, unsigned nth)
{
	struct sockaddr_in to = first;
	to.sin_addr.s_addr = htonl(ntohl(first.sin_addr.s_addr) + nth % destinations);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errno;
	crowd_reset_on_close(fd);
	/* The port is chosen by connect(): the same one may serve towards every destination. */
	const int on = 1;
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	struct epoll_event event = {.events = EPOLLOUT, .data.fd = fd};
	if (bind(fd, (const struct sockaddr *)&source, sizeof(source)) ||
		(connect(fd, (const struct sockaddr *)&to, sizeof(to)) && errno != EINPROGRESS) ||
		epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) {
		int error = errno;
		close(fd);
		return error;
	}
	return 0;
}

static void connection_end(struct outcome *outcome, int epoll, int fd)
{
	int error = 0;
	socklen_t len = sizeof(error);
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
	epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
	if (error) {
		connection_failed(outcome, error);
		close(fd);
	} else {
		atomic_fetch_add(&outcome->established, 1);
		atomic_store(&outcome->last_ms, (unsigned)((now() - begun) * 1e3));
	}
}

static void connect_all(struct crowd *crowd, unsigned index)
{
	struct outcome *outcome = crowd->shared;
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	unsigned next = index; /* every process takes one of so many */
	unsigned pending = 0;
	while ((next < connections || pending) && now() < begun + outcome->last_ms / 1e3 + patience) {
		for (unsigned i = 0; i < EVENTS_MAX && next < connections && pending < AT_A_TIME;
			i++, next += crowd->processes) {
			int error = connection_begin(epoll, next);
			if (error)
				connection_failed(outcome, error);
			else
				pending++;
		}
		struct epoll_event events[EVENTS_MAX];
		int n = epoll_wait(epoll, events, EVENTS_MAX, WAIT_MS);
		for (int i = 0; i < n; i++) {
			connection_end(outcome, epoll, events[i].data.fd);
			pending--;
		}
	}
	close(epoll);
	atomic_fetch_add(&outcome->finished, 1);
}

int main(int argc, char **argv)
{
	if (argc != 6 || inet_pton(AF_INET, argv[1], &source.sin_addr) != 1 ||
		inet_pton(AF_INET, argv[2], &first.sin_addr) != 1) {
		fprintf(stderr, "usage: connectors SOURCE FIRST_DESTINATION DESTINATIONS "
				"CONNECTIONS SECONDS\n");
		return 2;
	}
	source.sin_family = first.sin_family = AF_INET;
	first.sin_port = htons(PORT);
	destinations = (unsigned)atoi(argv[3]);
	connections = (unsigned)atoi(argv[4]);
	begun = now();
	patience = atof(argv[5]);
	struct crowd crowd = {0};
	if (!destinations || crowd_init(&crowd, connections, sizeof(struct outcome)) ||
		crowd_start(&crowd, connect_all)) {
		fprintf(stderr, "connectors: %u connections are too many: %s\n", connections,
			strerror(errno));
		crowd_done(&crowd);
		return 1;
	}
	const struct outcome *outcome = crowd.shared;
	while (outcome->finished < crowd.processes)
		nanosleep(&(struct timespec){.tv_nsec = LOOK_EVERY_NS}, NULL);
	printf("{\"established\": %u, \"failed\": %u, \"first_error\": \"%s\", \"unanswered\": %u, "
	       "\"seconds\": %.3f}\n",
		outcome->established, outcome->failed, outcome->error ? strerror(outcome->error) : "",
		connections - outcome->established - outcome->failed, now() - begun);
	fflush(stdout);
	crowd_await_end();
	crowd_done(&crowd);
	return 0;
}
