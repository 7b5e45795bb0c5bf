#include "worker.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "session.h"

/* Accepted per wake-up of a listener, so that a flood of connections does not starve the sessions. */
#define ACCEPTS_MAX  64
#define LOG_AGAIN_MS 60000

struct worker {
	unsigned index;
	struct session_shared shared;
	uint64_t connections_max;
	struct stats stats;
	unsigned processes;
	struct resolver *resolver;
	const struct origdst_finder *finders;
	struct event **accepting;
	size_t listener_count;
	struct event *warm;
	struct event *resume; /* after a back-off of accept() */
	struct event *poked;
	int poke; /* eventfd: something for the thread to look at */
	_Atomic(const struct policy *) new_policy;
	atomic_bool stopping, resetting;
	pthread_t thread;
	uint64_t quiet_until_ms; /* of accept(): until then no further line is logged */
};

static const struct timeval warm_interval = {10, 0};
static const struct timeval backoff = {0, 100 * 1000};

/*
 * Without descriptors or memory accept() fails again at once and the listener stays readable: pausing
 * keeps the loop from spinning, and connections wait in the backlog.
 */
static void worker_back_off(struct worker *worker, int code)
{
	stats_add(worker->shared.block, STATS_ACCEPT_BACKOFFS, 1);
	for (size_t i = 0; i < worker->listener_count; i++)
		event_del(worker->accepting[i]);
	event_add(worker->resume, &backoff);
	uint64_t now_ms = clock_ms();
	if (worker->quiet_until_ms > now_ms)
		return;
	worker->quiet_until_ms = now_ms + LOG_AGAIN_MS;
	log_warning("accept-paused worker=%u reason=\"%s\" remedy=\"raise the limit of open files "
		    "(LimitNOFILE=, ulimit -n), or listen.processes\"",
		worker->index, strerror(code));
}

static void worker_resume(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct worker *worker = arg;
	bool all = true;
	for (size_t i = 0; i < worker->listener_count; i++)
		all &= event_add(worker->accepting[i], NULL) == 0;
	/* One that the kernel does not watch for now must not stay deaf. */
	if (!all)
		event_add(worker->resume, &backoff);
}

/*
 * The last descriptors are for others: the control socket, which says what is wrong, and DNS. The workers read each
 * other's counts and share nothing that they write: between two of them some connections too many may come.
 */
static bool worker_is_full(const struct worker *worker)
{
	if (!worker->connections_max)
		return false;
	uint64_t open = 0;
	for (uint32_t i = worker->index % worker->processes; i < worker->stats.layout.blocks;
		i += worker->processes)
		open += stats_open(stats_block(&worker->stats, i));
	return open >= worker->connections_max;
}

static void worker_accept(evutil_socket_t listener, short what, void *arg)
{
	(void)what;
	struct worker *worker = arg;
	for (int i = 0; i < ACCEPTS_MAX; i++) {
		if (worker_is_full(worker)) {
			worker_back_off(worker, EMFILE);
			return;
		}
		struct session_peer peer = {0};
		socklen_t len = sizeof(peer.source);
		int fd = accept4(
			listener, (struct sockaddr *)&peer.source, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
			worker_back_off(worker, errno);
			return;
		}
		if (fd < 0 && errno == EAGAIN)
			return;
		/* accept(2): errors of the new connection itself (ECONNABORTED and more) concern it alone. */
		if (fd < 0)
			continue;
		peer.result = origdst_find(
			worker->finders, fd, (const struct sockaddr *)&peer.source, &peer.destination);
		if (session_open(&worker->shared, fd, &peer) < 0) {
			worker_back_off(worker, ENOMEM);
			return;
		}
	}
}

static void worker_poked(evutil_socket_t fd, short what, void *arg)
{
	(void)what;
	struct worker *worker = arg;
	uint64_t count;
	if (read(fd, &count, sizeof(count)) < 0)
		return;
	const struct policy *policy = atomic_exchange(&worker->new_policy, NULL);
	if (policy) {
		policy_unref(worker->shared.policy);
		worker->shared.policy = policy;
	}
	if (atomic_exchange(&worker->resetting, false))
		stats_block_reset(worker->shared.block);
	if (atomic_load(&worker->stopping))
		event_base_loopbreak(worker->shared.base);
}

static void worker_poke(struct worker *worker)
{
	uint64_t one = 1;
	if (write(worker->poke, &one, sizeof(one)) < 0)
		log_error("worker=%u cannot be woken: %s", worker->index, strerror(errno));
}

static void warm_answered(void *arg, struct resolver_entry *entry)
{
	(void)arg;
	(void)entry;
}

/*
 * Asks after the providers' own domains whenever DNS's answers have expired: so the destination of a new
 * connection is known for what it is before the first recipient is named.
 */
