#include "doctor.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "escape.h"
#include "links.h"
#include "nlsock.h"
#include "ruleset.h"

/* In the order in which they are shown. */
static const struct {
	const char *name;
	void (*run)(struct doctor *doctor);
} checks[] = {
	{"kernel", doctor_kernel},
	{"queue", doctor_queue},
	{"guard", doctor_guard},
	{"ipv6", doctor_ipv6},
	{"nat", doctor_nat},
	{"tables", doctor_tables},
	{"flowtables", doctor_flowtables},
	{"iptables", doctor_iptables},
	{"devices", doctor_devices},
	{"managers", doctor_managers},
	{"listeners", doctor_listeners},
	{"ephemeral", doctor_ephemeral},
	{"conntrack", doctor_conntrack},
	{"files", doctor_files},
	{"backlog", doctor_backlog},
	{"dns", doctor_dns},
	{"trust", doctor_trust},
};

static const char *const state_names[DOCTOR_STATES] = {"ok", "warn", "fail", "unknown"};

static struct doctor_finding *last(struct doctor *doctor)
{
	return doctor->finding_count > 0 ? &doctor->findings[doctor->finding_count - 1] : NULL;
}

static char *format_text(const char *format, va_list args)
{
	char *text;
	return vasprintf(&text, format, args) < 0 ? NULL : text;
}

void doctor_say(struct doctor *doctor, enum doctor_state state, const char *format, ...)
{
	if (doctor->finding_count == doctor->finding_room) {
		size_t room = doctor->finding_room * 2 + 32;
		struct doctor_finding *findings = realloc(doctor->findings, room * sizeof(*findings));
		if (!findings) {
			doctor->broken = true;
			return;
		}
		doctor->findings = findings;
		doctor->finding_room = room;
	}
	va_list args;
	va_start(args, format);
	char *found = format_text(format, args);
	va_end(args);
	if (found)
		doctor->findings[doctor->finding_count++] =
			(struct doctor_finding){.state = state, .check = doctor->check, .found = found};
	else
		doctor->broken = true;
}

void doctor_remedy(struct doctor *doctor, const char *format, ...)
{
	struct doctor_finding *finding = last(doctor);
	if (!finding || doctor->broken)
		return;
	va_list args;
	va_start(args, format);
	free(finding->remedy);
	finding->remedy = format_text(format, args);
	va_end(args);
	doctor->broken |= !finding->remedy;
}

void doctor_leak(struct doctor *doctor)
{
	if (last(doctor))
		last(doctor)->leak = true;
}

void doctor_unknown(struct doctor *doctor, int code, const struct err *err)
{
	doctor_say(doctor, DOCTOR_UNKNOWN, "%s", err->text);
	if (code != -EPERM && code != -EACCES)
		return;
	if (last(doctor))
		last(doctor)->privilege = true;
	doctor_remedy(doctor, "run it as root");
}

void doctor_row(struct doctor *doctor, const char *key, enum doctor_state when_short)
{
	const struct tune_row *row = tune_find(doctor->rows, doctor->row_count, key);
	if (!row)
		return;
	if (row->state == TUNE_UNKNOWN) {
		doctor_say(doctor, DOCTOR_UNKNOWN, "%s is not readable here; a test of this size needs %s",
			key, row->wants);
		return;
	}
	bool fine = row->state == TUNE_OK;
	doctor_say(doctor, fine ? DOCTOR_OK : when_short,
		fine ? "%s is %s" : "%s is %s, too little for the test", key, row->has);
	if (!fine && row->sysctl)
		doctor_remedy(doctor, "`sysctl -w %s=\"%s\"`: %s", key, row->wants, row->reason);
	else if (!fine)
		doctor_remedy(doctor, "raise it to %s: %s", row->wants, row->reason);
}

static int guard_hold(struct doctor *doctor, struct guard *guard, unsigned tables,
	const struct ruleset_observation *observation, struct err *err)
{
	struct ruleset *rules = links_ruleset_now(doctor->conf, tables, err);
	int code = rules ? ruleset_observe(rules, observation, err) : -ENOMEM;
	if (code == 0)
		code = guard_verify(guard, rules, err);
	ruleset_free(rules);
	return code;
}

/* Holds what stands against the configuration: as `guard arm` loads it, or with what the daemon adds to see escapes. */
static void guard_read(struct doctor *doctor, struct guard *guard)
{
	struct err *err = &doctor->verify_err;
	struct ruleset_observation observation = {.output = RULESET_BY_COUNTERS};
	unsigned tables =
		(doctor->guard.armed ? RULESET_OWNED : 0) | (doctor->guard.walled ? RULESET_STATIC : 0);
	if (!tables)
		return;
	doctor->verify_code = guard_hold(doctor, guard, tables, &observation, err);
	if (doctor->verify_code == 0 || !doctor->guard.armed || escape_probe(&observation, NULL) < 0 ||
		observation.output == RULESET_BY_COUNTERS)
		return;
	doctor->verify_code = guard_hold(doctor, guard, tables, &observation, err);
}

