#include "session_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "mapped.h"
#include "resolver.h"

const struct session_limits session_limits = {
	.idle = 300,
	.command = 300,
	.data = 1800,
	.unread = 120,
	.linger = 3,
	.hang = 900,
};

/* Copying into a buffer that begins a page is 10 % cheaper than into what malloc() gives. */
#define PAGE             4096
#define READ_BUFFER_SIZE (SESSION_HELD_MAX + SESSION_READ_BUFFER)

/* Reads per wake-up: enough to drain a fast sender, few enough that others are served. */
#define READS_MAX 8

static void session_ready(evutil_socket_t fd, short what, void *arg);

/* Of the monotonic clock: the time of day may be set while a session waits. */
static uint32_t now(void)
{
	return (uint32_t)(clock_ms() / 1000);
}

static void session_close(struct session *session)
{
	session_count_cut(session);
	stats_add(session->shared->block, STATS_CONNECTIONS_CLOSED, 1);
	event_del(&session->event);
	close(event_get_fd(&session->event));
	LIST_REMOVE(session, link);
	session_transaction_end(session);
	policy_session_done(&session->policy, clock_ms());
	policy_unref(session->policy.policy);
	free((char *)session->policy.mx_name);
	free(session->held);
	free(session->unsent);
	free(session);
}

/*
 * Waits for `what` from here on. Where the kernel watches nothing more, or there is no memory for it, the time is over
 * at once: nobody would ever hear of the client again.
 */
static void session_wait(struct session *session, short what, const struct timeval *timeout)
{
	evutil_socket_t fd = event_get_fd(&session->event);
	event_del(&session->event);
	event_assign(&session->event, session->shared->base, fd, what | EV_PERSIST, session_ready, session);
	if (event_add(&session->event, timeout) < 0)
		event_active(&session->event, EV_TIMEOUT, 0);
}

/* A copy of bytes, NULL for none. False when out of memory. */
static bool bytes_copy(struct session_bytes **copy, struct span bytes)
{
	*copy = NULL;
	if (bytes.len == 0)
		return true;
	*copy = malloc(sizeof(**copy) + bytes.len);
	if (!*copy)
		return false;
	(*copy)->len = (uint32_t)bytes.len;
	memcpy((*copy)->data, bytes.data, bytes.len);
	return true;
}

static size_t held_len(const struct session *session)
{
	return session->held ? session->held->len : 0;
}

/* Keeps in for later. `in` may lie in the old held. False when out of memory. */
static bool session_hold(struct session *session, struct span in)
{
	struct session_bytes *old = session->held;
	if (!bytes_copy(&session->held, in)) {
		session->held = old;
		return false;
	}
	free(old);
	return true;
}

enum flushed {
	FLUSHED,
	FLUSH_BLOCKED, /* the rest is kept in unsent */
	FLUSH_FAILED,
};

/* `ends`: stream_end() follows. */
static enum flushed session_put(struct session *session, struct smtp_out *out, bool ends)
{
	size_t sent = 0;
	while (sent < out->len) {
		ssize_t n = stream_send(session, out->data + sent, out->len - sent, ends);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return FLUSH_FAILED;
		if (n < 0)
			break;
		sent += (size_t)n;
	}
	size_t left = out->len - sent;
	if (left > 0 && !bytes_copy(&session->unsent, (struct span){out->data + sent, left}))
		return FLUSH_FAILED;
	out->len = 0;
	return left > 0 ? FLUSH_BLOCKED : FLUSHED;
}

static enum flushed session_flush(struct session *session, struct smtp_out *out)
{
	return session_put(session, out, false);
}

static bool session_parts_slowly(const struct session *session)
{
	const struct provider *provider = session->policy.provider;
	return provider && provider->slow_close_s;
}

/*
 * Closes after the replies are out. Closing while input waits unread would reset the connection and
 * take the last reply with it: so a close for cause lingers until the client has closed, too.
 */
