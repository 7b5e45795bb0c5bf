#include "sender_connection.h"

#include <errno.h>
#include <string.h>

#define SECOND_NS UINT64_C(1000000000)

#define PAUSE_NS       (SECOND_NS / 10) /* the first; each one behind it twice as long */
#define PAUSE_DOUBLING 6                /* times: 6.4 s at most */

/* How long a sender waits for each, in seconds: KumoMTA's, and more for TLS: a loaded target is what we make. */
static const unsigned patience[GEN_PHASES] = {
	[GEN_PHASE_CONNECT] = 60,
	[GEN_PHASE_BANNER] = 60,
	[GEN_PHASE_EHLO] = 300,
	[GEN_PHASE_STARTTLS] = 60,
	[GEN_PHASE_HANDSHAKE] = 60,
	[GEN_PHASE_MAIL] = 300,
	[GEN_PHASE_RCPT] = 300,
	[GEN_PHASE_DATA] = 60,
	[GEN_PHASE_END_OF_DATA] = 60,
	[GEN_PHASE_RSET] = 60,
	[GEN_PHASE_QUIT] = 5,
};

static void connection_lost(struct connection *connection, const struct gen_verdict *verdict);

static void set_deadline(struct connection *connection, enum gen_phase phase)
{
	connection->deadline_ns =
		patience[phase] ? connection->sender->now_ns + patience[phase] * SECOND_NS : 0;
}

static enum gen_phase phase_of(const struct connection *connection)
{
	if (connection->state == CONNECTION_CONNECTING)
		return GEN_PHASE_CONNECT;
	if (connection->state == CONNECTION_SECURING)
		return GEN_PHASE_HANDSHAKE;
	return smtp_client_phase(&connection->client);
}

static void fail(struct connection *connection, const char *what)
{
	const struct gen_verdict verdict = gen_verdict_of(phase_of(connection), 0, span_of(what));
	connection_lost(connection, &verdict);
}

static void fail_errno(struct connection *connection, ssize_t code)
{
	if (code == 0)
		fail(connection, "the target closed the connection");
	else
		fail(connection, code == -EPROTO ? "TLS failed" : strerror((int)-code));
}

/* Sends what there is. False: the connection was lost. */
static bool flush(struct connection *connection)
{
	struct iovec parts[3];
	unsigned count;
	while ((count = smtp_client_out(&connection->client, parts)) > 0) {
		ssize_t n =
			stream_write(&connection->stream, parts, count, &connection->sender->campaign->text);
		if (n == -EAGAIN)
			return true;
		if (n < 0) {
			fail_errno(connection, n);
			return false;
		}
		tally_add(&connection->sender->tally, TALLY_OCTETS, (uint64_t)n);
		smtp_client_wrote(&connection->client, (size_t)n);
		set_deadline(connection, phase_of(connection));
	}
	return true;
}

/* One that is opened no more. */
static void stop(struct connection *connection)
{
	connection->state = CONNECTION_STOPPED;
	connection->deadline_ns = 0;
	if (connection->idle)
		return;
	tally_add(&connection->sender->tally, TALLY_CLIENTS, (uint64_t)-1);
	sender_check_end(connection->sender);
}

static void close_stream(struct connection *connection)
{
	if (connection->state == CONNECTION_CONNECTING)
		connection->sender->connecting--;
	if (connection->state == CONNECTION_HOLDING)
		tally_add(&connection->sender->tally, TALLY_HOLDING, (uint64_t)-1);
	if (connection->stream.fd >= 0)
		event_del(&connection->event);
	stream_close(&connection->stream);
	connection->deadline_ns = 0;
}

/* To be opened again, after a while that grows. */
static void pause_connection(struct connection *connection)
{
	unsigned doubled = connection->pauses < PAUSE_DOUBLING ? connection->pauses++ : PAUSE_DOUBLING;
	connection->state = CONNECTION_PAUSED;
	connection->deadline_ns = connection->sender->now_ns + (PAUSE_NS << doubled);
}

/* What becomes of a connection that has been closed. */
static void go_on(struct connection *connection, bool bad)
{
	const struct gen_options *options = connection->sender->campaign->options;
	if (connection->stopping || connection->sender->draining ||
		(!connection->established && !options->keep_going)) {
		stop(connection);
	} else if (connection->fruitful || !bad) {
		connection->pauses = 0;
		connection_open(connection);
	} else {
		pause_connection(connection);
	}
}

/* A message was accepted; with --connect-only: a connection was greeted and took leave. */
static void count_sent(struct connection *connection)
{
	struct sender *sender = connection->sender;
	connection->fruitful = true;
	tally_add(&sender->tally, TALLY_SENT, 1);
	if (campaign_sent(sender->campaign, 1))
		gen_share_tell(&sender->setup);
	if (sender->measuring)
		histogram_add(&sender->tally.latency, (campaign_clock() - connection->began_ns[0]) / 1000);
}

