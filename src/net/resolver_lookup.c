#include "resolver_lookup.h"

#include <stdlib.h>
#include <string.h>

#include "dns_answer.h"
#include "mapped.h"

struct resolver_lookup *resolver_lookup_new(struct span domain)
{
	struct resolver_lookup *lookup = calloc(1, sizeof(*lookup));
	if (!lookup)
		return NULL;
	LIST_INIT(&lookup->questions);
	lookup->answer.status = MX_UNKNOWN;
	lookup->ttl = UINT32_MAX;
	lookup->cut = domain.len > RESOLVER_CACHE_NAME_MAX;
	lookup->name_len = lookup->cut ? RESOLVER_CACHE_NAME_MAX : domain.len;
	resolver_cache_lower((struct span){domain.data, lookup->name_len}, lookup->name);
	return lookup;
}

void resolver_lookup_free(struct resolver_lookup *lookup)
{
	free(lookup->answer.hosts);
	free(lookup->addresses);
	free(lookup->address_queries);
	free(lookup);
}

/* Room for hosts, their addresses and questions. False when out of memory. */
static bool hosts_room(struct resolver_lookup *lookup, size_t count)
{
	lookup->answer.hosts = calloc(count, sizeof(*lookup->answer.hosts));
	lookup->address_queries = calloc(count * 2, sizeof(*lookup->address_queries));
	return lookup->answer.hosts && lookup->address_queries;
}

static bool address_add(struct resolver_lookup *lookup, size_t host, int family, const void *bytes)
{
	if (lookup->address_count == MX_ADDRESSES_MAX) {
		lookup->answer.partial = true;
		return false;
	}
	if (!lookup->addresses)
		lookup->addresses = malloc(MX_ADDRESSES_MAX * sizeof(*lookup->addresses));
	if (!lookup->addresses) {
		lookup->failed = true;
		return false;
	}
	struct resolver_cache_address *to = &lookup->addresses[lookup->address_count++];
	to->host = (uint8_t)host;
	if (family == AF_INET)
		to->address = mapped_v4(bytes);
	else
		memcpy(&to->address, bytes, sizeof(to->address));
	return true;
}

/* A literal: [192.0.2.1] or [IPv6:2001:db8::1] (RFC 5321 4.1.3). Its host is named by the address itself. */
static void literal_answer(struct resolver_lookup *lookup, char *text)
{
	uint8_t bytes[16];
	int family = AF_INET;
	if (strncmp(text, "ipv6:", 5) == 0) {
		family = AF_INET6;
		text += 5;
	}
	if (inet_pton(family, text, bytes) != 1 || !hosts_room(lookup, 1))
		return;
	struct mx_host *host = &lookup->answer.hosts[0];
	inet_ntop(family, bytes, host->name, sizeof(host->name));
	if (!address_add(lookup, 0, family, bytes))
		return;
	lookup->answer.host_count = 1;
	lookup->answer.status = MX_FOUND;
}

bool resolver_lookup_without_dns(struct resolver_lookup *lookup)
{
	char text[RESOLVER_CACHE_NAME_MAX + 1];
	size_t len = lookup->name_len;
	if (lookup->cut)
		return true;
	if (len > 2 && lookup->name[0] == '[' && lookup->name[len - 1] == ']') {
		memcpy(text, lookup->name + 1, len - 2);
		text[len - 2] = '\0';
		literal_answer(lookup, text);
		return true;
	}
	return dns_name_fold((struct span){lookup->name, len}, text) < 0;
}

static int by_host(const void *a, const void *b)
{
	const struct resolver_cache_address *one = a, *two = b;
	if (one->host != two->host)
		return one->host < two->host ? -1 : 1;
	return memcmp(&one->address, &two->address, sizeof(one->address));
}

