#include "units.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "systemd_bus.h"

#define SYSTEMD     "org.freedesktop.systemd1"
#define MANAGER     "/org/freedesktop/systemd1", SYSTEMD ".Manager"
#define UNIT_DAEMON "mxmirage.service"
#define UNIT_GUARD  "mxmirage-guard.service"
#define UNIT_SOCKET "mxmirage-guard.socket"
/* Longer than systemd waits for a service to stop. */
#define PATIENCE_STEPS   6000
#define PATIENCE_STEP_NS 20000000

static int failed(int code, const char *what, const char *unit, sd_bus_error *error, struct err *err)
{
	err_set(err, code, "systemd: %s %s: %s", what, unit,
		error->message ? error->message : strerror(-code));
	sd_bus_error_free(error);
	return code;
}

/* A text property of a unit; to be freed. NULL where it cannot be had. */
static char *unit_text(sd_bus *bus, const char *unit, const char *property)
{
	char *path = NULL, *text = NULL;
	if (sd_bus_path_encode("/org/freedesktop/systemd1/unit", unit, &path) < 0)
		return NULL;
	if (sd_bus_get_property_string(bus, SYSTEMD, path, SYSTEMD ".Unit", property, NULL, &text) < 0)
		text = NULL;
	free(path);
	return text;
}

static bool unit_is(sd_bus *bus, const char *unit, const char *property, const char *value)
{
	char *text = unit_text(bus, unit, property);
	bool is = text && strcmp(text, value) == 0;
	free(text);
	return is;
}

/* Of the unit's job: 0, there is none any more; 1, it is not done; or a negative errno. */
static int unit_has_job(sd_bus *bus, const char *unit, struct err *err)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus_message *reply = NULL;
	char *path = NULL;
	uint32_t job = 0;
	int code = sd_bus_path_encode("/org/freedesktop/systemd1/unit", unit, &path);
	if (code >= 0)
		code = sd_bus_get_property(
			bus, SYSTEMD, path, SYSTEMD ".Unit", "Job", &error, &reply, "(uo)");
	if (code >= 0)
		code = sd_bus_message_read(reply, "(uo)", &job, NULL);
	sd_bus_message_unref(reply);
	free(path);
	return code < 0 ? failed(code, "asking for", unit, &error, err) : job != 0;
}

/* method: StartUnit, RestartUnit or StopUnit. Waits for the job to end. */
static int unit_ask(sd_bus *bus, const char *method, const char *unit, struct err *err)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	int code = sd_bus_call_method(bus, SYSTEMD, MANAGER, method, &error, NULL, "ss", unit, "replace");
	if (code < 0)
		return failed(code, method, unit, &error, err);
	for (int i = 0; i < PATIENCE_STEPS; i++) {
		code = unit_has_job(bus, unit, err);
		if (code <= 0)
			return code;
		nanosleep(&(struct timespec){0, PATIENCE_STEP_NS}, NULL);
	}
	return err_set(
		err, -ETIMEDOUT, "systemd: %s %s is not done yet: see `systemctl list-jobs`", method, unit);
}

/* Changes what is started at boot, and has systemd read that. */
static int guard_at_boot(sd_bus *bus, bool start, struct err *err)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	const char *what = start ? "enabling" : "disabling";
	/* runtime: no; force: what is linked already stays. */
	int code = start ? sd_bus_call_method(bus, SYSTEMD, MANAGER, "EnableUnitFiles", &error, NULL, "asbb",
				   1, UNIT_GUARD, 0, 0)
			 : sd_bus_call_method(bus, SYSTEMD, MANAGER, "DisableUnitFiles", &error, NULL, "asb",
				   1, UNIT_GUARD, 0);
	if (code >= 0)
		code = sd_bus_call_method(bus, SYSTEMD, MANAGER, "Reload", &error, NULL, "");
	return code < 0 ? failed(code, what, UNIT_GUARD, &error, err) : 0;
}

/* Whose network PID 1's is not is a namespace of its own: systemd's units are not about that one. */
static bool network_is_systemds(void)
{
	struct stat own, first;
	return stat("/proc/self/ns/net", &own) == 0 && stat("/proc/1/ns/net", &first) == 0 &&
	       own.st_ino == first.st_ino && own.st_dev == first.st_dev;
}

bool units_known(void)
{
	if (geteuid() != 0 || sd_booted() <= 0 || !network_is_systemds())
		return false;
	sd_bus *bus = systemd_bus_open();
	/* Loads the unit, if it was not needed so far. */
	bool known = bus && unit_is(bus, UNIT_SOCKET, "LoadState", "loaded");
	sd_bus_flush_close_unref(bus);
	return known;
}

int units_arm(struct err *err)
{
	sd_bus *bus = systemd_bus_open();
	if (!bus)
		return err_set(err, -ECONNREFUSED, "systemd: does not answer");
	/* What has been started is not started again, and would go on with the file as it was; a daemon keeps its own. */
	const char *method = unit_is(bus, UNIT_DAEMON, "ActiveState", "active") ? "StartUnit" : "RestartUnit";
	int code = unit_ask(bus, method, UNIT_GUARD, err);
	if (code == 0 && !unit_is(bus, UNIT_GUARD, "ActiveState", "active"))
		code = err_set(err, -EIO,
			"systemd: " UNIT_GUARD " did not start: see `journalctl -u " UNIT_GUARD "`");
	if (code == 0)
		code = guard_at_boot(bus, true, err);
	sd_bus_flush_close_unref(bus);
	return code;
}

int units_disarm(struct units_left *left, struct err *err)
{
	static const char *const order[] = {UNIT_DAEMON, UNIT_GUARD, UNIT_SOCKET};
	sd_bus *bus = systemd_bus_open();
	if (!bus)
		return err_set(err, -ECONNREFUSED, "systemd: does not answer");
	int code = 0;
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]) && code == 0; i++)
		code = unit_ask(bus, "StopUnit", order[i], err);
	if (code == 0)
		code = guard_at_boot(bus, false, err);
	left->daemon_at_boot = unit_is(bus, UNIT_DAEMON, "UnitFileState", "enabled");
	sd_bus_flush_close_unref(bus);
	return code;
}
