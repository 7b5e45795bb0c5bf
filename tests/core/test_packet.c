#include "packet.h"

#include <arpa/inet.h>
#include <check.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "suite.h"

/* In hexadecimal: from 192.0.2.1 or 2001:db8::1 to 198.51.100.27 or 2001:db8::27. */
#define ENDS4   "c0000201 c633641b "
#define ENDS6   "20010db8000000000000000000000001 20010db8000000000000000000000027 "
#define PORTS   "d431 0019 " /* 54321 to 25 */
#define MACS    "020000000001 020000000002 "
#define IP4     "45 00 0028 0000 4000 40 06 0000 " ENDS4
#define IP6_TCP "60000000 0014 06 40 " ENDS6

static const struct {
	const char *what;
	enum packet_start start;
	const char *hex;
	bool readable;
	int family;
	uint8_t protocol;
	bool has_ports;
	uint16_t vlan;
} cases[] = {
	{"IPv4", PACKET_IP, IP4 PORTS, true, AF_INET, 6, true, 0},
	{"IPv4 with options", PACKET_IP, "46 00 002c 0000 4000 40 06 0000 " ENDS4 "01010101 " PORTS, true,
		AF_INET, 6, true, 0},
	{"IPv4 cut in the ports", PACKET_IP, IP4 "d431 00", true, AF_INET, 6, false, 0},
	{"IPv4 cut in the header", PACKET_IP, "45 00 0028 0000 4000 40 06 0000 c0000201 c63364", false, 0, 0,
		false, 0},
	{"IPv4 with a header length below the least", PACKET_IP,
		"44 00 0028 0000 4000 40 06 0000 " ENDS4 PORTS, true, AF_INET, 6, false, 0},
	{"IPv4 with options that are missing", PACKET_IP, "4f 00 0028 0000 4000 40 06 0000 " ENDS4 PORTS,
		true, AF_INET, 6, false, 0},
	{"IPv4, a first fragment", PACKET_IP, "45 00 0028 0000 2000 40 06 0000 " ENDS4 PORTS, true, AF_INET,
		6, true, 0},
	{"IPv4, a later fragment", PACKET_IP, "45 00 0028 0000 2001 40 06 0000 " ENDS4 PORTS, true, AF_INET,
		6, false, 0},
	{"IPv4, UDP", PACKET_IP, "45 00 0028 0000 4000 40 11 0000 " ENDS4 PORTS, true, AF_INET, 17, true, 0},
	{"IPv4, ICMP", PACKET_IP, "45 00 0028 0000 4000 40 01 0000 " ENDS4 PORTS, true, AF_INET, 1, false, 0},
	{"IPv6", PACKET_IP, IP6_TCP PORTS, true, AF_INET6, 6, true, 0},
	{"IPv6 cut in the header", PACKET_IP, "60000000 0014 06 40 20010db8", false, 0, 0, false, 0},
	{"IPv6, hop-by-hop and destination options", PACKET_IP,
		"60000000 0024 00 40 " ENDS6 "3c00 010400000000 0601 010c000000000000 000000000000 " PORTS,
		true, AF_INET6, 6, true, 0},
	{"IPv6, authentication header", PACKET_IP,
		"60000000 0024 33 40 " ENDS6 "0604 0000 00000001 00000001 000000000000000000000000 " PORTS,
		true, AF_INET6, 6, true, 0},
	{"IPv6, a first fragment", PACKET_IP, "60000000 001c 2c 40 " ENDS6 "06 00 0001 00000001 " PORTS, true,
		AF_INET6, 6, true, 0},
	{"IPv6, a later fragment", PACKET_IP, "60000000 001c 2c 40 " ENDS6 "06 00 0008 00000001 " PORTS, true,
		AF_INET6, 6, false, 0},
	{"IPv6, options cut off", PACKET_IP, "60000000 001c 3c 40 " ENDS6 "06 03 0000 00000001 " PORTS, true,
		AF_INET6, 6, false, 0},
	{"IPv6, headers without end", PACKET_IP,
		"60000000 0050 3c 40 " ENDS6
		"3c00000000000000 3c00000000000000 3c00000000000000 3c00000000000000 "
		"3c00000000000000 3c00000000000000 3c00000000000000 3c00000000000000 0600000000000000 " PORTS,
		true, AF_INET6, 60, false, 0},
	{"frame, IPv4", PACKET_FRAME, MACS "0800 " IP4 PORTS, true, AF_INET, 6, true, 0},
	{"frame, IPv6", PACKET_FRAME, MACS "86dd " IP6_TCP PORTS, true, AF_INET6, 6, true, 0},
	{"frame, one tag", PACKET_FRAME, MACS "8100 2064 0800 " IP4 PORTS, true, AF_INET, 6, true, 100},
	{"frame, two tags", PACKET_FRAME, MACS "88a8 0007 8100 0064 86dd " IP6_TCP PORTS, true, AF_INET6, 6,
		true, 7},
	{"frame, three tags", PACKET_FRAME, MACS "8100 0001 8100 0002 8100 0003 0800 " IP4 PORTS, true,
		AF_INET, 6, true, 1},
	{"frame, four tags", PACKET_FRAME, MACS "8100 0001 8100 0002 8100 0003 8100 0004 0800 " IP4 PORTS,
		false, 0, 0, false, 0},
	{"frame, ARP", PACKET_FRAME, MACS "0806 " IP4 PORTS, false, 0, 0, false, 0},
	{"frame cut in the tag", PACKET_FRAME, MACS "8100 00", false, 0, 0, false, 0},
	{"frame without a payload", PACKET_FRAME, MACS "0800", false, 0, 0, false, 0},
	{"frame cut in its addresses", PACKET_FRAME, "020000000001", false, 0, 0, false, 0},
	{"nothing", PACKET_IP, "", false, 0, 0, false, 0},
	{"neither version", PACKET_IP, "50 00 0028 0000 4000 40 06 0000 " ENDS4 PORTS, false, 0, 0, false, 0},
};
#define CASES (sizeof(cases) / sizeof(cases[0]))

