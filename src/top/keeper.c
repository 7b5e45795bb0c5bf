#include "keeper.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "log.h"

static const struct timeval verify_interval = {2, 0};

int keeper_inherited_socket(void)
{
	int count = sd_listen_fds(0);
	for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + count; fd++)
		if (sd_is_socket(fd, AF_NETLINK, SOCK_RAW, -1) > 0)
			return fd;
	return -1;
}

/* The rules for a configuration and the devices as they are. */
static struct ruleset *rules_make(const struct keeper *keeper, const struct conf *conf, struct err *err)
{
	struct ruleset *rules = links_ruleset(&keeper->links, conf, keeper->tables, err);
	if (rules && ruleset_observe(rules, &keeper->observation, err) < 0) {
		ruleset_free(rules);
		return NULL;
	}
	return rules;
}

static void devices_write(struct keeper *keeper)
{
	struct stats_kernel *kernel = keeper->kernel;
	memset(kernel->devices, 0, sizeof(kernel->devices));
	kernel->device_count = (uint32_t)keeper->links.count;
	for (size_t i = 0; i < keeper->links.count && i < STATS_DEVICES_MAX; i++)
		strcpy(kernel->devices[i], keeper->links.devices[i].name);
}

void keeper_read(struct keeper *keeper)
{
	struct stats_kernel *kernel = keeper->kernel;
	struct err err;
	if (keeper->guard) {
		/* Where the tables cannot be read or are gone, nobody may be told that they stand. */
		struct guard_state state = {false};
		struct guard_counts counts;
		int code = guard_state(keeper->guard, &state, &err);
		if (code == 0)
			code = guard_counts(keeper->guard, RULESET_OWNED, &counts, &err);
		for (int i = 0; i < RULESET_COUNTERS && code == 0; i++) {
			kernel->packets[i] = counts.counters[i].packets;
			kernel->bytes[i] = counts.counters[i].bytes;
		}
		kernel->armed = state.armed;
		kernel->owner = state.owner;
		kernel->persist = state.persist;
		kernel->walled = state.walled;
		kernel->escapes_lost = lookout_lost(keeper->lookout);
		devices_write(keeper);
		if (code == 0)
			kernel->read_s = (uint64_t)time(NULL);
		else
			log_error("counters-unread %s", err.text);
	}
	stats_kernel_write(keeper->stats, kernel);
}

/* There is no table any more: what it counted is kept, and the next one begins at 0. */
static void counters_gone(struct keeper *keeper)
{
	stats_kernel_restart(keeper->stats);
	memset(keeper->kernel->packets, 0, sizeof(keeper->kernel->packets));
	memset(keeper->kernel->bytes, 0, sizeof(keeper->kernel->bytes));
}

/* Takes up what happened to devices, if anything did. */
static void follow(void *arg)
{
	struct keeper *keeper = arg;
	struct err err;
	int code = links_read(&keeper->links, &err);
	if (code == 0 && !keeper->behind)
		return;
	struct ruleset *rules = code >= 0 ? rules_make(keeper, keeper->conf, &err) : NULL;
	keeper->behind = !rules;
	if (!rules) {
		log_error("devices-not-followed %s", err.text);
		return;
	}
	code = guard_follow(keeper->guard, keeper->rules, rules, &err);
	if (code < 0) {
		log_warning("devices-anew %s", err.text);
		code = guard_arm(keeper->guard, rules, &err);
	}
	/* What does not stand is what the next verification finds missing. */
	if (code < 0)
		log_error("devices-not-guarded %s", err.text);
	ruleset_free(keeper->rules);
	keeper->rules = rules;
	devices_write(keeper);
	log_info("devices-guarded count=%zu", keeper->links.count);
}

/* Rules that somebody changed are put right at once, and it is said. */
static void verify(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct keeper *keeper = arg;
	struct err err;
	/* What could not be followed when it was told. */
	follow(keeper);
	int code = guard_verify(keeper->guard, keeper->rules, &err);
	if (code == -ENOENT || code == -EPROTO) {
		log_error("guard-changed %s", err.text);
		/* Of the static wall's tables, which may be what is missing, nothing is counted here. */
		struct guard_state state;
		if (code == -ENOENT && guard_state(keeper->guard, &state, &err) == 0 && !state.armed)
			counters_gone(keeper);
		keeper->kernel->repairs++;
		if (guard_arm(keeper->guard, keeper->rules, &err) < 0)
			log_error("guard-not-repaired %s", err.text);
		else
			log_warning(
				"guard-repaired repairs=%llu", (unsigned long long)keeper->kernel->repairs);
	} else if (code < 0) {
		log_error("guard-unverified %s", err.text);
	}
	keeper_read(keeper);
}

