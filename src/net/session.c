#include "session.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

const struct session_limits session_limits = {
	.idle = 300,
	.command = 300,
	.data = 1800,
	.unread = 120,
	.linger = 3,
};

/* Copying into a buffer that begins a page is 10 % cheaper than into what malloc() gives. */
#define PAGE             4096
#define READ_BUFFER_SIZE (SESSION_HELD_MAX + SESSION_READ_BUFFER)

/* Reads per wake-up: enough to drain a fast sender, few enough that others are served. */
#define READS_MAX         8
#define RECIPIENTS_INLINE 4

enum session_state {
	SESSION_TALKING,
	SESSION_BLOCKED,   /* the client does not read: no input is taken until it does */
	SESSION_FINISHING, /* blocked, and to be closed once the replies are out */
	SESSION_LINGERING, /* said why, closed for writing: input is thrown away until the client closes */
};

struct session {
	struct smtp smtp;
	struct event event;
	LIST_ENTRY(session) link;
	struct session_shared *shared;
	const struct policy *policy;
	char *held; /* input that waits: an incomplete command, or all of it while blocked */
	char *unsent;
	uint32_t held_len;
	uint32_t unsent_len;
	uint32_t destination, source; /* rows */
	uint32_t recipient_count, recipient_cap;
	uint32_t *recipients; /* rows of the accepted recipients' domains */
	uint32_t recipients_inline[RECIPIENTS_INLINE];
	time_t phase_since; /* of the command, body or lingering under way; 0 = none is */
	enum session_state state : 8;
	bool refused_4xx : 1, refused_5xx : 1; /* in this transaction */
};

static void session_ready(evutil_socket_t fd, short what, void *arg);

static time_t now(const struct session *session)
{
	struct timeval tv;
	event_base_gettimeofday_cached(session->shared->base, &tv);
	return tv.tv_sec;
}

/* The byte stream under the session: TLS takes its place here. */

static ssize_t stream_receive(struct session *session, char *data, size_t size)
{
	return recv(event_get_fd(&session->event), data, size, 0);
}

static ssize_t stream_send(struct session *session, const char *data, size_t len)
{
	return send(event_get_fd(&session->event), data, len, MSG_NOSIGNAL);
}

/* Counting: always before the reply that tells the sender is sent, so that nothing sent is uncounted. */

static void count_message(
	struct session *session, enum stats_counter counter, enum stats_field field, uint64_t octets)
{
	struct stats_block *block = session->shared->block;
	stats_add(block, counter, 1);
	stats_row_add(block, STATS_DESTINATIONS, session->destination, field, 1);
	stats_row_add(block, STATS_SOURCES, session->source, field, 1);
	if (octets > 0) {
		stats_add(block, STATS_MESSAGES_BYTES, octets);
		stats_row_add(block, STATS_DESTINATIONS, session->destination, STATS_ROW_BYTES, octets);
		stats_row_add(block, STATS_SOURCES, session->source, STATS_ROW_BYTES, octets);
	}
}

static void count_recipient(struct session *session, uint32_t row, enum stats_counter counter,
	enum stats_field field, uint64_t octets)
{
	struct stats_block *block = session->shared->block;
	stats_add(block, counter, 1);
	stats_row_add(block, STATS_DOMAINS, row, field, 1);
	if (octets > 0)
		stats_row_add(block, STATS_DOMAINS, row, STATS_ROW_BYTES, octets);
}

static uint32_t domain_row(struct session *session, struct span domain)
{
	/* RFC 5321 4.5.1: <postmaster> without a domain is this host's own. */
	if (domain.len == 0)
		domain = span_of(session->policy->profile.hostname);
	if (domain.len > STATS_KEY_MAX)
		return STATS_OTHER;
	char lower[STATS_KEY_MAX];
	for (size_t i = 0; i < domain.len; i++) {
		char c = domain.data[i];
		lower[i] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
	}
	return stats_row(session->shared->block, STATS_DOMAINS, (struct span){lower, domain.len});
}

static bool keep_recipient(struct session *session, uint32_t row)
{
	if (session->recipient_count == session->recipient_cap) {
		uint32_t cap = session->recipient_cap * 4;
		bool is_inline = session->recipients == session->recipients_inline;
		uint32_t *more = realloc(is_inline ? NULL : session->recipients, cap * sizeof(*more));
		if (!more)
			return false;
		if (is_inline)
			memcpy(more, session->recipients_inline, sizeof(session->recipients_inline));
		session->recipients = more;
		session->recipient_cap = cap;
	}
	session->recipients[session->recipient_count++] = row;
	return true;
}

