#include "warden.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "bundle.h"
#include "control.h"
#include "counts.h"
#include "escape.h"
#include "exit_code.h"
#include "guard.h"
#include "listener.h"
#include "log.h"
#include "lookout.h"
#include "responder_process.h"

/* How often the rules are held against what they should be, and the kernel's counters read. */
static const struct timeval verify_interval = {2, 0};
/* A responder that lived shorter than this is started again later each time, up to the last figure. */
#define STABLE_S         5
#define RESTART_FIRST_MS 100
#define RESTART_MAX_MS   5000
/* How long the responder may take to say goodbye to its sessions. */
static const struct timeval stop_patience = {5, 0};

struct warden {
	const struct warden_options *options;
	struct event_base *base;
	struct event *on_child, *on_terminate, *on_interrupt, *on_hangup;
	struct event *on_channel, *on_verify, *on_restart, *on_impatient;
	struct conf *conf;
	struct bundle bundle; /* of conf: what a new responder is told */
	struct counts counts;
	struct stats_kernel kernel;
	struct guard *guard; /* NULL: not diverting */
	struct ruleset_observation observation;
	struct lookout *lookout; /* NULL: nothing shows what is stopped */
	struct ruleset *rules;
	struct responder_process responder;
	struct responder_sockets sockets;
	time_t started;
	unsigned restart_ms;
	bool announced, stopping;
};

/* Says what was mended in the smart sink's file. */
static void warden_note(void *arg, const char *text)
{
	(void)arg;
	log_warning("responses %s", text);
}

/* Reads the files anew and makes sure that the responder can make a policy of them. Replaces nothing on failure. */
static int warden_read_conf(struct warden *warden, struct bundle *bundle, struct conf **conf, struct err *err)
{
	int code = bundle_read(bundle, warden->options->conf_file, conf, err);
	if (code < 0)
		return code;
	struct policy *policy = bundle_policy(bundle, *conf, 0, warden_note, NULL, err);
	policy_unref(policy);
	if (policy)
		return 0;
	conf_unref(*conf);
	*conf = NULL;
	bundle_done(bundle);
	return -EINVAL;
}

/* Reads the kernel's counters into the shared region. Failing is no reason to stop: the rules stand. */
static void warden_read_kernel(struct warden *warden)
{
	struct stats_kernel *kernel = &warden->kernel;
	struct err err;
	if (warden->guard) {
		/* Where the table cannot be read or is gone, nobody may be told that it stands. */
		struct guard_state state = {false};
		struct guard_counts counts;
		int code = guard_state(warden->guard, &state, &err);
		if (code == 0)
			code = guard_counts(warden->guard, &counts, &err);
		for (int i = 0; i < RULESET_COUNTERS && code == 0; i++) {
			kernel->packets[i] = counts.counters[i].packets;
			kernel->bytes[i] = counts.counters[i].bytes;
		}
		kernel->armed = state.armed;
		kernel->owner = state.owner;
		kernel->persist = state.persist;
		if (code == 0)
			kernel->read_s = (uint64_t)time(NULL);
		else
			log_error("counters-unread %s", err.text);
	}
	kernel->escapes_lost = lookout_lost(warden->lookout);
	stats_kernel_write(&warden->counts.stats, kernel);
}

/* There is no table any more: what it counted is kept, and the next one begins at 0. */
static void warden_table_gone(struct warden *warden)
{
	stats_kernel_restart(&warden->counts.stats);
	memset(warden->kernel.packets, 0, sizeof(warden->kernel.packets));
	memset(warden->kernel.bytes, 0, sizeof(warden->kernel.bytes));
}

/*
 * Looks for the best means that the kernel has to show what the guard stops. Failing is no reason to stop: the guard
 * holds without.
 */
static void warden_look_out(struct warden *warden)
{
	struct ruleset_observation *observation = &warden->observation;
	struct err err;
	int code = escape_probe(observation, &err);
	if (code == 0 && observation->output != RULESET_BY_COUNTERS) {
		warden->lookout =
			lookout_new(warden->base, observation, stats_escapes(&warden->counts.stats), &err);
		code = warden->lookout ? 0 : -EIO;
	}
	if (code < 0) {
		log_warning("escapes-unseen reason=\"%s\" guard=\"stops and counts them all the same\"",
			err.text);
		*observation = (struct ruleset_observation){.output = RULESET_BY_COUNTERS};
	}
	warden->kernel.escape_queue = observation->output;
	warden->kernel.escape_log = observation->log;
}

