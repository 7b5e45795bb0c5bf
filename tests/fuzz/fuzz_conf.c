/* Any text as a configuration file: a configuration, or an error that names the file. */
#include <stdlib.h>
#include <string.h>

#include "conf_file.h"

#define FILE_NAME "any.toml"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = {""};
	char *text = malloc(size + 1);
	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	struct conf *conf = conf_file_text(FILE_NAME, text, size, &err);
	free(text);
	if (!conf && strncmp(err.text, FILE_NAME, strlen(FILE_NAME)) != 0)
		abort();
	if (conf && (conf->listen.port_first > conf->listen.port_last || conf->listen.workers == 0 ||
			    conf->divert.port_count == 0))
		abort();
	conf_unref(conf);
	return 0;
}
