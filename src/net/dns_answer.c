#include "dns_answer.h"

#include <errno.h>
#include <resolv.h>
#include <string.h>

int dns_name_fold(struct span name, char to[DNS_NAME_MAX + 1])
{
	if (name.len == 0 || name.len > DNS_NAME_MAX)
		return -EINVAL;
	size_t label = 0;
	for (size_t i = 0; i < name.len; i++) {
		char c = name.data[i];
		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
		if (c == '.' ? label == 0 : !letter || label == NS_MAXLABEL)
			return -EINVAL;
		label = c == '.' ? 0 : label + 1;
		to[i] = c;
	}
	if (label == 0)
		return -EINVAL;
	to[name.len] = '\0';
	return (int)name.len;
}

static void keep_for(struct dns_answer *answer, uint32_t ttl)
{
	/* RFC 2181 8: with the first bit set it counts as 0. */
	if (ttl > INT32_MAX)
		ttl = 0;
	if (ttl < answer->ttl)
		answer->ttl = ttl;
}

static bool owned(const struct dns_answer *answer, const ns_rr *record)
{
	return ns_rr_class(*record) == ns_c_in && strcasecmp(ns_rr_name(*record), answer->owner) == 0;
}

/* Moves the owner to where its CNAME leads. 1, 0 where it has none, -EINVAL. */
static int cname_follow(struct dns_answer *answer)
{
	ns_rr record;
	for (int i = 0; i < answer->count; i++) {
		if (ns_parserr(&answer->message, ns_s_an, i, &record) < 0)
			return -EINVAL;
		if (ns_rr_type(record) != ns_t_cname || !owned(answer, &record))
			continue;
		keep_for(answer, ns_rr_ttl(record));
		int len = dn_expand(ns_msg_base(answer->message), ns_msg_end(answer->message),
			ns_rr_rdata(record), answer->owner, sizeof(answer->owner));
		return len == ns_rr_rdlen(record) ? 1 : -EINVAL;
	}
	return 0;
}

int dns_answer_open(struct dns_answer *answer, struct span message, ns_type type)
{
	*answer = (struct dns_answer){.type = type, .ttl = UINT32_MAX};
	ns_rr question;
	if (message.len > INT32_MAX ||
		ns_initparse((const unsigned char *)message.data, (int)message.len, &answer->message) < 0 ||
		ns_msg_count(answer->message, ns_s_qd) != 1 ||
		ns_parserr(&answer->message, ns_s_qd, 0, &question) < 0)
		return -EINVAL;
	strcpy(answer->owner, ns_rr_name(question));
	answer->count = ns_msg_count(answer->message, ns_s_an);
	if (answer->count > DNS_RECORDS_MAX) {
		answer->count = DNS_RECORDS_MAX;
		answer->cut = true;
	}
	for (int i = 0; i <= DNS_CNAMES_MAX; i++) {
		int followed = cname_follow(answer);
		if (followed <= 0)
			return followed;
	}
	return -EINVAL;
}

/* Whether a record that is the owner's and of the type holds what it should. */
static bool record_read(const struct dns_answer *answer, const ns_rr *from, struct dns_record *record)
{
	const uint8_t *data = ns_rr_rdata(*from);
	size_t len = ns_rr_rdlen(*from);
	if (answer->type != ns_t_mx) {
		if (len != (answer->type == ns_t_a ? NS_INADDRSZ : NS_IN6ADDRSZ))
			return false;
		memcpy(record->address, data, len);
		return true;
	}
	char host[NS_MAXDNAME];
	if (len <= NS_INT16SZ || dn_expand(ns_msg_base(answer->message), ns_msg_end(answer->message),
					 data + NS_INT16SZ, host, sizeof(host)) != (int)len - NS_INT16SZ)
		return false;
	record->preference = (uint16_t)ns_get16(data);
	record->host[0] = '\0';
	return host[0] == '\0' || dns_name_fold(span_of(host), record->host) > 0;
}

int dns_answer_next(struct dns_answer *answer, struct dns_record *record)
{
	while (answer->next < answer->count) {
		ns_rr from;
		if (ns_parserr(&answer->message, ns_s_an, answer->next++, &from) < 0)
			return -EINVAL;
		if (ns_rr_type(from) != answer->type || !owned(answer, &from))
			continue;
		if (record_read(answer, &from, record)) {
			keep_for(answer, ns_rr_ttl(from));
			return 1;
		}
		answer->nonsense = true;
	}
	return 0;
}
