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
#include "clock.h"
#include "control.h"
#include "counts.h"
#include "exit_code.h"
#include "health.h"
#include "keeper.h"
#include "listener.h"
#include "log.h"
#include "privilege.h"
#include "responder_process.h"

/* A responder that lived shorter than this is started again later each time, up to the last figure. */
#define STABLE_S         5
#define RESTART_FIRST_MS 100
#define RESTART_MAX_MS   5000
#define FAILED_START_S   1
/* How long the responder may take to say goodbye to its sessions. */
static const struct timeval stop_patience = {5, 0};

struct warden {
	const struct warden_options *options;
	struct event_base *base;
	struct event *on_child, *on_terminate, *on_interrupt, *on_hangup;
	struct event *on_channel, *on_restart, *on_impatient;
	struct conf *conf;
	struct bundle bundle; /* of conf: what a new responder is told */
	struct counts counts;
	struct stats_kernel kernel;
	struct keeper keeper; /* all zero: not diverting */
	struct responder_process responder;
	struct health health;
	struct responder_sockets sockets;
	uint64_t started_ms; /* of the monotonic clock: the time of day may be set */
	unsigned restart_ms;
	bool announced, stopping;
};

/* What was mended in the smart sink's file, or left out. */
struct notes {
	char first[512];
	unsigned count;
};

static void warden_note(void *arg, const char *text)
{
	struct notes *notes = arg;
	if (notes->count++ == 0)
		snprintf(notes->first, sizeof(notes->first), "%s", text);
	log_warning("responses %s", text);
}

/* Reads the files anew and makes sure that the responder can make a policy of them. Replaces nothing on failure. */
static int warden_read_conf(struct warden *warden, struct bundle *bundle, struct conf **conf,
	struct notes *notes, struct err *err)
{
	*notes = (struct notes){.count = 0};
	int code = bundle_read(bundle, warden->options->conf_file, conf, err);
	if (code < 0)
		return code;
	struct policy *policy = bundle_policy(bundle, *conf, 0, warden_note, notes, err);
	policy_unref(policy);
	if (policy)
		return 0;
	conf_unref(*conf);
	*conf = NULL;
	bundle_done(bundle);
	return -EINVAL;
}

static bool warden_diverts(const struct warden *warden)
{
	return warden->keeper.guard;
}

/* Reads the kernel's counters into the shared region. */
static void warden_read_kernel(struct warden *warden)
{
	if (warden_diverts(warden))
		keeper_read(&warden->keeper);
	else
		stats_kernel_write(&warden->counts.stats, &warden->kernel);
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
	struct bundle bundle = {0};
	struct notes notes;
	struct err err;
	sd_notify(0, "RELOADING=1");
	int code = warden_read_conf(warden, &bundle, &conf, &notes, &err);
	const char *key = code == 0 ? conf_needs_restart(warden->conf, conf) : NULL;
	if (key)
		code = err_set(&err, -EINVAL, "%s: %s has changed, which needs a restart of mxmirage",
			conf->file, key);
	bool changed = code == 0 && warden_diverts(warden);
	if (changed) {
		code = keeper_change(&warden->keeper, conf, &err);
		changed = code == 0;
	}
	if (code == 0)
		code = responder_process_configure(&warden->responder, &bundle, &err);
	sd_notify(0, "READY=1");
	if (code < 0) {
		struct err again;
		if (changed && keeper_change(&warden->keeper, warden->conf, &again) < 0)
			log_error("guard-not-restored %s", again.text);
		conf_unref(conf);
		bundle_done(&bundle);
		err_prefix(&err, code, "not reloaded, the old configuration stands");
		log_error("%s", err.text);
		warden_answer_reload(warden, asked, code, err.text);
		return;
	}
	conf_unref(warden->conf);
	bundle_done(&warden->bundle);
	warden->conf = conf;
	warden->bundle = bundle;
	log_info("reloaded file=%s exclude=%zu", conf->file, conf->divert.exclude_count);
	char said[CONTROL_TEXT_MAX];
	int len = snprintf(
		said, sizeof(said), "reloaded %s%s%s", conf->file, notes.count ? "\n" : "", notes.first);
	if (notes.count > 1 && len > 0 && (size_t)len < sizeof(said))
		snprintf(said + len, sizeof(said) - (size_t)len,
			"\nand %u more of the kind: see the log, or `mxmirage check`", notes.count - 1);
	warden_answer_reload(warden, asked, 0, said);
}

