/*
 * client: asks the daemon over its control socket.
 */
#ifndef MX_CLIENT_H
#define MX_CLIENT_H

#include <jansson.h>

#include "command.h"

enum client_method {
	CLIENT_GET,
	CLIENT_POST,
};

/*
 * Asks for path ("/api/v1/status") and sets *answer, a new reference. EXIT_CODE_OK, or a code for the
 * verb to end with, after having said on standard error what is wrong and what to do.
 */
enum exit_code client_ask(
	const struct options *options, enum client_method method, const char *path, json_t **answer);

/* The same by POST with a JSON body, whose reference is taken over. */
enum exit_code client_tell(const struct options *options, const char *path, json_t *body, json_t **answer);

/* Prints an answer's "error", if it has one. True when it had. */
bool client_refused(const json_t *answer);

#endif
