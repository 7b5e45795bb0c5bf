#include "policy.h"

#include <inttypes.h>
#include <stdio.h>

#include "delay.h"
#include "draw.h"
#include "forced.h"
#include "injection.h"
#include "mapped.h"
#include "policy_outcome.h"
#include "reply_text.h"

/* Set apart what is drawn for different purposes of the same things. */
enum purpose {
	FOR_REPLY = 1,
	FOR_SENDER,
	FOR_CONNECTIONS,
	FOR_SITE,
	FOR_TRIPLET,
	FOR_FAULT,
	FOR_DELAY,
	FOR_ID,
};

struct policy_mx policy_mx_of(const struct policy *policy, struct span domain, const struct mx_answer *answer)
{
	struct policy_mx mx = {.answer = answer, .provider = provider_by_domain(policy->providers, domain)};
	if (answer && answer->status == MX_FOUND) {
		struct span hosts[MX_HOSTS_MAX];
		size_t count = answer->host_count < MX_HOSTS_MAX ? answer->host_count : MX_HOSTS_MAX;
		for (size_t i = 0; i < count; i++)
			hosts[i] = span_of(answer->hosts[i].name);
		const struct provider *by_mx = provider_by_mx(policy->providers, hosts, count);
		/* What DNS says outweighs what is well known; not so a table for this very domain. */
		if (by_mx && !(mx.provider && mx.provider->by_domain_alone))
			mx.provider = by_mx;
		char site[512];
		mx.site = draw_name(FOR_SITE, (struct span){site, mx_site_name(answer, site, sizeof(site))});
	}
	if (!mx.provider)
		mx.provider = provider_at(policy->providers, 0);
	return mx;
}

static const struct provider *provider_of(const struct policy_session *session)
{
	return session->provider ? session->provider : provider_at(session->policy->providers, 0);
}

static uint64_t draw_for(const struct policy_session *session, enum purpose purpose, uint64_t key)
{
	return draw_number(draw_number(session->policy->conf->answer.seed, purpose), key);
}

/* A number that no other draw of this session has. */
static uint64_t draw_next(struct policy_session *session, enum purpose purpose)
{
	return draw_number(draw_for(session, purpose, session->id), session->asked++);
}

/* Whose connections, rates and violations are counted together: one source's at one provider. */
static uint64_t entry_key(const struct in6_addr *source, const struct provider *provider)
{
	return draw_name(draw_bytes(FOR_CONNECTIONS, mapped_bytes(source)), span_of(provider->name));
}

static const struct policy_transaction *transaction_of(const struct policy_session *session)
{
	static const struct policy_transaction none;
	return session->transaction ? session->transaction : &none;
}

/* Who this is to the client. */
static struct span mx_name(const struct policy_session *session)
{
	return span_of(session->mx_name ? session->mx_name : session->policy->profile.hostname);
}

/* Writes a reply out of a profile's text into the verdict. */
static void give_text(struct policy_session *session, struct policy_verdict *verdict, unsigned code,
	const char *enhanced, const char *text, struct span rcpt, const char *today)
{
	char id[17];
	uint64_t number = draw_next(session, FOR_ID);
	for (int i = 0; i < 16; i++, number >>= 4)
		id[i] = "0123456789abcdef"[number & 15];
	size_t at = 0;
	while (at < rcpt.len && rcpt.data[rcpt.len - 1 - at] != '@')
		at++;
	char ip[INET6_ADDRSTRLEN];
	const struct reply_facts facts = {
		.ip = span_of(mapped_text(&session->source, ip)),
		.from = span_of(transaction_of(session)->from),
		.rcpt = rcpt,
		.domain = at < rcpt.len ? span_from(rcpt, rcpt.len - at) : (struct span){"", 0},
		.mx = mx_name(session),
		.id = {id, 16},
		.date = span_of(today),
	};
	size_t len = reply_text_fill(text, &facts, verdict->text, sizeof(verdict->text));
	verdict->storage = (struct smtp_reply){code, span_of(enhanced), {verdict->text, len}};
	verdict->reply = &verdict->storage;
}

