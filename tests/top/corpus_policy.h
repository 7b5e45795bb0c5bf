/*
 * corpus_policy: the shipped profiles with the settings that a test is not about switched off, and the size of the
 * limits that are left.
 */
#ifndef MX_TEST_CORPUS_POLICY_H
#define MX_TEST_CORPUS_POLICY_H

#include "policy.h"

#define LIMITS_ALL  ((1u << PROVIDER_KINDS) - 1)
#define LIMITS_ODDS (1u << PROVIDER_BOUNCE | 1u << PROVIDER_DEFER)

/*
 * A policy of the shipped profiles, each followed by a table that takes back its faults and all that is not in
 * `kept`, bits by enum provider_kind. What is in `added` is set where a profile leaves it open. To be given up by
 * policy_unref().
 */
const struct policy *corpus_policy(unsigned kept, unsigned added, uint64_t seed);

/*
 * How much is within a provider's limit: connections, messages, recipients, octets, violations, seconds that a
 * triplet is new; 0 where it has none.
 */
uint64_t corpus_limit(const struct provider *provider, enum provider_kind kind);

#endif
