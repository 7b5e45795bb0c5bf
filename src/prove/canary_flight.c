#include "canary_flight.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* For an answer that should come at once, from this host itself, which may be busy. */
#define PATIENCE_MS 3000
/* For one that need not come. */
#define COURTESY_MS 900
/* After the last event, for a packet that still waits in a queue on its way to a device. */
#define SETTLE_MS 150
/* Told apart in one round, in the SYN's MSS option; from the smallest that is usual on. */
#define MSS_FIRST 536
/* Of the packets that are built here; a local port that such a canary shares with a connection does no harm. */
#define PORT_FIRST 61000
/* Packets looked at before the clock is looked at again. */
#define PACKETS_MAX 100000

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct round {
	struct canary *canaries;
	size_t count;
	struct witness *witness;
	int64_t start, last_event;
};

static void canary_close(struct canary *canary)
{
	if (canary->fd >= 0)
		close(canary->fd);
	canary->fd = -1;
}

static void canary_left(struct canary *canary, const struct sighting *sighting, const char *device)
{
	if (canary->outcome == CANARY_LEFT)
		return;
	canary_close(canary);
	canary->outcome = CANARY_LEFT;
	snprintf(canary->seen_on, sizeof(canary->seen_on), "%s", device);
	canary->detail[0] = '\0';
	if (address_equal(&sighting->destination, &canary->destination) &&
		(!sighting->syn || sighting->destination_port == canary->port))
		return;
	char to[ADDRESS_TEXT_MAX];
	address_format(&sighting->destination, to);
	snprintf(canary->detail, sizeof(canary->detail), "rewritten to %s port %u", to,
		sighting->destination_port);
}

static bool is_of(const struct sighting *sighting, const struct canary *canary)
{
	return address_equal(&sighting->destination, &canary->destination) ||
	       (sighting->syn && sighting->source_port == canary->source_port &&
		       sighting->mss == canary->mss);
}

static bool packet_match(const struct round *round, const struct witness_packet *packet)
{
	static const uint32_t offsets[] = SIGHTING_OFFSETS;
	for (size_t o = 0; o < sizeof(offsets) / sizeof(offsets[0]); o++) {
		struct sighting sighting;
		if (!sighting_read(packet->bytes, packet->length, offsets[o], &sighting))
			continue;
		for (size_t i = 0; i < round->count; i++)
			if (is_of(&sighting, &round->canaries[i]) &&
				!witness_stays(round->witness, packet->device)) {
				canary_left(&round->canaries[i], &sighting, packet->device);
				return true;
			}
	}
	return false;
}

static void witness_hear(struct round *round)
{
	struct witness_packet packet;
	for (int i = 0; i < PACKETS_MAX && witness_next(round->witness, &packet); i++)
		if (packet_match(round, &packet))
			round->last_event = now_ms();
}

static void canary_send(struct canary *canary, int home)
{
	if (canary->container < 0) {
		canary->kind->send(canary);
		return;
	}
	int code = netspace_enter(canary->container);
	if (code < 0) {
		canary_unsent(canary, -code);
		return;
	}
	canary->kind->send(canary);
	if (netspace_enter(home) < 0)
		abort(); /* in the wrong namespace nothing that follows would be true */
}

/* The first line of what the other side says. */
static void greeting_read(struct canary *canary)
{
	char bytes[sizeof(canary->detail)];
	ssize_t got = recv(canary->fd, bytes, sizeof(bytes) - 1, 0);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	bytes[got > 0 ? got : 0] = '\0';
	bytes[strcspn(bytes, "\r\n")] = '\0';
	snprintf(canary->detail, sizeof(canary->detail), "%s", got > 0 ? bytes : "closed without a greeting");
	canary_close(canary);
}

