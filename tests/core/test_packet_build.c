#include "packet_build.h"

#include <arpa/inet.h>
#include <check.h>
#include <sys/socket.h>

#include "suite.h"

/* The bytes were written by another program, with checksums of its own. */
static const struct {
	const char *source, *destination;
	size_t (*build)(const struct packet *packet, uint8_t *to);
	const char *bytes;
	size_t length;
} rows[] = {
	{"192.0.2.11", "198.51.100.25", packet_build_syn,
		"\x45\x00\x00\x2c\x02\x18\x00\x00\x40\x06\x8c\x5c\xc0\x00\x02\x0b"
		"\xc6\x33\x64\x19\xee\x48\x00\x19\x6d\x78\x02\x18\x00\x00\x00\x00"
		"\x60\x02\xff\xff\x51\x78\x00\x00\x02\x04\x02\x18",
		44},
	{"192.0.2.11", "198.51.100.25", packet_build_rest,
		"\x45\x00\x00\x24\x02\x18\x00\x01\x40\x06\x8c\x63\xc0\x00\x02\x0b"
		"\xc6\x33\x64\x19\x00\x00\x00\x00\x60\x02\xff\xff\x51\x78\x00\x00"
		"\x02\x04\x02\x18",
		36},
	{"2001:db8::11", "2001:db8:25::19", packet_build_syn,
		"\x60\x00\x00\x00\x00\x18\x06\x40\x20\x01\x0d\xb8\x00\x00\x00\x00"
		"\x00\x00\x00\x00\x00\x00\x00\x11\x20\x01\x0d\xb8\x00\x25\x00\x00"
		"\x00\x00\x00\x00\x00\x00\x00\x19\xee\x48\x00\x19\x6d\x78\x02\x18"
		"\x00\x00\x00\x00\x60\x02\xff\xff\xe2\x0f\x00\x00\x02\x04\x02\x18",
		64},
	{"2001:db8::11", "2001:db8:25::19", packet_build_rest,
		"\x60\x00\x00\x00\x00\x18\x2c\x40\x20\x01\x0d\xb8\x00\x00\x00\x00"
		"\x00\x00\x00\x00\x00\x00\x00\x11\x20\x01\x0d\xb8\x00\x25\x00\x00"
		"\x00\x00\x00\x00\x00\x00\x00\x19\x06\x00\x00\x08\x6d\x78\x02\x18"
		"\x00\x00\x00\x00\x60\x02\xff\xff\xe2\x0f\x00\x00\x02\x04\x02\x18",
		64},
	{"2001:db8::11", "2001:db8:25::19", packet_build_headless,
		"\x60\x00\x00\x00\x00\x10\x2c\x40\x20\x01\x0d\xb8\x00\x00\x00\x00"
		"\x00\x00\x00\x00\x00\x00\x00\x11\x20\x01\x0d\xb8\x00\x25\x00\x00"
		"\x00\x00\x00\x00\x00\x00\x00\x19\x3c\x00\x00\x01\x6d\x78\x02\x18"
		"\x06\x00\x01\x04\x00\x00\x00\x00",
		56},
};

START_TEST(bytes_are_as_they_should_be)
{
	uint8_t source[16], destination[16], bytes[PACKET_BUILD_MAX];
	struct packet packet = {.family = rows[_i].source[4] == ':' ? AF_INET6 : AF_INET,
		.source = source,
		.destination = destination,
		.source_port = 61000,
		.destination_port = 25,
		.sequence = 0x6d780218,
		.mss = 536};
	ck_assert_int_eq(inet_pton(packet.family, rows[_i].source, source), 1);
	ck_assert_int_eq(inet_pton(packet.family, rows[_i].destination, destination), 1);
	size_t length = rows[_i].build(&packet, bytes);
	ck_assert_uint_eq(length, rows[_i].length);
	ck_assert_mem_eq(bytes, rows[_i].bytes, length);
}
END_TEST

/* Where the sum has a carry that gives another carry, and where it is all ones. */
START_TEST(checksum_holds_for_every_port)
{
	uint8_t source[4] = {255, 255, 255, 255}, destination[4] = {255, 255, 255, 254},
		bytes[PACKET_BUILD_MAX];
	for (unsigned port = 0; port <= UINT16_MAX; port++) {
		struct packet packet = {
			AF_INET, source, destination, (uint16_t)port, 25, 0xffff0000u + port, 65535};
		size_t length = packet_build_syn(&packet, bytes);
		/* The receiver's check, RFC 1071: everything summed, checksum included, is all ones. */
		uint32_t header = 0, segment = 6 + PACKET_TCP_LENGTH;
		for (size_t i = 0; i < 20; i += 2)
			header += (uint32_t)bytes[i] << 8 | bytes[i + 1];
		for (size_t i = 12; i < length; i += 2)
			segment += (uint32_t)bytes[i] << 8 | bytes[i + 1];
		while (header >> 16 || segment >> 16) {
			header = (header & 0xffff) + (header >> 16);
			segment = (segment & 0xffff) + (segment >> 16);
		}
		ck_assert_msg(header == 0xffff && segment == 0xffff, "port %u: %x %x", port, header, segment);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("packet_build");
	TCase *tcase = tcase_create("packet_build");
	tcase_add_loop_test(tcase, bytes_are_as_they_should_be, 0, sizeof(rows) / sizeof(rows[0]));
	tcase_add_test(tcase, checksum_holds_for_every_port);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