static struct ruleset *warden_rules(const struct warden *warden, const struct conf *conf, struct err *err)
{
	struct ruleset *rules = ruleset_new(conf, err);
	if (rules)
		ruleset_observe(rules, &warden->observation);
	return rules;
}

static int warden_arm(struct warden *warden, struct err *err)
{
	warden->guard = guard_new(err);
	if (!warden->guard)
		return -EPERM;
	struct guard_state before;
	int code = guard_state(warden->guard, &before, err);
	if (code == 0)
		code = guard_arm(warden->guard, warden->rules, err);
	if (code < 0)
		return code;
	if (!before.armed)
		warden_table_gone(warden);
	warden_read_kernel(warden);
	log_info("guard-armed table=\"inet %s\" owner=%s persist=%s exclude=%zu escape_queue=%s",
		RULESET_TABLE, warden->kernel.owner ? "yes" : "no", warden->kernel.persist ? "yes" : "no",
		warden->conf->divert.exclude_count, ruleset_means_name(warden->observation.output));
	return 0;
}

/* Rules that somebody changed are put right at once, and it is said. */
static void warden_verify(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct warden *warden = arg;
	struct err err;
	int code = warden->guard ? guard_verify(warden->guard, warden->rules, &err) : 0;
	if (code == -ENOENT || code == -EPROTO) {
		log_error("guard-changed %s", err.text);
		if (code == -ENOENT)
			warden_table_gone(warden);
		warden->kernel.repairs++;
		if (guard_arm(warden->guard, warden->rules, &err) < 0)
			log_error("guard-not-repaired %s", err.text);
		else
			log_warning(
				"guard-repaired repairs=%llu", (unsigned long long)warden->kernel.repairs);
	} else if (code < 0) {
		log_error("guard-unverified %s", err.text);
	}
	warden_read_kernel(warden);
}

/* Who asked by SIGHUP reads the log. */
static void warden_answer_reload(struct warden *warden, bool asked, int code, const char *text)
{
	if (!asked)
		return;
	struct err err;
	if (control_say(warden->responder.channel, CONTROL_RELOADED, code, text, &err) < 0)
		log_error("%s", err.text);
}

/* asked: by the responder, which is to hear of the outcome. */
static void warden_reload(struct warden *warden, bool asked)
{
	struct conf *conf = NULL;
	struct ruleset *rules = NULL;
	struct bundle bundle = {0};
	struct err err;
	sd_notify(0, "RELOADING=1");
	int code = warden_read_conf(warden, &bundle, &conf, &err);
	const char *key = code == 0 ? conf_needs_restart(warden->conf, conf) : NULL;
	if (key)
		code = err_set(&err, -EINVAL, "%s: %s has changed, which needs a restart of mxmirage",
			conf->file, key);
	if (code == 0) {
		rules = warden_rules(warden, conf, &err);
		code = rules ? 0 : -ENOMEM;
	}
	bool armed = code == 0 && warden->guard;
	if (armed)
		code = guard_arm(warden->guard, rules, &err);
	if (code == 0)
		code = responder_process_configure(&warden->responder, &bundle, &err);
	sd_notify(0, "READY=1");
	if (code < 0) {
		ruleset_free(rules);
		conf_unref(conf);
		bundle_done(&bundle);
		/* The new rules may stand by now, with exclusions that are not to be. */
		struct err again;
		if (armed && guard_arm(warden->guard, warden->rules, &again) < 0)
			log_error("guard-not-restored %s", again.text);
		err_prefix(&err, code, "not reloaded, the old configuration stands");
		log_error("%s", err.text);
		warden_answer_reload(warden, asked, code, err.text);
		return;
	}
	conf_unref(warden->conf);
	ruleset_free(warden->rules);
	bundle_done(&warden->bundle);
	warden->conf = conf;
	warden->rules = rules;
	warden->bundle = bundle;
	log_info("reloaded file=%s exclude=%zu", conf->file, conf->divert.exclude_count);
	char said[CONTROL_TEXT_MAX];
	snprintf(said, sizeof(said), "reloaded %s", conf->file);
	warden_answer_reload(warden, asked, 0, said);
}

static void warden_announce(struct warden *warden)
{
	const struct conf *conf = warden->conf;
	log_info("ready divert=%s listen=%u-%u workers=%u responder=%d control=%s",
		warden->guard ? "yes" : "no", conf->listen.port_first, conf->listen.port_last,
		conf->listen.workers, (int)warden->responder.pid, conf->admin.socket);
	sd_notifyf(0, "READY=1\nSTATUS=%s",
		warden->guard ? "Port 25 is diverted; nothing for it leaves this host"
			      : "A plain sink: nothing is diverted");
	warden->announced = true;
}

