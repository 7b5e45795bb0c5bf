#include "policy.h"

#include <errno.h>
#include <stdlib.h>

#define SPAN(text)                     \
	{                              \
		text, sizeof(text) - 1 \
	}

/* Outcomes that a sender asks for by a word in the recipient's local part, as the smart sink has them. */
static const struct {
	const char *word;
	struct smtp_reply reply;
} forced[] = {
	{"tempfail", {451, SPAN("4.7.1"), SPAN("Temporary failure, as the local part asks (tempfail)")}},
	{"permfail", {550, SPAN("5.7.1"), SPAN("Permanent failure, as the local part asks (permfail)")}},
};

struct policy *policy_new(const struct conf *conf, struct err *err)
{
	struct policy *policy = calloc(1, sizeof(*policy));
	if (!policy) {
		err_set(err, -ENOMEM, "policy: out of memory");
		return NULL;
	}
	policy->conf = conf_ref(conf);
	policy->profile = (struct smtp_profile){
		.hostname = policy->conf->answer.hostname,
		.banner = "ESMTP",
		.limits = smtp_limits_default,
	};
	policy->references = 1;
	return policy;
}

const struct policy *policy_ref(const struct policy *policy)
{
	__atomic_fetch_add(&((struct policy *)policy)->references, 1, __ATOMIC_RELAXED);
	return policy;
}

void policy_unref(const struct policy *policy)
{
	struct policy *mine = (struct policy *)policy;
	if (!mine || __atomic_sub_fetch(&mine->references, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	conf_unref(mine->conf);
	free(mine);
}

static bool contains(struct span text, const char *word)
{
	size_t len = strlen(word);
	for (size_t i = 0; i + len <= text.len; i++)
		if (strncasecmp(text.data + i, word, len) == 0)
			return true;
	return false;
}

const struct smtp_reply *policy_decide(const struct policy *policy, const struct smtp *smtp)
{
	(void)policy;
	if (smtp->phase != SMTP_PHASE_RCPT)
		return NULL;
	for (size_t i = 0; i < sizeof(forced) / sizeof(forced[0]); i++)
		if (contains(smtp->path.local, forced[i].word))
			return &forced[i].reply;
	return NULL;
}
