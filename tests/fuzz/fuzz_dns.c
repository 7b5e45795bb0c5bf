/*
 * Any message as the answer to any question: it ends, hosts are names that may stand in a reply, and what
 * is kept is kept for a time that was given. The first byte chooses the type.
 */
#include <arpa/nameser.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dns_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const ns_type types[] = {ns_t_mx, ns_t_a, ns_t_aaaa};
	if (size == 0)
		return 0;
	struct dns_answer answer;
	struct dns_record record;
	struct span message = {(const char *)data + 1, size - 1};
	if (dns_answer_open(&answer, message, types[data[0] % 3]) < 0)
		return 0;
	int records = 0;
	while (dns_answer_next(&answer, &record) > 0) {
		char folded[DNS_NAME_MAX + 1];
		if (++records > DNS_RECORDS_MAX || answer.ttl > INT32_MAX)
			abort();
		if (answer.type == ns_t_mx && record.host[0] &&
			(dns_name_fold(span_of(record.host), folded) < 0 || strcmp(folded, record.host) != 0))
			abort();
	}
	return 0;
}
