/*
 * bundle: the configuration file with the files that it names, read by the warden and passed to the
 * responder as text, so that both work from the same bytes and the responder needs no file of its own.
 */
#ifndef MX_BUNDLE_H
#define MX_BUNDLE_H

#include <stddef.h>
#include <stdint.h>

#include "conf.h"
#include "err.h"
#include "policy.h"

enum bundle_role {
	BUNDLE_CONF,
	BUNDLE_PROVIDERS, /* answer.providers */
	BUNDLE_RESPONSES, /* answer.responses */
	BUNDLE_ROLES,
};

struct bundle {
	struct {
		char *name; /* NULL: there is none in this role */
		char *text;
		size_t len;
	} files[BUNDLE_ROLES];
};

/* Reads them all and makes *conf. 0 or a negative errno, err filled, and nothing to release. */
int bundle_read(struct bundle *bundle, const char *conf_file, struct conf **conf, struct err *err);

/* Puts a copy of a file in a role, in place of what was there. 0 or -ENOMEM. */
int bundle_put(struct bundle *bundle, enum bundle_role role, const char *name, const char *text, size_t len,
	struct err *err);

struct conf *bundle_conf(const struct bundle *bundle, struct err *err);

/*
 * The providers that the files make: shipped profiles, then answer.providers, then those of the
 * configuration itself, then answer.responses; with the replies of `wording` (provider_set_add()). note() is
 * told of entries of responses.toml that were mended; it may be NULL. NULL on failure, err filled.
 */
struct provider_set *bundle_providers(const struct bundle *bundle, const char *wording,
	void (*note)(void *arg, const char *text), void *arg, struct err *err);

/* The policy of conf and these providers. NULL on failure, err filled. */
struct policy *bundle_policy(const struct bundle *bundle, const struct conf *conf, uint64_t serial,
	void (*note)(void *arg, const char *text), void *arg, struct err *err);

void bundle_done(struct bundle *bundle);

#endif
