#include <errno.h>

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
