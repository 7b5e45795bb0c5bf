#include "witness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Room for the SYNs of a host that opens 100,000 connections a second while it is watched. */
#define RECEIVE_BUFFER (64 * 1024 * 1024)
#define FILTER_MAX     128

/* A row of tests and what follows when all hold; a test that does not hold leads behind its row. */
struct filter {
	struct sock_filter code[FILTER_MAX];
	size_t length, row;
};

static void filter_add(struct filter *filter, int code, uint32_t k)
{
	if (filter->length < FILTER_MAX)
		filter->code[filter->length++] = (struct sock_filter){(uint16_t)code, 0, 0, k};
}

static void filter_load(struct filter *filter, int size, uint32_t offset)
{
	filter_add(filter, BPF_LD | BPF_ABS | size, offset);
}

static void filter_mask(struct filter *filter, uint32_t mask)
{
	filter_add(filter, BPF_ALU | BPF_AND | BPF_K, mask);
}

static void filter_want(struct filter *filter, uint32_t value)
{
	filter_add(filter, BPF_JMP | BPF_JEQ | BPF_K, value);
}

static void filter_want_length(struct filter *filter, uint32_t length)
{
	filter_add(filter, BPF_LD | BPF_W | BPF_LEN, 0);
	filter_add(filter, BPF_JMP | BPF_JGE | BPF_K, length);
}

/* Ends a row: the packet is shown. */
static void filter_take(struct filter *filter)
{
	filter_add(filter, BPF_RET | BPF_K, UINT32_MAX);
	for (; filter->row < filter->length; filter->row++)
		if (BPF_CLASS(filter->code[filter->row].code) == BPF_JMP)
			filter->code[filter->row].jf = (uint8_t)(filter->length - filter->row - 1);
}

static uint32_t word(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* Where an IP header begins at offset: its destination is in a range. */
static void filter_ranges(
	struct filter *filter, uint32_t offset, const struct canary_range *v4, const struct canary_range *v6)
{
	if (v4->block.family) {
		filter_want_length(filter, offset + 20);
		filter_load(filter, BPF_W, offset + 16);
		filter_mask(filter, 0xffffff00);
		filter_want(filter, word(v4->block.address));
		filter_take(filter);
	}
	if (v6->block.family) {
		filter_want_length(filter, offset + 40);
		filter_load(filter, BPF_W, offset + 24);
		filter_want(filter, word(v6->block.address));
		filter_load(filter, BPF_W, offset + 28);
		filter_want(filter, word(v6->block.address + 4));
		filter_take(filter);
	}
}

/* A TCP SYN of plain headers: what a foreign nat rewrites is made of those. */
static void filter_syn(struct filter *filter, uint32_t protocol_offset, uint32_t header)
{
	filter_want_length(filter, header + 20);
	filter_load(filter, BPF_B, 0);
	if (header == 20) {
		filter_want(filter, 0x45);
	} else {
		filter_mask(filter, 0xf0);
		filter_want(filter, 0x60);
	}
	filter_load(filter, BPF_B, protocol_offset);
	filter_want(filter, IPPROTO_TCP);
	filter_load(filter, BPF_B, header + 13);
	filter_mask(filter, 0x12);
	filter_want(filter, 0x02);
	filter_take(filter);
}

static int filter_attach(int fd, const struct canary_range *v4, const struct canary_range *v6)
{
	static const uint32_t offsets[] = SIGHTING_OFFSETS;
	struct filter filter = {.length = 0};
	filter_load(&filter, BPF_W, (uint32_t)(SKF_AD_OFF + SKF_AD_PKTTYPE));
	filter_add(&filter, BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING);
	filter.code[filter.length - 1].jt = 1;
	filter_add(&filter, BPF_RET | BPF_K, 0);
	filter.row = filter.length;
	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++)
		filter_ranges(&filter, offsets[i], v4, v6);
	filter_syn(&filter, 9, 20);
	filter_syn(&filter, 6, 40);
	filter_add(&filter, BPF_RET | BPF_K, 0);
	if (filter.length == FILTER_MAX)
		return -1;
	struct sock_fprog program = {(unsigned short)filter.length, filter.code};
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

int witness_open(struct witness *witness, const struct canary_range *v4, const struct canary_range *v6,
	struct err *err)
{
	/* Protocol 0: nothing arrives before the filter is there. */
	*witness = (struct witness){
		socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), if_nametoindex("lo")};
	if (witness->fd < 0)
		return err_set(err, -errno, "the witness's packet socket: %s%s", strerror(errno),
			errno == EPERM ? ": prove needs root" : "");
	int size = RECEIVE_BUFFER;
	setsockopt(witness->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	struct sockaddr_ll all = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	if (filter_attach(witness->fd, v4, v6) < 0 ||
		bind(witness->fd, (struct sockaddr *)&all, sizeof(all)) < 0) {
		int code = err_set(err, -errno, "the witness's packet socket: %s", strerror(errno));
		witness_close(witness);
		return code;
	}
	return 0;
}

void witness_close(struct witness *witness)
{
	if (witness->fd >= 0)
		close(witness->fd);
	witness->fd = -1;
}

bool witness_next(struct witness *witness, struct witness_packet *packet)
{
	for (;;) {
		struct sockaddr_ll from;
		socklen_t len = sizeof(from);
		ssize_t got = recvfrom(
			witness->fd, packet->bytes, sizeof(packet->bytes), 0, (struct sockaddr *)&from, &len);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return false;
		if (from.sll_ifindex == (int)witness->loopback)
			continue;
		packet->length = (size_t)got;
		if (!if_indextoname((unsigned)from.sll_ifindex, packet->device))
			snprintf(packet->device, sizeof(packet->device), "#%d", from.sll_ifindex);
		return true;
	}
}

bool witness_stays(const struct witness *witness, const char *device)
{
	struct ethtool_drvinfo driver = {.cmd = ETHTOOL_GDRVINFO};
	struct ifreq request = {.ifr_data = (char *)&driver};
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", device);
	return ioctl(witness->fd, SIOCETHTOOL, &request) == 0 && strcmp(driver.driver, "ifb") == 0;
}

unsigned witness_lost(struct witness *witness)
{
	struct tpacket_stats stats = {0};
	socklen_t len = sizeof(stats);
	getsockopt(witness->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len);
	return stats.tp_drops;
}
