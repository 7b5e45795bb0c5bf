/*
 * guard_text: what stands in the kernel, in words for people: who blocks port 25, how firmly, and how it is opened.
 */
#ifndef MX_GUARD_TEXT_H
#define MX_GUARD_TEXT_H

#include <stdio.h>

#include "guard.h"

/* changed: what guard_check() has found missing, or NULL. */
void guard_text_state(FILE *to, const struct guard_state *state, const struct err *changed);

/* count devices, one of them of that name, have no chain. */
void guard_text_bare(FILE *to, int count, const char *device);

/* For who has asked a daemon that is not there: what stands all the same. Silent where that cannot be read. */
void guard_text_without_daemon(FILE *to);

#endif