static void connection_advance(struct canary *canary)
{
	if (canary->outcome == CANARY_DIVERTED) {
		greeting_read(canary);
		return;
	}
	int error = 0;
	socklen_t len = sizeof(error);
	if (getsockopt(canary->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error == 0) {
		canary->outcome = CANARY_DIVERTED;
		return;
	}
	canary_refused(canary, error);
	/* There was a route: somebody refused in words of his own. */
	if (canary->outcome == CANARY_NO_ROUTE)
		canary->outcome = CANARY_REFUSED;
	canary_close(canary);
}

/* Until when, after the start, a canary with a connection is followed. */
static int patience_ms(const struct canary *canary)
{
	if (canary->outcome == CANARY_DIVERTED || canary->kind->in_order & 1u << CANARY_SILENT)
		return COURTESY_MS;
	return PATIENCE_MS;
}

/* Waits for something to happen. Returns until when, after the start, it is worth to go on; 0: at an end. */
static int round_wait(struct round *round, int timeout_ms)
{
	struct pollfd waits[CANARY_RANGE_SIZE + 1];
	struct canary *of[CANARY_RANGE_SIZE + 1] = {NULL};
	nfds_t count = 0;
	int until_ms = 0;
	waits[count++] = (struct pollfd){.fd = round->witness->fd, .events = POLLIN};
	for (size_t i = 0; i < round->count; i++) {
		struct canary *canary = &round->canaries[i];
		if (canary->fd < 0)
			continue;
		short events = canary->outcome == CANARY_DIVERTED ? POLLIN : POLLOUT;
		until_ms = patience_ms(canary) > until_ms ? patience_ms(canary) : until_ms;
		of[count] = canary;
		waits[count++] = (struct pollfd){.fd = canary->fd, .events = events};
	}
	if (poll(waits, count, timeout_ms) <= 0)
		return until_ms;
	/* First of all: what left is not told by what its sender saw. */
	witness_hear(round);
	for (nfds_t i = 1; i < count; i++) {
		if (!waits[i].revents || of[i]->fd < 0)
			continue;
		connection_advance(of[i]);
		round->last_event = now_ms();
	}
	return until_ms;
}

static void canary_end(struct canary *canary)
{
	if (canary->outcome == CANARY_PENDING)
		canary->outcome = canary->fd >= 0 ? CANARY_SILENT : CANARY_STOPPED;
	if (canary->outcome == CANARY_DIVERTED && canary->fd >= 0)
		snprintf(canary->detail, sizeof(canary->detail), "no greeting within a second");
	canary_close(canary);
}

static void round_fly(struct round *round, const struct canary_plan *plan, int home)
{
	for (size_t i = 0; i < round->count; i++) {
		struct canary *canary = &round->canaries[i];
		canary->destination = canary_range_address(
			canary->destination.family == AF_INET ? &plan->v4 : &plan->v6, i);
		canary->mss = (uint16_t)(MSS_FIRST + i);
		canary->source_port = (uint16_t)(PORT_FIRST + i);
	}
	for (size_t i = 0; i < round->count; i++)
		canary_send(&round->canaries[i], home);
	round->start = round->last_event = now_ms();
	for (;;) {
		int until_ms = round_wait(round, 20);
		int64_t now = now_ms();
		if (now - round->start >= PATIENCE_MS ||
			(now - round->start >= until_ms && now - round->last_event >= SETTLE_MS))
			break;
	}
	witness_hear(round);
	for (size_t i = 0; i < round->count; i++)
		canary_end(&round->canaries[i]);
}

unsigned canary_flight(struct canary_plan *plan, struct witness *witness, int home)
{
	for (size_t first = 0; first < plan->count; first += CANARY_RANGE_SIZE) {
		size_t left = plan->count - first;
		struct round round = {.canaries = plan->canaries + first,
			.count = left < CANARY_RANGE_SIZE ? left : CANARY_RANGE_SIZE,
			.witness = witness};
		round_fly(&round, plan, home);
	}
	return witness_lost(witness);
}
