#include "internet.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "netns.h"

static void links_make(const struct internet *world)
{
	int internet = world->internet, container = world->container;
	/*
	 * Hardware addresses and neighbours are given: a fresh link answers its first neighbour
	 * solicitation only after a second.
	 */
	shell("ip link add out address 02:00:00:00:00:a1 type veth "
	      "peer name in address 02:00:00:00:00:a2 netns %d",
		internet);
	shell("ip link add docker address 02:00:00:00:00:c1 type veth "
	      "peer name in address 02:00:00:00:00:c2 netns %d",
		container);
	shell("set -e; ip addr add 192.0.2.1/24 dev out; ip addr add 2001:db8:a::1/64 dev out "
	      "nodad;"
	      "ip addr add 203.0.113.129/25 dev docker; ip addr add 2001:db8:c::1/64 dev docker "
	      "nodad;"
	      "ip link set out up; ip link set docker up;"
	      "ip neigh add 2001:db8:a::2 lladdr 02:00:00:00:00:a2 dev out;"
	      "ip neigh add 2001:db8:c::2 lladdr 02:00:00:00:00:c2 dev docker;"
	      "ip route add default via 192.0.2.2; ip -6 route add default via 2001:db8:a::2;"
	      "sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
	shell("nsenter -t %d -n sh -ec 'ip addr add 192.0.2.2/24 dev in;"
	      "ip addr add 2001:db8:a::2/64 dev in nodad; ip link set in up;"
	      "for a in 198.51.100.1/32 203.0.113.1/32 2001:db8::1/128 2001:db8:e::1/128;"
	      "do ip addr add $a dev lo; done;"
	      "ip neigh add 2001:db8:a::1 lladdr 02:00:00:00:00:a1 dev in;"
	      "ip route add 203.0.113.128/25 via 192.0.2.1;"
	      "ip -6 route add 2001:db8:c::/64 via 2001:db8:a::1'",
		internet);
	shell("nsenter -t %d -n sh -ec 'ip addr add 203.0.113.130/25 dev in;"
	      "ip addr add 2001:db8:c::2/64 dev in nodad; ip link set in up;"
	      "ip neigh add 2001:db8:c::1 lladdr 02:00:00:00:00:c1 dev in;"
	      "ip route add default via 203.0.113.129; ip -6 route add default via 2001:db8:c::1'",
		container);
}

static int listener_open(uint16_t port)
{
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), off = 0, on = 1;
	must(fd >= 0, "socket: %s", strerror(errno));
	setsockopt(fd, SOL_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	must(bind(fd, (struct sockaddr *)&any, sizeof(any)) == 0 && listen(fd, 64) == 0, "port %u: %s", port,
		strerror(errno));
	return fd;
}

static void serve(const int *listeners, nfds_t count, const char *greeting)
{
	struct pollfd polls[8];
	for (nfds_t i = 0; i < count; i++)
		polls[i] = (struct pollfd){listeners[i], POLLIN, 0};
	while (poll(polls, count, -1) > 0)
		for (nfds_t i = 0; i < count; i++) {
			if (!(polls[i].revents & POLLIN))
				continue;
			int fd = accept(listeners[i], NULL, NULL);
			if (fd < 0)
				continue;
			if (write(fd, greeting, strlen(greeting)) < 0)
				fprintf(stderr, "greeting: %s\n", strerror(errno));
			close(fd);
		}
}

void server_start(pid_t where, const char *greeting, const uint16_t *ports)
{
	int ready[2];
	ck_assert_int_eq(pipe(ready), 0);
	pid_t child = suite_fork();
	if (child == 0) {
		alarm(180 * test_slowness());
		netns_enter(where);
		int listeners[8];
		nfds_t count = 0;
		for (; ports[count]; count++)
			listeners[count] = listener_open(ports[count]);
		must(write(ready[1], "", 1) == 1, "%s", strerror(errno));
		serve(listeners, count, greeting);
		_exit(EXIT_FAILURE);
	}
	close(ready[1]);
	char byte;
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	close(ready[0]);
}

void internet_make(struct internet *world)
{
	world->internet = netns_peer();
	world->container = netns_peer();
	links_make(world);
	shell("nsenter -t %d -n nft 'add table netdev oracle; add counter netdev oracle arrived;"
	      "add chain netdev oracle in { type filter hook ingress device in priority 0; };"
	      "add rule netdev oracle in ip daddr 198.51.100.0/24 tcp dport { 25, 2587 } "
	      "counter name arrived;"
	      "add rule netdev oracle in ip6 daddr 2001:db8::/64 tcp dport { 25, 2587 } "
	      "counter name arrived'",
		world->internet);
	server_start(world->internet, "real", (const uint16_t[]){25, 587, 2587, 0});
	server_start(getpid(), "own", (const uint16_t[]){25, 0});
	for (int i = 0; i < LISTENERS; i++)
		world->listeners[i] = listener_open((uint16_t)(LISTENER_FIRST + i));
}

unsigned long internet_arrived(const struct internet *world)
{
	char *text = shell_output("nsenter -t %d -n nft list counter netdev oracle arrived | "
				  "sed -n 's/.*packets \\([0-9]*\\).*/\\1/p'",
		world->internet);
	ck_assert_msg(*text != '\0', "the oracle does not count");
	unsigned long packets = strtoul(text, NULL, 10);
	free(text);
	return packets;
}

struct outcome {
	int code;
	char greeting[16];
};

/* In the attempt's own process. */
static struct outcome connect_once(const char *address, uint16_t port, const char *device)
{
	struct outcome outcome = {0};
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
	bool is_six = inet_pton(AF_INET6, address, &six.sin6_addr) == 1;
	must(is_six || inet_pton(AF_INET, address, &four.sin_addr) == 1, "%s", address);
	int fd = socket(is_six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	must(fd >= 0 && (!device || setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device,
					    (socklen_t)strlen(device)) == 0),
		"%s: %s", device ? device : "socket", strerror(errno));
	int code = is_six ? connect(fd, (struct sockaddr *)&six, sizeof(six))
			  : connect(fd, (struct sockaddr *)&four, sizeof(four));
	if (code < 0 && errno != EINPROGRESS) {
		outcome.code = errno;
		return outcome;
	}
	struct pollfd ready = {fd, POLLOUT, 0};
	if (poll(&ready, 1, 1000) == 0) {
		outcome.code = ETIMEDOUT;
		return outcome;
	}
	socklen_t len = sizeof(outcome.code);
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &outcome.code, &len);
	if (outcome.code != 0)
		return outcome;
	ready.events = POLLIN;
	if (poll(&ready, 1, 10000) == 0)
		outcome.code = ETIMEDOUT;
	else if (read(fd, outcome.greeting, sizeof(outcome.greeting) - 1) < 0)
		outcome.code = errno;
	return outcome;
}

