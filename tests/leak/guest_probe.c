/*
 * probe RATE SECONDS KIND,... V4 V6: sends RATE probes for port 25 a second, of these kinds in turn, to these
 * addresses, for so long (0: for ever) or until SIGTERM; then prints what it did as a line of JSON. "sent" are those
 * that the kernel took, "connected" those that somebody answered.
 *
 * Meant to be the first and the last process of a guest: it needs no file, no network and no time of day, keeps
 * trying while the device is not there, and says every second on the virtio port "probe" how far it is. systemd lets
 * a process of root's whose name begins with @ live until the machine is off.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define DEVICE    "wan"
#define OPEN_MAX_ 256 /* connections kept at a time: each stays until 256 more were begun */

enum kind {
	CONNECT4,
	CONNECT6,
	MARKED,
	BOUND,
	RAW,
	PACKET4,
	PACKET6,
	KINDS
};
static const char *const kind_names[KINDS] = {
	"connect4", "connect6", "marked", "bound", "raw", "packet4", "packet6"};

struct probe {
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	uint64_t sent[KINDS], failed[KINDS], connected[KINDS];
	uint16_t source_port;
	struct {
		int fd;
		enum kind kind;
	} open[OPEN_MAX_];
	unsigned next;
	int raw, packet; /* kept: closing a packet socket takes the kernel milliseconds */
};

static volatile sig_atomic_t stopped;

static void stop(int number)
{
	(void)number;
	stopped = 1;
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_BOOTTIME, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* A slot's turn has come again: was the connection answered? */
static void reap(struct probe *p, unsigned slot)
{
	if (p->open[slot].fd < 0)
		return;
	struct pollfd f = {.fd = p->open[slot].fd, .events = POLLOUT};
	if (poll(&f, 1, 0) == 1 && (f.revents & POLLOUT) && !(f.revents & (POLLERR | POLLHUP)))
		p->connected[p->open[slot].kind]++;
	close(p->open[slot].fd);
	p->open[slot].fd = -1;
}

static bool connect_one(struct probe *p, enum kind kind)
{
	bool six = kind == CONNECT6;
	int fd = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	int mark = 25;
	bool ready = !(kind == MARKED && setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark)) &&
		     !(kind == BOUND && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, DEVICE, sizeof DEVICE));
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
	const struct sockaddr *to = six ? (struct sockaddr *)&p->v6 : (struct sockaddr *)&p->v4;
	if (!ready || (connect(fd, to, six ? sizeof p->v6 : sizeof p->v4) && errno != EINPROGRESS)) {
		close(fd);
		return false;
	}
	unsigned slot = p->next++ % OPEN_MAX_;
	reap(p, slot);
	p->open[slot].fd = fd;
	p->open[slot].kind = kind;
	return true;
}

static struct tcphdr syn(struct probe *p)
{
	return (struct tcphdr){.source = htons(20000 + p->source_port++ % 40000),
		.dest = htons(25),
		.doff = 5,
		.syn = 1,
		.window = htons(1024)};
}

/* The kernel fills in the checksum of an IP_HDRINCL packet's IP header; nobody minds that TCP's is wrong. */
static size_t packet4(struct probe *p, uint8_t *to)
{
	struct iphdr ip = {.version = 4,
		.ihl = 5,
		.tot_len = htons(sizeof ip + sizeof(struct tcphdr)),
		.ttl = 64,
		.protocol = IPPROTO_TCP,
		.saddr = inet_addr("192.0.2.11"),
		.daddr = p->v4.sin_addr.s_addr};
	struct tcphdr tcp = syn(p);
	memcpy(to, &ip, sizeof ip);
	memcpy(to + sizeof ip, &tcp, sizeof tcp);
	return sizeof ip + sizeof tcp;
}

static size_t packet6(struct probe *p, uint8_t *to)
{
	struct ip6_hdr ip = {.ip6_flow = htonl(6u << 28),
		.ip6_plen = htons(sizeof(struct tcphdr)),
		.ip6_nxt = IPPROTO_TCP,
		.ip6_hlim = 64,
		.ip6_dst = p->v6.sin6_addr};
	inet_pton(AF_INET6, "2001:db8:0:1::11", &ip.ip6_src);
	struct tcphdr tcp = syn(p);
	memcpy(to, &ip, sizeof ip);
	memcpy(to + sizeof ip, &tcp, sizeof tcp);
	return sizeof ip + sizeof tcp;
}