static void give(struct policy_session *session, struct policy_verdict *verdict,
	const struct provider_reply *reply, const struct smtp *smtp, const char *today)
{
	struct span rcpt =
		smtp->phase == SMTP_PHASE_RCPT ? smtp->path.mailbox : span_of(transaction_of(session)->rcpt);
	give_text(session, verdict, reply->code, reply->enhanced, reply->text, rcpt, today);
	verdict->from = reply;
	verdict->kind = reply->kind;
	verdict->action = reply->action;
}

static void keep_mailbox(char to[POLICY_MAILBOX_MAX], struct span mailbox)
{
	size_t len = mailbox.len < POLICY_MAILBOX_MAX ? mailbox.len : POLICY_MAILBOX_MAX - 1;
	if (len > 0)
		memcpy(to, mailbox.data, len);
	to[len] = '\0';
}

/*
 * A reply to be given now, or when its phase comes; a phase that has passed counts as come. The return is what
 * is for now. What concerns one recipient and is for now takes the place of nothing that waits.
 */
static const struct provider_reply *put_due(struct policy_session *session,
	const struct provider_reply *reply, bool stays, const struct smtp *smtp)
{
	if (!reply || (!stays && reply->phase <= smtp->phase))
		return reply;
	if (!session->due || stays) {
		session->due = reply;
		session->due_stays = stays;
	}
	return reply->phase <= smtp->phase ? reply : NULL;
}

/* The provider's own words, else those of "default". */
static const struct provider_reply *words_for(const struct policy_session *session,
	const struct provider *provider, enum provider_kind kind, uint64_t draw)
{
	const struct provider_reply *reply = provider_draw(provider, kind, -1, draw);
	return reply ? reply : provider_draw(provider_at(session->policy->providers, 0), kind, -1, draw);
}

/* The same; those that are said at this phase first, where a limit can be passed at more than one. */
static const struct provider_reply *words_at(const struct policy_session *session,
	const struct provider *provider, enum provider_kind kind, enum smtp_phase phase, uint64_t draw)
{
	const struct provider *fallback = provider_at(session->policy->providers, 0);
	const struct provider *speaker = provider->weight[kind] ? provider : fallback;
	const struct provider_reply *reply = provider_draw(speaker, kind, (int)phase, draw);
	return reply ? reply : provider_draw(speaker, kind, -1, draw);
}

/* A limit was passed. The return is what is for now. */
static const struct provider_reply *breach(struct policy_session *session, const struct provider *provider,
	enum provider_kind kind, const struct smtp *smtp, uint64_t now_ms)
{
	bool stays = kind == PROVIDER_CONNECTIONS || kind == PROVIDER_CONNECTION_RATE ||
		     kind == PROVIDER_REPUTATION || kind == PROVIDER_DELIVERIES;
	if (session->entry && kind != PROVIDER_REPUTATION)
		limit_violate(session->entry, provider->reputation_recovers_s * UINT64_C(1000), now_ms);
	uint64_t draw = draw_next(session, FOR_REPLY);
	enum smtp_phase size_phase =
		smtp->phase == SMTP_PHASE_END_OF_DATA ? SMTP_PHASE_END_OF_DATA : SMTP_PHASE_MAIL;
	const struct provider_reply *reply = kind == PROVIDER_SIZE
						     ? words_at(session, provider, kind, size_phase, draw)
						     : words_for(session, provider, kind, draw);
	return put_due(session, reply, stays, smtp);
}

