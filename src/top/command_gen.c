#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "command.h"
#include "gen_options.h"
#include "gen_report.h"
#include "generator.h"

enum exit_code command_gen(const struct command *command, const struct options *options)
{
	(void)command;
	struct gen_options gen;
	struct generator_result *result;
	struct err err;

	if (gen_options_read(&gen, options->argc, options->argv, &err) < 0) {
		fprintf(stderr, "mxmirage gen: %s\n`mxmirage gen --help` lists the options\n", err.text);
		return EXIT_CODE_USAGE;
	}
	if (gen.help) {
		gen_options_usage(stdout);
		gen_options_done(&gen);
		return EXIT_CODE_OK;
	}
	enum exit_code code = EXIT_CODE_OK;
	int failed = generator_run(&gen, gen.json ? stderr : stdout, &result, &err);
	if (failed < 0) {
		/* A file, a name or an address of the command line that is of no use. */
		code = failed == -ENOMEM ? EXIT_CODE_SOFTWARE : EXIT_CODE_USAGE;
	} else {
		(gen.json ? gen_report_json : gen_report_text)(&gen, result, stdout);
		if (gen_report_reason(&gen, result, &err))
			code = EXIT_CODE_FALSE;
		free(result);
	}
	if (code != EXIT_CODE_OK)
		fprintf(stderr, "mxmirage gen: %s\n", err.text);
	gen_options_done(&gen);
	return code;
}
