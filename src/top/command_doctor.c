#include <stdio.h>
#include <stdlib.h>

#include "command.h"
#include "conf_file.h"
#include "doctor.h"

enum exit_code command_doctor(const struct command *command, const struct options *options)
{
	(void)command;
	struct err err;
	struct conf *conf = conf_file_load(options->conf_file, &err);
	if (!conf) {
		fprintf(stderr, "%s\n", err.text);
		return EXIT_CODE_CONFIGURATION;
	}
	struct host host = {""};
	struct doctor *doctor = malloc(sizeof(*doctor));
	enum exit_code code = EXIT_CODE_SOFTWARE;
	if (doctor) {
		doctor_run(doctor, &host, conf, options->connections);
		code = doctor_exit_code(doctor);
		if (options->json) {
			json_t *all = doctor_json(doctor);
			json_dumpf(all, stdout, JSON_INDENT(2));
			printf("\n");
			json_decref(all);
		} else {
			doctor_print(doctor, stdout);
		}
		doctor_done(doctor);
	}
	free(doctor);
	conf_unref(conf);
	return code;
}
