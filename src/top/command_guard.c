#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "conf_file.h"
#include "guard.h"
#include "guard_text.h"
#include "keeper.h"
#include "links.h"
#include "units.h"

static enum exit_code fail(int code, const struct err *err)
{
	fprintf(stderr, "mxmirage: %s\n", err->text);
	return exit_code_of(code);
}

static enum exit_code conf_refused(const struct err *err)
{
	fprintf(stderr, "%s\n", err->text);
	return EXIT_CODE_CONFIGURATION;
}

/* By hand, where systemd runs: it holds what is armed, so it is asked to arm. */
static enum exit_code arm_by_systemd(const struct options *options)
{
	struct err err;
	struct conf *conf = conf_file_load(options->conf_file, &err);
	if (!conf)
		return conf_refused(&err);
	conf_unref(conf);
	int code = units_arm(&err);
	if (code < 0)
		return fail(code, &err);
	printf("armed, now and at each boot: nothing for port 25 leaves this host; `mxmirage guard disarm` "
	       "opens it\n");
	return EXIT_CODE_OK;
}

/*
 * At boot and at shutdown nobody reads what is wrong with the file, and the network comes up whatever is said: what stands stays,
 * and where nothing stands the port is shut as the defaults have it, without an exclusion. NULL: what stands stays.
 */
static struct conf *conf_at_boot(struct guard *guard, bool wall, const char *file, const struct err *mistake)
{
	struct guard_state state;
	struct err err;
	fprintf(stderr, "%s\n", mistake->text);
	if (!wall && guard_state(guard, &state, &err) == 0 && state.armed) {
		fprintf(stderr, "mxmirage: the rules that stand are kept; put the file right and restart\n");
		return NULL;
	}
	fprintf(stderr,
		"mxmirage: armed with the defaults, which exclude nothing; put the file right and restart\n");
	return conf_file_text(file, "", 0, &err);
}

/*
 * Through systemd's socket the tables that belong to it, which nobody can take away while that unit is active;
 * else the static wall, which stands for itself. One that stands beside them is kept true.
 */
static enum exit_code arm(struct guard *guard, bool owned, const struct options *options)
{
	struct err err;
	struct conf *conf = conf_file_load(options->conf_file, &err);
	if (!conf && (owned || options->wall)) {
		conf = conf_at_boot(guard, options->wall, options->conf_file, &err);
		if (!conf)
			return EXIT_CODE_OK;
	} else if (!conf) {
		return conf_refused(&err);
	}
	struct guard_state before;
	unsigned tables = owned ? RULESET_OWNED : RULESET_STATIC;
	if (owned && guard_state(guard, &before, &err) == 0 && before.walled)
		tables = RULESET_ALL;
	struct ruleset *rules = links_ruleset_now(conf, tables, &err);
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
		if (counts->counters[i].packets > 0)
			printf("  %-20s %12" PRIu64 " packets %14" PRIu64 " bytes\n", ruleset_counter_name(i),
				counts->counters[i].packets, counts->counters[i].bytes);
}

/* Devices that came while nobody followed them. */
static int bare_devices(
	struct guard *guard, const struct guard_state *state, char first[IFNAMSIZ], struct err *err)
{
	struct conf conf = {.divert = {.port_count = 0}};
	unsigned tables =
		(state->armed ? 1u << RULESET_EGRESS : 0) | (state->walled ? 1u << RULESET_WALL_EGRESS : 0);
	if (tables == 0)
		return 0;
	struct ruleset *rules = links_ruleset_now(&conf, tables, err);
	int code = rules ? guard_bare(guard, rules, first, err) : -ENOMEM;
	ruleset_free(rules);
	return code;
}

static enum exit_code status(struct guard *guard, const struct options *options)
{
	struct guard_state state;
	struct guard_counts counts = {0};
	struct err err = {""};
	int code = guard_check(guard, &state, &err);
	struct err changed = err, *change = code > 0 ? &changed : NULL;
	if (code >= 0 && (state.armed || state.walled))
		code = guard_counts(guard, state.armed ? RULESET_OWNED : RULESET_STATIC, &counts, &err);
	char bare[IFNAMSIZ];
	int bare_count = code >= 0 ? bare_devices(guard, &state, bare, &err) : code;
	if (bare_count < 0)
		return fail(bare_count, &err);
	if (options->json) {
		json_t *all = json_pack("{s:b,s:b,s:b,s:b,s:b,s:s?,s:i,s:o}", "blocked",
			state.armed || state.walled, "armed", state.armed, "owner", state.owner, "persist",
			state.persist, "static", state.walled, "changed", change ? change->text : NULL,
			"devices_unguarded", bare_count, "firewall", counts_json(&counts));
		json_dumpf(all, stdout, JSON_INDENT(2));
		printf("\n");
		json_decref(all);
	} else {
		guard_text_state(stdout, &state, change);
		if (bare_count > 0)
			guard_text_bare(stdout, bare_count, bare);
		if (state.armed || state.walled)
			counts_print(&counts);
	}
	return state.armed || state.walled ? EXIT_CODE_OK : EXIT_CODE_LEAK;
}

static enum exit_code disarm(struct guard *guard)
{
	struct err err;
	struct units_left left = {false};
	int code = units_known() ? units_disarm(&left, &err) : 0;
	/* What a kernel with PERSIST kept, and the static wall. */
	if (code == 0)
		code = guard_disarm(guard, &err);
	if (code < 0)
		return fail(code, &err);
	printf("disarmed: port 25 is open%s\n", left.daemon_at_boot
							? ", until mxmirage starts again at the next boot: "
							  "`systemctl disable mxmirage` ends that"
							: "");
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
		/* That needs no privilege: the kernel lacks it. */
		fprintf(stderr, "mxmirage: %s\n", err.text);
		return EXIT_CODE_SOFTWARE;
	}
	/* Of another file systemd's unit knows nothing. */
	bool as_installed =
		inherited < 0 && !options->wall && strcmp(options->conf_file, CONF_PATH_DEFAULT) == 0;
	if (strcmp(what, "arm") == 0 && as_installed && units_known())
		code = arm_by_systemd(options);
	else if (strcmp(what, "arm") == 0)
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