static void decide_recipient(struct session *session, const struct smtp_reply *reply, struct smtp_out *out)
{
	static const struct smtp_reply no_memory = {452, {"4.3.1", 5}, {"Insufficient system storage", 27}};
	uint32_t row = domain_row(session, session->smtp.path.domain);
	unsigned code = reply ? reply->code : 250;
	if (code < 300 && !keep_recipient(session, row))
		reply = &no_memory;
	code = smtp_decide(&session->smtp, reply, out);
	if (code >= 500) {
		session->refused_5xx = true;
		count_recipient(session, row, STATS_RECIPIENTS_PERMFAIL, STATS_ROW_PERMFAIL, 0);
	} else if (code >= 400) {
		session->refused_4xx = true;
		count_recipient(session, row, STATS_RECIPIENTS_TEMPFAIL, STATS_ROW_TEMPFAIL, 0);
	}
}

static void decide_message(struct session *session, const struct smtp_reply *reply, struct smtp_out *out)
{
	uint64_t octets = session->smtp.message.octets;
	unsigned code = smtp_decide(&session->smtp, reply, out);
	enum stats_counter recipients = STATS_RECIPIENTS_ACCEPTED;
	enum stats_field field = STATS_ROW_ACCEPTED;
	if (code >= 500) {
		recipients = STATS_RECIPIENTS_PERMFAIL;
		field = STATS_ROW_PERMFAIL;
		octets = 0;
		count_message(session, STATS_MESSAGES_PERMFAIL, field, 0);
	} else if (code >= 400) {
		recipients = STATS_RECIPIENTS_TEMPFAIL;
		field = STATS_ROW_TEMPFAIL;
		octets = 0;
		count_message(session, STATS_MESSAGES_TEMPFAIL, field, 0);
	} else {
		count_message(session, STATS_MESSAGES_ACCEPTED, field, octets);
	}
	for (uint32_t i = 0; i < session->recipient_count; i++)
		count_recipient(session, session->recipients[i], recipients, field, octets);
	session->recipient_count = 0;
	session->refused_4xx = session->refused_5xx = false;
}

static void decide(struct session *session, struct smtp_out *out)
{
	session->phase_since = 0;
	const struct smtp_reply *reply = policy_decide(session->policy, &session->smtp);
	switch (session->smtp.phase) {
	case SMTP_PHASE_RCPT:
		decide_recipient(session, reply, out);
		break;
	case SMTP_PHASE_END_OF_DATA:
		decide_message(session, reply, out);
		break;
	case SMTP_PHASE_CONNECT:
	case SMTP_PHASE_HELO:
	case SMTP_PHASE_MAIL:
	case SMTP_PHASE_DATA:
		smtp_decide(&session->smtp, reply, out);
		break;
	}
}

/* A transaction ended before its end of data was answered. */
static void forget(struct session *session)
{
	if (session->recipient_count == 0 && session->refused_4xx)
		count_message(session, STATS_MESSAGES_TEMPFAIL, STATS_ROW_TEMPFAIL, 0);
	else if (session->recipient_count == 0 && session->refused_5xx)
		count_message(session, STATS_MESSAGES_PERMFAIL, STATS_ROW_PERMFAIL, 0);
	session->recipient_count = 0;
	session->refused_4xx = session->refused_5xx = false;
}

static void session_close(struct session *session)
{
	struct stats_block *block = session->shared->block;
	if (session->recipient_count > 0)
		stats_add(block, STATS_MESSAGES_ABORTED, 1);
	forget(session);
	stats_add(block, STATS_CONNECTIONS_CLOSED, 1);
	event_del(&session->event);
	close(event_get_fd(&session->event));
	LIST_REMOVE(session, link);
	policy_unref(session->policy);
	if (session->recipients != session->recipients_inline)
		free(session->recipients);
	free(session->held);
	free(session->unsent);
	free(session);
}

/* Waits for `what` from here on. */
static void session_wait(struct session *session, short what, const struct timeval *timeout)
{
	evutil_socket_t fd = event_get_fd(&session->event);
	event_del(&session->event);
	event_assign(&session->event, session->shared->base, fd, what | EV_PERSIST, session_ready, session);
	event_add(&session->event, timeout);
}

