#include "responder.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin.h"
#include "bundle.h"
#include "control.h"
#include "counts.h"
#include "exit_code.h"
#include "injection.h"
#include "log.h"
#include "policy.h"
#include "shared.h"
#include "siblings.h"
#include "worker.h"

#define FILES_BESIDE      40 /* channels, counts, control socket and those who ask it */
#define FILES_OF_A_WORKER 6  /* event loop, wake-up, DNS */

struct responder {
	int channel;     /* to the warden; in a sibling to the first of them */
	unsigned number; /* among the siblings; 0 is the first */
	unsigned processes;
	struct siblings siblings;
	struct control_message reloaded; /* what the user is told once all have the new configuration */
	struct event_base *base;
	struct event *channel_ready, *terminate;
	struct counts counts;
	struct bundle bundle; /* files that have come, until CONTROL_CONFIG */
	const struct policy *policy;
	uint64_t policies;          /* made so far */
	struct policy_state *state; /* the siblings' too */
	struct worker *workers[CONF_WORKERS_MAX];
	unsigned worker_count;
	struct admin *admin;
	struct resolver *resolver; /* of explain */
	int admin_listener;
	bool failed;
};

static void say(struct responder *responder, enum control_type type)
{
	struct err err;
	if (control_say(responder->channel, type, 0, "", &err) < 0)
		log_error("%s", err.text);
}

static void ask_refresh(void *arg)
{
	say(arg, CONTROL_REFRESH);
}

static void ask_reload(void *arg)
{
	say(arg, CONTROL_RELOAD);
}

/* One file of the configuration, as text in a descriptor. */
static int take_file(struct responder *responder, const struct control_message *message, struct err *err)
{
	struct stat st;
	int fd = message->fds[0];
	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "configuration: %s", strerror(errno));
	char *text = malloc((size_t)st.st_size + 1);
	int code = -EIO;
	if (text && pread(fd, text, (size_t)st.st_size, 0) == st.st_size && message->value < BUNDLE_ROLES)
		code = bundle_put(&responder->bundle, (enum bundle_role)message->value, message->text, text,
			(size_t)st.st_size, err);
	else
		err_set(err, code, "configuration: cannot be read from the warden");
	free(text);
	return code;
}

/* All files are here: the policy of them. */
static int take_config(struct responder *responder, struct err *err)
{
	struct conf *conf = bundle_conf(&responder->bundle, err);
	if (!conf)
		return -EINVAL;
	struct policy *policy =
		bundle_policy(&responder->bundle, conf, ++responder->policies, NULL, NULL, err);
	conf_unref(conf);
	bundle_done(&responder->bundle);
	if (!policy)
		return -EINVAL;
	policy_unref(responder->policy);
	responder->policy = policy;
	for (unsigned i = 0; i < responder->worker_count; i++)
		worker_set_policy(responder->workers[i], policy);
	if (responder->admin)
		admin_set_policy(responder->admin, policy);
	return 0;
}

/* What is left for connections beside the listeners, DNS and the control socket. */
static uint64_t connections_max(const struct responder *responder, size_t listeners)
{
	const struct conf *conf = responder->policy->conf;
	unsigned workers = (conf->listen.workers + responder->processes - 1) / responder->processes;
	uint64_t beside = FILES_BESIDE + workers * (listeners + FILES_OF_A_WORKER);
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 0;
	return limit.rlim_cur > 2 * beside ? limit.rlim_cur - beside : limit.rlim_cur / 2;
}

static int start_worker(struct responder *responder, struct control_message *message, struct err *err)
{
	unsigned index = (unsigned)message->value;
	unsigned process = index % responder->processes;
	if (process != responder->number)
		return siblings_send(&responder->siblings, process, message, err);
	const struct worker_setup setup = {
		.index = index,
		.listeners = message->fds,
		.listener_count = message->fd_count,
		.policy = responder->policy,
		.finders = origdst_finders,
		.block = stats_block(&responder->counts.stats, index),
		.connections_max = connections_max(responder, message->fd_count),
		.stats = &responder->counts.stats,
		.processes = responder->processes,
		.state = responder->state,
		.dns_servers = responder->policy->conf->dns.servers,
		.resolve = true,
		.warm = message->code != 0,
	};
	message->fd_count = 0;
	struct worker *worker = worker_start(&setup, err);
	if (!worker)
		return -ENOMEM;
	responder->workers[responder->worker_count++] = worker;
	return 0;
}

