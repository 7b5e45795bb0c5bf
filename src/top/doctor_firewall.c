/* Checks of what others have in the firewall. */
#include <errno.h>
#include <string.h>

#include "bypass.h"
#include "doctor.h"
#include "kernel_table.h"
#include "text.h"

/* In divert's words: ruleset.c has the reason. */
#define DIVERT_PRIORITY (-199)

static bool readable(struct doctor *doctor)
{
	if (doctor->firewall_code < 0)
		doctor_unknown(doctor, doctor->firewall_code, &doctor->firewall_err);
	return doctor->firewall_code == 0;
}

static void nat_say(struct doctor *doctor, const struct survey_nat *nat)
{
	char words[sizeof(nat->words)];
	text_safe(nat->words, words, sizeof(words));
	bool first = nat->priority <= DIVERT_PRIORITY;
	const char *what;
	if (!nat->from_port)
		what = "it sends other ports' connections to a diverted port: the guard stops them where "
		       "they "
		       "would leave";
	else if (first)
		what = "it may come before the divert: such mail reaches neither mxmirage nor, by the guard, "
		       "anybody";
	else
		what = "the divert at -199 comes before it while mxmirage is armed; unarmed, port 25 goes "
		       "there";
	doctor_say(doctor, nat->from_port && first ? DOCTOR_FAIL : DOCTOR_WARN,
		"foreign rule in table %s %s, chain %s, handle %llu (%s, priority %d): `%s`%s; %s",
		nat->family, nat->table, nat->chain, (unsigned long long)nat->handle,
		nat->prerouting ? "prerouting" : "output", nat->priority, words,
		nat->any_port && nat->from_port ? ", which matches other ports, too" : "", what);
	if (nat->owner) {
		doctor_remedy(doctor,
			"its table belongs to another program (netlink address %u, as a rule its process "
			"id): stop that one",
			nat->owner);
		return;
	}
	const char *iptables = strcmp(nat->family, "ip6") == 0 ? "ip6tables" : "iptables";
	if (nat->iptables)
		doctor_remedy(doctor,
			"`nft delete rule %s %s %s handle %llu` removes it; `%s -t nat -S %s` shows it as it "
			"was given",
			nat->family, nat->table, nat->chain, (unsigned long long)nat->handle, iptables,
			nat->chain);
	else
		doctor_remedy(doctor, "`nft delete rule %s %s %s handle %llu` removes it", nat->family,
			nat->table, nat->chain, (unsigned long long)nat->handle);
}

void doctor_nat(struct doctor *doctor)
{
	if (!readable(doctor))
		return;
	for (size_t i = 0; i < doctor->survey.nat_count; i++)
		nat_say(doctor, &doctor->survey.nats[i]);
	if (doctor->survey.cut) {
		doctor_say(doctor, DOCTOR_WARN, "more tables and rules than are shown");
		doctor_remedy(doctor, "`nft -a list ruleset` shows them all");
	}
	if (doctor->survey.unread) {
		doctor_say(doctor, DOCTOR_WARN,
			"%zu rules, chains or sets are of a kind that this libnftnl does not know: not "
			"looked at",
			doctor->survey.unread);
		doctor_remedy(doctor, "`nft -a list ruleset` may show them: look there for port 25 yourself");
	}
	if (doctor->survey.nat_count == 0)
		doctor_say(doctor, DOCTOR_OK,
			"no foreign rule rewrites a diverted port (foreign tables read: %zu)",
			doctor->survey.table_count);
}

void doctor_tables(struct doctor *doctor)
{
	if (!readable(doctor))
		return;
	size_t dormant = 0;
	for (size_t i = 0; i < doctor->survey.table_count; i++) {
		const struct survey_table *table = &doctor->survey.tables[i];
		if (!(table->flags & KERNEL_TABLE_DORMANT))
			continue;
		dormant++;
		doctor_say(doctor, DOCTOR_WARN,
			"table %s %s is dormant: its rules do nothing now, and all at once when it is woken",
			table->family, table->name);
		doctor_remedy(doctor, "`nft delete table %s %s` removes it; `nft list table %s %s` shows it",
			table->family, table->name, table->family, table->name);
	}
	if (dormant == 0)
		doctor_say(doctor, DOCTOR_OK, "no dormant table");
}

