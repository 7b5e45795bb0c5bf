/*
 * toml_file: a file that the user names, as a TOML tree. It gives no key a meaning.
 */
#ifndef MX_TOML_FILE_H
#define MX_TOML_FILE_H

#include "err.h"
#include "toml_node.h"

/* To be released with toml_free(). NULL on failure, err naming file, reason and remedy. */
struct toml_node *toml_file_read(const char *file, struct err *err);

#endif
