#include "health.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <systemd/sd-daemon.h>

#include "log.h"

#define BEAT_MS 2000
/* Its main thread has nothing to do that takes a second; a machine that is out of breath gets this many. */
#define PATIENCE_MS 10000

static void beat(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct health *health = arg;
	struct err err;
	if (health->watched)
		sd_notify(0, "WATCHDOG=1");
	if (health->responder->pid <= 0 || health->beats_left == 0)
		return;
	/* In beats, not in time: where this process itself stood still, nobody was asked. */
	if (--health->beats_left == 0) {
		log_error("responder-killed reason=\"it does not answer\" silent_s=%d", PATIENCE_MS / 1000);
		kill(health->responder->pid, SIGKILL);
	} else if (control_say(health->responder->channel, CONTROL_PING, 0, "", &err) < 0) {
		/* A full channel is not read: the time runs. */
		log_warning("%s", err.text);
	}
}

int health_open(struct health *health, struct event_base *base, const struct responder_process *responder,
	struct err *err)
{
	uint64_t watchdog_us = 0;
	*health = (struct health){.responder = responder};
	health->watched = sd_watchdog_enabled(0, &watchdog_us) > 0;
	/* Three beats in the time that systemd allows, so that one may be late. */
	uint64_t every_ms = health->watched && watchdog_us / 3000 < BEAT_MS ? watchdog_us / 3000 : BEAT_MS;
	/* The first may come at once. */
	health->patience = (unsigned)(PATIENCE_MS / (every_ms + 1)) + 2;
	const struct timeval every = {(time_t)every_ms / 1000, (suseconds_t)every_ms % 1000 * 1000};
	health->on_beat = event_new(base, -1, EV_PERSIST, beat, health);
	if (!health->on_beat || event_add(health->on_beat, &every) < 0)
		return err_set(err, -ENOMEM, "warden: out of memory");
	return 0;
}

void health_close(struct health *health)
{
	if (health->on_beat)
		event_free(health->on_beat);
	*health = (struct health){0};
}

void health_heard(struct health *health)
{
	health->beats_left = health->patience;
}

void health_forget(struct health *health)
{
	health->beats_left = 0;
}
