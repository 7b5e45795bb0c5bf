#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "injection.h"
#include "resolver.h"
#include "session_internal.h"

/* Today's date, worked out anew when the day may have changed. */
static const char *today_of(struct session_shared *shared)
{
	struct timeval tv;
	event_base_gettimeofday_cached(shared->base, &tv);
	if (tv.tv_sec / 60 != shared->today_minute) {
		shared->today_minute = tv.tv_sec / 60;
		struct tm tm;
		time_t time = tv.tv_sec;
		gmtime_r(&time, &tm);
		strftime(shared->today, sizeof(shared->today), "%Y-%m-%d", &tm);
	}
	return shared->today;
}

/* What follows from DNS's answer is worked out once for each set of providers. */
static struct policy_mx mx_of_entry(const struct policy *policy, struct resolver_entry *entry)
{
	if (entry->owner != policy->serial) {
		struct policy_mx mx = policy_mx_of(policy, entry->domain, &entry->answer);
		entry->owner = policy->serial;
		entry->provider = mx.provider;
		entry->site = mx.site;
	}
	return (struct policy_mx){&entry->answer, entry->provider, entry->site};
}

/* DNS has answered: the decision is made again, now with that. */
static void mx_answered(void *arg, struct resolver_entry *entry)
{
	struct session *session = arg;
	struct session_transaction *transaction = session->transaction;
	transaction->question = NULL;
	transaction->mx = mx_of_entry(session->policy.policy, entry);
	transaction->mx_known = true;
	if (entry->answer.status == MX_UNKNOWN)
		stats_add(session->shared->block, STATS_DNS_FAILED, 1);
	session_resume(session);
}

/* The command's bytes will be gone when the answer comes: the path moves to memory of its own. */
static bool keep_path(struct session *session)
{
	struct smtp_path *path = &session->smtp.path;
	char *copy = malloc(path->mailbox.len + 1);
	if (!copy)
		return false;
	memcpy(copy, path->mailbox.data, path->mailbox.len);
	path->local.data = copy + (path->local.data - path->mailbox.data);
	path->domain.data = copy + (path->domain.data - path->mailbox.data);
	path->mailbox.data = copy;
	free(session->transaction->asked);
	session->transaction->asked = copy;
	return true;
}

/* Asks DNS. False when that cannot be: the decision is then made without. */
static bool ask_mx(struct session *session)
{
	struct resolver *resolver = session->shared->resolver;
	if (!resolver || !keep_path(session))
		return false;
	struct session_transaction *transaction = session->transaction;
	transaction->question = resolver_ask(resolver, session->smtp.path.domain, mx_answered, session);
	if (!transaction->question)
		return false;
	session->state = SESSION_ASKING;
	return true;
}

static void fill_dialled(struct session *session)
{
	struct session_shared *shared = session->shared;
	struct policy_session *policy = &session->policy;
	if (!shared->resolver || !policy->diverted || !policy->policy->providers)
		return;
	struct span name;
	struct resolver_entry *entry = resolver_by_address(shared->resolver, &policy->destination, &name);
	if (!entry)
		return;
	/* The entry may go; what is remembered of it stays. Without memory for its name the host has its own. */
	policy->mx_name = strndup(name.data, name.len);
	struct policy_mx mx = mx_of_entry(policy->policy, entry);
	policy->dialled = mx.provider;
	policy->dialled_site = mx.site;
}

/* Makes the verdict. False where DNS is to be waited for. */
static bool find_verdict(struct session *session, struct policy_verdict *verdict)
{
	struct session_shared *shared = session->shared;
	const struct smtp *smtp = &session->smtp;
	/* The engine refuses: neither DNS nor chance is to be asked. */
	if (smtp_recipients_full(smtp)) {
		*verdict = (struct policy_verdict){0};
		return true;
	}
	/* Who accepts everything needs neither, unless something is injected. */
	bool timed = session->policy.policy->providers || injections_any(session->policy.state->injections);
	uint64_t now_ms = timed ? clock_ms() : 0;
	const char *today = timed ? today_of(shared) : "";
	if (smtp->phase == SMTP_PHASE_CONNECT)
		fill_dialled(session);
	struct session_transaction *transaction = session->transaction;
	const struct policy_mx *mx = transaction && transaction->mx_known ? &transaction->mx : NULL;
	if (mx)
		transaction->mx_known = false;
	if (policy_decide(&session->policy, smtp, mx, now_ms, today, verdict) == POLICY_DECIDED)
		return true;
	struct span domain = smtp->path.domain;
	struct resolver_entry *entry = shared->resolver ? resolver_cached(shared->resolver, domain) : NULL;
	if (!entry && ask_mx(session))
		return false;
	const struct policy_mx known = entry ? mx_of_entry(session->policy.policy, entry)
					     : policy_mx_of(session->policy.policy, domain, NULL);
	policy_decide(&session->policy, smtp, &known, now_ms, today, verdict);
	return true;
}

