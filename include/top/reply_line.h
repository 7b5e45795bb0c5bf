/*
 * reply_line: a provider's reply as a sender's rules see it: one line, `code enhanced text`, lines joined by
 * a space, the placeholders filled with documentation addresses and names of that provider's.
 */
#ifndef MX_REPLY_LINE_H
#define MX_REPLY_LINE_H

#include "provider.h"

/* To be freed; NULL when out of memory. */
char *reply_line_new(const struct provider *provider, const struct provider_reply *reply);

#endif
