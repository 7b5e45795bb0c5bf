/*
 * command: the verbs of the program, a file each. The table in command.c is the one place that lists
 * them; usage text and option checks derive from it.
 */
#ifndef MX_COMMAND_H
#define MX_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "exit_code.h"

/* Options; each verb says which it takes. */
enum option_bit {
	OPTION_CONF = 1 << 0,
	OPTION_SOCKET = 1 << 1,
	OPTION_JSON = 1 << 2,
	OPTION_ROWS = 1 << 3,
	OPTION_NO_DIVERT = 1 << 4,
	OPTION_DISARM_ON_EXIT = 1 << 5,
	OPTION_DRY_RUN = 1 << 6,
	OPTION_PEERS = 1 << 7,  /* --from, --to */
	OPTION_INJECT = 1 << 8, /* --domain … --end: all of inject's own */
	OPTION_CLASSES = 1 << 9,
	OPTION_RESPONSES = 1 << 10,
	OPTION_CONNECTIONS = 1 << 11,
	OPTION_SYSCTL = 1 << 12,
	OPTION_STATIC = 1 << 13,
	/* The verb reads its arguments itself: argc and argv are whole, from the verb on. */
	OPTION_OWN = 1 << 14,
};

struct options {
	const char *conf_file;                     /* -c, else CONF_PATH_DEFAULT */
	const char *socket;                        /* --socket, else NULL: as the configuration says */
	const char *classes_file, *responses_file; /* else NULL */
	bool json, no_divert, disarm_on_exit, dry_run;
	bool sysctl, wall;
	unsigned rows;         /* -n; 0 = all */
	uint64_t connections;  /* --connections */
	const char *from, *to; /* NULL where not given, as are the next */
	const char *domain, *provider, *source, *phase, *count, *duration, *delay, *action, *end;
	int argc; /* what is left behind the options */
	char **argv;
};

struct command {
	const char *name;
	const char *arguments; /* as usage shows them, without options */
	const char *summary;
	unsigned options;
	int arguments_min, arguments_max;
	enum exit_code (*run)(const struct command *command, const struct options *options);
};

/* Runs the verb that argv names. Returns an exit code. */
int command_main(int argc, char **argv);

enum exit_code command_run(const struct command *command, const struct options *options);
enum exit_code command_responder(const struct command *command, const struct options *options);
enum exit_code command_check(const struct command *command, const struct options *options);
enum exit_code command_guard(const struct command *command, const struct options *options);
enum exit_code command_prove(const struct command *command, const struct options *options);
enum exit_code command_status(const struct command *command, const struct options *options);
enum exit_code command_table(const struct command *command, const struct options *options);
enum exit_code command_replies(const struct command *command, const struct options *options);
enum exit_code command_coverage(const struct command *command, const struct options *options);
enum exit_code command_gen(const struct command *command, const struct options *options);
enum exit_code command_reload(const struct command *command, const struct options *options);

enum exit_code command_explain(const struct command *command, const struct options *options);
enum exit_code command_inject(const struct command *command, const struct options *options);
enum exit_code command_reset(const struct command *command, const struct options *options);
enum exit_code command_doctor(const struct command *command, const struct options *options);
enum exit_code command_tune(const struct command *command, const struct options *options);

#endif