static struct session_recipient recipient_of(struct session *session, const struct policy_verdict *verdict)
{
	uint32_t provider = STATS_OTHER;
	if (verdict->provider)
		provider =
			stats_row(session->shared->block, STATS_PROVIDERS, span_of(verdict->provider->name));
	return (struct session_recipient){session_domain_row(session, session->smtp.path.domain), provider};
}

static const struct smtp_reply no_memory = {452, {"4.3.1", 5}, {"Insufficient system storage", 27}};

static void answer_recipient(
	struct session *session, const struct policy_verdict *verdict, struct smtp_out *out)
{
	const struct smtp_reply *reply = verdict->reply;
	struct session_recipient recipient = recipient_of(session, verdict);
	if ((!reply || reply->code < 300) && !smtp_recipients_full(&session->smtp) &&
		!session_keep_recipient(session, recipient))
		reply = &no_memory;
	unsigned code = smtp_decide(&session->smtp, reply, out);
	if (code >= 400)
		session_count_refused(session, recipient, code);
}

static void answer_other(struct session *session, unsigned code)
{
	enum smtp_phase phase = session->smtp.phase;
	if (code < 400 && phase == SMTP_PHASE_DATA)
		session->transaction->counted = false;
	if (code < 400 || phase < SMTP_PHASE_MAIL)
		return;
	/* A message refused at MAIL has no recipients to be counted by, and leaves nothing behind; at DATA it has. */
	session_count_message(session, code, 0);
	if (phase == SMTP_PHASE_MAIL)
		policy_forget(&session->policy);
}

static void answer(struct session *session, const struct policy_verdict *verdict, struct smtp_out *out)
{
	if (session->smtp.phase == SMTP_PHASE_RCPT) {
		answer_recipient(session, verdict, out);
	} else if (session->smtp.phase == SMTP_PHASE_END_OF_DATA) {
		uint64_t octets = session->smtp.message.octets;
		session_count_message(session, smtp_decide(&session->smtp, verdict->reply, out), octets);
	} else {
		answer_other(session, smtp_decide(&session->smtp, verdict->reply, out));
	}
}

static void count_verdict(struct session *session, const struct policy_verdict *verdict)
{
	struct stats_block *block = session->shared->block;
	if (verdict->faulted)
		stats_add(block, STATS_FAULTS, 1);
	if (!verdict->from)
		return;
	if (verdict->kind == PROVIDER_MISMATCH)
		stats_add(block, STATS_MX_MISMATCH, 1);
	else if (verdict->kind != PROVIDER_BOUNCE && verdict->kind != PROVIDER_DEFER)
		stats_add(block, STATS_LIMITED, 1);
}

/* The end of a connection that is given no reply. */
static const enum session_decided silent_actions[] = {
	[PROVIDER_CLOSE] = SESSION_CUTS,
	[PROVIDER_RESET] = SESSION_RESETS,
	[PROVIDER_HANG] = SESSION_HANGS,
};

static const enum session_decided silent_faults[] = {
	[PROVIDER_FAULT_RESET] = SESSION_RESETS,
	[PROVIDER_FAULT_CLOSE] = SESSION_CUTS,
	[PROVIDER_FAULT_STALL] = SESSION_HANGS,
};

struct session_decision session_decide(struct session *session, struct smtp_out *out)
{
	struct policy_verdict *verdict = &session->shared->verdict;
	struct session_decision decision = {SESSION_GOES_ON, out->len, 0};
	session->phase_since = 0;
	if (session->smtp.phase == SMTP_PHASE_MAIL && !session_transaction_begin(session)) {
		smtp_decide(&session->smtp, &no_memory, out);
		return decision;
	}
	if (!find_verdict(session, verdict)) {
		decision.decided = SESSION_WAITS;
		return decision;
	}
	count_verdict(session, verdict);
	bool broken = verdict->faulted &&
		      (verdict->fault == PROVIDER_FAULT_TRUNCATE || verdict->fault == PROVIDER_FAULT_GARBLE);
	if (verdict->faulted && !broken)
		decision.decided = silent_faults[verdict->fault];
	else if (verdict->action >= PROVIDER_CLOSE)
		decision.decided = silent_actions[verdict->action];
	if (decision.decided != SESSION_GOES_ON)
		return decision;

	bool refused = verdict->reply && verdict->reply->code >= 400;
	answer(session, verdict, out);
	if (refused && verdict->action == PROVIDER_REPLY_CLOSE)
		smtp_close(&session->smtp);
	if (broken && verdict->fault == PROVIDER_FAULT_TRUNCATE) {
		out->len = decision.reply_at + (out->len - decision.reply_at) / 2;
		decision.decided = SESSION_CUTS;
		return decision;
	}
	if (broken)
		memset(out->data + decision.reply_at, '#', out->len - decision.reply_at - 2);
	if (verdict->delay_ms > 0) {
		decision.decided = SESSION_DELAYS;
		decision.delay_ms = verdict->delay_ms;
	}
	return decision;
}
