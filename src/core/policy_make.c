#include <errno.h>
#include <stdlib.h>

#include "injection.h"
#include "policy.h"

/* Senders times providers that are limited at once; sender and recipient pairs whose attempts are told apart. */
#define LIMIT_ENTRIES   65536
#define ATTEMPT_ENTRIES (4u << 20)

int policy_state_init(struct policy_state *state, struct err *err)
{
	*state = (struct policy_state){
		.limits = limit_table_new(LIMIT_ENTRIES),
		.attempts = attempt_table_new(ATTEMPT_ENTRIES),
		.injections = injections_new(),
	};
	if (state->limits && state->attempts && state->injections)
		return 0;
	policy_state_done(state);
	return err_set(err, -ENOMEM, "policy: out of memory");
}

void policy_state_done(struct policy_state *state)
{
	limit_table_free(state->limits);
	attempt_table_free(state->attempts);
	injections_free(state->injections);
	*state = (struct policy_state){0};
}

/* What a provider takes, the engine must not refuse in words of its own before the provider is asked. */
static void leave_to_providers(struct policy *policy)
{
	struct smtp_limits *limits = &policy->profile.limits;
	for (size_t i = 0; policy->providers && i < provider_count(policy->providers); i++) {
		const struct provider_limits *theirs = &provider_at(policy->providers, i)->limits;
		if (theirs->message_size >= limits->message_size)
			limits->message_size = theirs->message_size + 1;
		if (theirs->recipients_per_message >= limits->recipients)
			limits->recipients = theirs->recipients_per_message + 1;
	}
}

struct policy *policy_new(
	const struct conf *conf, struct provider_set *providers, uint64_t serial, struct err *err)
{
	struct policy *policy = calloc(1, sizeof(*policy));
	if (!policy) {
		provider_set_free(providers);
		err_set(err, -ENOMEM, "policy: out of memory");
		return NULL;
	}
	policy->conf = conf_ref(conf);
	policy->providers = providers;
	policy->profile = (struct smtp_profile){
		.hostname = policy->conf->answer.hostname,
		.banner = "ESMTP",
		.limits = smtp_limits_default,
	};
	leave_to_providers(policy);
	policy->serial = serial;
	policy->references = 1;
	return policy;
}

const struct policy *policy_ref(const struct policy *policy)
{
	__atomic_fetch_add(&((struct policy *)policy)->references, 1, __ATOMIC_RELAXED);
	return policy;
}

void policy_unref(const struct policy *policy)
{
	struct policy *mine = (struct policy *)policy;
	if (!mine || __atomic_sub_fetch(&mine->references, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	provider_set_free(mine->providers);
	conf_unref(mine->conf);
	free(mine);
}