/* Nothing is under way any more: what is the answer? */
static void settle(struct resolver_lookup *lookup)
{
	struct mx_answer *answer = &lookup->answer;
	if (lookup->address_count > 1)
		qsort(lookup->addresses, lookup->address_count, sizeof(*lookup->addresses), by_host);
	if (lookup->address_count > 0)
		answer->status = MX_FOUND;
	else if (answer->host_count > 0 && !lookup->failed)
		answer->status = lookup->domain_is_host ? MX_NO_DOMAIN : MX_FOUND;
	/*
	 * Otherwise it is what the question for MX has made it, MX_UNKNOWN where that left hosts to be
	 * found.
	 */
	if (answer->status != MX_FOUND)
		answer->host_count = 0;
	answer->partial = answer->status == MX_FOUND && (answer->partial || lookup->failed);
}

static void release(struct resolver_lookup *lookup)
{
	if (--lookup->under_way > 0)
		return;
	if (lookup->state == RESOLVER_LOOKUP_RUNNING)
		settle(lookup);
	lookup->idle(lookup->idle_arg, lookup);
}

static void ask(struct resolver_lookup *lookup, struct resolver_lookup_query *query, const char *name,
	void (*done)(struct dns_query *query, enum dns_result result, struct span message))
{
	query->lookup = lookup;
	query->query.done = done;
	lookup->under_way++;
	dns_channel_ask(lookup->channel, &query->query, name, query->type);
}

static void addresses_read(
	struct resolver_lookup *lookup, const struct resolver_lookup_query *query, struct span message)
{
	struct dns_answer answer;
	struct dns_record record;
	int more = dns_answer_open(&answer, message, query->type);
	if (more == 0)
		while ((more = dns_answer_next(&answer, &record)) > 0)
			if (!address_add(lookup, query->host, query->type == ns_t_a ? AF_INET : AF_INET6,
				    record.address))
				break;
	if (more < 0 || answer.nonsense)
		lookup->failed = true;
	if (more >= 0 && answer.ttl < lookup->ttl)
		lookup->ttl = answer.ttl;
}

static void addresses_ask(struct resolver_lookup *lookup);

static void addresses_done(struct dns_query *dns_query, enum dns_result result, struct span message)
{
	struct resolver_lookup_query *query = (struct resolver_lookup_query *)dns_query;
	struct resolver_lookup *lookup = query->lookup;
	if (lookup->state == RESOLVER_LOOKUP_RUNNING) {
		if (result == DNS_ANSWERED)
			addresses_read(lookup, query, message);
		else if (result == DNS_FAILED)
			lookup->failed = true;
		addresses_ask(lookup);
	}
	release(lookup);
}

/*
 * Asks for the addresses of the hosts, as many questions at once as are allowed. The caller has a share in
 * under_way.
 */
static void addresses_ask(struct resolver_lookup *lookup)
{
	while (lookup->next_query < lookup->answer.host_count * 2 &&
		lookup->under_way <= RESOLVER_LOOKUP_WINDOW && lookup->address_count < MX_ADDRESSES_MAX) {
		size_t i = lookup->next_query++;
		struct resolver_lookup_query *query = &lookup->address_queries[i];
		const struct mx_host *host = &lookup->answer.hosts[i / 2];
		struct in_addr address;
		query->host = (uint8_t)(i / 2);
		query->type = i % 2 ? ns_t_aaaa : ns_t_a;
		if (inet_pton(AF_INET, host->name, &address) != 1)
			ask(lookup, query, host->name, addresses_done);
		/* An address where a name should stand is taken for the host's, as KumoMTA does. */
		else if (query->type == ns_t_a)
			address_add(lookup, query->host, AF_INET, &address);
	}
	if (lookup->next_query < lookup->answer.host_count * 2 && lookup->address_count == MX_ADDRESSES_MAX)
		lookup->answer.partial = true;
}

static int host_compare(const struct mx_host *a, const struct mx_host *b)
{
	if (a->preference != b->preference)
		return a->preference < b->preference ? -1 : 1;
	return strcmp(a->name, b->name);
}