void doctor_flowtables(struct doctor *doctor)
{
	if (!readable(doctor))
		return;
	for (size_t i = 0; i < doctor->survey.flowtable_count; i++) {
		const struct survey_flowtable *flow = &doctor->survey.flowtables[i];
		doctor_say(doctor, DOCTOR_WARN,
			"flowtable %s in table %s %s: a forwarded connection that is in it already passes "
			"every "
			"rule until it ends",
			flow->name, flow->family, flow->table);
		doctor_remedy(doctor,
			"arm before forwarded mail begins, or end such connections: `conntrack -D -p tcp "
			"--dport 25`");
	}
	if (doctor->survey.flowtable_count == 0)
		doctor_say(doctor, DOCTOR_OK, "no flowtable");
}

/* x_tables of old beside nftables: its rules are not in any nft table. */
void doctor_iptables(struct doctor *doctor)
{
	static const struct {
		const char *file, *command;
	} kinds[] = {
		{"/proc/net/ip_tables_names", "iptables-legacy"},
		{"/proc/net/ip6_tables_names", "ip6tables-legacy"},
	};
	bool said = false;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		char names[256];
		int len = host_read(&doctor->host, kinds[i].file, names, sizeof(names));
		if (len == -ENOENT || len == 0)
			continue;
		said = true;
		if (len < 0) {
			struct err err;
			err_set(&err, len, "%s: %s", kinds[i].file, strerror(-len));
			doctor_unknown(doctor, len, &err);
			continue;
		}
		bool nat = false;
		for (char *name = names; *name; name++) {
			nat |= strncmp(name, "nat", 3) == 0 && (name == names || name[-1] == ' ');
			if (*name == '\n')
				*name = ' ';
		}
		doctor_say(doctor, nat ? DOCTOR_WARN : DOCTOR_OK,
			"tables of old iptables are in use beside nftables: %s%s", names,
			nat ? "; what its nat does with port 25 is not looked at (the divert at -199 comes "
			      "before "
			      "its -100)"
			    : ", not nat");
		if (nat)
			doctor_remedy(doctor, "`%s -t nat -S` shows its rules, `%s -t nat -F` removes them",
				kinds[i].command, kinds[i].command);
	}
	if (!said)
		doctor_say(doctor, DOCTOR_OK, "no tables of old iptables");
}

/* What can carry packets past the hooks of nftables. */
void doctor_devices(struct doctor *doctor)
{
	struct bypass found[32];
	struct err err;
	int count = bypass_find(found, sizeof(found) / sizeof(found[0]), &err);
	if (count < 0) {
		doctor_unknown(doctor, count, &err);
		return;
	}
	for (int i = 0; i < count; i++) {
		char device[IFNAMSIZ];
		text_safe(found[i].device, device, sizeof(device));
		const char *with = found[i].tcx ? "a BPF program at tc's hook" : "a tc hook";
		bool tc = found[i].tc || found[i].tcx;
		doctor_say(doctor, DOCTOR_WARN,
			"device %s has %s%s%s: it can send packets past every rule (AF_XDP, redirection), "
			"and no "
			"guard sees them",
			device, found[i].xdp ? "an XDP program" : "", found[i].xdp && tc ? " and " : "",
			tc ? with : "");
		doctor_remedy(doctor, "`%s%s%s` shows it; fine where you know what it does",
			found[i].xdp   ? "ip -d link show dev "
			: found[i].tcx ? "bpftool net show dev "
				       : "tc filter show dev ",
			device, found[i].xdp || found[i].tcx ? "" : " ingress");
	}
	if (count == 0)
		doctor_say(doctor, DOCTOR_OK, "no device has an XDP program or a tc hook");
}
