#include <stdlib.h>

#include "command.h"
#include "conf.h"
#include "responder.h"
#include "warden.h"

enum exit_code command_run(const struct command *command, const struct options *options)
{
	(void)command;
	const struct warden_options warden = {
		.conf_file = options->conf_file,
		.no_divert = options->no_divert,
		.disarm_on_exit = options->disarm_on_exit,
	};
	return (enum exit_code)warden_run(&warden);
}

enum exit_code command_responder(const struct command *command, const struct options *options)
{
	(void)command;
	if (options->argc != 3)
		return EXIT_CODE_USAGE;
	int processes = atoi(options->argv[2]);
	if (processes < 1 || processes > CONF_WORKERS_MAX)
		return EXIT_CODE_USAGE;
	return (enum exit_code)responder_run(atoi(options->argv[1]), (unsigned)processes);
}
