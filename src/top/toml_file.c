#include "toml_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf_file.h"
#include "toml_reader.h"

struct toml_node *toml_file_read(const char *file, struct err *err)
{
	/* Asked first, since conf_file_read() takes a missing default configuration for an empty one. */
	if (access(file, R_OK) < 0) {
		err_set(err, -errno, "%s: %s; name a file that this user can read", file, strerror(errno));
		return NULL;
	}
	size_t len;
	char *text = conf_file_read(file, &len, err);
	struct toml_node *root = text ? toml_read(file, text, len, err) : NULL;
	free(text);
	return root;
}
