#include "resolver_zone.h"

#include <arpa/nameser.h>
#include <stdio.h>
#include <stdlib.h>

#define MANY 100

static struct dns_server_record records[1024] = {
	{"found.test", ns_t_mx, 300, "20 mx2.found.test"},
	{"found.test", ns_t_mx, 300, "10 MX1.Found.Test"},
	{"found.test", ns_t_mx, 300, "20 mx0.found.test"},
	{"found.test", ns_t_mx, 300, "30 mx1.found.test"},
	{"mx1.found.test", ns_t_a, 300, "192.0.2.1"},
	{"mx1.found.test", ns_t_aaaa, 300, "2001:db8::1"},
	{"mx2.found.test", ns_t_aaaa, 300, "2001:db8::2"},
	{"mx0.found.test", ns_t_a, 300, "192.0.2.3"},
	{"mx0.found.test", ns_t_a, 300, "192.0.2.2"},
	{"itself.test", ns_t_a, 300, "192.0.2.10"},
	{"itself.test", ns_t_aaaa, 300, "2001:db8::10"},
	{"null.test", ns_t_mx, 300, "0 ."},
	{"half-null.test", ns_t_mx, 300, "0 ."},
	{"half-null.test", ns_t_mx, 300, "10 mx1.found.test"},
	{"barren.test", ns_t_cname, 300, "nowhere-to-be.test"},
	{"nowhere-to-be.test", ns_t_mx, 300, "10 no-such-host.test"},
	{"alias.test", ns_t_cname, 300, "alias2.test"},
	{"alias2.test", ns_t_cname, 300, "found.test"},
	{"alias-host.test", ns_t_mx, 300, "10 alias-mx.test"},
	{"alias-mx.test", ns_t_cname, 300, "mx0.found.test"},
	{"dangling.test", ns_t_cname, 300, "gone.test"},
	{"loop.test", ns_t_cname, 300, "loop2.test"},
	{"loop2.test", ns_t_cname, 300, "loop.test"},
	{"loop-host.test", ns_t_mx, 300, "10 loop.test"},
	{"loop-host.test", ns_t_mx, 300, "10 mx2.found.test"},
	{"numeric.test", ns_t_mx, 300, "10 192.0.2.77"},
	{"numeric.test", ns_t_mx, 300, "20 mx0.found.test"},
	{"names.test", ns_t_mx, 300, "10 mx\r\n250.found.test"},
	{"names.test", ns_t_mx, 300, "20 mx0.found.test"},
	{"no-names.test", ns_t_mx, 300, "10 a b.found.test"},
	{"long.test", ns_t_mx, 300, "10 " NAME_253},
	{NAME_253, ns_t_a, 300, "192.0.2.20"},
	{"many-host.test", ns_t_mx, 300, "10 many.many-host.test"},
	{"servfail.test", ns_t_a, 300, "192.0.2.30"},
	{"refused.test", ns_t_a, 300, "192.0.2.30"},
	{"wrong-id.test", ns_t_a, 300, "192.0.2.30"},
	{"wrong-question.test", ns_t_a, 300, "192.0.2.30"},
	{"lies-first.test", ns_t_a, 300, "192.0.2.31"},
	{"flood.test", ns_t_a, 300, "192.0.2.32"},
	{"garbage.test", ns_t_a, 300, "192.0.2.30"},
	{"noise.test", ns_t_a, 300, "192.0.2.30"},
	{"half.test", ns_t_mx, 300, "10 mx0.found.test"},
	{"pointers.test", ns_t_mx, 300, "10 mx0.found.test"},
	{"truncated.test", ns_t_mx, 300, "10 mx0.found.test"},
	{"one-fails.test", ns_t_mx, 300, "10 mx0.found.test"},
	{"one-fails.test", ns_t_mx, 300, "20 servfail-mx.test"},
	{"servfail-mx.test", ns_t_a, 300, "192.0.2.30"},
	{"all-fail.test", ns_t_mx, 300, "20 servfail-mx.test"},
	{"one-silent.test", ns_t_mx, 300, "10 silent-mx.test"},
	{"slow.test", ns_t_a, 300, "192.0.2.40"},
	{"slow-mx.test", ns_t_mx, 300, "10 slow-host.test"},
	{"slow-host.test", ns_t_a, 300, "192.0.2.41"},
	{"slower.test", ns_t_a, 300, "192.0.2.42"},
	{"short.test", ns_t_a, 1, "192.0.2.50"},
	{"short.test", ns_t_aaaa, 300, "2001:db8::50"},
	{"soon.test", ns_t_a, 0, "192.0.2.51"},
	{"window.test", ns_t_mx, 300, "10 mx0.window.test"},
	{"window.test", ns_t_mx, 300, "10 mx1.window.test"},
	{"window.test", ns_t_mx, 300, "10 mx2.window.test"},
	{"window.test", ns_t_mx, 300, "10 mx3.window.test"},
	{"window.test", ns_t_mx, 300, "10 mx4.window.test"},
	{"window.test", ns_t_mx, 300, "10 mx5.window.test"},
	{"*.any.test", ns_t_mx, 300, "10 mx0.found.test"},
	{"*.any.test", ns_t_mx, 300, "20 mx1.found.test"},
};