/* Counts this connection with its provider and site, once that is known; the return is what is for now. */
static const struct provider_reply *count_connection(struct policy_session *session,
	const struct provider *provider, uint64_t site, const struct smtp *smtp, uint64_t now_ms)
{
	const struct provider_limits *limits = &provider->limits;
	struct limit_table *table = session->state->limits;
	session->provider = provider;
	uint32_t open;
	session->entry = limit_connect(table, entry_key(&session->source, provider), now_ms, &open);
	bool over = limits->provider_connections && open > limits->provider_connections;
	if (limits->site_connections) {
		uint64_t key = site ? site : draw_name(FOR_SITE, span_of(provider->name));
		session->site_entry =
			limit_connect(table, draw_bytes(key, mapped_bytes(&session->source)), now_ms, &open);
		over |= open > limits->site_connections;
	}
	if (!session->entry)
		return NULL;
	if (provider->reputation_after &&
		limit_violations(session->entry, provider->reputation_recovers_s * UINT64_C(1000), now_ms) >
			provider->reputation_after)
		return breach(session, provider, PROVIDER_REPUTATION, smtp, now_ms);
	if (over)
		return breach(session, provider, PROVIDER_CONNECTIONS, smtp, now_ms);
	if (limits->connection_rate.count &&
		!limit_take(session->entry, LIMIT_CONNECTION_RATE, limits->connection_rate, now_ms))
		return breach(session, provider, PROVIDER_CONNECTION_RATE, smtp, now_ms);
	return NULL;
}

/* A profile that is silent about it presents itself as "default" does. */
static const char *banner_of(const struct policy_session *session)
{
	const char *banner = provider_of(session)->banner;
	if (!banner)
		banner = provider_at(session->policy->providers, 0)->banner;
	return banner ? banner : "{mx} ESMTP";
}

static void decide_connect(struct policy_session *session, const struct smtp *smtp, uint64_t now_ms,
	const char *today, struct policy_verdict *verdict)
{
	uint64_t number = __atomic_fetch_add(&session->state->sessions, 1, __ATOMIC_RELAXED);
	session->id = draw_number(draw_bytes(FOR_ID, mapped_bytes(&session->source)), number);

	const struct provider *provider = session->dialled;
	const struct provider_reply *now = NULL;
	if (provider)
		now = count_connection(session, provider, session->dialled_site, smtp, now_ms);
	provider = provider_of(session);
	uint64_t draw = draw_next(session, FOR_FAULT);
	if (now)
		give(session, verdict, now, smtp, today);
	else if (draw_hits(draw, provider->refuse_ppm))
		verdict->action = PROVIDER_RESET;
	else if (draw_hits(draw, provider->refuse_ppm + provider->black_hole_ppm))
		verdict->action = PROVIDER_HANG;
	else
		give_text(session, verdict, 220, "", banner_of(session), (struct span){"", 0}, today);
}

static void decide_helo(struct policy_session *session, const struct smtp *smtp,
	struct policy_verdict *verdict, const char *today)
{
	const struct provider *provider = provider_of(session);
	char text[1024];
	uint64_t size = provider->limits.message_size;
	if (!smtp->ehlo)
		snprintf(text, sizeof(text), "{mx}");
	else if (provider->extensions)
		snprintf(text, sizeof(text), "{mx}%s%s", provider->extensions[0] ? "\n" : "",
			provider->extensions);
	else
		snprintf(text, sizeof(text), "{mx}\nSIZE %" PRIu64 "\n" SMTP_EXTENSIONS,
			size ? size : smtp_limits_default.message_size);
	give_text(session, verdict, 250, "", text, (struct span){"", 0}, today);
}

bool policy_asked(
	const struct policy *policy, const struct smtp_path *path, enum smtp_phase at, struct forced *forced)
{
	unsigned families = policy->conf->answer.forced;
	/* Who brings the smart sink's file wants its commands answered as it does. */
	if ((families & FORCED_WORDS) && policy->conf->answer.responses[0])
		families |= FORCED_SMART_SINK;
	return forced_find(path, at, families, forced);
}

