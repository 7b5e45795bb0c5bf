/*
 * resolver_zone: what the name server of the resolver's tests knows, and which names it lies about.
 */
#ifndef TEST_RESOLVER_ZONE_H
#define TEST_RESOLVER_ZONE_H

#include "dns_server.h"

/* The longest name there can be. */
#define LABEL_63 "aaaaaaaaabbbbbbbbbccccccccceeeeeeeeefffffffffggggggggghhhhhhhhh"
#define NAME_253 \
	LABEL_63 "." LABEL_63 "." LABEL_63 ".aaaaaaaaabbbbbbbbbccccccccceeeeeeeeefffffffffggggggggghh.test"

/* For dns_server_start(). */
const struct dns_server_record *resolver_zone_records(void);
extern const struct dns_server_rule resolver_zone_rules[];

#endif
