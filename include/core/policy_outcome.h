/*
 * policy_outcome: the part of policy.c that is chance: whether a provider takes a message, by its odds, and in
 * which words it does not. It says nothing of limits and gives no reply. For policy.c alone.
 */
#ifndef MX_POLICY_OUTCOME_H
#define MX_POLICY_OUTCOME_H

#include "policy.h"

/*
 * What the provider that was dialled says at MAIL, where the recipient is not known yet; NULL for acceptance.
 * sender: a draw over the reverse-path. To be called once in a transaction, at MAIL.
 */
const struct provider_reply *policy_outcome_mail(struct policy_session *session, uint64_t sender);

/* What a recipient's provider says, now or later; NULL for acceptance. key: a draw over sender and recipient. */
const struct provider_reply *policy_outcome_rcpt(
	const struct policy_session *session, const struct provider *provider, uint64_t key);

#endif
