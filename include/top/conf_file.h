/*
 * conf_file: from a configuration file to a configuration: reads the file, has its TOML parsed and
 * makes the value. What keys there are and what they mean is core/conf's.
 */
#ifndef MX_CONF_FILE_H
#define MX_CONF_FILE_H

#include <stddef.h>

#include "conf.h"
#include "err.h"

/* The largest file that is read, in bytes. */
#define CONF_FILE_MAX (4u << 20)

/*
 * Reads the whole file. The text is the caller's to free(); *len is its length in bytes, and a NUL
 * stands behind it. Where CONF_PATH_DEFAULT does not exist the text is empty, which means all
 * defaults. NULL on failure, err filled.
 */
char *conf_file_read(const char *file, size_t *len, struct err *err);

/*
 * Makes a configuration of TOML text; `file` names it in errors. One worker for each CPU that is
 * online where the text does not say how many. NULL on failure, err filled.
 */
struct conf *conf_file_text(const char *file, const char *text, size_t len, struct err *err);

/* Both: the configuration that a file holds. NULL on failure, err filled. */
struct conf *conf_file_load(const char *file, struct err *err);

/*
 * The control socket's path by the file, for who asks the daemon: also of a file with mistakes, about
 * which the daemon is to be asked. The default where the file cannot be read or names none. To be
 * freed; NULL when out of memory.
 */
char *conf_file_socket(const char *file);

#endif