static bool send_one(struct probe *p, enum kind kind)
{
	uint8_t packet[128];
	size_t len = kind == PACKET6 ? packet6(p, packet) : packet4(p, packet);
	struct sockaddr_ll ll = {.sll_family = AF_PACKET,
		.sll_halen = 6,
		.sll_protocol = htons(kind == PACKET6 ? ETH_P_IPV6 : ETH_P_IP),
		.sll_ifindex = (int)if_nametoindex(DEVICE),
		.sll_addr = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
	ssize_t sent = kind == RAW ? sendto(p->raw, packet, len, 0, (struct sockaddr *)&p->v4, sizeof p->v4)
				   : sendto(p->packet, packet, len, 0, (struct sockaddr *)&ll, sizeof ll);
	/* An egress chain that drops a packet socket's frame says ENOBUFS: it has tried. */
	return sent >= 0 || errno == ENOBUFS || errno == EPERM;
}

static void report(const struct probe *p, FILE *to)
{
	const uint64_t *const tables[] = {p->sent, p->failed, p->connected};
	static const char *const names[] = {"sent", "failed", "connected"};
	fprintf(to, "{\"uptime\": %.3f", now());
	for (int t = 0; t < 3; t++) {
		fprintf(to, ", \"%s\": {", names[t]);
		for (int k = 0; k < KINDS; k++)
			fprintf(to, "%s\"%s\": %llu", k ? ", " : "", kind_names[k],
				(unsigned long long)tables[t][k]);
		fprintf(to, "}");
	}
	fprintf(to, "}\n");
	fflush(to);
}

static int parse_kinds(char *text, enum kind *kinds)
{
	int count = 0;
	for (char *word = strtok(text, ","); word; word = strtok(NULL, ","))
		for (int k = 0; k < KINDS; k++)
			if (!strcmp(word, kind_names[k]) && count < KINDS)
				kinds[count++] = (enum kind)k;
	return count;
}

static void run(struct probe *p, double rate, double seconds, const enum kind *kinds, int kind_count)
{
	FILE *port = NULL;
	double start = now(), said = start;
	uint64_t tried = 0;
	while (!stopped) {
		double t = now();
		if (seconds > 0 && t - start >= seconds)
			break;
		if (t - said >= 1) {
			said = t;
			/* Never to wait for a reader, nor before the port's driver is loaded. */
			int fd = port ? -1
				      : open("/dev/virtio-ports/probe", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
			port = fd < 0 ? port : fdopen(fd, "w");
			if (port)
				report(p, port);
		}
		uint64_t due = (uint64_t)((t - start) * rate);
		/* After a pause of the whole machine, not all at once. */
		if (due > tried + 500)
			tried = due - 500;
		for (; tried < due; tried++) {
			enum kind kind = kinds[tried % kind_count];
			if (kind >= RAW ? send_one(p, kind) : connect_one(p, kind))
				p->sent[kind]++;
			else
				p->failed[kind]++;
		}
		usleep(2000);
	}
	usleep(200000);
	for (unsigned slot = 0; slot < OPEN_MAX_; slot++)
		reap(p, slot);
}

int main(int argc, char **argv)
{
	static struct probe p;
	enum kind kinds[KINDS];
	int count = argc == 6 ? parse_kinds(argv[3], kinds) : 0;
	p.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(25)};
	p.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(25)};
	if (count == 0 || inet_pton(AF_INET, argv[4], &p.v4.sin_addr) != 1 ||
		inet_pton(AF_INET6, argv[5], &p.v6.sin6_addr) != 1) {
		fprintf(stderr, "probe RATE SECONDS KIND,... V4 V6\n");
		return 2;
	}
	for (unsigned slot = 0; slot < OPEN_MAX_; slot++)
		p.open[slot].fd = -1;
	p.raw = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW);
	p.packet = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p.raw < 0 || p.packet < 0) {
		perror("probe");
		return 1;
	}
	signal(SIGTERM, stop);
	signal(SIGPIPE, SIG_IGN);
	run(&p, atof(argv[1]), atof(argv[2]), kinds, count);
	report(&p, stdout);
	return 0;
}