/* What an address asks for: now, or remembered until its phase comes. True where it asks for anything. */
static bool decide_forced(
	struct policy_session *session, const struct smtp *smtp, struct policy_verdict *verdict)
{
	struct forced forced;
	if (smtp->phase != SMTP_PHASE_MAIL && smtp->phase != SMTP_PHASE_RCPT)
		return false;
	if (!policy_asked(session->policy, &smtp->path, smtp->phase, &forced))
		return false;
	if (forced.accept)
		return true;
	struct policy_transaction *transaction = session->transaction;
	/* Of several that ask for later, the earliest phase is the one that can be heard. */
	if (forced.phase > smtp->phase && transaction->forced.code &&
		transaction->forced.phase <= forced.phase)
		return true;
	if (forced.phase > smtp->phase) {
		size_t len = forced.reply.enhanced.len;
		if (len >= sizeof(transaction->forced.enhanced))
			len = 0;
		transaction->forced.code = (uint16_t)forced.reply.code;
		transaction->forced.phase = (uint8_t)forced.phase;
		memcpy(transaction->forced.enhanced, forced.reply.enhanced.data, len);
		transaction->forced.enhanced[len] = '\0';
		return true;
	}
	size_t len =
		forced.reply.text.len < sizeof(verdict->text) ? forced.reply.text.len : sizeof(verdict->text);
	memcpy(verdict->text, forced.reply.text.data, len);
	verdict->storage = forced.reply;
	verdict->storage.text = (struct span){verdict->text, len};
	verdict->reply = &verdict->storage;
	return true;
}

/* The phase that a recipient's address named has come. */
static bool decide_remembered(
	struct policy_session *session, const struct smtp *smtp, struct policy_verdict *verdict)
{
	const struct policy_transaction *transaction = transaction_of(session);
	if (transaction->forced.code == 0 || transaction->forced.phase > smtp->phase ||
		smtp->phase < SMTP_PHASE_DATA)
		return false;
	verdict->storage = (struct smtp_reply){transaction->forced.code,
		span_of(transaction->forced.enhanced), span_of("As a recipient's address asks")};
	verdict->reply = &verdict->storage;
	return true;
}

static const struct provider_reply *decide_mail(
	struct policy_session *session, const struct smtp *smtp, uint64_t now_ms)
{
	const struct provider *provider = session->provider;
	const struct provider_limits *limits = provider ? &provider->limits : NULL;
	if (smtp->phase == SMTP_PHASE_MAIL)
		session->mail_drawn = false;
	if (!limits)
		return NULL;
	if (limits->deliveries_per_connection && session->deliveries >= limits->deliveries_per_connection)
		return breach(session, provider, PROVIDER_DELIVERIES, smtp, now_ms);
	if (limits->message_size && smtp->declared_size > limits->message_size)
		return breach(session, provider, PROVIDER_SIZE, smtp, now_ms);
	if (limits->message_rate.count && session->entry &&
		!limit_take(session->entry, LIMIT_MESSAGE_RATE, limits->message_rate, now_ms))
		return breach(session, provider, PROVIDER_MESSAGE_RATE, smtp, now_ms);
	if (smtp->phase != SMTP_PHASE_MAIL)
		return NULL;
	return put_due(session, policy_outcome_mail(session, session->transaction->sender), false, smtp);
}

/*
 * The recipient is not served where the connection was meant to go: certain only where both are known to
 * DNS, belong to different providers or sites, and the address is none of the recipient's hosts' (a large
 * provider's names lead to other addresses each time they are asked).
 */
static bool is_mismatch(const struct policy_session *session, const struct policy_mx *mx)
{
	if (!session->diverted || !session->dialled || !mx->answer || mx->answer->status != MX_FOUND ||
		mx->answer->partial)
		return false;
	if (mx->provider == session->dialled && mx->provider->index != 0)
		return false;
	return mx->site != session->dialled_site && !mx_has_address(mx->answer, &session->destination);
}

static const struct provider_reply *decide_rcpt(
	struct policy_session *session, const struct smtp *smtp, const struct policy_mx *mx, uint64_t now_ms)
{
	const struct policy *policy = session->policy;
	const struct provider *provider = mx->provider;
	/* In the words of the server that was dialled: whose the recipient is, it does not know. */
	if (policy->conf->answer.mx_mismatch == CONF_MX_MISMATCH_REJECT && is_mismatch(session, mx))
		return put_due(session,
			words_for(
				session, session->dialled, PROVIDER_MISMATCH, draw_next(session, FOR_REPLY)),
			false, smtp);
	const struct provider_limits *limits = &provider->limits;
	if (limits->recipients_per_message && smtp->message.recipients >= limits->recipients_per_message)
		return breach(session, provider, PROVIDER_RECIPIENTS, smtp, now_ms);

