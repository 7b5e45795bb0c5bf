/*
 * corpus: the providers' profiles that come with the program: rules/providers/NAME.toml, built in, so that
 * the binary alone knows them. It reads nothing from disk and gives no key a meaning: that is core's.
 */
#ifndef MX_CORPUS_H
#define MX_CORPUS_H

#include <stddef.h>

#include "err.h"
#include "provider.h"

struct corpus_file {
	const char *name; /* "providers/google.toml", as errors and explanations name it */
	const char *text;
	size_t len; /* bytes; no NUL stands behind them */
};

/* By name, ascending; ends with a NULL name. */
extern const struct corpus_file corpus_files[];

/*
 * Adds every profile to a set, with the replies of `wordings` (provider_set_add()). 0, or negative with err
 * filled: then the set is only to be freed.
 */
int corpus_load(struct provider_set *set, const char *wordings, struct err *err) MX_MUST_CHECK;

#endif
