#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "conf_file.h"
#include "guard.h"
#include "inherited.h"

static enum exit_code fail(int code, const struct err *err)
{
	fprintf(stderr, "mxmirage: %s\n", err->text);
	return exit_code_of(code);
}

static enum exit_code arm(struct guard *guard, const struct options *options)
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
	struct ruleset *rules = ruleset_new(conf, &err);
	int code = rules ? guard_arm(guard, rules, &err) : -ENOMEM;
	ruleset_free(rules);
	conf_unref(conf);
	if (code < 0)
		return fail(code, &err);
	printf("armed: port 25 is diverted, and where nobody listens nothing for it leaves this host\n");
	return EXIT_CODE_OK;
}

static enum exit_code status(struct guard *guard, const struct options *options)
{
	struct guard_state state;
	struct guard_counts counts = {0};
	struct err err;
	int code = guard_state(guard, &state, &err);
	if (code == 0 && state.armed)
		code = guard_counts(guard, &counts, &err);
	if (code < 0)
		return fail(code, &err);
	if (options->json) {
		json_t *counters = json_object();
		for (int i = 0; i < RULESET_COUNTERS; i++)
			json_object_set_new(counters, ruleset_counter_name(i),
				json_pack("{s:I,s:I}", "packets", (json_int_t)counts.counters[i].packets,
					"bytes", (json_int_t)counts.counters[i].bytes));
		json_t *all = json_pack("{s:b,s:b,s:b,s:o}", "armed", state.armed, "owner", state.owner,
			"persist", state.persist, "firewall", counters);
		json_dumpf(all, stdout, JSON_INDENT(2));
		printf("\n");
		json_decref(all);
	} else if (!state.armed) {
		printf("not armed: port 25 is open; `mxmirage guard arm` closes it\n");
	} else {
		printf("armed%s\n",
			state.owner ? ", owned by a running process: others cannot change it" : "");
		for (int i = 0; i < RULESET_COUNTERS; i++)
			printf("  %-20s %12" PRIu64 " packets %14" PRIu64 " bytes\n", ruleset_counter_name(i),
				counts.counters[i].packets, counts.counters[i].bytes);
	}
	return state.armed ? EXIT_CODE_OK : EXIT_CODE_LEAK;
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
	struct guard *guard = guard_new(inherited_netlink(), &err);
	enum exit_code code = EXIT_CODE_USAGE;
	if (!guard) {
		fprintf(stderr, "mxmirage: %s\n", err.text);
		return EXIT_CODE_PRIVILEGE;
	}
	if (strcmp(what, "arm") == 0)
		code = arm(guard, options);
	else if (strcmp(what, "disarm") == 0)
		code = disarm(guard);
	else if (strcmp(what, "status") == 0)
		code = status(guard, options);
	else
		fprintf(stderr, "mxmirage: guard %s: say arm, disarm or status\n", what);
	guard_free(guard);
	return code;
}
