/* Checks of what the answers need from outside: name servers and, for TLS, a trust store. */
#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "dns_channel.h"
#include "doctor.h"
#include "text.h"

/* Asked as the daemon asks: the MX of a domain that everybody has heard of. */
#define QUESTION    "gmail.com"
#define SERVERS_MAX 4
#define TRY_MS      700
#define GIVE_UP_S   3

struct server {
	char address[64]; /* as c-ares takes it */
	struct dns_channel *channel;
	struct dns_query query;
	bool done;
	enum dns_result result;
	unsigned milliseconds;
	struct timespec asked;
};

static void answered(struct dns_query *query, enum dns_result result, struct span message)
{
	(void)message;
	struct server *server = (struct server *)((char *)query - offsetof(struct server, query));
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	server->milliseconds = (unsigned)((now.tv_sec - server->asked.tv_sec) * 1000 +
					  (now.tv_nsec - server->asked.tv_nsec) / 1000000);
	server->result = result;
	server->done = true;
}

/* The servers of dns.servers, else of resolv.conf. */
static size_t servers_list(const struct doctor *doctor, struct server servers[SERVERS_MAX])
{
	char text[4096];
	size_t count = 0;
	if (doctor->conf->dns.servers && doctor->conf->dns.servers[0]) {
		snprintf(text, sizeof(text), "%s", doctor->conf->dns.servers);
		for (char *save, *one = strtok_r(text, ", ", &save); one && count < SERVERS_MAX;
			one = strtok_r(NULL, ", ", &save))
			snprintf(servers[count++].address, sizeof(servers[0].address), "%s", one);
		return count;
	}
	if (host_read(&doctor->host, "/etc/resolv.conf", text, sizeof(text)) < 0)
		return 0;
	for (char *save, *line = strtok_r(text, "\n", &save); line && count < SERVERS_MAX;
		line = strtok_r(NULL, "\n", &save)) {
		char address[64];
		if (sscanf(line, " nameserver %63s", address) == 1)
			snprintf(servers[count++].address, sizeof(servers[0].address), "%s", address);
	}
	return count;
}

static void ask_all(struct server *servers, size_t count)
{
	struct event_base *base = event_base_new();
	if (!base)
		return;
	for (size_t i = 0; i < count; i++) {
		struct err err;
		servers[i].result = DNS_FAILED;
		servers[i].channel = dns_channel_new(base, servers[i].address, TRY_MS, &err);
		if (!servers[i].channel)
			continue;
		servers[i].query.done = answered;
		clock_gettime(CLOCK_MONOTONIC, &servers[i].asked);
		dns_channel_ask(servers[i].channel, &servers[i].query, QUESTION, ns_t_mx);
	}
	/* Turns of 50 ms, so that what nobody answers comes to its end. */
	for (int turn = 0; turn < GIVE_UP_S * 20; turn++) {
		bool all = true;
		for (size_t i = 0; i < count; i++) {
			all &= servers[i].done || !servers[i].channel;
			if (servers[i].channel)
				dns_channel_expire(servers[i].channel);
		}
		if (all)
			break;
		event_base_loopexit(base, &(struct timeval){.tv_usec = 50000});
		event_base_dispatch(base);
	}
	for (size_t i = 0; i < count; i++)
		dns_channel_free(servers[i].channel);
	event_base_free(base);
}

void doctor_dns(struct doctor *doctor)
{
	struct server servers[SERVERS_MAX] = {0};
	size_t count = servers_list(doctor, servers), dead = 0;
	if (doctor->conf->answer.mode == CONF_ANSWER_SINK) {
		doctor_say(doctor, DOCTOR_OK, "not needed: answer.mode is \"sink\"");
		return;
	}
	if (count == 0) {
		doctor_say(doctor, DOCTOR_FAIL,
			"no name server is configured: provider default answers for all domains but those "
			"that a profile names");
		doctor_remedy(doctor, "a line `nameserver ADDRESS` in /etc/resolv.conf, or dns.servers in %s",
			doctor->conf->file);
		return;
	}
	ask_all(servers, count);
	for (size_t i = 0; i < count; i++)
		dead += !servers[i].done || servers[i].result == DNS_FAILED;
	for (size_t i = 0; i < count; i++) {
		char address[sizeof(servers[i].address)];
		text_safe(servers[i].address, address, sizeof(address));
		if (servers[i].done && servers[i].result == DNS_ANSWERED) {
			doctor_say(doctor, DOCTOR_OK, "name server %s knows the MX of " QUESTION " (%u ms)",
				address, servers[i].milliseconds);
		} else if (servers[i].done && servers[i].result != DNS_FAILED) {
			doctor_say(doctor, DOCTOR_WARN,
				"name server %s answers, but knows no MX of " QUESTION, address);
			doctor_remedy(doctor, "fine if the test's domains are your own; `mxmirage explain "
					      "USER@DOMAIN` shows what one gets");
		} else {
			doctor_say(doctor, dead == count ? DOCTOR_FAIL : DOCTOR_WARN,
				"name server %s does not answer: %s", address,
				dead == count ? "provider default answers for all domains but those that a "
						"profile names"
					      : "each question may wait for it");
			doctor_remedy(doctor, "mend it, or name another in %s",
				doctor->conf->dns.servers && doctor->conf->dns.servers[0]
					? doctor->conf->file
					: "/etc/resolv.conf");
		}
	}
}

/* Where Debian's and Red Hat's families keep the certificates that programs trust. */
void doctor_trust(struct doctor *doctor)
{
	static const char *const stores[] = {
		"/etc/ssl/certs/ca-certificates.crt",
		"/etc/pki/tls/certs/ca-bundle.crt",
	};
	for (size_t i = 0; i < sizeof(stores) / sizeof(stores[0]); i++)
		if (host_exists(&doctor->host, stores[i])) {
			doctor_say(doctor, DOCTOR_OK, "trust store %s", stores[i]);
			return;
		}
	doctor_say(doctor, DOCTOR_WARN, "no trust store: a sender that verifies certificates trusts nobody");
	doctor_remedy(doctor, "`apt-get install ca-certificates`");
}
