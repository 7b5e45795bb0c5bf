/* Checks of what the kernel allows, sized for the test: the arithmetic is tune's. */
#include <inttypes.h>

#include "doctor.h"
#include "text.h"

void doctor_conntrack(struct doctor *doctor)
{
	uint64_t max, count, time_wait = 120;
	if (host_sysctl(&doctor->host, "net.netfilter.nf_conntrack_max", &max, 1) != 1) {
		doctor_say(doctor, DOCTOR_UNKNOWN,
			"connection tracking is not loaded yet: its size is not known");
		doctor_remedy(doctor, "`modprobe nf_conntrack`, and ask again");
		return;
	}
	host_sysctl(&doctor->host, "net.netfilter.nf_conntrack_tcp_timeout_time_wait", &time_wait, 1);
	uint64_t needs = tune_conntrack_entries(doctor->need.connections, time_wait);
	bool counted = host_sysctl(&doctor->host, "net.netfilter.nf_conntrack_count", &count, 1) == 1;
	char now[64] = "";
	if (counted)
		snprintf(now, sizeof(now), ", %s in use now", text_number(count).chars);
	bool enough = max >= needs;
	doctor_say(doctor, enough ? DOCTOR_OK : DOCTOR_WARN,
		"room for %s connections%s; %s open ones, each kept for %" PRIu64
		" s after its close, need %s",
		text_number(max).chars, now, text_number(doctor->need.connections).chars, time_wait,
		text_number(needs).chars);
	if (!enough) {
		const struct tune_row *row =
			tune_find(doctor->rows, doctor->row_count, "net.netfilter.nf_conntrack_max");
		/* With the shorter time the size that is there may do. */
		char size[128] = "";
		if (row->state == TUNE_SHORT)
			snprintf(size, sizeof(size), " %s=%s", row->key, row->wants);
		doctor_remedy(doctor,
			"`sysctl -w net.netfilter.nf_conntrack_tcp_timeout_time_wait=%d%s`; when the table "
			"is full, "
			"new connections time out",
			TUNE_TIME_WAIT, size);
	}
	if (counted && count > max - max / 10) {
		doctor_say(doctor, DOCTOR_FAIL, "connection tracking is full to nine tenths already");
		doctor_remedy(doctor, "end what fills it: `conntrack -S` and `conntrack -L` show it");
	}
	doctor_row(doctor, "net.netfilter.nf_conntrack_buckets", DOCTOR_WARN);
}

void doctor_files(struct doctor *doctor)
{
	doctor_row(doctor, "RLIMIT_NOFILE", DOCTOR_WARN);
	doctor_row(doctor, "fs.nr_open", DOCTOR_WARN);
	doctor_row(doctor, "fs.file-max", DOCTOR_WARN);
}

void doctor_backlog(struct doctor *doctor)
{
	doctor_row(doctor, "net.core.somaxconn", DOCTOR_WARN);
	doctor_row(doctor, "net.ipv4.tcp_max_syn_backlog", DOCTOR_WARN);
}
