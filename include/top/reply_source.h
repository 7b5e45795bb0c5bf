/*
 * reply_source: the replies that the verbs list or judge: the corpus that is built into the program, as the
 * configuration changes it, or in its place those of a smart sink's responses.toml, for comparison.
 */
#ifndef MX_REPLY_SOURCE_H
#define MX_REPLY_SOURCE_H

#include "err.h"
#include "provider.h"

struct reply_source {
	struct provider_set *corpus; /* old and current wordings, and the configuration's own */
	struct provider_set *set;    /* what is asked for: the corpus, or the file's own set */
};

/*
 * With responses_file NULL it is the corpus. What a file had to be mended for goes to stderr, a line each.
 * 0, or a negative errno with err filled.
 */
int reply_source_init(struct reply_source *source, const char *conf_file, const char *responses_file,
	struct err *err) MX_MUST_CHECK;
void reply_source_done(struct reply_source *source);

#endif
