#include "guard_text.h"

#include <errno.h>
#include <net/if.h>

#include "text.h"

void guard_text_state(FILE *to, const struct guard_state *state, const struct err *changed)
{
	if (changed)
		fprintf(to, "changed by somebody, or loaded by another version: %s\n", changed->text);
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
			state->owner && state->walled
				? "; a daemon that was run by hand is to be stopped first"
				: "");
	else if (changed)
		fprintf(to, "port 25 may be open; `mxmirage guard arm` closes it\n");
	else
		fprintf(to, "not armed: port 25 is open; `mxmirage guard arm` closes it\n");
}

void guard_text_bare(FILE *to, int count, const char *device)
{
	char name[IFNAMSIZ];
	text_safe(device, name, sizeof(name));
	fprintf(to,
		"%d device%s came since (%s%s): there only IP is guarded, not packet sockets and macvlan "
		"guests; a "
		"running mxmirage follows them, `mxmirage guard arm` takes up those of now\n",
		count, count == 1 ? "" : "s", name, count == 1 ? "" : " is one");
}

void guard_text_without_daemon(FILE *to)
{
	struct err err;
	struct guard_state state;
	struct guard *guard = guard_new(-1, &err);
	int code = guard ? guard_check(guard, &state, &err) : -EPROTONOSUPPORT;
	if (code >= 0)
		guard_text_state(to, &state, code > 0 ? &err : NULL);
	guard_free(guard);
}
