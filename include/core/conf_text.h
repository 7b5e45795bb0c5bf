/*
 * conf_text: what the texts of a configuration must look like. It looks at the text alone: whether
 * the file, the user or the name exists is for whoever uses it.
 *
 * Each returns 0, or -EINVAL with err naming what is wrong and the remedy.
 */
#ifndef MX_CONF_TEXT_H
#define MX_CONF_TEXT_H

#include "err.h"

/* A host name (RFC 1123 2.1): labels of letters, digits and hyphens, 253 bytes at most, no address.
 */
int conf_text_hostname(const char *text, struct err *err) MX_MUST_CHECK;

/* An absolute path that fits a socket's address. */
int conf_text_socket(const char *text, struct err *err) MX_MUST_CHECK;

/* An absolute path. */
int conf_text_path(const char *text, struct err *err) MX_MUST_CHECK;

/* A user's name other than root, or "". */
int conf_text_user(const char *text, struct err *err) MX_MUST_CHECK;

/* A file's path, absolute or relative, or "". */
int conf_text_file(const char *text, struct err *err) MX_MUST_CHECK;

/* Addresses of name servers, divided by commas, each perhaps with a port as in [2001:db8::53]:5353; or "". */
int conf_text_servers(const char *text, struct err *err) MX_MUST_CHECK;

#endif
