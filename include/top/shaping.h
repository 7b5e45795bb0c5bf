/*
 * shaping: what a sender has written of the replies that it expects: the regular expressions of its shaping
 * files' automation, with the destinations that they are meant for, and those of its bounce classes. The
 * files are KumoMTA's; of their many keys only these are looked at, and none is judged here.
 *
 *	["default"]  ["comcast.net"]                         a block for all, for one domain
 *	[provider."google"]                                  a block for whom its match names
 *	match = [{MXSuffix = ".google.com"}]
 *	[[provider."google".automation]]
 *	regex = "unusual rate"                               or an array of them
 *
 *	[rules]                                              a file of bounce classes
 *	QuotaIssues = ["^552 5\\.2\\.2 "]
 *
 * Blocks of the same name in several files are one, as they are for the sender; `replace_base = true` drops
 * what earlier files said. Texts are the trees', file names the caller's: both must outlive the shaping.
 */
#ifndef MX_SHAPING_H
#define MX_SHAPING_H

#include <stddef.h>

#include "err.h"
#include "toml_node.h"

enum shaping_block_kind {
	SHAPING_DEFAULT,
	SHAPING_PROVIDER,
	SHAPING_DOMAIN,
};

enum shaping_match_form {
	SHAPING_MX_SUFFIX,     /* MXSuffix: every MX host ends so */
	SHAPING_MX_NAME,       /* MXName, HostName: an MX host's own name */
	SHAPING_DOMAIN_SUFFIX, /* DomainSuffix: the recipient's domain ends so */
};

struct shaping_match {
	enum shaping_match_form form;
	const char *text;
};

struct shaping_block {
	enum shaping_block_kind kind;
	const char *name;
	struct shaping_match *matches;
	size_t match_count;
};

struct shaping_pattern {
	const char *regex, *file;
	unsigned line;
	size_t owner; /* index of its block, or of its class */
};

struct shaping_class {
	const char *name, *file;
	unsigned line;
};

/* All zero is an empty one. */
struct shaping {
	struct shaping_block *blocks;
	size_t block_count;
	struct shaping_pattern *patterns; /* in the order of the files and of their lines */
	size_t pattern_count;
	struct shaping_class *classes;
	size_t class_count;
	struct shaping_pattern *class_patterns;
	size_t class_pattern_count;
};

void shaping_done(struct shaping *shaping);

/* Take in a file's tree. 0, or a negative errno with err holding file:line, reason and remedy. */
int shaping_add(struct shaping *shaping, const char *file, const struct toml_node *root,
	struct err *err) MX_MUST_CHECK;
int shaping_add_classes(struct shaping *shaping, const char *file, const struct toml_node *root,
	struct err *err) MX_MUST_CHECK;

#endif