/* Keeps in for later. `in` may lie in the old held. False when out of memory. */
static bool session_hold(struct session *session, struct span in)
{
	char *old = session->held, *copy = NULL;
	if (in.len > 0) {
		copy = malloc(in.len);
		if (!copy)
			return false;
		memcpy(copy, in.data, in.len);
	}
	free(old);
	session->held = copy;
	session->held_len = (uint32_t)in.len;
	return true;
}

enum flushed {
	FLUSHED,
	FLUSH_BLOCKED, /* the rest is kept in unsent */
	FLUSH_FAILED,
};

static enum flushed session_flush(struct session *session, struct smtp_out *out)
{
	size_t sent = 0;
	while (sent < out->len) {
		ssize_t n = stream_send(session, out->data + sent, out->len - sent);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return FLUSH_FAILED;
		if (n < 0)
			break;
		sent += (size_t)n;
	}
	size_t left = out->len - sent;
	if (left > 0) {
		session->unsent = malloc(left);
		if (!session->unsent)
			return FLUSH_FAILED;
		memcpy(session->unsent, out->data + sent, left);
		session->unsent_len = (uint32_t)left;
	}
	out->len = 0;
	return left > 0 ? FLUSH_BLOCKED : FLUSHED;
}

/*
 * Closes after the replies are out. Closing while input waits unread would reset the connection and
 * take the last reply with it: so a close for cause lingers until the client has closed, too.
 */
static void session_finish(struct session *session, bool for_cause)
{
	if (!for_cause) {
		session_close(session);
		return;
	}
	shutdown(event_get_fd(&session->event), SHUT_WR);
	session->state = SESSION_LINGERING;
	session->phase_since = now(session);
	session_wait(session, EV_READ, session->shared->linger);
}

/* Feeds the engine. Returns false when the session was closed or must not read on for now. */
static bool session_feed(struct session *session, struct span in)
{
	struct smtp_out out = {session->shared->out_buffer, 0, SESSION_OUT_BUFFER};
	for (;;) {
		size_t used;
		enum smtp_want want = smtp_step(&session->smtp, in, &used, &out);
		in = span_from(in, used);
		if (want == SMTP_WANT_DECISION) {
			decide(session, &out);
			continue;
		}
		if (want == SMTP_WANT_FORGET) {
			forget(session);
			continue;
		}

		enum flushed flushed = session_flush(session, &out);
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
		if (!(in.len == 0 && session->held_len == 0) && !session_hold(session, in)) {
			session_close(session);
			return false;
		}
		if (flushed == FLUSH_BLOCKED) {
			session->state = SESSION_BLOCKED;
			session_wait(session, EV_WRITE, session->shared->unread);
			return false;
		}
		return true;
	}
}

/* One command line or body may not take for ever, however steadily its bytes drip. */
static bool session_overdue(struct session *session)
{
	bool body = smtp_waiting(&session->smtp) == SMTP_WAITING_DATA;
	if (!body && session->held_len == 0)
		return false;
	if (session->phase_since == 0)
		session->phase_since = now(session);
	return now(session) - session->phase_since > (body ? session_limits.data : session_limits.command);
}

static void session_time_out(struct session *session, const char *what)
{
	stats_add(session->shared->block, STATS_TIMEOUTS, 1);
	if (session->state != SESSION_TALKING) {
		session_close(session);
		return;
	}
	struct smtp_out out = {session->shared->out_buffer, 0, SESSION_OUT_BUFFER};
	smtp_abort(&session->smtp, "4.4.2", what, &out);
	if (session_flush(session, &out) == FLUSHED)
		session_finish(session, true);
	else
		session_close(session);
}

static void session_read(struct session *session)
{
	struct session_shared *shared = session->shared;
	for (int i = 0; i < READS_MAX; i++) {
		/* An incomplete command comes first, so that the engine sees it whole. */
		size_t held = session->held_len;
		ssize_t n = stream_receive(session, shared->read_buffer + held, SESSION_READ_BUFFER);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0) {
			session_close(session);
			return;
		}
		if (held > 0)
			memcpy(shared->read_buffer, session->held, held);
		if (!session_feed(session, (struct span){shared->read_buffer, held + (size_t)n}))
			return;
		/* A command that was completed ends its phase, whatever of the next one is here. */
		if (session->held_len < held + (size_t)n &&
			smtp_waiting(&session->smtp) == SMTP_WAITING_COMMAND)
			session->phase_since = 0;
		if (n < SESSION_READ_BUFFER)
			break;
	}
	if (session_overdue(session))
		session_time_out(session, "Command or body took too long");
}

