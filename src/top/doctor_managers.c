/* Other programs that rule the firewall, and what they do to it when they are reloaded. */
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>

#include "doctor.h"
#include "systemd_bus.h"

#define SYSTEMD "org.freedesktop.systemd1"
/* systemd answers at once or is not well. */
#define BUS_TIMEOUT_US 2000000

struct manager {
	const char *unit;
	const char *does; /* at a start, reload or restart */
	bool flushes;     /* everything that nobody owns, ours included */
	const char *remedy;
};

static const struct manager managers[] = {
	{"nftables.service", "its start, reload, restart and stop flush the whole ruleset", true,
		"`systemctl disable --now nftables` for the time of the test (that flushes, too: before "
		"arming)"},
	{"firewalld.service", "its reload builds its own table anew and leaves nftables' other tables alone",
		false, NULL},
	{"ufw.service", "its reload builds its own chains of iptables' filter table anew", false, NULL},
	{"docker.service", "its start adds nat rules for published ports", false, NULL},
	{"fail2ban.service", "it adds and removes rules of its own", false, NULL},
	{"netfilter-persistent.service", "its reload replaces iptables' tables by the saved ones", false,
		NULL},
};

enum manager_state {
	MANAGER_ABSENT,
	MANAGER_INSTALLED, /* neither enabled nor active */
	MANAGER_ENABLED,   /* starts at boot */
	MANAGER_ACTIVE,
};

/* What files say, where systemd does not run. */
static enum manager_state state_by_files(const struct host *host, const char *unit)
{
	static const char *const places[] = {
		"/etc/systemd/system", "/lib/systemd/system", "/usr/lib/systemd/system"};
	bool installed = false;
	char path[PATH_MAX];
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", places[i], unit);
		installed |= host_exists(host, path);
	}
	if (!installed)
		return MANAGER_ABSENT;
	glob_t found;
	snprintf(path, sizeof(path), "%s/etc/systemd/system/*.wants/%s", host->root, unit);
	bool enabled = glob(path, GLOB_NOSORT, NULL, &found) == 0;
	if (enabled)
		globfree(&found);
	return enabled ? MANAGER_ENABLED : MANAGER_INSTALLED;
}

static bool is_active(sd_bus *bus, const char *unit)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus_message *reply = NULL;
	const char *path;
	char *state = NULL;
	/* A unit that is not loaded is not active. */
	bool active = sd_bus_call_method(bus, SYSTEMD, "/org/freedesktop/systemd1", SYSTEMD ".Manager",
			      "GetUnit", &error, &reply, "s", unit) >= 0 &&
		      sd_bus_message_read(reply, "o", &path) >= 0 &&
		      sd_bus_get_property_string(
			      bus, SYSTEMD, path, SYSTEMD ".Unit", "ActiveState", NULL, &state) >= 0 &&
		      (strcmp(state, "active") == 0 || strcmp(state, "reloading") == 0);
	free(state);
	sd_bus_message_unref(reply);
	sd_bus_error_free(&error);
	return active;
}

/* What systemd says; false where it does not answer. */
static bool state_by_bus(sd_bus *bus, const char *unit, enum manager_state *state)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus_message *reply = NULL;
	const char *text = "";
	int code = sd_bus_call_method(bus, SYSTEMD, "/org/freedesktop/systemd1", SYSTEMD ".Manager",
		"GetUnitFileState", &error, &reply, "s", unit);
	bool answered = code >= 0 && sd_bus_message_read(reply, "s", &text) >= 0;
	if (answered)
		*state = is_active(bus, unit)               ? MANAGER_ACTIVE
			 : strncmp(text, "enabled", 7) == 0 ? MANAGER_ENABLED
							    : MANAGER_INSTALLED;
	else if (sd_bus_error_has_name(&error, "org.freedesktop.DBus.Error.FileNotFound")) {
		*state = MANAGER_ABSENT;
		answered = true;
	}
	sd_bus_message_unref(reply);
	sd_bus_error_free(&error);
	return answered;
}

/* To the systemd of the machine whose files are looked at, or NULL. */
static sd_bus *bus_open(const struct host *host)
{
	if (host->root[0] || !host_exists(host, "/run/systemd/system"))
		return NULL;
	sd_bus *bus = systemd_bus_open();
	if (!bus && sd_bus_open_system(&bus) < 0)
		return NULL;
	sd_bus_set_method_call_timeout(bus, BUS_TIMEOUT_US);
	return bus;
}

static void manager_say(struct doctor *doctor, const struct manager *manager, enum manager_state state)
{
	static const char *const words[] = {
		"", "installed, neither enabled nor known to run", "enabled", "active"};
	bool owned = doctor->firewall_code == 0 && doctor->guard.armed && doctor->guard.owner;
	bool danger = manager->flushes && state > MANAGER_INSTALLED && !owned;
	doctor_say(doctor, danger ? DOCTOR_WARN : DOCTOR_OK, "%s is %s: %s%s", manager->unit, words[state],
		manager->does,
		!manager->flushes ? ""
		: owned           ? "; that skips the guard, which has an owner"
				  : ", and the guard with it unless it has an owner");
	if (danger)
		doctor_remedy(doctor, "%s; or start mxmirage, which owns the guard where the kernel can",
			manager->remedy);
}

/* A line that says so, not a comment. */
static bool flushes_ruleset(const char *text)
{
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += strspn(line, " \t\n;");
		if (strncmp(line, "flush", 5) == 0 &&
			strncmp(line + 5 + strspn(line + 5, " \t"), "ruleset", 7) == 0)
			return true;
	}
	return false;
}

static void rules_file(struct doctor *doctor)
{
	char text[65536];
	if (host_read(&doctor->host, "/etc/nftables.conf", text, sizeof(text)) < 0 || !flushes_ruleset(text))
		return;
	bool owned = doctor->firewall_code == 0 && doctor->guard.armed && doctor->guard.owner;
	doctor_say(doctor, owned ? DOCTOR_OK : DOCTOR_WARN,
		"/etc/nftables.conf begins by `flush ruleset`: whoever loads it removes every table%s",
		owned ? " but those with an owner, as the guard's now"
		      : " that nobody owns, the guard's too");
	if (!owned)
		doctor_remedy(doctor,
			"in that file flush your own tables by name (`flush table inet filter`), or load "
			"it before mxmirage starts and not again");
}

void doctor_managers(struct doctor *doctor)
{
	sd_bus *bus = bus_open(&doctor->host);
	size_t present = 0;
	for (size_t i = 0; i < sizeof(managers) / sizeof(managers[0]); i++) {
		enum manager_state state;
		if (!bus || !state_by_bus(bus, managers[i].unit, &state))
			state = state_by_files(&doctor->host, managers[i].unit);
		/* Of what is not at work, only that is of interest which would do harm. */
		if (state == MANAGER_ABSENT || (state == MANAGER_INSTALLED && !managers[i].flushes))
			continue;
		present++;
		manager_say(doctor, &managers[i], state);
	}
	sd_bus_flush_close_unref(bus);
	if (present == 0)
		doctor_say(doctor, DOCTOR_OK, "no other program that is at work rules the firewall");
	rules_file(doctor);
}