	uint64_t key = draw_name(session->transaction->sender, smtp->path.mailbox);
	if (provider->greylist_s) {
		uint64_t triplet = draw_bytes(draw_number(key, FOR_TRIPLET), mapped_bytes(&session->source));
		uint64_t first = attempt_first_seen(session->state->attempts, triplet, now_ms);
		if (now_ms - first < provider->greylist_s * UINT64_C(1000))
			return put_due(session,
				words_for(
					session, provider, PROVIDER_GREYLIST, draw_next(session, FOR_REPLY)),
				false, smtp);
	}
	return put_due(session, policy_outcome_rcpt(session, provider, key), false, smtp);
}

static const struct provider_reply *decide_end(
	struct policy_session *session, const struct smtp *smtp, uint64_t now_ms)
{
	const struct provider *provider = session->provider;
	if (provider && provider->limits.message_size && smtp->message.octets > provider->limits.message_size)
		return breach(session, provider, PROVIDER_SIZE, smtp, now_ms);
	return NULL;
}

/* Delays and faults come on top of whatever is answered. */
static void decide_weather(
	struct policy_session *session, const struct smtp *smtp, struct policy_verdict *verdict)
{
	const struct provider *provider = provider_of(session);
	const struct provider_delay *delay = &provider->delays[smtp->phase];
	if (delay->form != PROVIDER_DELAY_NONE)
		verdict->delay_ms += delay_draw(delay, draw_next(session, FOR_DELAY));
	uint64_t draw = provider->fault_count ? draw_next(session, FOR_FAULT) : 0;
	uint32_t odds_ppm = 0;
	for (size_t i = 0; i < provider->fault_count; i++) {
		if (provider->faults[i].phase != smtp->phase)
			continue;
		/* One draw for all, so that each has its odds exactly, whatever comes before it. */
		odds_ppm += provider->faults[i].odds_ppm;
		if (!draw_hits(draw, odds_ppm))
			continue;
		verdict->faulted = true;
		verdict->fault = provider->faults[i].form;
		return;
	}
}

static bool decide_injected(struct policy_session *session, const struct smtp *smtp, uint64_t now_ms,
	const char *today, struct policy_verdict *verdict)
{
	struct injections *injections = session->state->injections;
	if (!injections_any(injections))
		return false;
	struct span domain = smtp->phase == SMTP_PHASE_RCPT ? smtp->path.domain : (struct span){"", 0};
	const char *provider = verdict->provider ? verdict->provider->name : "";
	char source[INET6_ADDRSTRLEN];
	const struct injection *found = injections_match(
		injections, smtp->phase, domain, provider, mapped_text(&session->source, source), now_ms);
	if (!found)
		return false;
	verdict->delay_ms += found->delay_ms;
	if (found->reply.code)
		give(session, verdict, &found->reply, smtp, today);
	return found->reply.code != 0;
}