static void worker_warm(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct worker *worker = arg;
	const struct provider_set *set = worker->shared.policy->providers;
	for (size_t i = 0; set && i < provider_count(set); i++) {
		const struct provider *provider = provider_at(set, i);
		for (size_t j = 0; !provider->by_domain_alone && j < provider->domain_count; j++) {
			struct span domain = span_of(provider->domains[j]);
			if (!resolver_cached(worker->resolver, domain))
				resolver_ask(worker->resolver, domain, warm_answered, NULL);
		}
	}
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;
	event_base_dispatch(worker->shared.base);
	return NULL;
}

static void worker_free(struct worker *worker)
{
	for (size_t i = 0; worker->accepting && i < worker->listener_count; i++) {
		if (!worker->accepting[i])
			continue;
		int listener = event_get_fd(worker->accepting[i]);
		event_free(worker->accepting[i]);
		close(listener);
	}
	free(worker->accepting);
	if (worker->warm)
		event_free(worker->warm);
	if (worker->resume)
		event_free(worker->resume);
	if (worker->poked)
		event_free(worker->poked);
	if (worker->poke >= 0)
		close(worker->poke);
	if (worker->shared.read_buffer)
		session_shared_done(&worker->shared);
	if (worker->resolver)
		resolver_free(worker->resolver);
	if (worker->shared.base)
		event_base_free(worker->shared.base);
	policy_unref(atomic_load(&worker->new_policy));
	free(worker);
}

/* Everything but the thread. *owned: the listeners that an event closes. */
static int worker_init(
	struct worker *worker, const struct worker_setup *setup, size_t *owned, struct err *err)
{
	struct event_base *base = event_base_new();
	worker->shared.base = base;
	worker->accepting = calloc(setup->listener_count, sizeof(struct event *));
	worker->poke = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (!base || !worker->accepting || worker->poke < 0)
		goto starved;
	worker->listener_count = setup->listener_count;
	if (setup->resolve) {
		struct resolver_setup resolver = resolver_defaults;
		resolver.base = base;
		resolver.servers = setup->dns_servers;
		resolver.block = setup->block;
		worker->resolver = resolver_new(&resolver, err);
		if (!worker->resolver)
			return -EINVAL;
	}
	if (session_shared_init(&worker->shared, base, setup->block, setup->policy, setup->state,
		    worker->resolver, err) < 0) {
		worker->shared.read_buffer = NULL;
		return -ENOMEM;
	}
	for (; *owned < setup->listener_count; ++*owned) {
		worker->accepting[*owned] = event_new(
			base, setup->listeners[*owned], EV_READ | EV_PERSIST, worker_accept, worker);
		if (!worker->accepting[*owned])
			goto starved;
	}
	for (size_t i = 0; i < *owned; i++)
		if (event_add(worker->accepting[i], NULL) < 0)
			goto starved;
	if (setup->warm && worker->resolver) {
		worker->warm = event_new(base, -1, EV_PERSIST, worker_warm, worker);
		if (!worker->warm || event_add(worker->warm, &warm_interval) < 0)
			goto starved;
		event_active(worker->warm, EV_TIMEOUT, 0);
	}
	worker->resume = evtimer_new(base, worker_resume, worker);
	worker->poked = event_new(base, worker->poke, EV_READ | EV_PERSIST, worker_poked, worker);
	if (worker->resume && worker->poked && event_add(worker->poked, NULL) == 0)
		return 0;
starved:
	return err_set(err, -ENOMEM, "worker %u: out of memory or descriptors", setup->index);
}

struct worker *worker_start(const struct worker_setup *setup, struct err *err)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	size_t owned = 0;
	if (!worker) {
		err_set(err, -ENOMEM, "worker %u: out of memory", setup->index);
		goto fail;
	}
	worker->poke = -1;
	worker->index = setup->index;
	worker->finders = setup->finders;
	worker->connections_max = setup->connections_max;
	if (setup->connections_max) {
		worker->stats = *setup->stats;
		worker->processes = setup->processes;
	}
	if (worker_init(worker, setup, &owned, err) < 0)
		goto fail;
	stats_block_begin(setup->block);

	/* Signals are for the thread that made the worker. */
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int code = pthread_create(&worker->thread, NULL, worker_main, worker);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (code == 0)
		return worker;
	err_set(err, -code, "worker %u: no thread: %s", setup->index, strerror(code));
fail:
	for (; owned < setup->listener_count; owned++)
		close(setup->listeners[owned]);
	if (worker)
		worker_free(worker);
	return NULL;
}

void worker_set_policy(struct worker *worker, const struct policy *policy)
{
	policy_unref(atomic_exchange(&worker->new_policy, policy_ref(policy)));
	worker_poke(worker);
}

void worker_reset(struct worker *worker)
{
	atomic_store(&worker->resetting, true);
	worker_poke(worker);
}

void worker_stop(struct worker *worker)
{
	if (!worker)
		return;
	atomic_store(&worker->stopping, true);
	worker_poke(worker);
	pthread_join(worker->thread, NULL);
	worker_free(worker);
}