static void links_wait(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	follow(arg);
}

static void look_out(struct keeper *keeper, struct event_base *base)
{
	keeper->lookout =
		lookout_new(base, stats_escapes(keeper->stats), &keeper->observation, follow, keeper);
	keeper->kernel->escape_queue = keeper->observation.output;
	keeper->kernel->escape_log = keeper->observation.log;
}

int keeper_open(struct keeper *keeper, struct event_base *base, const struct conf *conf,
	const struct stats *stats, struct stats_kernel *kernel, struct err *err)
{
	int inherited = keeper_inherited_socket();
	*keeper = (struct keeper){
		.stats = stats,
		.kernel = kernel,
		.conf = conf_ref(conf),
		.tables = RULESET_ALL,
	};
	/* Devices first: what comes later is reported. */
	int code = links_open(&keeper->links, err);
	if (code < 0)
		return code;
	keeper->guard = guard_new(inherited, err);
	if (!keeper->guard)
		return -EPROTONOSUPPORT;
	struct guard_state before;
	code = guard_state(keeper->guard, &before, err);
	if (code < 0)
		return code;
	/*
	 * Nobody holds our own socket when we are gone; then the static wall stands. Where systemd holds it there need
	 * be none, but one that somebody put up is kept true.
	 */
	if (inherited >= 0 && !before.walled)
		keeper->tables = RULESET_OWNED;
	look_out(keeper, base);
	keeper->rules = rules_make(keeper, conf, err);
	if (!keeper->rules)
		return -ENOMEM;
	code = guard_arm(keeper->guard, keeper->rules, err);
	if (code < 0)
		return code;
	if (!before.armed)
		counters_gone(keeper);
	keeper->on_verify = event_new(base, -1, EV_PERSIST, verify, keeper);
	keeper->on_links =
		event_new(base, links_fd(&keeper->links), EV_READ | EV_PERSIST, links_wait, keeper);
	if (!keeper->on_verify || !keeper->on_links || event_add(keeper->on_verify, &verify_interval) < 0 ||
		event_add(keeper->on_links, NULL) < 0)
		return err_set(err, -ENOMEM, "no memory for the guard's events");
	keeper_read(keeper);
	log_info("guard-armed owner=%s persist=%s static=%s devices=%zu exclude=%zu escape_queue=%s",
		inherited >= 0 ? "systemd" : "mxmirage", kernel->persist ? "yes" : "no",
		kernel->walled ? "yes" : "no", keeper->links.count, conf->divert.exclude_count,
		ruleset_means_name(kernel->escape_queue));
	return 0;
}

void keeper_close(struct keeper *keeper)
{
	if (keeper->on_verify)
		event_free(keeper->on_verify);
	if (keeper->on_links)
		event_free(keeper->on_links);
	lookout_free(keeper->lookout);
	guard_free(keeper->guard);
	links_close(&keeper->links);
	ruleset_free(keeper->rules);
	conf_unref(keeper->conf);
	*keeper = (struct keeper){0};
}

int keeper_change(struct keeper *keeper, const struct conf *conf, struct err *err)
{
	struct ruleset *rules = rules_make(keeper, conf, err);
	if (!rules)
		return -ENOMEM;
	int code = guard_arm(keeper->guard, rules, err);
	if (code < 0) {
		/* The new rules may stand by now, with exclusions that are not to be. */
		struct err again;
		ruleset_free(rules);
		if (guard_arm(keeper->guard, keeper->rules, &again) < 0)
			log_error("guard-not-restored %s", again.text);
		return code;
	}
	ruleset_free(keeper->rules);
	keeper->rules = rules;
	conf_unref(keeper->conf);
	keeper->conf = conf_ref(conf);
	return 0;
}

int keeper_disarm(struct keeper *keeper, struct err *err)
{
	keeper_read(keeper);
	int code = guard_disarm(keeper->guard, err);
	if (code < 0)
		return code;
	struct stats_kernel *kernel = keeper->kernel;
	kernel->armed = kernel->owner = kernel->persist = kernel->walled = false;
	stats_kernel_write(keeper->stats, kernel);
	return 0;
}
