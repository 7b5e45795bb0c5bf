/*
 * dns_server: a small name server on loopback, UDP and TCP, in a thread of its own, that lies, stalls and
 * breaks where it is told to. For tests of what such a server can do to its askers.
 */
#ifndef TEST_DNS_SERVER_H
#define TEST_DNS_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dns_server_record {
	const char *name; /* "*.example": any name below it that has no record of its own */
	int type;         /* ns_t_mx, ns_t_a, ns_t_aaaa, ns_t_cname */
	uint32_t ttl;
	const char *data; /* "10 mx.example" ("." is the root), an address, a name */
};

enum dns_server_manner {
	DNS_SERVER_HONEST,
	DNS_SERVER_SILENT,
	DNS_SERVER_SERVFAIL,
	DNS_SERVER_REFUSED,
	DNS_SERVER_WRONG_ID,
	DNS_SERVER_WRONG_QUESTION,
	DNS_SERVER_LIES_FIRST,   /* wrong id, wrong question, garbage, then the truth */
	DNS_SERVER_GARBAGE,      /* the right id and question, then noise where the records should be */
	DNS_SERVER_NOISE,        /* nothing but noise */
	DNS_SERVER_HALF,         /* a message that ends in the middle of its records */
	DNS_SERVER_POINTER_LOOP, /* a record whose name points to itself */
	DNS_SERVER_TRUNCATED,    /* by UDP truncated, by TCP closed without a word */
	DNS_SERVER_FLOOD,        /* thousands of messages that nobody asked for, then the truth */
};

/* How questions about a name (or "*.name") are answered; those about other names honestly and at once. */
struct dns_server_rule {
	const char *name;
	enum dns_server_manner manner;
	unsigned delay_ms;
	int type; /* of the questions; 0 for all */
};

struct dns_server;

/* Tables end with a NULL name, and must outlive the server. */
struct dns_server *dns_server_start(
	const struct dns_server_record *records, const struct dns_server_rule *rules);
void dns_server_stop(struct dns_server *server);

/* "127.0.0.1:port" */
const char *dns_server_address(const struct dns_server *server);

/* Questions that came by UDP, by TCP so far. */
unsigned dns_server_udp_count(struct dns_server *server);
unsigned dns_server_tcp_count(struct dns_server *server);

/*
 * Moves the process into a network namespace of its own with loopback up, where it may: nothing that a test
 * sends leaves it then.
 */
void dns_server_isolate(void);

#endif