struct attempt attempt_start(pid_t where, const char *address, uint16_t port, const char *device)
{
	int result[2];
	ck_assert_int_eq(pipe(result), 0);
	pid_t child = suite_fork();
	if (child == 0) {
		alarm(60 * test_slowness());
		if (where)
			netns_enter(where);
		struct outcome outcome = connect_once(address, port, device);
		_exit(write(result[1], &outcome, sizeof(outcome)) == sizeof(outcome) ? 0 : 1);
	}
	close(result[1]);
	return (struct attempt){child, result[0]};
}

int attempt_end(struct attempt *attempt, char *greeting)
{
	struct outcome outcome;
	struct pollfd ready = {attempt->result, POLLIN, 0};
	ck_assert_msg(poll(&ready, 1, 30000) == 1, "the attempt did not end");
	ck_assert_int_eq(read(attempt->result, &outcome, sizeof(outcome)), sizeof(outcome));
	close(attempt->result);
	waitpid(attempt->process, NULL, 0);
	memcpy(greeting, outcome.greeting, sizeof(outcome.greeting));
	return outcome.code;
}

bool listener_greet(
	const struct internet *world, enum origdst_result *result, struct sockaddr_storage *original)
{
	struct pollfd polls[LISTENERS];
	for (int i = 0; i < LISTENERS; i++)
		polls[i] = (struct pollfd){world->listeners[i], POLLIN, 0};
	if (poll(polls, LISTENERS, 10000) < 1)
		return false;
	for (int i = 0; i < LISTENERS; i++) {
		if (!(polls[i].revents & POLLIN))
			continue;
		struct sockaddr_storage peer;
		socklen_t len = sizeof(peer);
		int fd = accept(world->listeners[i], (struct sockaddr *)&peer, &len);
		ck_assert_int_ge(fd, 0);
		*result = origdst_find(origdst_finders, fd, (struct sockaddr *)&peer, original);
		ck_assert_int_eq(write(fd, "mirage", 6), 6);
		close(fd);
		return true;
	}
	return false;
}