/* The messages under way were not sent: the verdict is the oldest one's, the others were not judged. */
static void connection_lost(struct connection *connection, const struct gen_verdict *verdict)
{
	struct tally *tally = &connection->sender->tally;
	unsigned under_way = connection->client.under_way;
	bool bad = verdict->code || verdict->text_len;

	if (bad && connection->state == CONNECTION_CONNECTING &&
		++connection->tries < connection->sender->campaign->target_count) {
		/* The name has another address. */
		close_stream(connection);
		connection->target =
			(connection->target + 1) % (unsigned)connection->sender->campaign->target_count;
		atomic_store(&connection->sender->campaign->preferred, connection->target);
		connection_open(connection);
		return;
	}
	bool visit = connection->sender->campaign->options->connect_only && connection->begun;
	if (visit && !bad) {
		count_sent(connection);
	} else if (under_way || visit) {
		tally_add(tally, TALLY_FAILED, 1);
		tally_failure(tally, verdict, 1, 0);
		campaign_give_back(connection->sender->campaign, visit ? 1 : under_way);
	} else if (bad && verdict->phase != GEN_PHASE_QUIT) {
		tally_add(tally, TALLY_BROKEN, 1);
		tally_failure(tally, verdict, 0, 1);
	}
	close_stream(connection);
	connection->tries = 0;
	go_on(connection, bad);
}

static void secure(struct connection *connection)
{
	int code = stream_secure(&connection->stream, connection->sender->campaign->tls);
	if (code == -EAGAIN)
		return;
	if (code < 0) {
		fail_errno(connection, code);
		return;
	}
	tally_add(&connection->sender->tally, TALLY_SECURED, 1);
	connection->state = CONNECTION_TALKING;
	smtp_client_secured(&connection->client);
	flush(connection);
}

static struct span date_of(const struct connection *connection)
{
	return (struct span){connection->sender->date.chars, connection->sender->date.len};
}

/* May it begin one more message, as far as it itself is concerned? */
static bool wants_more(const struct connection *connection)
{
	uint64_t limit = connection->sender->campaign->options->per_connection;
	return !connection->stopping && !connection->renewing && !connection->sender->draining &&
	       (!limit || connection->begun < limit);
}

/* Takes a message of the campaign's. */
static bool take(struct connection *connection, struct mail_item *item)
{
	uint64_t number;
	if (!campaign_take(connection->sender->campaign, 1, &number))
		return false;
	mail_pick(&connection->sender->campaign->mail, number, item);
	connection->begun++;
	connection->began_ns[connection->client.under_way & 1] = campaign_clock();
	return true;
}

/* Begins a message, or says QUIT. */
static void begin(struct connection *connection)
{
	struct mail_item item;
	connection->established = true;
	connection->state = CONNECTION_TALKING;
	if (!wants_more(connection)) {
		smtp_client_quit(&connection->client);
	} else if (!take(connection, &item)) {
		connection->stopping = true;
		smtp_client_quit(&connection->client);
	} else if (connection->sender->campaign->options->connect_only) {
		smtp_client_quit(&connection->client);
	} else {
		smtp_client_begin(&connection->client, &item, date_of(connection));
	}
}

static void ready(struct connection *connection)
{
	if (connection->idle) {
		connection->established = true;
		connection->state = CONNECTION_HOLDING;
		connection->deadline_ns = 0;
		tally_add(&connection->sender->tally, TALLY_HOLDING, 1);
		return;
	}
	if (wants_more(connection) && !sender_may_begin(connection->sender, connection)) {
		connection->deadline_ns = 0;
		return;
	}
	begin(connection);
}

/* The text, and with it the next envelope or the QUIT where the target takes them together. */
static void put_message(struct connection *connection)
{
	struct smtp_client *client = &connection->client;
	struct mail_item item;
	bool together = smtp_client_pipelines(client), more = wants_more(connection);
	bool next =
		together && more && connection->sender->throttle.interval_ns <= 0 && take(connection, &item);
	smtp_client_text(client, date_of(connection), next ? &item : NULL, together && !more);
}

static void message_judged(struct connection *connection, bool sent)
{
	struct sender *sender = connection->sender;
	const struct gen_verdict *verdict = &connection->client.verdict;
	if (sent)
		count_sent(connection);
	connection->began_ns[0] = connection->began_ns[1];
	if (sent)
		return;
	tally_add(&sender->tally, TALLY_FAILED, 1);
	tally_failure(&sender->tally, verdict, 1, 0);
	campaign_give_back(sender->campaign, 1);
	/* "Too many recipients" is a matter of this connection: as for traffic-gen, another one may go on. */
	struct span enhanced = reply_enhanced((struct span){verdict->text, verdict->text_len});
	if (verdict->code == 451 && span_is(enhanced, "4.5.3"))
		connection->renewing = true;
	else if (!sender->campaign->options->keep_going)
		connection->stopping = true;
}

