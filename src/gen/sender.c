#include "sender_connection.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define TICK_NS  UINT64_C(100000000)
#define DRAIN_NS UINT64_C(60000000000) /* for what is under way at the end: as long as for the end of data */
/* At the same time: more would overflow the target's backlog, and wait until their SYNs are repeated. */
#define CONNECTING_MAX 256
/* Of the throttle: those that wait begin together. A timer for each message would cost several times the message. */
#define TURN_NS UINT64_C(2000000)

static void read_clock(struct sender *sender)
{
	time_t now = time(NULL);
	sender->now_ns = campaign_clock();
	sender->measuring = sender->now_ns >=
			    atomic_load_explicit(&sender->campaign->measure_from_ns, memory_order_relaxed);
	if (now == sender->date_of)
		return;
	sender->date_of = now;
	sender->date = mail_date_of(now);
}

void sender_check_end(struct sender *sender)
{
	if (tally_get(&sender->tally, TALLY_CLIENTS) == 0)
		event_base_loopbreak(sender->base);
}

void sender_open_fresh(struct sender *sender)
{
	size_t limit = atomic_load(&sender->campaign->started) ? sender->count : sender->setup.idle;
	while (!sender->draining && sender->connecting < CONNECTING_MAX && sender->fresh < limit)
		connection_open(&sender->connections[sender->fresh++]);
}

static void wait_for_turn(struct sender *sender, uint64_t wait_ns)
{
	if (wait_ns < TURN_NS)
		wait_ns = TURN_NS;
	const struct timeval wait = {
		(time_t)(wait_ns / 1000000000), (suseconds_t)(wait_ns % 1000000000 / 1000 + 1)};
	event_add(sender->turn, &wait);
}

bool sender_may_begin(struct sender *sender, struct connection *connection)
{
	uint64_t wait_ns = sender->queue ? 1 : throttle_take(&sender->throttle, 1, campaign_clock());
	if (wait_ns == 0)
		return true;
	connection->state = CONNECTION_THROTTLED;
	connection->next = NULL;
	bool first = !sender->queue;
	*sender->queue_end = connection;
	sender->queue_end = &connection->next;
	if (first)
		wait_for_turn(sender, wait_ns);
	return false;
}

/* Those that left the queue some other way are passed over: they are in another state. */
static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct sender *sender = arg;
	while (sender->queue) {
		struct connection *first = sender->queue;
		uint64_t wait_ns = first->state == CONNECTION_THROTTLED
					   ? throttle_take(&sender->throttle, 1, campaign_clock())
					   : 0;
		if (wait_ns) {
			wait_for_turn(sender, wait_ns);
			return;
		}
		sender->queue = first->next;
		if (!sender->queue)
			sender->queue_end = &sender->queue;
		if (first->state == CONNECTION_THROTTLED)
			connection_go(first);
	}
}

static void drain(struct sender *sender)
{
	sender->draining = true;
	sender->drain_until_ns = sender->now_ns + DRAIN_NS;
	sender->queue = NULL;
	sender->queue_end = &sender->queue;
	for (size_t i = 0; i < sender->count; i++)
		connection_drain(&sender->connections[i]);
}

static void look_around(struct sender *sender)
{
	read_clock(sender);
	if (atomic_load(&sender->campaign->stopping) && !sender->draining)
		drain(sender);
	bool abort = atomic_load(&sender->campaign->aborting) ||
		     (sender->draining && sender->now_ns > sender->drain_until_ns);
	for (size_t i = 0; i < sender->count; i++) {
		struct connection *connection = &sender->connections[i];
		if (abort)
			connection_abort(connection);
		else if (connection->deadline_ns && sender->now_ns > connection->deadline_ns)
			connection_expire(connection);
	}
	sender_open_fresh(sender);
	sender_check_end(sender);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	look_around(arg);
}

static void on_poke(evutil_socket_t fd, short what, void *arg)
{
	(void)what;
	uint64_t count;
	if (read(fd, &count, sizeof(count)) > 0)
		look_around(arg);
}

