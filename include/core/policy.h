/*
 * policy: what to answer at each phase of a session. A pure function of the configuration and of what
 * the engine knows; immutable once made and shared by reference between threads, so that a session keeps
 * the policy it began with when the configuration is replaced.
 */
#ifndef MX_POLICY_H
#define MX_POLICY_H

#include "conf.h"
#include "err.h"
#include "smtp.h"

struct policy {
	const struct conf *conf;
	struct smtp_profile profile;
	unsigned references; /* private */
};

/* Takes its own share of conf. NULL when out of memory, err filled. */
struct policy *policy_new(const struct conf *conf, struct err *err);

/* Takes and gives up a share; the last one frees. From any thread. */
const struct policy *policy_ref(const struct policy *policy);
void policy_unref(const struct policy *policy);

/*
 * The answer to the decision that smtp asks for; NULL is the default acceptance. The reply has static
 * storage.
 */
const struct smtp_reply *policy_decide(const struct policy *policy, const struct smtp *smtp);

#endif