static void session_finish(struct session *session, bool for_cause)
{
	if (!for_cause && session_parts_slowly(session)) {
		const struct timeval wait = {session->policy.provider->slow_close_s, 0};
		session->state = SESSION_PARTING;
		session->phase_since = now();
		session_wait(session, EV_READ, &wait);
		return;
	}
	stream_end(session);
	if (!for_cause) {
		session_close(session);
		return;
	}
	session->state = SESSION_LINGERING;
	session->phase_since = now();
	session_wait(session, EV_READ, session->shared->linger);
}

/* Ends what was decided to end, once what was said before is out. */
static void session_end(struct session *session, enum session_decided decided)
{
	const struct linger reset = {1, 0};
	switch (decided) {
	case SESSION_RESETS:
		setsockopt(event_get_fd(&session->event), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		session_close(session);
		break;
	case SESSION_HANGS:
		session->state = SESSION_HANGING;
		session->phase_since = now();
		session_wait(session, EV_READ, session->shared->hang);
		break;
	case SESSION_GOES_ON:
	case SESSION_WAITS:
	case SESSION_DELAYS:
	case SESSION_CUTS:
		session_close(session);
		break;
	}
}

/* Sets the reply aside that is to wait, at the end of out. False when out of memory. */
static bool session_delay(
	struct session *session, const struct session_decision *decision, struct smtp_out *out)
{
	size_t len = out->len - decision->reply_at;
	if (!bytes_copy(&session->unsent, (struct span){out->data + decision->reply_at, len}))
		return false;
	out->len = decision->reply_at;
	return true;
}

/*
 * A decision that stops the feeding: what was said before it goes out, the rest of the input waits. What the
 * client does not read of that is dropped where the connection ends anyway.
 */
static void session_stop(struct session *session, const struct session_decision *decision, struct span in,
	struct smtp_out *out)
{
	struct session_bytes *delayed = NULL;
	bool kept = session_hold(session, in);
	if (kept && decision->decided == SESSION_DELAYS) {
		kept = session_delay(session, decision, out);
		delayed = session->unsent;
		session->unsent = NULL;
	}
	enum flushed flushed = kept ? session_flush(session, out) : FLUSH_FAILED;
	if (flushed == FLUSH_FAILED || (flushed == FLUSH_BLOCKED && decision->decided != SESSION_WAITS)) {
		free(delayed);
		session_close(session);
		return;
	}
	if (decision->decided == SESSION_WAITS) {
		/* The answer may take seconds: nothing is read until then. */
		event_del(&session->event);
		return;
	}
	if (decision->decided != SESSION_DELAYS) {
		session_end(session, decision->decided);
		return;
	}
	session->unsent = delayed;
	session->state = SESSION_DELAYED;
	const struct timeval wait = {decision->delay_ms / 1000, decision->delay_ms % 1000 * 1000};
	session_wait(session, 0, &wait);
}

/* Reads nothing until the client has read what it was told. */
static void session_block(struct session *session)
{
	session->state = SESSION_BLOCKED;
	session_wait(session, EV_WRITE, session->shared->unread);
}

/*
 * Feeds the engine. Returns false when the session was closed or must not read on for now. Otherwise, where the
 * caller reads on, replies may be left in out, to go with those to what it reads: a write is dear.
 */
static bool session_feed(struct session *session, struct span in, struct smtp_out *out, bool reads_on)
{
	for (;;) {
		size_t used;
		enum smtp_want want = smtp_step(&session->smtp, in, &used, out);
		in = span_from(in, used);
		if (want == SMTP_WANT_DECISION) {
			struct session_decision decision = session_decide(session, out);
			if (decision.decided == SESSION_GOES_ON)
				continue;
			session_stop(session, &decision, in, out);
			return false;
		}
		if (want == SMTP_WANT_FORGET) {
			session_count_forgotten(session);
			policy_forget(&session->policy);
			session_transaction_end(session);
			continue;
		}

		/* Before the client hears of its end: what it saw is in the counts. */
		if (want == SMTP_WANT_CLOSE)
			session_count_cut(session);
		bool keeps = want == SMTP_WANT_INPUT && reads_on;
		bool ends = want == SMTP_WANT_CLOSE && !session_parts_slowly(session);
		enum flushed flushed = keeps ? FLUSHED : session_put(session, out, ends);
		if (flushed == FLUSH_FAILED) {
			session_close(session);
			return false;
		}
		if (want == SMTP_WANT_CLOSE && flushed == FLUSHED) {
			session_finish(session, !session->smtp.quit);
			return false;
		}
		if (want == SMTP_WANT_CLOSE) {
			session->state = SESSION_FINISHING;
			session_wait(session, EV_WRITE, session->shared->unread);
			return false;
		}
		if (want == SMTP_WANT_OUTPUT && flushed == FLUSHED)
			continue;

		/* SMTP_WANT_INPUT, or blocked: what is left waits. */
		if (!(in.len == 0 && !session->held) && !session_hold(session, in)) {
			session_close(session);
			return false;
		}
		if (flushed == FLUSH_BLOCKED) {
			session_block(session);
			return false;
		}
		return true;
	}
}

/* Feeds what lies in the read buffer. */
static void session_talk(struct session *session, size_t len)
{
	struct smtp_out out = {session->shared->out_buffer, 0, SESSION_OUT_BUFFER};
	session_feed(session, (struct span){session->shared->read_buffer, len}, &out, false);
}

void session_resume(struct session *session)
{
	if (session->unsent) {
		/* Blocked before it began to wait: goes on once that is out. */
		if (session->transaction)
			session->transaction->mx_known = false;
		session_block(session);
		return;
	}
	session->state = SESSION_TALKING;
	session_wait(session, EV_READ, session->shared->idle);
	/* The engine goes on where it stopped. */
	size_t len = held_len(session);
	if (len > 0)
		memcpy(session->shared->read_buffer, session->held->data, len);
	session_talk(session, len);
}

/* One command line or body may not take for ever, however steadily its bytes drip. */
static bool session_overdue(struct session *session)
{
	enum smtp_waiting waiting = smtp_waiting(&session->smtp);
	if (waiting == SMTP_WAITING_COMMAND && !session->held)
		return false;
	if (session->phase_since == 0)
		session->phase_since = now();
	return now() - session->phase_since >
	       (uint32_t)(waiting == SMTP_WAITING_DATA ? session_limits.data : session_limits.command);
}

static void session_time_out(struct session *session, const char *what)
{
	stats_add(session->shared->block, STATS_TIMEOUTS, 1);
	if (session->state != SESSION_TALKING) {
		session_close(session);
		return;
	}
	struct smtp_out out = {session->shared->out_buffer, 0, SESSION_OUT_BUFFER};
	smtp_abort("4.4.2", what, &out);
	if (session_flush(session, &out) == FLUSHED)
		session_finish(session, true);
	else
		session_close(session);
}

/* Octets a second that the provider reads; 0: as fast as they come. */
static uint64_t session_bandwidth(const struct session *session)
{
	const struct provider *provider = session->policy.provider;
	return provider ? provider->bandwidth : 0;
}

/* Where the provider reads slowly, rests for as long as what was read takes at its pace. */
static bool session_rest(struct session *session, size_t octets)
{
	uint64_t bandwidth = session_bandwidth(session);
	if (bandwidth == 0 || octets == 0)
		return false;
	uint64_t us = octets * UINT64_C(1000000) / bandwidth;
	const struct timeval wait = {(time_t)(us / 1000000), (suseconds_t)(us % 1000000)};
	session->state = SESSION_PACED;
	session_wait(session, 0, &wait);
	return true;
}

/* How much to take at a time, where `unread` octets come next that nobody looks at. */
static size_t session_appetite(const struct session *session, uint64_t unread)
{
	if (unread > 0)
		return unread < SESSION_SKIP_MAX ? (size_t)unread : SESSION_SKIP_MAX;
	bool body = smtp_waiting(&session->smtp) == SMTP_WAITING_DATA;
	return body ? SESSION_READ_BUFFER : SESSION_READ_COMMAND;
}

static void session_read(struct session *session)
{
	struct session_shared *shared = session->shared;
	struct smtp_out out = {shared->out_buffer, 0, SESSION_OUT_BUFFER};
	size_t octets = 0;
	for (int i = 0; i < READS_MAX; i++) {
		/* An incomplete command comes first, so that the engine sees it whole. */
		size_t held = held_len(session);
		uint64_t unread = held > 0 ? 0 : smtp_unread(&session->smtp);
		size_t wanted = session_appetite(session, unread);
		ssize_t n = unread > 0 ? stream_discard(session, wanted)
				       : stream_receive(session, shared->read_buffer + held, wanted);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0) {
			session_flush(session, &out);
			session_close(session);
			return;
		}
		if (held > 0)
			memcpy(shared->read_buffer, session->held->data, held);
		if (unread > 0)
			smtp_skip(&session->smtp, (uint64_t)n);
		/* Less than asked for: there is no more. Behind a chunk the client waits for its reply, too. */
		bool reads_on = (size_t)n == wanted && (uint64_t)n != unread && i + 1 < READS_MAX;
		const struct span in = {shared->read_buffer, unread > 0 ? 0 : held + (size_t)n};
		if (!session_feed(session, in, &out, reads_on))
			return;
		/* A command that was completed ends its phase, whatever of the next one is here. */
		if (held_len(session) < held + (size_t)n &&
			smtp_waiting(&session->smtp) == SMTP_WAITING_COMMAND)
			session->phase_since = 0;
		octets = (size_t)n;
		if (!reads_on || session_bandwidth(session) > 0)
			break;
	}
	enum flushed flushed = session_flush(session, &out);
	if (flushed == FLUSH_FAILED)
		session_close(session);
	else if (flushed == FLUSH_BLOCKED)
		session_block(session);
	else if (!session_rest(session, octets) && session_overdue(session))
		session_time_out(session, "Command or body took too long");
}

