#include "proof.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "canary_flight.h"
#include "control_net.h"

static void note(char notes[][PROOF_NOTE_MAX], size_t *count, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void note(char notes[][PROOF_NOTE_MAX], size_t *count, const char *format, ...)
{
	if (*count == PROOF_NOTES_MAX)
		return;
	va_list args;
	va_start(args, format);
	vsnprintf(notes[(*count)++], PROOF_NOTE_MAX, format, args);
	va_end(args);
}

#define UNPROVEN(proof, ...) note((proof)->unproven, &(proof)->unproven_count, __VA_ARGS__)
#define UNTESTED(proof, ...) note((proof)->untested, &(proof)->untested_count, __VA_ARGS__)

static int ranges_choose(struct proof *proof, const struct conf *conf, struct err *err)
{
	size_t count;
	struct address *own = canary_plan_addresses(&count, err);
	if (!own)
		return -EIO;
	struct canary_plan *plan = &proof->plan;
	plan->v4 = canary_range_choose(AF_INET, conf, own, count);
	plan->v6 = canary_range_choose(AF_INET6, conf, own, count);
	free(own);
	const struct canary_range *ranges[] = {&plan->v4, &plan->v6};
	for (int i = 0; i < 2; i++)
		if (!ranges[i]->block.family)
			UNPROVEN(proof,
				"IPv%d: every documentation range is in divert.exclude or this host's own; "
				"canaries "
				"are sent to no other addresses",
				i ? 6 : 4);
	return 0;
}

/* Sends every kind through a network without rules; the thread is back at home on return. */
static int control_run(
	struct proof *proof, struct canary_plan *control, const struct conf *conf, int home, struct err *err)
{
	control->v4 = proof->plan.v4;
	control->v6 = proof->plan.v6;
	int code = control_net_enter(&control->v4, &control->v6, err);
	if (code < 0)
		return code;
	struct witness witness = {.fd = -1};
	int there = netspace_own();
	if (there < 0)
		code = err_set(err, there, "the control's network namespace: %s", strerror(-there));
	if (code == 0)
		code = witness_open(&witness, &control->v4, &control->v6, err);
	if (code == 0)
		code = canary_plan_make(control, conf, NULL, err);
	if (code == 0)
		canary_flight(control, &witness, there);
	witness_close(&witness);
	if (there >= 0)
		close(there);
	if (netspace_enter(home) < 0)
		abort(); /* in the wrong namespace nothing that follows would be true */
	proof->controls = control->count;
	return code;
}

/* What is sent alike is seen alike. */
static bool alike(const struct canary *a, const struct canary *b)
{
	return a->kind->send == b->kind->send && a->destination.family == b->destination.family;
}

static bool control_left(const struct canary_plan *control, const struct canary *canary)
{
	for (size_t i = 0; i < control->count; i++)
		if (control->canaries[i].outcome == CANARY_LEFT && alike(&control->canaries[i], canary))
			return true;
	return false;
}

/* Where it could not have been seen, that it was not seen says nothing. */
static void control_compare(struct proof *proof, const struct canary_plan *control)
{
	const struct canary *last = NULL;
	for (size_t i = 0; i < proof->plan.count; i++) {
		const struct canary *canary = &proof->plan.canaries[i];
		if (canary->outcome == CANARY_UNTESTED || canary->outcome == CANARY_NO_ROUTE ||
			canary->outcome == CANARY_LEFT || control_left(control, canary) ||
			(last && alike(last, canary)))
			continue;
		last = canary;
		UNPROVEN(proof, "%s, IPv%d: without any rule the witness did not see one leave either",
			canary->kind->name, canary->destination.family == AF_INET ? 4 : 6);
	}
}

static void untested_note(struct proof *proof, const struct netspaces *behind)
{
	const struct canary_plan *plan = &proof->plan;
	if (behind->count == 0)
		UNTESTED(proof, "forwarded: no container or other network namespace sends through this host");
	if (behind->own_way > 0)
		UNTESTED(proof, "other network namespaces whose way out does not lead through this one: %zu",
			behind->own_way);
	if (behind->left_out > 0)
		UNTESTED(proof, "forwarded: further network namespaces: %zu", behind->left_out);
	if (plan->down > 0)
		UNTESTED(proof, "devices that are down: %zu", plan->down);
	UNTESTED(proof, "AF_XDP, tc redirection, what a program wraps itself: that goes past every rule, so "
			"nothing is promised");
	if (plan->left_out > 0)
		UNPROVEN(proof, "%zu further paths: %d are tried", plan->left_out, CANARY_PLAN_MAX);
}

/* Where not one got as far as a rule, that none left says nothing of the rules. */
static bool any_met_rules(const struct canary_plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		if (plan->canaries[i].outcome != CANARY_NO_ROUTE &&
			plan->canaries[i].outcome != CANARY_SILENT &&
			plan->canaries[i].outcome != CANARY_UNTESTED)
			return true;
	return false;
}

static int host_run(struct proof *proof, const struct conf *conf, int home, struct err *err)
{
	struct canary_plan *plan = &proof->plan;
	struct address none = {0}, v4 = none, v6 = none;
	if (plan->v4.block.family)
		v4 = canary_range_address(&plan->v4, 0);
	if (plan->v6.block.family)
		v6 = canary_range_address(&plan->v6, 0);
	struct netspaces behind;
	int code = netspaces_find(&behind, &v4, &v6, err);
	if (code < 0)
		return code;
	struct witness witness;
	code = witness_open(&witness, &plan->v4, &plan->v6, err);
	if (code == 0)
		code = canary_plan_make(plan, conf, &behind, err);
	if (code == 0) {
		unsigned lost = canary_flight(plan, &witness, home);
		if (lost > 0)
			UNPROVEN(proof, "the witness had no room for %u packets: try again with less traffic",
				lost);
		untested_note(proof, &behind);
		/* Where ranges are wanting, that is why, and is said already. */
		if (!any_met_rules(plan) && proof->unproven_count == 0)
			UNPROVEN(proof,
				"no canary could set out, so no rule was tried: prove it again once the "
				"network is up");
	}
	witness_close(&witness);
	netspaces_done(&behind);
	return code;
}

int proof_run(struct proof *proof, const struct conf *conf, struct err *err)
{
	*proof = (struct proof){0};
	struct canary_plan control = {0};
	int home = netspace_own();
	if (home < 0)
		return err_set(err, home, "this network namespace: %s", strerror(-home));
	int code = ranges_choose(proof, conf, err);
	if (code == 0)
		code = control_run(proof, &control, conf, home, err);
	if (code == 0)
		code = host_run(proof, conf, home, err);
	if (code == 0)
		control_compare(proof, &control);
	else
		proof_done(proof);
	canary_plan_done(&control);
	close(home);
	return code;
}

void proof_done(struct proof *proof)
{
	canary_plan_done(&proof->plan);
}

enum proof_verdict proof_verdict(const struct proof *proof)
{
	bool in_order = proof->unproven_count == 0;
	for (size_t i = 0; i < proof->plan.count; i++) {
		const struct canary *canary = &proof->plan.canaries[i];
		if (canary->outcome == CANARY_LEFT)
			return PROOF_LEAK;
		in_order &= canary_in_order(canary);
	}
	return in_order ? PROOF_HOLDS : PROOF_FAILED;
}
