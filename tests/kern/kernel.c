#include "kernel.h"

#include "core/rules.h"
#include "netns.h"

bool kernel_has(enum feature feature)
{
	struct feature_report report;
	struct err err = {""};
	struct ruleset *rules = rules_default();
	ck_assert_msg(feature_probe(&report, rules, &err) == 0, "%s", err.text);
	ruleset_free(rules);
	return report.codes[feature] == 0;
}

void kernel_needs_devices(const char *names)
{
	if (!kernel_has(FEATURE_AHEAD))
		shell("for name in %s; do ip link add $name type bridge || exit 1; done", names);
}