static void session_write(struct session *session)
{
	struct session_bytes *unsent = session->unsent;
	struct smtp_out out = {0};
	if (unsent)
		out = (struct smtp_out){unsent->data, unsent->len, unsent->len};
	session->unsent = NULL;
	enum flushed flushed = session_flush(session, &out);
	free(unsent);
	if (flushed == FLUSH_FAILED) {
		session_close(session);
		return;
	}
	if (flushed == FLUSH_BLOCKED) {
		if (session->state == SESSION_DELAYED)
			session_block(session);
		return;
	}
	if (session->state == SESSION_FINISHING) {
		session_finish(session, !session->smtp.quit);
		return;
	}
	session_resume(session);
}

/* The client reads the last reply meanwhile; what it still sends is not wanted. */
static void session_drain(struct session *session)
{
	for (int i = 0; i < READS_MAX; i++) {
		ssize_t n = stream_receive(session, session->shared->read_buffer, SESSION_READ_BUFFER);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n <= 0) {
			session_close(session);
			return;
		}
	}
	/* Each byte begins the time-out anew: a client that drips may not stay for ever. */
	int limit = session->state == SESSION_LINGERING ? session_limits.linger
		    : session->state == SESSION_HANGING ? session_limits.hang
							: (int)session->policy.provider->slow_close_s;
	if (now() - session->phase_since > (uint32_t)limit)
		session_close(session);
}