static void warden_channel(evutil_socket_t fd, short what, void *arg)
{
	(void)what;
	struct warden *warden = arg;
	struct control_message message;
	struct err err;
	int got = control_receive(fd, &message, &err);
	if (got <= 0) {
		/* Its end is closed: SIGCHLD tells the rest. */
		event_del(warden->on_channel);
		return;
	}
	/* No message to the warden has any: a descriptor that came all the same must not stay. */
	for (size_t i = 0; i < message.fd_count; i++)
		close(message.fds[i]);
	switch (message.type) {
	case CONTROL_READY:
		if (!warden->announced)
			warden_announce(warden);
		else
			log_info("responder-ready pid=%d", (int)warden->responder.pid);
		break;
	case CONTROL_REFRESH:
		warden_read_kernel(warden);
		if (control_say(fd, CONTROL_REFRESHED, 0, "", &err) < 0)
			log_error("%s", err.text);
		break;
	case CONTROL_RESET:
		/* With the kernel's counters as of now, so that what they counted so far is gone. */
		warden_read_kernel(warden);
		stats_kernel_reset(&warden->counts.stats);
		escapes_reset(stats_escapes(&warden->counts.stats));
		break;
	case CONTROL_RELOAD:
		warden_reload(warden, true);
		break;
	default:
		log_error("channel: message %d is not for the warden", message.type);
		break;
	}
}

static void warden_start_responder(struct warden *warden)
{
	struct err err;
	warden->kernel.starts++;
	stats_kernel_write(&warden->counts.stats, &warden->kernel);
	int code = responder_process_start(&warden->responder, warden->conf->responder.user, &err);
	if (code == 0) {
		event_assign(warden->on_channel, warden->base, warden->responder.channel,
			EV_READ | EV_PERSIST, warden_channel, warden);
		event_add(warden->on_channel, NULL);
		code = responder_process_setup(&warden->responder, &warden->sockets, warden->counts.fd, &err);
	}
	if (code == 0)
		code = responder_process_configure(&warden->responder, &warden->bundle, &err);
	if (code == 0)
		code = responder_process_begin(&warden->responder, &warden->sockets, warden->guard != NULL,
			(uint64_t)warden->started, &err);
	if (code < 0)
		log_error("responder-not-started %s", err.text);
	/* A child that was forked and could not be set up would wait for the rest; SIGCHLD tells its end. */
	if (code < 0 && warden->responder.pid > 0)
		kill(warden->responder.pid, SIGKILL);
	else if (code < 0)
		event_add(warden->on_restart, &(struct timeval){RESTART_MAX_MS / 1000, 0});
}

static void warden_restart(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	warden_start_responder(arg);
}

static void warden_child(evutil_socket_t signal_number, short what, void *arg)
{
	(void)signal_number;
	(void)what;
	struct warden *warden = arg;
	int status;
	if (warden->responder.pid <= 0 || waitpid(warden->responder.pid, &status, WNOHANG) <= 0)
		return;
	event_del(warden->on_channel);
	time_t lived = time(NULL) - warden->responder.started;
	responder_process_ended(&warden->responder);
	if (warden->stopping) {
		event_base_loopbreak(warden->base);
		return;
	}
	if (lived >= STABLE_S)
		warden->restart_ms = 0;
	log_error("responder-died %s=%d lived_s=%lld restart_in_ms=%u waiting=\"new connections wait in the "
		  "backlog\"",
		WIFSIGNALED(status) ? "signal" : "exit",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), (long long)lived,
		warden->restart_ms);
	const struct timeval wait = {warden->restart_ms / 1000, warden->restart_ms % 1000 * 1000};
	event_add(warden->on_restart, &wait);
	warden->restart_ms = warden->restart_ms ? warden->restart_ms * 2 : RESTART_FIRST_MS;
	if (warden->restart_ms > RESTART_MAX_MS)
		warden->restart_ms = RESTART_MAX_MS;
}

static void warden_impatient(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct warden *warden = arg;
	log_warning("responder-killed reason=\"it did not end in time\"");
	kill(warden->responder.pid, SIGKILL);
}

static void warden_stop(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct warden *warden = arg;
	if (warden->stopping)
		return;
	warden->stopping = true;
	sd_notify(0, "STOPPING=1");
	if (warden->responder.pid <= 0) {
		event_base_loopbreak(warden->base);
		return;
	}
	kill(warden->responder.pid, SIGTERM);
	event_add(warden->on_impatient, &stop_patience);
}