/* What the target said. */
static void converse(struct connection *connection, struct span in)
{
	struct smtp_client *client = &connection->client;
	for (;;) {
		enum smtp_client_step step = smtp_client_step(client, &in);
		switch (step) {
		case SMTP_CLIENT_WAIT:
			break;
		case SMTP_CLIENT_READY:
			ready(connection);
			break;
		case SMTP_CLIENT_TEXT:
			put_message(connection);
			break;
		case SMTP_CLIENT_SENT:
		case SMTP_CLIENT_FAILED:
			message_judged(connection, step == SMTP_CLIENT_SENT);
			continue;
		case SMTP_CLIENT_TLS:
			connection->state = CONNECTION_SECURING;
			set_deadline(connection, GEN_PHASE_HANDSHAKE);
			secure(connection);
			return;
		case SMTP_CLIENT_OVER:
			connection_lost(connection, &client->verdict);
			return;
		}
		if (!flush(connection))
			return;
		if (step == SMTP_CLIENT_WAIT)
			return;
	}
}

static void receive(struct connection *connection, bool closed)
{
	struct sender *sender = connection->sender;
	const struct stream *stream = &connection->stream;
	int fd = stream->fd;
	for (;;) {
		ssize_t n = stream_read(&connection->stream, sender->read_buffer, SENDER_READ_SIZE);
		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			fail_errno(connection, n);
			return;
		}
		converse(connection, (struct span){sender->read_buffer, (size_t)n});
		if (stream->fd != fd || connection->state == CONNECTION_CONNECTING ||
			connection->state == CONNECTION_SECURING)
			return;
		/* Edge-triggered: a short read emptied the socket, unless its end came along. */
		if (!stream->ssl && n < SENDER_READ_SIZE && !closed)
			return;
	}
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	struct connection *connection = arg;
	if (connection->state == CONNECTION_CONNECTING) {
		int code = stream_connected(&connection->stream);
		if (code < 0) {
			fail_errno(connection, code);
			return;
		}
		connection->state = CONNECTION_TALKING;
		connection->sender->connecting--;
		set_deadline(connection, GEN_PHASE_BANNER);
		sender_open_fresh(connection->sender);
	}
	if (connection->state == CONNECTION_SECURING) {
		secure(connection);
		if (connection->state != CONNECTION_TALKING)
			return;
	}
	if (what & EV_WRITE && !flush(connection))
		return;
	if (what & (EV_READ | EV_CLOSED))
		receive(connection, what & EV_CLOSED);
}

/* The next source address of the target's family; NULL for none. */
static const struct campaign_address *next_source(struct sender *sender, sa_family_t family)
{
	const struct campaign *campaign = sender->campaign;
	for (size_t i = 0; i < campaign->source_count; i++) {
		const struct campaign_address *source =
			&campaign->sources[sender->next_source++ % campaign->source_count];
		if (source->address.ss_family == family)
			return source;
	}
	return NULL;
}

void connection_open(struct connection *connection)
{
	struct sender *sender = connection->sender;
	struct campaign *campaign = sender->campaign;
	if (connection->tries == 0)
		connection->target = atomic_load_explicit(&campaign->preferred, memory_order_relaxed);
	const struct campaign_address *target = &campaign->targets[connection->target];
	const struct campaign_address *source = next_source(sender, target->address.ss_family);

	smtp_client_init(&connection->client, &campaign->smtp);
	connection->state = CONNECTION_CONNECTING;
	connection->renewing = connection->established = connection->fruitful = false;
	connection->begun = 0;
	sender->connecting++;
	set_deadline(connection, GEN_PHASE_CONNECT);
	tally_add(&sender->tally, TALLY_CONNECTIONS, 1);
	int code = stream_open(&connection->stream, (const struct sockaddr *)&target->address, target->len,
		source ? (const struct sockaddr *)&source->address : NULL, source ? source->len : 0);
	if (code == 0) {
		event_assign(&connection->event, sender->base, connection->stream.fd,
			EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST, on_event, connection);
		if (event_add(&connection->event, NULL) < 0)
			code = -ENOMEM;
	}
	if (code < 0)
		fail_errno(connection, code);
}

void connection_expire(struct connection *connection)
{
	if (connection->state == CONNECTION_PAUSED) {
		connection_open(connection);
		return;
	}
	fail(connection, "no answer in time");
}

void connection_go(struct connection *connection)
{
	begin(connection);
	flush(connection);
}

void connection_drain(struct connection *connection)
{
	switch (connection->state) {
	case CONNECTION_STOPPED:
		break;
	case CONNECTION_THROTTLED:
	case CONNECTION_HOLDING:
		if (connection->state == CONNECTION_HOLDING)
			tally_add(&connection->sender->tally, TALLY_HOLDING, (uint64_t)-1);
		connection->state = CONNECTION_TALKING;
		smtp_client_quit(&connection->client);
		flush(connection);
		break;
	default:
		/* What has not come as far as a message is of no use any more. */
		if (connection->client.under_way && connection->stream.fd >= 0)
			break;
		if (connection->stream.fd >= 0 && smtp_client_phase(&connection->client) == GEN_PHASE_QUIT)
			break;
		close_stream(connection);
		stop(connection);
	}
}

void connection_abort(struct connection *connection)
{
	if (connection->state == CONNECTION_STOPPED)
		return;
	if (connection->client.under_way && connection->stream.fd >= 0) {
		connection->stopping = true;
		fail(connection, "given up at the end of the run");
		return;
	}
	close_stream(connection);
	stop(connection);
}
