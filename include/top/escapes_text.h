/*
 * escapes_text: the part of `status` that names who tried to get past the divert.
 */
#ifndef MX_ESCAPES_TEXT_H
#define MX_ESCAPES_TEXT_H

#include <jansson.h>

/* Prints it from a whole status; nothing where nobody tried and the kernel could show it. */
void escapes_text(const json_t *status);

#endif
