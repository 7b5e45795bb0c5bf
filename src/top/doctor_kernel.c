/* Checks of the kernel itself: what it can, what stands in it, IPv6. */
#include <errno.h>
#include <string.h>
#include <sys/utsname.h>

#include "doctor.h"
#include "feature.h"

/* The rules need each of these; the kernel names the first alone that it lacks. */
static const enum feature needed[] = {
	FEATURE_TABLE,
	FEATURE_FILTER,
	FEATURE_NAT,
	FEATURE_REDIR,
	FEATURE_FIB,
	FEATURE_CT,
	FEATURE_REJECT,
};

void doctor_kernel(struct doctor *doctor)
{
	const struct feature_report *report = &doctor->features;
	struct utsname name = {.release = "?"};
	if (doctor->features_code < 0) {
		doctor_unknown(doctor, doctor->features_code, &doctor->features_err);
		return;
	}
	uname(&name);
	if (report->rules_code == 0)
		doctor_say(doctor, DOCTOR_OK,
			"%s loads the whole ruleset and reads it back, in a namespace of its own",
			name.release);
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		if (report->codes[needed[i]] == 0)
			continue;
		doctor_say(doctor, DOCTOR_FAIL, "no %s (%s): port 25 cannot be guarded",
			feature_name(needed[i]), strerror(-report->codes[needed[i]]));
		doctor_leak(doctor);
		doctor_remedy(doctor, "`modprobe %s`, or another kernel", feature_modules(needed[i]));
	}
	if (report->rules_code < 0) {
		doctor_say(doctor, DOCTOR_FAIL, "the rules do not load: %s", report->rules_err.text);
		doctor_leak(doctor);
	}
	if (report->codes[FEATURE_EGRESS] == 0) {
		doctor_say(doctor, DOCTOR_OK, "egress chains on devices");
	} else {
		doctor_say(doctor, DOCTOR_FAIL,
			"no egress chains on devices (%s): packet sockets and bridged frames are not guarded",
			strerror(-report->codes[FEATURE_EGRESS]));
		doctor_leak(doctor);
		doctor_remedy(
			doctor, "a kernel from 5.16 on with CONFIG_NETFILTER_EGRESS; Debian 12's has it");
	}
	if (report->codes[FEATURE_AHEAD] != 0 && doctor->conf->guard.device_count > 0) {
		doctor_say(doctor, DOCTOR_WARN,
			"no chains for devices to come: those of guard.devices are guarded some milliseconds "
			"after "
			"they appear");
		doctor_remedy(doctor, "begin a test once its devices are up, or use a kernel that can");
	}
	if (report->codes[FEATURE_PERSIST] == 0)
		doctor_say(doctor, DOCTOR_OK, "tables with an owner, which outlive it (PERSIST)");
	else if (report->codes[FEATURE_OWNER] == 0) {
		doctor_say(doctor, DOCTOR_WARN,
			"tables with an owner, but none that outlive it (PERSIST is 6.9's)");
		doctor_remedy(doctor,
			"run it under systemd with mxmirage-guard.socket, which holds the owner "
			"while no process of ours is alive; or a kernel from 6.9 on");
	} else {
		doctor_say(doctor, DOCTOR_WARN,
			"no tables with an owner: any flush of the ruleset removes the guard");
		doctor_remedy(doctor, "a kernel from 5.12 on, better 6.9");
	}
}

void doctor_queue(struct doctor *doctor)
{
	if (doctor->features_code < 0) {
		doctor_unknown(doctor, doctor->features_code, &doctor->features_err);
		return;
	}
	static const enum feature ways[] = {FEATURE_QUEUE, FEATURE_XT_QUEUE, FEATURE_LOG};
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		if (doctor->features.codes[ways[i]] == 0) {
			doctor_say(doctor, DOCTOR_OK, "escapes can be named by %s", feature_name(ways[i]));
			return;
		}
	doctor_say(doctor, DOCTOR_WARN,
		"no nft_queue, xt_NFQUEUE or NFLOG: attempts are counted, but not named");
	doctor_remedy(doctor, "`modprobe nft_queue`, or `modprobe %s`", feature_modules(FEATURE_LOG));
}

void doctor_guard(struct doctor *doctor)
{
	if (doctor->firewall_code < 0) {
		doctor_unknown(doctor, doctor->firewall_code, &doctor->firewall_err);
		return;
	}
	const struct guard_state *state = &doctor->guard;
	if (doctor->survey.own_dormant) {
		doctor_say(
			doctor, DOCTOR_FAIL, "a table of our own is dormant: it is there and does nothing");
		doctor_leak(doctor);
		doctor_remedy(doctor, "`mxmirage guard disarm`, then arm it or start mxmirage anew");
	} else if (!state->armed && !state->walled) {
		doctor_say(doctor, DOCTOR_WARN, "not armed: port 25 is open until mxmirage runs");
		doctor_remedy(doctor, "`mxmirage guard arm`, or `mxmirage run`");
	} else if (doctor->verify_code < 0) {
		doctor_say(doctor, DOCTOR_FAIL, "armed, but not as %s says: %s", doctor->conf->file,
			doctor->verify_err.text);
		doctor_leak(doctor);
		doctor_remedy(doctor,
			"where mxmirage runs with that file `mxmirage reload`, or a restart; where with "
			"another, name it by -c; where it does not run `mxmirage guard arm`");
	} else if (state->armed && state->owner) {
		doctor_say(doctor, DOCTOR_OK, "armed, and owned: others cannot change it%s%s",
			state->persist ? "; it stays when its owner is killed" : "",
			state->walled ? "; the static wall stands beside it" : "");
	} else {
		doctor_say(doctor, DOCTOR_WARN,
			"armed%s, but nobody owns it: any flush of the ruleset removes it",
			state->armed ? "" : " with the static wall, which diverts nothing");
		doctor_remedy(doctor, "start mxmirage, which takes it over; until then restart no firewall");
	}
}

void doctor_ipv6(struct doctor *doctor)
{
	uint64_t off;
	int got = host_sysctl(&doctor->host, "net.ipv6.conf.all.disable_ipv6", &off, 1);
	if (got == -ENOENT) {
		doctor_say(doctor, DOCTOR_OK, "the kernel has no IPv6: nothing to guard there");
		return;
	}
	if (got < 0) {
		doctor_say(doctor, DOCTOR_UNKNOWN, "net.ipv6.conf.all.disable_ipv6: %s", strerror(-got));
		return;
	}
	if (off) {
		doctor_say(doctor, DOCTOR_OK,
			"IPv6 is off (net.ipv6.conf.all.disable_ipv6); the rules cover it all "
			"the same");
		return;
	}
	doctor_say(doctor, DOCTOR_OK, "IPv6 is on%s",
		doctor->firewall_code < 0                     ? ""
		: doctor->guard.armed || doctor->guard.walled ? ", and guarded by the same rules"
							      : "; the same rules will guard it");
}