static void warden_hangup(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	warden_reload(arg, false);
}

static bool warden_events(struct warden *warden)
{
	struct event_base *base = warden->base = event_base_new();
	if (!base)
		return false;
	warden->on_child = evsignal_new(base, SIGCHLD, warden_child, warden);
	warden->on_terminate = evsignal_new(base, SIGTERM, warden_stop, warden);
	warden->on_interrupt = evsignal_new(base, SIGINT, warden_stop, warden);
	warden->on_hangup = evsignal_new(base, SIGHUP, warden_hangup, warden);
	warden->on_channel = event_new(base, -1, 0, warden_channel, warden);
	warden->on_verify = event_new(base, -1, EV_PERSIST, warden_verify, warden);
	warden->on_restart = evtimer_new(base, warden_restart, warden);
	warden->on_impatient = evtimer_new(base, warden_impatient, warden);
	return warden->on_child && warden->on_terminate && warden->on_interrupt && warden->on_hangup &&
	       warden->on_channel && warden->on_verify && warden->on_restart && warden->on_impatient &&
	       event_add(warden->on_child, NULL) == 0 && event_add(warden->on_terminate, NULL) == 0 &&
	       event_add(warden->on_interrupt, NULL) == 0 && event_add(warden->on_hangup, NULL) == 0 &&
	       event_add(warden->on_verify, &verify_interval) == 0;
}

static void warden_disarm(struct warden *warden)
{
	struct err err;
	if (!warden->guard)
		return;
	if (!warden->options->disarm_on_exit && warden->conf->guard.on_stop == CONF_ON_STOP_KEEP) {
		log_info("stopped guard=\"stands: port 25 stays blocked\" remedy=\"mxmirage guard disarm "
			 "opens it\"");
		return;
	}
	warden_read_kernel(warden);
	if (guard_disarm(warden->guard, &err) < 0) {
		log_error("guard-not-disarmed %s", err.text);
		return;
	}
	warden->kernel.armed = warden->kernel.owner = warden->kernel.persist = false;
	stats_kernel_write(&warden->counts.stats, &warden->kernel);
	log_info("stopped guard=\"taken down: port 25 is open again\"");
}

static void warden_done(struct warden *warden)
{
	struct event *events[] = {warden->on_child, warden->on_terminate, warden->on_interrupt,
		warden->on_hangup, warden->on_channel, warden->on_verify, warden->on_restart,
		warden->on_impatient};
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (events[i])
			event_free(events[i]);
	lookout_free(warden->lookout);
	if (warden->base)
		event_base_free(warden->base);
	responder_process_ended(&warden->responder);
	responder_sockets_close(&warden->sockets);
	guard_free(warden->guard);
	ruleset_free(warden->rules);
	counts_close(&warden->counts);
	conf_unref(warden->conf);
	bundle_done(&warden->bundle);
}

/* Listeners first, then rules: a diverted connection always finds its port open. */
static int warden_begin(struct warden *warden, struct err *err)
{
	int code = warden_read_conf(warden, &warden->bundle, &warden->conf, err);
	if (code == 0)
		code = counts_open(&warden->counts, warden->conf, err);
	if (code < 0)
		return code;
	stats_kernel_last(&warden->counts.stats, &warden->kernel);
	warden->kernel.armed = warden->kernel.owner = warden->kernel.persist = false;
	warden->kernel.diverting = !warden->options->no_divert;
	code = responder_sockets_open(&warden->sockets, warden->conf, err);
	if (code < 0)
		return code;
	if (!warden_events(warden))
		return err_set(err, -ENOMEM, "warden: out of memory or descriptors");
	warden->observation.output = RULESET_BY_COUNTERS;
	if (!warden->options->no_divert)
		warden_look_out(warden);
	warden->rules = warden_rules(warden, warden->conf, err);
	if (!warden->rules)
		return -ENOMEM;
	if (!warden->options->no_divert)
		return warden_arm(warden, err);
	warden_read_kernel(warden);
	return 0;
}

int warden_run(const struct warden_options *options)
{
	struct warden warden = {
		.options = options,
		.counts = {.fd = -1},
		.started = time(NULL),
		.responder = {.channel = -1},
	};
	struct err err = {""};
	signal(SIGPIPE, SIG_IGN);
	int code = warden_begin(&warden, &err);
	if (code < 0) {
		log_error("%s", err.text);
		warden_done(&warden);
		return exit_code_of(code);
	}
	warden_start_responder(&warden);
	event_base_dispatch(warden.base);
	warden_disarm(&warden);
	warden_done(&warden);
	return EXIT_CODE_OK;
}