static void reset_workers(struct responder *responder)
{
	for (unsigned i = 0; i < responder->worker_count; i++)
		worker_reset(responder->workers[i]);
}

static void reset(void *arg)
{
	struct responder *responder = arg;
	struct err err;
	const struct control_message message = {.type = CONTROL_RESET};
	reset_workers(responder);
	if (siblings_send_all(&responder->siblings, &message, &err) < 0)
		log_error("%s", err.text);
	say(responder, CONTROL_RESET);
	injections_reset(responder->state->injections);
	limit_table_reset(responder->state->limits);
	int code = attempt_table_reset(responder->state->attempts);
	if (code < 0)
		log_error("reset: what was tried before is not forgotten: %s", strerror(-code));
}

static int start_admin(struct responder *responder, uint64_t started_ms, struct err *err)
{
	struct resolver_setup resolver = resolver_defaults;
	resolver.base = responder->base;
	resolver.servers = responder->policy->conf->dns.servers;
	responder->resolver = resolver_new(&resolver, err);
	if (!responder->resolver)
		return -ENOMEM;
	const struct admin_setup setup = {
		.base = responder->base,
		.listener = responder->admin_listener,
		.stats = &responder->counts.stats,
		.refresh = ask_refresh,
		.reload = ask_reload,
		.arg = responder,
		.started_ms = started_ms,
		.reset = reset,
		.state = responder->state,
		.resolver = responder->resolver,
	};
	responder->admin = admin_new(&setup, err);
	if (!responder->admin)
		return -ENOMEM;
	admin_set_policy(responder->admin, responder->policy);
	return 0;
}

/* All processes have said it. */
static void siblings_said(void *arg, enum control_type type)
{
	struct responder *responder = arg;
	if (type == CONTROL_RELOADED && responder->admin)
		admin_reloaded(responder->admin, responder->reloaded.code, responder->reloaded.text);
	else
		say(responder, type);
}

static int handle(struct responder *responder, struct control_message *message, struct err *err)
{
	int code = 0, fd;
	switch (message->type) {
	case CONTROL_COUNTS:
		code = siblings_send_all(&responder->siblings, message, err);
		fd = message->fds[0];
		message->fd_count = 0;
		return code < 0 ? code : counts_adopt(&responder->counts, fd, err);
	case CONTROL_FILE:
		code = siblings_send_all(&responder->siblings, message, err);
		return code < 0 ? code : take_file(responder, message, err);
	case CONTROL_CONFIG:
		code = siblings_send_all(&responder->siblings, message, err);
		return code < 0 ? code : take_config(responder, err);
	case CONTROL_ADMIN:
		responder->admin_listener = message->fds[0];
		message->fd_count = 0;
		return 0;
	case CONTROL_WORKER:
		return start_worker(responder, message, err);
	case CONTROL_START:
		if (responder->number == 0)
			code = start_admin(responder, message->value, err);
		return code < 0 ? code : siblings_ask_all(&responder->siblings, message, CONTROL_READY, err);
	case CONTROL_REFRESHED:
		if (responder->admin)
			admin_refreshed(responder->admin);
		return 0;
	case CONTROL_RELOADED:
		responder->reloaded = *message;
		return siblings_ask_all(&responder->siblings, message, CONTROL_RELOADED, err);
	case CONTROL_PING:
		return siblings_ask_all(&responder->siblings, message, CONTROL_PONG, err);
	case CONTROL_RESET:
		reset_workers(responder);
		return 0;
	case CONTROL_READY:
	case CONTROL_PONG:
	case CONTROL_REFRESH:
	case CONTROL_RELOAD:
		code = err_set(err, -EPROTO, "channel: message %d is not for the responder", message->type);
		break;
	}
	return code;
}

