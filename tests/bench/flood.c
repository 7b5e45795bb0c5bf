/*
 * flood: sends SYNs to port 25 of a documentation address, as many as it can, through a raw or a packet socket, and
 * prints how many that were. Only for network namespaces that a test made. Ends after the given time.
 *
 *	bench-flood raw|packet SOURCE DESTINATION DEVICE SECONDS [PER_SECOND]
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64

struct frame {
	struct ether_header ether;
	struct iphdr ip;
	struct tcphdr tcp;
} __attribute__((packed));

static double now_s(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* 192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24: nobody's. */
static bool is_documentation(in_addr_t address)
{
	in_addr_t net = ntohl(address) & 0xffffff00;
	return net == 0xc0000200 || net == 0xc6336400 || net == 0xcb007100;
}

static void die(const char *what)
{
	fprintf(stderr, "bench-flood: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static int open_socket(bool raw, const char *device, struct sockaddr_storage *to, in_addr_t destination)
{
	int fd = raw ? socket(AF_INET, SOCK_RAW, IPPROTO_RAW) : socket(AF_PACKET, SOCK_RAW, 0);
	if (fd < 0)
		die("socket");
	if (raw) {
		*(struct sockaddr_in *)to =
			(struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {destination}};
	} else {
		*(struct sockaddr_ll *)to = (struct sockaddr_ll){.sll_family = AF_PACKET,
			.sll_protocol = htons(ETH_P_IP),
			.sll_halen = ETH_ALEN,
			.sll_ifindex = (int)if_nametoindex(device)};
	}
	return fd;
}

int main(int argc, char **argv)
{
	if (argc < 6 || (strcmp(argv[1], "raw") != 0 && strcmp(argv[1], "packet") != 0)) {
		fprintf(stderr,
			"usage: bench-flood raw|packet SOURCE DESTINATION DEVICE SECONDS [PER_SECOND]\n");
		return 2;
	}
	bool raw = strcmp(argv[1], "raw") == 0;
	in_addr_t source = inet_addr(argv[2]), destination = inet_addr(argv[3]);
	if (!is_documentation(source) || !is_documentation(destination)) {
		fprintf(stderr, "bench-flood: documentation addresses only\n");
		return 2;
	}
	double seconds = atof(argv[5]), per_second = argc > 6 ? atof(argv[6]) : 0;
	struct sockaddr_storage to = {0};
	int fd = open_socket(raw, argv[4], &to, destination);

	struct frame frames[BATCH];
	struct iovec parts[BATCH];
	struct mmsghdr messages[BATCH] = {0};
	for (unsigned i = 0; i < BATCH; i++) {
		frames[i] = (struct frame){
			.ether = {{2}, {2, 1}, htons(ETH_P_IP)},
			.ip = {.version = 4,
				.ihl = 5,
				.tot_len = htons(40),
				.ttl = 64,
				.protocol = IPPROTO_TCP,
				.saddr = source,
				.daddr = destination},
			.tcp = {.dest = htons(25), .doff = 5, .syn = 1, .window = htons(1024)},
		};
		parts[i].iov_base = raw ? (void *)&frames[i].ip : (void *)&frames[i];
		parts[i].iov_len = raw ? sizeof(frames[i]) - sizeof(frames[i].ether) : sizeof(frames[i]);
		messages[i].msg_hdr = (struct msghdr){.msg_name = &to,
			.msg_iov = &parts[i],
			.msg_iovlen = 1,
			.msg_namelen = raw ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_ll)};
	}
	double start = now_s(), end = start + seconds, now;
	unsigned long sent = 0, refused = 0;
	uint16_t port = 1024;
	while ((now = now_s()) < end) {
		if (per_second > 0 && (double)sent > (now - start) * per_second) {
			usleep(200);
			continue;
		}
		for (unsigned i = 0; i < BATCH; i++)
			frames[i].tcp.source = htons(port = port == 65535 ? 1024 : (uint16_t)(port + 1));
		int count = sendmmsg(fd, messages, BATCH, 0);
		/* A dropped packet may be told to its sender. */
		if (count < 0 && errno != EPERM && errno != ENOBUFS && errno != EAGAIN)
			die("sendmmsg");
		refused += count < 0;
		sent += count < 0 ? 1 : (unsigned long)count;
	}
	printf("%lu %.3f %lu\n", sent, now_s() - start, refused);
	return EXIT_SUCCESS;
}
