#include "sighting.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "packet_build.h"
#include "suite.h"

static const size_t offsets[] = SIGHTING_OFFSETS;
#define OFFSETS (sizeof(offsets) / sizeof(offsets[0]))

static const uint8_t source4[4] = {192, 0, 2, 11}, destination4[4] = {198, 51, 100, 7};
static const uint8_t source6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 0x11};
static const uint8_t destination6[16] = {0x20, 0x01, 0x0d, 0xb8, 0, 0x25, [15] = 7};

static struct packet packet_of(uint8_t family)
{
	bool v4 = family == AF_INET;
	return (struct packet){
		family, v4 ? source4 : source6, v4 ? destination4 : destination6, 61007, 25, 1, 543};
}

/* A block of its own size, so that a byte read past its end shows in the sanitizer build. */
static bool read_exact(const uint8_t *bytes, size_t length, size_t offset, struct sighting *sighting)
{
	uint8_t *exact = malloc(length ? length : 1);
	ck_assert_ptr_nonnull(exact);
	memcpy(exact, bytes, length);
	bool found = sighting_read(exact, length, offset, sighting);
	free(exact);
	return found;
}

static void assert_addresses(const struct sighting *sighting, const struct packet *packet)
{
	size_t length = packet->family == AF_INET ? 4 : 16;
	ck_assert_uint_eq(sighting->destination.family, packet->family);
	ck_assert_mem_eq(sighting->source.bytes, packet->source, length);
	ck_assert_mem_eq(sighting->destination.bytes, packet->destination, length);
}

START_TEST(syn_is_read_behind_every_header)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	for (size_t f = 0; f < 2; f++)
		for (size_t o = 0; o < OFFSETS; o++) {
			uint8_t bytes[32 + PACKET_BUILD_MAX];
			struct packet packet = packet_of(families[f]);
			memset(bytes, 0xee, sizeof(bytes));
			size_t length = offsets[o] + packet_build_syn(&packet, bytes + offsets[o]);
			struct sighting sighting;
			ck_assert(read_exact(bytes, length, offsets[o], &sighting));
			assert_addresses(&sighting, &packet);
			ck_assert(sighting.syn);
			ck_assert_uint_eq(sighting.source_port, 61007);
			ck_assert_uint_eq(sighting.destination_port, 25);
			ck_assert_uint_eq(sighting.mss, 543);
		}
}
END_TEST

static const struct {
	uint8_t family;
	size_t (*build)(const struct packet *packet, uint8_t *to);
} portless[] = {
	{AF_INET, packet_build_rest},
	{AF_INET6, packet_build_rest},
	{AF_INET6, packet_build_headless},
};

START_TEST(fragment_without_ports_has_addresses_alone)
{
	struct packet packet = packet_of(portless[_i].family);
	uint8_t bytes[PACKET_BUILD_MAX];
	struct sighting sighting;
	ck_assert(read_exact(bytes, portless[_i].build(&packet, bytes), 0, &sighting));
	assert_addresses(&sighting, &packet);
	ck_assert(!sighting.syn);
	ck_assert_uint_eq(sighting.source_port, 0);
}
END_TEST

/* An IPv6 SYN behind a hop-by-hop and a destination options header. */
START_TEST(extension_headers_are_passed)
{
	uint8_t syn[PACKET_BUILD_MAX], bytes[PACKET_BUILD_MAX + 24] = {0};
	struct packet packet = packet_of(AF_INET6);
	size_t length = packet_build_syn(&packet, syn);
	memcpy(bytes, syn, 40);
	bytes[6] = 0;                 /* hop by hop */
	bytes[40] = 60;               /* then destination options */
	bytes[48] = 6, bytes[49] = 1; /* of 16 bytes, then TCP */
	memcpy(bytes + 64, syn + 40, length - 40);
	struct sighting sighting;
	ck_assert(read_exact(bytes, length + 24, 0, &sighting));
	ck_assert(sighting.syn);
	ck_assert_uint_eq(sighting.mss, 543);
}
END_TEST

START_TEST(answers_are_no_syns)
{
	struct packet packet = packet_of(AF_INET);
	uint8_t bytes[PACKET_BUILD_MAX];
	size_t length = packet_build_syn(&packet, bytes);
	bytes[33] |= 0x10; /* ACK */
	struct sighting sighting;
	ck_assert(read_exact(bytes, length, 0, &sighting));
	ck_assert(!sighting.syn);
}
END_TEST

/* Every length, every first bytes: nothing is read past the end, and what is cut is no SYN. */
START_TEST(cut_packets_are_harmless)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	for (size_t f = 0; f < 2; f++) {
		struct packet packet = packet_of(families[f]);
		uint8_t bytes[PACKET_BUILD_MAX];
		size_t length = packet_build_syn(&packet, bytes);
		struct sighting sighting;
		for (size_t cut = 0; cut < length; cut++)
			ck_assert_msg(
				!read_exact(bytes, cut, 0, &sighting) || !sighting.syn, "cut at %zu", cut);
	}
}
END_TEST

START_TEST(noise_is_harmless)
{
	uint8_t bytes[96];
	struct sighting sighting;
	srand(25);
	for (int i = 0; i < 200000; i++) {
		size_t length = (size_t)rand() % sizeof(bytes);
		for (size_t b = 0; b < length; b++)
			bytes[b] = (uint8_t)rand();
		if (length > 34) {
			/* Likely to be read far into. */
			bytes[0] = i & 1 ? 0x45 : 0x60;
			bytes[i & 1 ? 9 : 6] = i & 2 ? 6 : 60;
			bytes[33] = 2;
		}
		read_exact(bytes, length, 0, &sighting);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sighting");
	TCase *tcase = tcase_create("sighting");
	tcase_add_test(tcase, syn_is_read_behind_every_header);
	tcase_add_loop_test(
		tcase, fragment_without_ports_has_addresses_alone, 0, sizeof(portless) / sizeof(portless[0]));
	tcase_add_test(tcase, extension_headers_are_passed);
	tcase_add_test(tcase, answers_are_no_syns);
	tcase_add_test(tcase, cut_packets_are_harmless);
	tcase_add_test(tcase, noise_is_harmless);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
