#include "guard_text.h"

void guard_text_state(FILE *to, const struct guard_state *state)
{
	if (state->owner)
		fprintf(to, "armed, and owned: while its owner lives nobody else can change it\n");
	else if (state->armed)
		fprintf(to, "armed, without an owner: root tools can remove it; a running mxmirage takes it "
			    "over\n");
	if (state->walled)
		fprintf(to, "%s: root tools can remove it\n",
			state->armed ? "static wall beside it, which stands when the owner is gone"
				     : "armed with the static wall, nothing is diverted");
	if (state->armed || state->walled)
		fprintf(to, "mxmirage blocks port 25 on this host; `mxmirage guard disarm` opens it%s\n",
			state->owner && state->walled ? ", once the owner is stopped" : "");
	else
		fprintf(to, "not armed: port 25 is open; `mxmirage guard arm` closes it\n");
}

void guard_text_without_daemon(FILE *to)
{
	struct err err;
	struct guard_state state;
	struct guard *guard = guard_new(-1, &err);
	if (guard && guard_state(guard, &state, &err) == 0)
		guard_text_state(to, &state);
	guard_free(guard);
}
