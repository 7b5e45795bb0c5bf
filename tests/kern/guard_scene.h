/*
 * guard_scene: a guard, armed and verified, for tests of what it does with the kernel.
 */
#ifndef TEST_GUARD_SCENE_H
#define TEST_GUARD_SCENE_H

#include "guard.h"
#include "suite.h"

static inline struct guard *guard_open(void)
{
	struct err err = {""};
	struct guard *guard = guard_new(-1, &err);
	must(guard != NULL, "%s", err.text);
	return guard;
}

static inline void arm(struct guard *guard, const struct ruleset *rules)
{
	struct err err = {""};
	must(guard_arm(guard, rules, &err) == 0, "%s", err.text);
}

static inline void assert_verified(struct guard *guard, const struct ruleset *rules)
{
	struct err err = {""};
	ck_assert_msg(guard_verify(guard, rules, &err) == 0, "%s", err.text);
}

/* A suite of these bodies, each in a fresh network namespace where chains may name the devices of the tests' rules. */
Suite *guard_suite(const char *name, void (*const *bodies)(void), int count);

#endif