struct host_list {
	struct mx_host hosts[MX_HOSTS_MAX]; /* in order */
	size_t count;
	bool cut; /* there were more */
};

/* Puts a host where it belongs; the last gives way where there are too many. */
static void host_add(struct host_list *list, const struct mx_host *host)
{
	struct mx_host *hosts = list->hosts;
	size_t at = 0;
	while (at < list->count && host_compare(&hosts[at], host) < 0) {
		if (strcmp(hosts[at].name, host->name) == 0)
			return;
		at++;
	}
	/* The same host at a worse preference goes. */
	for (size_t i = at; i < list->count; i++) {
		if (strcmp(hosts[i].name, host->name) != 0)
			continue;
		memmove(hosts + i, hosts + i + 1, (--list->count - i) * sizeof(*hosts));
		break;
	}
	if (list->count == MX_HOSTS_MAX) {
		list->cut = true;
		if (at == MX_HOSTS_MAX)
			return;
		list->count--;
	}
	memmove(hosts + at + 1, hosts + at, (list->count - at) * sizeof(*hosts));
	hosts[at] = *host;
	list->count++;
}

static void hosts_take(struct resolver_lookup *lookup, const struct mx_host *hosts, size_t count)
{
	if (!hosts_room(lookup, count))
		return;
	memcpy(lookup->answer.hosts, hosts, count * sizeof(*hosts));
	lookup->answer.host_count = count;
}

/* No MX: the domain is its own host (RFC 5321 5.1), and there is no domain where it has no address. */
static void domain_is_host(struct resolver_lookup *lookup)
{
	struct mx_host host = {.preference = 0};
	memcpy(host.name, lookup->name, lookup->name_len);
	hosts_take(lookup, &host, 1);
	lookup->domain_is_host = true;
}

static void hosts_read(struct resolver_lookup *lookup, struct span message)
{
	struct dns_answer answer;
	struct dns_record record;
	struct host_list list = {.count = 0};
	bool null = false;
	int more = dns_answer_open(&answer, message, ns_t_mx);
	if (more < 0)
		return;
	while ((more = dns_answer_next(&answer, &record)) > 0) {
		struct mx_host host = {.preference = record.preference};
		null |= record.host[0] == '\0';
		memcpy(host.name, record.host, sizeof(record.host));
		if (host.name[0])
			host_add(&list, &host);
	}
	if (more < 0)
		return;
	lookup->ttl = answer.ttl;
	lookup->answer.partial = answer.cut || answer.nonsense || list.cut;
	if (list.count > 0)
		hosts_take(lookup, list.hosts, list.count);
	else if (null)
		lookup->answer.status = MX_NULL;
	else if (!answer.nonsense && !answer.cut)
		domain_is_host(lookup);
}

static void hosts_done(struct dns_query *dns_query, enum dns_result result, struct span message)
{
	struct resolver_lookup *lookup = ((struct resolver_lookup_query *)dns_query)->lookup;
	if (lookup->state == RESOLVER_LOOKUP_RUNNING) {
		if (result == DNS_ANSWERED)
			hosts_read(lookup, message);
		else if (result == DNS_NO_DATA)
			domain_is_host(lookup);
		else if (result == DNS_NO_NAME)
			lookup->answer.status = MX_NO_DOMAIN;
		addresses_ask(lookup);
	}
	release(lookup);
}

void resolver_lookup_begin(struct resolver_lookup *lookup, struct dns_channel *channel,
	void (*idle)(void *arg, struct resolver_lookup *lookup), void *arg)
{
	lookup->channel = channel;
	lookup->idle = idle;
	lookup->idle_arg = arg;
	lookup->mx_query.type = ns_t_mx;
	ask(lookup, &lookup->mx_query, lookup->name, hosts_done);
}

void resolver_lookup_give_up(struct resolver_lookup *lookup)
{
	lookup->answer = (struct mx_answer){.status = MX_UNKNOWN, .hosts = lookup->answer.hosts};
	lookup->address_count = 0;
}