const struct dns_server_rule resolver_zone_rules[] = {
	{"servfail.test", DNS_SERVER_SERVFAIL, 0, 0},
	{"refused.test", DNS_SERVER_REFUSED, 0, 0},
	{"servfail-mx.test", DNS_SERVER_SERVFAIL, 0, 0},
	{"wrong-id.test", DNS_SERVER_WRONG_ID, 0, 0},
	{"wrong-question.test", DNS_SERVER_WRONG_QUESTION, 0, 0},
	{"lies-first.test", DNS_SERVER_LIES_FIRST, 0, 0},
	{"flood.test", DNS_SERVER_FLOOD, 0, 0},
	{"garbage.test", DNS_SERVER_GARBAGE, 0, 0},
	{"noise.test", DNS_SERVER_NOISE, 0, 0},
	{"half.test", DNS_SERVER_HALF, 0, 0},
	{"pointers.test", DNS_SERVER_POINTER_LOOP, 0, 0},
	{"truncated.test", DNS_SERVER_TRUNCATED, 0, 0},
	{"silent.test", DNS_SERVER_SILENT, 0, 0},
	{"silent-mx.test", DNS_SERVER_SILENT, 0, ns_t_aaaa},
	{"slow.test", DNS_SERVER_HONEST, 1500, ns_t_mx},
	{"slow-host.test", DNS_SERVER_HONEST, 1900, 0},
	{"slow-mx.test", DNS_SERVER_HONEST, 300, 0},
	{"slower.test", DNS_SERVER_HONEST, 10000, 0},
	{"*.window.test", DNS_SERVER_SILENT, 0, 0},
	{"late.test", DNS_SERVER_HONEST, 300, 0},
	{NULL, 0, 0, 0},
};

/* A hundred MX hosts of a domain, a hundred addresses of a host, a long chain of CNAMEs. */
static void records_complete(void)
{
	static char text[MANY][3][64], chain[20][24];
	struct dns_server_record *to = records;
	while (to->name)
		to++;
	for (int i = 0; i < MANY; i++) {
		snprintf(text[i][0], 64, "%d mx%d.many.test", MANY - i, i);
		snprintf(text[i][1], 64, "mx%d.many.test", i);
		snprintf(text[i][2], 64, "198.51.100.%d", i);
		*to++ = (struct dns_server_record){"many.test", ns_t_mx, 300, text[i][0]};
		*to++ = (struct dns_server_record){text[i][1], ns_t_a, 300, text[i][2]};
		*to++ = (struct dns_server_record){"many.many-host.test", ns_t_a, 300, text[i][2]};
	}
	for (int i = 0; i < 20; i++) {
		snprintf(chain[i], sizeof(chain[i]), "chain%d.test", i);
		if (i > 0)
			*to++ = (struct dns_server_record){chain[i], ns_t_cname, 300, chain[i - 1]};
	}
	*to++ = (struct dns_server_record){chain[0], ns_t_a, 300, "192.0.2.60"};
	if (to - records >= (ptrdiff_t)(sizeof(records) / sizeof(records[0])))
		abort();
}

const struct dns_server_record *resolver_zone_records(void)
{
	static bool complete;
	if (!complete)
		records_complete();
	complete = true;
	return records;
}
