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

/*
 * Ends a verb with its answer, whose reference is taken over: says its "error", if it has one, and returns
 * EXIT_CODE_USAGE; else prints it as JSON or by print(), as the options ask for.
 */
enum exit_code client_show(
	const struct options *options, json_t *answer, void (*print)(const json_t *answer));

#endif