/* What came while a banner was delayed: the engine, begun anew, says the same as to who did not wait at all. */
static bool session_talked_early(struct session *session)
{
	ssize_t early = stream_receive(session, session->shared->read_buffer, SESSION_READ_COMMAND);
	if (early <= 0)
		return false;
	free(session->unsent);
	session->unsent = NULL;
	smtp_init(&session->smtp, &session->policy.policy->profile);
	session_talk(session, (size_t)early);
	return true;
}

static void session_ready(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	struct session *session = arg;
	if (session->state == SESSION_DELAYED) {
		if (session->smtp.phase != SMTP_PHASE_CONNECT || !session_talked_early(session))
			session_write(session);
		return;
	}
	if (session->state == SESSION_PACED) {
		session_resume(session);
		return;
	}
	if (what & EV_TIMEOUT) {
		/* Who was only waited for did not time out, or did so before. */
		if (session->state == SESSION_PARTING || session->state == SESSION_LINGERING)
			session_close(session);
		else
			session_time_out(session, "Idle for too long");
		return;
	}
	switch (session->state) {
	case SESSION_TALKING:
		session_read(session);
		break;
	case SESSION_BLOCKED:
	case SESSION_FINISHING:
		session_write(session);
		break;
	case SESSION_LINGERING:
	case SESSION_HANGING:
	case SESSION_PARTING:
		session_drain(session);
		break;
	case SESSION_ASKING:
	case SESSION_DELAYED:
	case SESSION_PACED:
		break;
	}
}

