#include <stdlib.h>

#include "mapped.h"
#include "resolver.h"
#include "session_internal.h"

/* Where an outcome is counted, by the reply code's class. */
static const struct {
	enum stats_counter messages, recipients;
	enum stats_field field;
} outcomes[] = {
	[2] = {STATS_MESSAGES_ACCEPTED, STATS_RECIPIENTS_ACCEPTED, STATS_ROW_ACCEPTED},
	[4] = {STATS_MESSAGES_TEMPFAIL, STATS_RECIPIENTS_TEMPFAIL, STATS_ROW_TEMPFAIL},
	[5] = {STATS_MESSAGES_PERMFAIL, STATS_RECIPIENTS_PERMFAIL, STATS_ROW_PERMFAIL},
};

static unsigned class_of(unsigned code)
{
	return code >= 500 ? 5 : code >= 400 ? 4 : 2;
}

uint32_t session_domain_row(struct session *session, struct span domain)
{
	/* RFC 5321 4.5.1: <postmaster> without a domain is this host's own. */
	if (domain.len == 0)
		domain = span_of(session->policy.policy->profile.hostname);
	if (domain.len > STATS_KEY_MAX)
		return STATS_OTHER;
	char lower[STATS_KEY_MAX];
	for (size_t i = 0; i < domain.len; i++) {
		char c = domain.data[i];
		lower[i] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
	}
	return stats_row(session->shared->block, STATS_DOMAINS, (struct span){lower, domain.len});
}

void session_count_opened(struct session *session, enum origdst_result result)
{
	struct stats_block *block = session->shared->block;
	session->destination =
		stats_row(block, STATS_DESTINATIONS, mapped_bytes(&session->policy.destination));
	session->source = stats_row(block, STATS_SOURCES, mapped_bytes(&session->policy.source));
	stats_add(block, STATS_CONNECTIONS, 1);
	stats_row_add(block, STATS_DESTINATIONS, session->destination, STATS_ROW_CONNECTIONS, 1);
	stats_row_add(block, STATS_SOURCES, session->source, STATS_ROW_CONNECTIONS, 1);
	if (result == ORIGDST_UNDIVERTED)
		stats_add(block, STATS_UNDIVERTED, 1);
	else if (result == ORIGDST_UNKNOWN)
		stats_add(block, STATS_UNKNOWN_DESTINATION, 1);
}

struct session_transaction *session_transaction_begin(struct session *session)
{
	struct session_transaction *transaction = session->transaction;
	if (transaction)
		return transaction;
	struct session_shared *shared = session->shared;
	transaction = shared->spare;
	if (transaction) {
		shared->spare = transaction->next;
		shared->spare_count--;
		*transaction = (struct session_transaction){0};
	} else {
		transaction = calloc(1, sizeof(*transaction));
	}
	if (!transaction)
		return NULL;
	transaction->recipients = transaction->recipients_inline;
	transaction->recipient_cap = RECIPIENTS_INLINE;
	session->transaction = transaction;
	session->policy.transaction = &transaction->policy;
	return transaction;
}

void session_transaction_end(struct session *session)
{
	struct session_transaction *transaction = session->transaction;
	if (!transaction)
		return;
	if (transaction->question)
		resolver_forget(transaction->question);
	if (transaction->recipients != transaction->recipients_inline)
		free(transaction->recipients);
	free(transaction->asked);
	session->transaction = NULL;
	session->policy.transaction = NULL;
	struct session_shared *shared = session->shared;
	if (shared->spare_count == SPARES_MAX) {
		free(transaction);
		return;
	}
	transaction->next = shared->spare;
	shared->spare = transaction;
	shared->spare_count++;
}

void session_transactions_free(struct session_shared *shared)
{
	struct session_transaction *transaction;
	while ((transaction = shared->spare)) {
		shared->spare = transaction->next;
		free(transaction);
	}
}

bool session_keep_recipient(struct session *session, struct session_recipient recipient)
{
	struct session_transaction *transaction = session->transaction;
	if (transaction->recipient_count == transaction->recipient_cap) {
		uint32_t cap = transaction->recipient_cap * 4;
		bool is_inline = transaction->recipients == transaction->recipients_inline;
		struct session_recipient *more =
			realloc(is_inline ? NULL : transaction->recipients, cap * sizeof(*more));
		if (!more)
			return false;
		if (is_inline)
			memcpy(more, transaction->recipients_inline, sizeof(transaction->recipients_inline));
		transaction->recipients = more;
		transaction->recipient_cap = cap;
	}
	transaction->recipients[transaction->recipient_count++] = recipient;
	transaction->counted = false;
	return true;
}

static void count_recipient(
	struct session *session, struct session_recipient recipient, unsigned class, uint64_t octets)
{
	struct stats_block *block = session->shared->block;
	stats_add(block, outcomes[class].recipients, 1);
	stats_row_add(block, STATS_DOMAINS, recipient.domain, outcomes[class].field, 1);
	stats_row_add(block, STATS_PROVIDERS, recipient.provider, outcomes[class].field, 1);
	if (octets > 0) {
		stats_row_add(block, STATS_DOMAINS, recipient.domain, STATS_ROW_BYTES, octets);
		stats_row_add(block, STATS_PROVIDERS, recipient.provider, STATS_ROW_BYTES, octets);
	}
}

static void count_message(struct session *session, unsigned class, uint64_t octets)
{
	struct stats_block *block = session->shared->block;
	stats_add(block, outcomes[class].messages, 1);
	stats_row_add(block, STATS_DESTINATIONS, session->destination, outcomes[class].field, 1);
	stats_row_add(block, STATS_SOURCES, session->source, outcomes[class].field, 1);
	if (octets > 0) {
		stats_add(block, STATS_MESSAGES_BYTES, octets);
		stats_row_add(block, STATS_DESTINATIONS, session->destination, STATS_ROW_BYTES, octets);
		stats_row_add(block, STATS_SOURCES, session->source, STATS_ROW_BYTES, octets);
	}
}

void session_count_refused(struct session *session, struct session_recipient recipient, unsigned code)
{
	if (code >= 500)
		session->transaction->refused_5xx = true;
	else
		session->transaction->refused_4xx = true;
	count_recipient(session, recipient, class_of(code), 0);
}

void session_count_message(struct session *session, unsigned code, uint64_t octets)
{
	struct session_transaction *transaction = session->transaction;
	unsigned class = class_of(code);
	if (class != 2)
		octets = 0;
	count_message(session, class, octets);
	for (uint32_t i = 0; i < transaction->recipient_count; i++)
		count_recipient(session, transaction->recipients[i], class, octets);
	transaction->counted = true;
}

void session_count_cut(struct session *session)
{
	const struct session_transaction *transaction = session->transaction;
	if (transaction && transaction->recipient_count > 0 && !transaction->counted)
		stats_add(session->shared->block, STATS_MESSAGES_ABORTED, 1);
	session_count_forgotten(session);
}

void session_count_forgotten(struct session *session)
{
	struct session_transaction *transaction = session->transaction;
	if (!transaction)
		return;
	if (transaction->recipient_count == 0 && (transaction->refused_4xx || transaction->refused_5xx))
		count_message(session, transaction->refused_4xx ? 4 : 5, 0);
	transaction->recipient_count = 0;
	transaction->refused_4xx = transaction->refused_5xx = false;
}