static void decide_smart(struct policy_session *session, const struct smtp *smtp, const struct policy_mx *mx,
	uint64_t now_ms, const char *today, struct policy_verdict *verdict)
{
	const struct provider_reply *now =
		session->due && session->due->phase <= smtp->phase ? session->due : NULL;
	if (smtp->phase == SMTP_PHASE_CONNECT) {
		decide_connect(session, smtp, now_ms, today, verdict);
		verdict->provider = provider_of(session);
		/* Known for whose it is only now; what is injected comes before all else, here too. */
		if (!decide_injected(session, smtp, now_ms, today, verdict))
			decide_weather(session, smtp, verdict);
		return;
	}
	if (smtp->phase == SMTP_PHASE_MAIL) {
		session->transaction->sender =
			draw_name(draw_for(session, FOR_SENDER, 0), smtp->path.mailbox);
		keep_mailbox(session->transaction->from, smtp->path.mailbox);
	}
	verdict->provider = smtp->phase == SMTP_PHASE_RCPT ? mx->provider : provider_of(session);
	if (decide_injected(session, smtp, now_ms, today, verdict))
		return;
	/* Where the destination was not known for whose it is, the first recipient tells. */
	if (smtp->phase == SMTP_PHASE_RCPT && !session->provider) {
		now = count_connection(session, mx->provider, mx->site, smtp, now_ms);
		/* What was not asked at MAIL, since nobody knew of whom. */
		if (!now)
			now = decide_mail(session, smtp, now_ms);
	}
	/* What is said later of the transaction names the recipient that it is said for. */
	if (smtp->phase == SMTP_PHASE_RCPT && (!session->due || session->due_stays))
		keep_mailbox(session->transaction->rcpt, smtp->path.mailbox);
	if (decide_forced(session, smtp, verdict) || decide_remembered(session, smtp, verdict))
		return;
	switch (smtp->phase) {
	case SMTP_PHASE_CONNECT:
		break;
	case SMTP_PHASE_HELO:
		if (!now)
			decide_helo(session, smtp, verdict, today);
		break;
	case SMTP_PHASE_MAIL:
		if (!now)
			now = decide_mail(session, smtp, now_ms);
		break;
	case SMTP_PHASE_RCPT:
		if (!now)
			now = decide_rcpt(session, smtp, mx, now_ms);
		break;
	case SMTP_PHASE_DATA:
		break;
	case SMTP_PHASE_END_OF_DATA:
		if (!now)
			now = decide_end(session, smtp, now_ms);
		break;
	}
	if (now) {
		give(session, verdict, now, smtp, today);
		if (now == session->due && !session->due_stays)
			session->due = NULL;
	}
	if (smtp->phase == SMTP_PHASE_END_OF_DATA && !verdict->reply)
		session->deliveries++;
	decide_weather(session, smtp, verdict);
}

enum policy_outcome policy_decide(struct policy_session *session, const struct smtp *smtp,
	const struct policy_mx *mx, uint64_t now_ms, const char *today, struct policy_verdict *verdict)
{
	const struct policy *policy = session->policy;
	verdict->reply = NULL;
	verdict->from = NULL;
	verdict->provider = NULL;
	verdict->action = PROVIDER_REPLY;
	verdict->delay_ms = 0;
	verdict->faulted = false;
	if (!policy->providers) {
		/* Who accepts everything keeps to what was injected and what addresses ask for. */
		if (!decide_injected(session, smtp, now_ms, today, verdict) &&
			!decide_forced(session, smtp, verdict))
			decide_remembered(session, smtp, verdict);
		return POLICY_DECIDED;
	}
	struct policy_mx known;
	if (smtp->phase == SMTP_PHASE_RCPT && !mx) {
		/* Who was not diverted need not be held against DNS: a well-known name is enough. */
		const struct provider *provider = provider_by_domain(policy->providers, smtp->path.domain);
		if (!provider || (session->diverted && !provider->by_domain_alone))
			return POLICY_WANTS_MX;
		known = (struct policy_mx){.provider = provider};
		mx = &known;
	}
	decide_smart(session, smtp, mx, now_ms, today, verdict);
	return POLICY_DECIDED;
}

void policy_forget(struct policy_session *session)
{
	if (!session->due_stays)
		session->due = NULL;
	if (session->transaction)
		*session->transaction = (struct policy_transaction){0};
}

void policy_session_done(struct policy_session *session, uint64_t now_ms)
{
	if (session->entry)
		limit_disconnect(session->entry, now_ms);
	if (session->site_entry)
		limit_disconnect(session->site_entry, now_ms);
}

void policy_standing(const struct policy_state *state, const struct provider *provider,
	const struct in6_addr *source, uint64_t now_ms, struct policy_standing *standing)
{
	const struct limit_entry *entry = limit_find(state->limits, entry_key(source, provider));
	*standing = (struct policy_standing){0};
	if (!entry)
		return;
	standing->connections = limit_connections(entry);
	standing->violations =
		limit_violations(entry, provider->reputation_recovers_s * UINT64_C(1000), now_ms);
}