/* The peer's or the destination's, which is all zero where it is unknown. */
static struct in6_addr address_of(const struct sockaddr_storage *address)
{
	if (address->ss_family == AF_INET)
		return mapped_v4(&((const struct sockaddr_in *)address)->sin_addr);
	return ((const struct sockaddr_in6 *)address)->sin6_addr;
}

int session_open(struct session_shared *shared, int fd, const struct session_peer *peer)
{
	struct session *session = calloc(1, sizeof(*session));
	if (session)
		event_assign(&session->event, shared->base, fd, EV_READ | EV_PERSIST, session_ready, session);
	if (!session || event_add(&session->event, shared->idle) < 0) {
		free(session);
		close(fd);
		return -ENOMEM;
	}
	session->shared = shared;
	session->policy = (struct policy_session){
		.policy = policy_ref(shared->policy),
		.state = shared->state,
		.source = address_of(&peer->source),
		.destination = address_of(&peer->destination),
		.diverted = peer->result == ORIGDST_DIVERTED,
	};
	session_count_opened(session, peer->result);
	LIST_INSERT_HEAD(&shared->sessions, session, link);
	smtp_init(&session->smtp, &session->policy.policy->profile);

	/* A client that talked before the banner is told so by the engine, which sees its bytes first. */
	ssize_t early = stream_receive(session, shared->read_buffer, SESSION_READ_COMMAND);
	session_talk(session, early > 0 ? (size_t)early : 0);
	return 0;
}

int session_shared_init(struct session_shared *shared, struct event_base *base, struct stats_block *block,
	const struct policy *policy, struct policy_state *state, struct resolver *resolver, struct err *err)
{
	*shared = (struct session_shared){
		.base = base,
		.block = block,
		.policy = policy_ref(policy),
		.state = state,
		.resolver = resolver,
		.read_buffer = aligned_alloc(PAGE, READ_BUFFER_SIZE),
		.out_buffer = malloc(SESSION_OUT_BUFFER),
		.idle = event_base_init_common_timeout(base, &(struct timeval){session_limits.idle, 0}),
		.unread = event_base_init_common_timeout(base, &(struct timeval){session_limits.unread, 0}),
		.hang = event_base_init_common_timeout(base, &(struct timeval){session_limits.hang, 0}),
		.linger = event_base_init_common_timeout(base, &(struct timeval){session_limits.linger, 0}),
	};
	LIST_INIT(&shared->sessions);
	if (shared->read_buffer && shared->out_buffer && shared->idle && shared->unread && shared->hang &&
		shared->linger)
		return 0;
	session_shared_done(shared);
	return err_set(err, -ENOMEM, "worker: out of memory");
}

void session_shared_done(struct session_shared *shared)
{
	struct session *session;
	while ((session = LIST_FIRST(&shared->sessions))) {
		if (session->state == SESSION_TALKING) {
			struct smtp_out out = {shared->out_buffer, 0, SESSION_OUT_BUFFER};
			smtp_abort("4.3.2", "Service shutting down", &out);
			stream_send(session, out.data, out.len, false);
		}
		session_close(session);
	}
	session_transactions_free(shared);
	policy_unref(shared->policy);
	free(shared->read_buffer);
	free(shared->out_buffer);
}
