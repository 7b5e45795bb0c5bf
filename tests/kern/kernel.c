#include "kernel.h"

#include "core/rules.h"
#include "netns.h"

bool kernel_has(enum feature feature)
{
	static struct feature_report report;
	static bool asked; /* the kernel stays the same */
	if (!asked) {
		struct err err = {""};
		struct ruleset *rules = rules_default();
		ck_assert_msg(feature_probe(&report, rules, &err) == 0, "%s", err.text);
		ruleset_free(rules);
		asked = true;
	}
	return report.codes[feature] == 0;
}

void kernel_needs_devices(const char *names)
{
	if (!kernel_has(FEATURE_AHEAD))
		shell("for name in %s; do ip link add name $name type bridge || exit 1; done", names);
}