static void session_write(struct session *session)
{
	struct smtp_out out = {session->unsent, session->unsent_len, session->unsent_len};
	char *unsent = session->unsent;
	session->unsent = NULL;
	session->unsent_len = 0;
	enum flushed flushed = session_flush(session, &out);
	free(unsent);
	if (flushed == FLUSH_FAILED) {
		session_close(session);
		return;
	}
	if (flushed == FLUSH_BLOCKED)
		return;
	if (session->state == SESSION_FINISHING) {
		session_finish(session, !session->smtp.quit);
		return;
	}
	session->state = SESSION_TALKING;
	session_wait(session, EV_READ, session->shared->idle);
	if (session->held_len > 0) {
		/* The engine goes on where it stopped for want of room. */
		size_t len = session->held_len;
		memcpy(session->shared->read_buffer, session->held, len);
		session_feed(session, (struct span){session->shared->read_buffer, len});
	}
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
	if (now(session) - session->phase_since > session_limits.linger)
		session_close(session);
}

static void session_ready(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	struct session *session = arg;
	if (what & EV_TIMEOUT) {
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
		session_drain(session);
		break;
	}
}

static uint32_t address_row(
	struct stats_block *block, enum stats_table_id table, const struct sockaddr_storage *address)
{
	if (address->ss_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
		return stats_row(block, table, (struct span){(const char *)&v4->sin_addr, 4});
	}
	if (address->ss_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
		size_t skip = IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr) ? 12 : 0;
		return stats_row(block, table, (struct span){(const char *)&v6->sin6_addr + skip, 16 - skip});
	}
	return STATS_OTHER;
}

int session_open(struct session_shared *shared, int fd, const struct session_peer *peer)
{
	struct session *session = calloc(1, sizeof(*session));
	if (!session) {
		close(fd);
		return -ENOMEM;
	}
	struct stats_block *block = shared->block;
	session->shared = shared;
	session->policy = policy_ref(shared->policy);
	session->recipients = session->recipients_inline;
	session->recipient_cap = RECIPIENTS_INLINE;
	session->destination = address_row(block, STATS_DESTINATIONS, &peer->destination);
	session->source = address_row(block, STATS_SOURCES, &peer->source);
	stats_add(block, STATS_CONNECTIONS, 1);
	stats_row_add(block, STATS_DESTINATIONS, session->destination, STATS_ROW_CONNECTIONS, 1);
	stats_row_add(block, STATS_SOURCES, session->source, STATS_ROW_CONNECTIONS, 1);
	if (peer->result == ORIGDST_UNDIVERTED)
		stats_add(block, STATS_UNDIVERTED, 1);
	else if (peer->result == ORIGDST_UNKNOWN)
		stats_add(block, STATS_UNKNOWN_DESTINATION, 1);
	LIST_INSERT_HEAD(&shared->sessions, session, link);
	smtp_init(&session->smtp, &session->policy->profile);
	event_assign(&session->event, shared->base, fd, EV_READ | EV_PERSIST, session_ready, session);
	event_add(&session->event, shared->idle);

	/* A client that talked before the banner is told so by the engine, which sees its bytes first. */
	ssize_t early = stream_receive(session, shared->read_buffer, SESSION_READ_BUFFER);
	session_feed(session, (struct span){shared->read_buffer, early > 0 ? (size_t)early : 0});
	return 0;
}

int session_shared_init(struct session_shared *shared, struct event_base *base, struct stats_block *block,
	const struct policy *policy, struct err *err)
{
	*shared = (struct session_shared){
		.base = base,
		.block = block,
		.policy = policy_ref(policy),
		.read_buffer = aligned_alloc(PAGE, READ_BUFFER_SIZE),
		.out_buffer = malloc(SESSION_OUT_BUFFER),
		.idle = event_base_init_common_timeout(base, &(struct timeval){session_limits.idle, 0}),
		.unread = event_base_init_common_timeout(base, &(struct timeval){session_limits.unread, 0}),
		.linger = event_base_init_common_timeout(base, &(struct timeval){session_limits.linger, 0}),
	};
	LIST_INIT(&shared->sessions);
	if (shared->read_buffer && shared->out_buffer && shared->idle && shared->unread && shared->linger)
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
			smtp_abort(&session->smtp, "4.3.2", "Service shutting down", &out);
			stream_send(session, out.data, out.len);
		}
		session_close(session);
	}
	policy_unref(shared->policy);
	free(shared->read_buffer);
	free(shared->out_buffer);
}
