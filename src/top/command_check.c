#include <stdio.h>
#include <stdlib.h>

#include "command.h"
#include "conf_file.h"
#include "ruleset.h"

static struct conf *load(const char *file, struct err *err)
{
	size_t len;
	char *text = conf_file_read(file, &len, err);
	struct conf *conf = text ? conf_file_text(file, text, len, err) : NULL;
	free(text);
	return conf;
}

enum exit_code command_check(const struct command *command, const struct options *options)
{
	(void)command;
	const char *file = options->argc > 0 ? options->argv[0] : options->conf_file;
	struct err err;
	struct conf *conf = load(file, &err);
	if (!conf) {
		fprintf(stderr, "%s\n", err.text);
		return EXIT_CODE_CONFIGURATION;
	}
	enum exit_code code = EXIT_CODE_OK;
	if (options->dry_run) {
		struct ruleset *rules = ruleset_new(conf, &err);
		if (rules) {
			ruleset_print(rules, stdout);
		} else {
			fprintf(stderr, "%s\n", err.text);
			code = EXIT_CODE_SOFTWARE;
		}
		ruleset_free(rules);
	} else {
		conf_print(conf, stdout);
	}
	conf_unref(conf);
	return code;
}
