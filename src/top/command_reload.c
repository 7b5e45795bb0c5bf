#include <stdio.h>

#include "client.h"

enum exit_code command_reload(const struct command *command, const struct options *options)
{
	(void)command;
	json_t *answer;
	enum exit_code code = client_ask(options, CLIENT_POST, "/api/v1/reload", &answer);
	if (code != EXIT_CODE_OK)
		return code;
	bool reloaded = json_is_true(json_object_get(answer, "reloaded"));
	const char *text = json_string_value(json_object_get(answer, "text"));
	if (options->json) {
		json_dumpf(answer, stdout, JSON_INDENT(2));
		printf("\n");
	} else {
		fprintf(reloaded ? stdout : stderr, "%s\n", text ? text : "");
	}
	json_decref(answer);
	return reloaded ? EXIT_CODE_OK : EXIT_CODE_CONFIGURATION;
}