static size_t bytes_of(const char *hex, uint8_t *bytes)
{
	size_t digits = 0;
	for (; *hex; hex++) {
		if (*hex == ' ')
			continue;
		uint8_t value = (uint8_t)(*hex <= '9' ? *hex - '0' : *hex - 'a' + 10);
		bytes[digits / 2] = (uint8_t)(digits % 2 == 0 ? value << 4 : bytes[digits / 2] | value);
		digits++;
	}
	return digits / 2;
}

static void ends_check(const struct packet *packet, int family)
{
	char source[INET6_ADDRSTRLEN], destination[INET6_ADDRSTRLEN];
	inet_ntop(family, packet->source, source, sizeof(source));
	inet_ntop(family, packet->destination, destination, sizeof(destination));
	ck_assert_str_eq(source, family == AF_INET ? "192.0.2.1" : "2001:db8::1");
	ck_assert_str_eq(destination, family == AF_INET ? "198.51.100.27" : "2001:db8::27");
}

START_TEST(test_cases)
{
	uint8_t bytes[256];
	size_t len = bytes_of(cases[_i].hex, bytes);
	struct packet packet;
	ck_assert_msg(packet_parse(&packet, cases[_i].start, bytes, len) == cases[_i].readable, "%s",
		cases[_i].what);
	if (!cases[_i].readable)
		return;
	ck_assert_msg(packet.family == cases[_i].family && packet.protocol == cases[_i].protocol &&
			      packet.has_ports == cases[_i].has_ports && packet.vlan == cases[_i].vlan,
		"%s: family %d, protocol %u, ports %d, vlan %u", cases[_i].what, packet.family,
		packet.protocol, packet.has_ports, packet.vlan);
	ends_check(&packet, cases[_i].family);
	if (packet.has_ports) {
		ck_assert_uint_eq(packet.source_port, 54321);
		ck_assert_uint_eq(packet.destination_port, 25);
	}
}
END_TEST

/* Every length of every case, placed against a page that cannot be read, and every byte of it replaced. */
START_TEST(test_stays_inside)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(pages, MAP_FAILED);
	ck_assert_int_eq(mprotect(pages + page, page, PROT_NONE), 0);
	unsigned readable = 0, tried = 0;
	uint8_t bytes[256];
	size_t all = bytes_of(cases[_i].hex, bytes);
	for (size_t len = 0; len <= all; len++)
		for (size_t changed = 0; changed <= len; changed++)
			for (unsigned value = 0; value < 256; value += 15) {
				uint8_t *at = pages + page - len;
				memcpy(at, bytes, len);
				if (changed < len)
					at[changed] = (uint8_t)value;
				struct packet packet;
				readable += packet_parse(&packet, cases[_i].start, at, len);
				tried++;
			}
	ck_assert_uint_gt(tried, readable);
	munmap(pages, 2 * page);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("packet");
	TCase *tcase = tcase_create("packet");
	tcase_add_loop_test(tcase, test_cases, 0, CASES);
	tcase_add_loop_test(tcase, test_stays_inside, 0, CASES);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
