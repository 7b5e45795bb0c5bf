#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "conf_file.h"
#include "guard.h"
#include "keeper.h"
#include "links.h"

static enum exit_code fail(int code, const struct err *err)
{
	fprintf(stderr, "mxmirage: %s\n", err->text);
	return exit_code_of(code);
}

/*
 * Through systemd's socket the tables that belong to it, which nobody can take away while that unit is active;
 * else the static wall, which stands for itself.
 */
static enum exit_code arm(struct guard *guard, bool owned, const struct options *options)
{
	struct err err;
	size_t len;
	char *text = conf_file_read(options->conf_file, &len, &err);
	struct conf *conf = text ? conf_file_text(options->conf_file, text, len, &err) : NULL;
	free(text);
	if (!conf) {
		fprintf(stderr, "%s\n", err.text);
		return EXIT_CODE_CONFIGURATION;
	}
	struct ruleset *rules = links_ruleset_now(conf, owned ? RULESET_OWNED : RULESET_STATIC, &err);
	int code = rules ? guard_arm(guard, rules, &err) : -ENOMEM;
	ruleset_free(rules);
	conf_unref(conf);
	if (code < 0)
		return fail(code, &err);
	printf("armed: nothing for port 25 leaves this host; `mxmirage guard disarm` opens it\n");
	return EXIT_CODE_OK;
}

static json_t *counts_json(const struct guard_counts *counts)
{
	json_t *counters = json_object();
	for (int i = 0; i < RULESET_COUNTERS; i++)
		json_object_set_new(counters, ruleset_counter_name(i),
			json_pack("{s:I,s:I}", "packets", (json_int_t)counts->counters[i].packets, "bytes",
				(json_int_t)counts->counters[i].bytes));
	return counters;
}

static void counts_print(const struct guard_counts *counts)
{
	for (int i = 0; i < RULESET_COUNTERS; i++)
		printf("  %-20s %12" PRIu64 " packets %14" PRIu64 " bytes\n", ruleset_counter_name(i),
			counts->counters[i].packets, counts->counters[i].bytes);
}

static void state_print(const struct guard_state *state)
{
	if (state->owner)
		printf("armed, and owned: while its owner lives nobody else can change it\n");
	else if (state->armed)
		printf("armed, without an owner: root tools can remove it; a running mxmirage takes it "
		       "over\n");
	if (state->walled)
		printf("%s: root tools can remove it\n",
			state->armed ? "static wall beside it, which stands when the owner is gone"
				     : "armed with the static wall, nothing is diverted");
	if (!state->armed && !state->walled)
		printf("not armed: port 25 is open; `mxmirage guard arm` closes it\n");
}

static enum exit_code status(struct guard *guard, const struct options *options)
{
	struct guard_state state;
	struct guard_counts counts = {0};
	struct err err;
	int code = guard_state(guard, &state, &err);
	if (code == 0 && (state.armed || state.walled))
		code = guard_counts(guard, state.armed ? RULESET_OWNED : RULESET_STATIC, &counts, &err);
	if (code < 0)
		return fail(code, &err);
	if (options->json) {
		json_t *all = json_pack("{s:b,s:b,s:b,s:b,s:o}", "armed", state.armed, "owner", state.owner,
			"persist", state.persist, "static", state.walled, "firewall", counts_json(&counts));
		json_dumpf(all, stdout, JSON_INDENT(2));
		printf("\n");
		json_decref(all);
	} else {
		state_print(&state);
		if (state.armed || state.walled)
			counts_print(&counts);
	}
	return state.armed || state.walled ? EXIT_CODE_OK : EXIT_CODE_LEAK;
}

static enum exit_code disarm(struct guard *guard)
{
	struct err err;
	int code = guard_disarm(guard, &err);
	if (code < 0)
		return fail(code, &err);
	printf("disarmed: port 25 is open\n");
	return EXIT_CODE_OK;
}

enum exit_code command_guard(const struct command *command, const struct options *options)
{
	(void)command;
	const char *what = options->argv[0];
	struct err err;
	int inherited = keeper_inherited_socket();
	struct guard *guard = guard_new(inherited, &err);
	enum exit_code code = EXIT_CODE_USAGE;
	if (!guard) {
		fprintf(stderr, "mxmirage: %s\n", err.text);
		return EXIT_CODE_PRIVILEGE;
	}
	if (strcmp(what, "arm") == 0)
		code = arm(guard, inherited >= 0, options);
	else if (strcmp(what, "disarm") == 0)
		code = disarm(guard);
	else if (strcmp(what, "status") == 0)
		code = status(guard, options);
	else
		fprintf(stderr, "mxmirage: guard %s: say arm, disarm or status\n", what);
	guard_free(guard);
	return code;
}