static void channel_ready(evutil_socket_t fd, short what, void *arg)
{
	(void)what;
	struct responder *responder = arg;
	struct control_message message;
	struct err err;
	int got = control_receive(fd, &message, &err);
	if (got == 0) {
		/* The warden is gone, and with it what supervises this process. */
		event_base_loopbreak(responder->base);
		return;
	}
	int code = got < 0 ? got : handle(responder, &message, &err);
	for (size_t i = 0; got > 0 && i < message.fd_count; i++)
		close(message.fds[i]);
	if (code == -EAGAIN)
		return;
	if (code < 0) {
		log_error("responder: %s", err.text);
		responder->failed = true;
		event_base_loopbreak(responder->base);
	}
}

static void terminate(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct responder *responder = arg;
	event_base_loopbreak(responder->base);
}

static void sibling_ended(void *arg, const struct err *err)
{
	struct responder *responder = arg;
	log_error("responder: %s; its siblings end with it, and all are started again", err->text);
	responder->failed = true;
	event_base_loopbreak(responder->base);
}

/* The loop of this process. Returns an exit code. */
static int responder_serve(struct responder *responder)
{
	struct err err = {""};
	responder->base = event_base_new();
	if (!responder->base)
		return EXIT_CODE_SOFTWARE;
	responder->channel_ready = event_new(
		responder->base, responder->channel, EV_READ | EV_PERSIST, channel_ready, responder);
	responder->terminate = evsignal_new(responder->base, SIGTERM, terminate, responder);
	if (!responder->channel_ready || !responder->terminate ||
		event_add(responder->channel_ready, NULL) < 0 || event_add(responder->terminate, NULL) < 0)
		return EXIT_CODE_SOFTWARE;
	if (siblings_watch(&responder->siblings, responder->base, siblings_said, sibling_ended, responder,
		    &err) < 0) {
		log_error("%s", err.text);
		return EXIT_CODE_SOFTWARE;
	}
	event_base_dispatch(responder->base);
	return responder->failed ? EXIT_CODE_SOFTWARE : EXIT_CODE_OK;
}

static void responder_done(struct responder *responder)
{
	siblings_end(&responder->siblings);
	for (unsigned i = 0; i < responder->worker_count; i++)
		worker_stop(responder->workers[i]);
	admin_free(responder->admin);
	if (responder->resolver)
		resolver_free(responder->resolver);
	policy_unref(responder->policy);
	policy_state_done(responder->state);
	shared_free(responder->state, 1, sizeof(*responder->state));
	bundle_done(&responder->bundle);
	counts_close(&responder->counts);
	if (responder->channel_ready)
		event_free(responder->channel_ready);
	if (responder->terminate)
		event_free(responder->terminate);
	if (responder->base)
		event_base_free(responder->base);
	libevent_global_shutdown();
}

int responder_run(int channel, unsigned processes)
{
	struct responder responder = {.channel = channel, .processes = processes, .counts = {.fd = -1}};
	struct err err;
	signal(SIGPIPE, SIG_IGN);
	/* Ctrl-C goes to the whole group: the warden ends this process in order. */
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	prctl(PR_SET_NAME, "mx-responder");
	responder.state = shared_new(1, sizeof(*responder.state));
	int code = responder.state ? policy_state_init(responder.state, &err)
				   : err_set(&err, -ENOMEM, "out of memory");
	if (code == 0)
		code = siblings_fork(&responder.siblings, processes, &responder.channel, &err);
	if (code < 0) {
		log_error("responder: %s", err.text);
		return EXIT_CODE_SOFTWARE;
	}
	responder.number = (unsigned)code;
	code = responder_serve(&responder);
	responder_done(&responder);
	return code;
}