/* What the checks of the firewall share. */
static void firewall_read(struct doctor *doctor)
{
	struct err *err = &doctor->firewall_err;
	struct nlsock sock;
	doctor->firewall_code = nlsock_open(&sock, -1, err);
	if (doctor->firewall_code < 0)
		return;
	doctor->firewall_code = survey_read(
		&doctor->survey, &sock, doctor->conf->divert.ports, doctor->conf->divert.port_count, err);
	nlsock_close(&sock);
	if (doctor->firewall_code < 0)
		return;
	struct guard *guard = guard_new(-1, err);
	doctor->firewall_code = guard ? guard_state(guard, &doctor->guard, err) : -EPROTONOSUPPORT;
	if (doctor->firewall_code == 0)
		guard_read(doctor, guard);
	guard_free(guard);
}

/* What the checks of the kernel share: could the rules of this configuration be loaded? */
static void features_read(struct doctor *doctor)
{
	struct err *err = &doctor->features_err;
	struct ruleset *rules = ruleset_new(doctor->conf, RULESET_ALL, NULL, err);
	doctor->features_code = rules ? feature_probe(&doctor->features, rules, err) : -ENOMEM;
	ruleset_free(rules);
}

void doctor_run(struct doctor *doctor, const struct host *host, const struct conf *conf, uint64_t connections)
{
	*doctor = (struct doctor){
		.host = *host,
		.conf = conf,
		.need = {connections, conf->listen.port_first, conf->listen.port_last},
	};
	doctor->row_count = tune_rows(host, &doctor->need, doctor->rows);
	features_read(doctor);
	firewall_read(doctor);
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		doctor->check = checks[i].name;
		checks[i].run(doctor);
	}
}

void doctor_done(struct doctor *doctor)
{
	for (size_t i = 0; i < doctor->finding_count; i++) {
		free(doctor->findings[i].found);
		free(doctor->findings[i].remedy);
	}
	free(doctor->findings);
	doctor->findings = NULL;
	doctor->finding_count = 0;
}

static void count(const struct doctor *doctor, size_t counts[DOCTOR_STATES])
{
	memset(counts, 0, DOCTOR_STATES * sizeof(*counts));
	for (size_t i = 0; i < doctor->finding_count; i++)
		counts[doctor->findings[i].state]++;
}

void doctor_print(const struct doctor *doctor, FILE *to)
{
	for (size_t i = 0; i < doctor->finding_count; i++) {
		const struct doctor_finding *finding = &doctor->findings[i];
		fprintf(to, "%-8s %-11s %s\n", state_names[finding->state], finding->check, finding->found);
		if (finding->remedy)
			fprintf(to, "%21s→ %s\n", "", finding->remedy);
	}
	size_t counts[DOCTOR_STATES];
	count(doctor, counts);
	fprintf(to, "\n%zu ok, %zu to look at, %zu failed, %zu unknown\n", counts[DOCTOR_OK],
		counts[DOCTOR_WARN], counts[DOCTOR_FAIL], counts[DOCTOR_UNKNOWN]);
}

json_t *doctor_json(const struct doctor *doctor)
{
	json_t *list = json_array();
	for (size_t i = 0; i < doctor->finding_count; i++) {
		const struct doctor_finding *finding = &doctor->findings[i];
		json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:s?}", "check", finding->check, "state",
						    state_names[finding->state], "found", finding->found,
						    "remedy", finding->remedy));
	}
	size_t counts[DOCTOR_STATES];
	count(doctor, counts);
	json_t *all =
		json_pack("{s:I,s:o}", "connections", (json_int_t)doctor->need.connections, "findings", list);
	for (int i = 0; i < DOCTOR_STATES; i++)
		json_object_set_new(all, state_names[i], json_integer((json_int_t)counts[i]));
	return all;
}

enum exit_code doctor_exit_code(const struct doctor *doctor)
{
	bool fail = false, leak = false, privilege = false;
	for (size_t i = 0; i < doctor->finding_count; i++) {
		const struct doctor_finding *finding = &doctor->findings[i];
		fail |= finding->state == DOCTOR_FAIL;
		leak |= finding->state == DOCTOR_FAIL && finding->leak;
		privilege |= finding->privilege;
	}
	if (doctor->broken)
		return EXIT_CODE_SOFTWARE;
	if (leak)
		return EXIT_CODE_LEAK;
	if (fail)
		return EXIT_CODE_FALSE;
	/* Nothing failed of what could be looked at: not the same as nothing fails. */
	return privilege ? EXIT_CODE_PRIVILEGE : EXIT_CODE_OK;
}