static void warden_announce(struct warden *warden)
{
	const struct conf *conf = warden->conf;
	log_info("ready divert=%s listen=%u-%u workers=%u processes=%u responder=%d control=%s",
		warden_diverts(warden) ? "yes" : "no", conf->listen.port_first, conf->listen.port_last,
		conf->listen.workers, conf->listen.processes, (int)warden->responder.pid, conf->admin.socket);
	sd_notifyf(0, "READY=1\nSTATUS=%s",
		warden_diverts(warden) ? "Port 25 is diverted; nothing for it leaves this host"
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
	case CONTROL_PONG:
		health_heard(&warden->health);
		break;
	case CONTROL_READY:
		health_heard(&warden->health);
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
		stats_begin_again(&warden->counts.stats, (uint64_t)time(NULL));
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
	int code = responder_process_start(&warden->responder, warden->conf, &err);
	if (code == 0) {
		event_assign(warden->on_channel, warden->base, warden->responder.channel,
			EV_READ | EV_PERSIST, warden_channel, warden);
		event_add(warden->on_channel, NULL);
		code = responder_process_setup(&warden->responder, &warden->sockets, warden->counts.fd, &err);
	}
	if (code == 0)
		code = responder_process_configure(&warden->responder, &warden->bundle, &err);
	if (code == 0)
		code = responder_process_begin(&warden->responder, &warden->sockets, warden_diverts(warden),
			warden->started_ms, &err);
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
	uint64_t lived_s = (clock_ms() - warden->responder.started_ms) / 1000;
	responder_process_ended(&warden->responder);
	health_forget(&warden->health);
	if (warden->stopping) {
		event_base_loopbreak(warden->base);
		return;
	}
	if (lived_s >= STABLE_S)
		warden->restart_ms = 0;
	log_error("responder-died %s=%d lived_s=%llu restart_in_ms=%u waiting=\"new connections wait in the "
		  "backlog\"",
		WIFSIGNALED(status) ? "signal" : "exit",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), (unsigned long long)lived_s,
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
	/* What was true no longer is, and would be shown of the stopped service. */
	sd_notify(0, "STOPPING=1\nSTATUS=");
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
	warden->on_restart = evtimer_new(base, warden_restart, warden);
	warden->on_impatient = evtimer_new(base, warden_impatient, warden);
	return warden->on_child && warden->on_terminate && warden->on_interrupt && warden->on_hangup &&
	       warden->on_channel && warden->on_restart && warden->on_impatient &&
	       event_add(warden->on_child, NULL) == 0 && event_add(warden->on_terminate, NULL) == 0 &&
	       event_add(warden->on_interrupt, NULL) == 0 && event_add(warden->on_hangup, NULL) == 0;
}

static void warden_disarm(struct warden *warden)
{
	struct err err;
	if (!warden_diverts(warden))
		return;
	if (!warden->options->disarm_on_exit && warden->conf->guard.on_stop == CONF_ON_STOP_KEEP) {
		log_info("stopped guard=\"stands: port 25 stays blocked\" remedy=\"mxmirage guard disarm "
			 "opens it\"");
		return;
	}
	if (keeper_disarm(&warden->keeper, &err) < 0)
		log_error("guard-not-disarmed %s", err.text);
	else
		log_info("stopped guard=\"taken down: port 25 is open again\"");
}

static void warden_done(struct warden *warden)
{
	struct event *events[] = {warden->on_child, warden->on_terminate, warden->on_interrupt,
		warden->on_hangup, warden->on_channel, warden->on_restart, warden->on_impatient};
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (events[i])
			event_free(events[i]);
	keeper_close(&warden->keeper);
	health_close(&warden->health);
	if (warden->base)
		event_base_free(warden->base);
	responder_process_ended(&warden->responder);
	responder_sockets_close(&warden->sockets);
	counts_close(&warden->counts);
	conf_unref(warden->conf);
	bundle_done(&warden->bundle);
}

/* Listeners first, then rules: a diverted connection always finds its port open. */
static int warden_begin(struct warden *warden, struct err *err)
{
	struct notes notes;
	int code = warden_read_conf(warden, &warden->bundle, &warden->conf, &notes, err);
	if (code == 0)
		code = counts_open(&warden->counts, warden->conf, err);
	if (code < 0)
		return code;
	stats_kernel_last(&warden->counts.stats, &warden->kernel);
	warden->kernel.armed = warden->kernel.owner = warden->kernel.persist = warden->kernel.walled = false;
	warden->kernel.diverting = !warden->options->no_divert;
	warden->kernel.escape_queue = RULESET_BY_COUNTERS;
	warden->kernel.escape_log = false;
	code = responder_sockets_open(&warden->sockets, warden->conf, err);
	if (code < 0)
		return code;
	if (!warden_events(warden))
		return err_set(err, -ENOMEM, "warden: out of memory or descriptors");
	code = health_open(&warden->health, warden->base, &warden->responder, err);
	if (code < 0)
		return code;
	if (warden->options->no_divert) {
		warden_read_kernel(warden);
		return 0;
	}
	code = keeper_open(
		&warden->keeper, warden->base, warden->conf, &warden->counts.stats, &warden->kernel, err);
	/* The kernel's EINVAL is no mistake in the configuration: who supervises us is to try again. */
	return code == -EINVAL ? -EPROTO : code;
}

int warden_run(const struct warden_options *options)
{
	struct warden warden = {
		.options = options,
		.counts = {.fd = -1},
		.started_ms = clock_ms(),
		.responder = {.channel = -1},
	};
	struct err err = {""};
	signal(SIGPIPE, SIG_IGN);
	/* Also where nothing is diverted: asked for, it is closed to the responder. */
	keeper_inherited_socket();
	privilege_precede();
	int code = privilege_confine(&err);
	if (code == 0)
		code = warden_begin(&warden, &err);
	if (code < 0) {
		log_error("%s", err.text);
		warden_done(&warden);
		/* Who supervises us starts us again at once, as it should after a crash; this would fail again. */
		if (getenv("NOTIFY_SOCKET"))
			sleep(FAILED_START_S);
		return exit_code_of(code);
	}
	warden_start_responder(&warden);
	event_base_dispatch(warden.base);
	warden_disarm(&warden);
	warden_done(&warden);
	return EXIT_CODE_OK;
}
