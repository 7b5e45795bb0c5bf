/* Checks of ports: who has the listeners' already, and who may take one. */
#include <string.h>

#include "doctor.h"
#include "listening.h"
#include "text.h"

/* As the kernel cuts it to 15 characters; ours is shorter. */
#define OUR_NAME "mxmirage"

void doctor_listeners(struct doctor *doctor)
{
	uint16_t first = doctor->need.listen_first, last = doctor->need.listen_last;
	struct listening found[CONF_LISTEN_PORTS_MAX];
	int count = listening_find(&doctor->host, first, last, found, CONF_LISTEN_PORTS_MAX);
	if (count < 0) {
		struct err err;
		err_set(&err, count, "/proc/net/tcp: %s", strerror(-count));
		doctor_unknown(doctor, count, &err);
		return;
	}
	unsigned ours = 0;
	for (int i = 0; i < count; i++) {
		char name[sizeof(found[i].name)];
		text_safe(found[i].name, name, sizeof(name));
		if (strcmp(name, OUR_NAME) == 0) {
			ours++;
			continue;
		}
		if (found[i].pid)
			doctor_say(doctor, DOCTOR_FAIL,
				"port %u, a listener port, is taken by %s (process %d)", found[i].port, name,
				(int)found[i].pid);
		else
			doctor_say(doctor, DOCTOR_FAIL,
				"port %u, a listener port, is taken by a process that is not to be seen from "
				"here",
				found[i].port);
		doctor_remedy(
			doctor, "stop it, or choose other ports: listen.ports in %s", doctor->conf->file);
	}
	if ((int)ours == count)
		doctor_say(doctor, DOCTOR_OK,
			ours ? "ports %u-%u are ours: mxmirage is running" : "ports %u-%u are free", first,
			last);
}

void doctor_ephemeral(struct doctor *doctor)
{
	uint64_t range[2];
	uint16_t first = doctor->need.listen_first, last = doctor->need.listen_last;
	int got = host_sysctl(&doctor->host, "net.ipv4.ip_local_port_range", range, 2);
	if (got != 2) {
		doctor_say(doctor, DOCTOR_UNKNOWN, "net.ipv4.ip_local_port_range is not readable");
		return;
	}
	const struct tune_row *reserved =
		tune_find(doctor->rows, doctor->row_count, "net.ipv4.ip_local_reserved_ports");
	bool overlap = last >= range[0] && first <= range[1];
	char list[1024];
	bool kept =
		host_sysctl_text(&doctor->host, "net.ipv4.ip_local_reserved_ports", list, sizeof(list)) > 0 &&
		host_ports_reserved(list, first, last);
	if (!overlap) {
		doctor_say(doctor, DOCTOR_OK,
			"the listener ports %u-%u are outside of the ephemeral ports %u-%u", first, last,
			(unsigned)range[0], (unsigned)range[1]);
	} else if (kept) {
		doctor_say(doctor, DOCTOR_OK,
			"the listener ports %u-%u are reserved among the ephemeral ports", first, last);
	} else {
		doctor_say(doctor, DOCTOR_WARN,
			"the listener ports %u-%u lie among the ephemeral ports %u-%u: an outgoing "
			"connection may "
			"hold one when mxmirage starts",
			first, last, (unsigned)range[0], (unsigned)range[1]);
		doctor_remedy(doctor,
			"`sysctl -w net.ipv4.ip_local_reserved_ports=%s`, or other listen.ports",
			reserved ? reserved->wants : "");
	}
	doctor_row(doctor, "net.ipv4.ip_local_port_range", DOCTOR_WARN);
	const struct tune_row *ports = tune_find(doctor->rows, doctor->row_count, "listen.ports");
	if (ports && ports->state == TUNE_SHORT)
		doctor_row(doctor, ports->key, DOCTOR_WARN);
}