static void *sender_main(void *arg)
{
	struct sender *sender = arg;
	look_around(sender);
	event_base_dispatch(sender->base);
	for (size_t i = 0; i < sender->count; i++)
		connection_abort(&sender->connections[i]);
	atomic_store(&sender->finished, true);
	gen_share_tell(&sender->setup);
	return NULL;
}

static struct event_base *make_base(bool throttled)
{
	struct event_config *config = event_config_new();
	struct event_base *base = NULL;
	/* The throttle's turns are fractions of a millisecond apart; else it would cost a call more a turn. */
	int precise = throttled ? EVENT_BASE_FLAG_PRECISE_TIMER : 0;
	if (config && event_config_set_flag(config, precise) == 0 &&
		event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) == 0 &&
		event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_EARLY_CLOSE) == 0)
		base = event_base_new_with_config(config);
	if (config)
		event_config_free(config);
	return base;
}

static int sender_init(struct sender *sender, struct err *err)
{
	const struct timeval tick = {0, TICK_NS / 1000};
	sender->base = make_base(sender->setup.per_second > 0);
	sender->poke = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	sender->read_buffer = malloc(SENDER_READ_SIZE);
	sender->connections = calloc(sender->count, sizeof(struct connection));
	if (!sender->base || sender->poke < 0 || !sender->read_buffer || !sender->connections)
		goto fail;
	sender->tick = event_new(sender->base, -1, EV_PERSIST, on_tick, sender);
	sender->poked = event_new(sender->base, sender->poke, EV_READ | EV_PERSIST, on_poke, sender);
	sender->turn = event_new(sender->base, -1, 0, on_turn, sender);
	if (!sender->tick || !sender->poked || !sender->turn || event_add(sender->tick, &tick) < 0 ||
		event_add(sender->poked, NULL) < 0)
		goto fail;
	for (size_t i = 0; i < sender->count; i++) {
		sender->connections[i].sender = sender;
		sender->connections[i].stream.fd = -1;
		sender->connections[i].idle = i < sender->setup.idle;
	}
	return 0;
fail:
	return err_set(err, -ENOMEM, "out of memory or descriptors for thread %u", sender->setup.index);
}

static void sender_free(void *thread)
{
	struct sender *sender = thread;
	if (sender->tick)
		event_free(sender->tick);
	if (sender->poked)
		event_free(sender->poked);
	if (sender->turn)
		event_free(sender->turn);
	if (sender->base)
		event_base_free(sender->base);
	if (sender->poke >= 0)
		close(sender->poke);
	free(sender->read_buffer);
	free(sender->connections);
	free(sender);
}

static void *sender_start(const struct gen_share *share, struct err *err)
{
	struct sender *sender = calloc(1, sizeof(*sender));
	if (!sender) {
		err_set(err, -ENOMEM, "out of memory");
		return NULL;
	}
	sender->setup = *share;
	sender->campaign = share->campaign;
	sender->poke = -1;
	sender->count = share->idle + share->connections;
	sender->queue_end = &sender->queue;
	sender->next_source = share->index;
	throttle_init(&sender->throttle, share->per_second);
	tally_add(&sender->tally, TALLY_CLIENTS, share->connections);
	if (sender_init(sender, err) < 0)
		goto fail;

	/* Signals are for the thread that waits for them. */
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int code = pthread_create(&sender->thread, NULL, sender_main, sender);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (code == 0)
		return sender;
	err_set(err, -code, "no thread: %s", strerror(code));
fail:
	sender_free(sender);
	return NULL;
}

static void sender_poke(void *thread)
{
	const uint64_t one = 1;
	(void)!write(((struct sender *)thread)->poke, &one, sizeof(one));
}

static const struct tally *sender_tally(const void *thread)
{
	return &((const struct sender *)thread)->tally;
}

static bool sender_is_finished(const void *thread)
{
	return atomic_load(&((const struct sender *)thread)->finished);
}

static void sender_join(void *thread)
{
	pthread_join(((struct sender *)thread)->thread, NULL);
}

const struct gen_driver sender_driver = {
	.start = sender_start,
	.poke = sender_poke,
	.tally = sender_tally,
	.is_finished = sender_is_finished,
	.join = sender_join,
	.free = sender_free,
};
