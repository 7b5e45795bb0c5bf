#include "campaign.h"

#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "stream.h"

uint64_t campaign_clock(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int add_address(
	struct campaign_address **list, size_t *count, const struct sockaddr *address, socklen_t len)
{
	struct campaign_address *grown = realloc(*list, (*count + 1) * sizeof(**list));
	if (!grown)
		return -ENOMEM;
	*list = grown;
	memcpy(&grown[*count].address, address, len);
	grown[(*count)++].len = len;
	return 0;
}

/* HOST:PORT, [V6]:PORT. */
static int resolve_target(struct campaign *campaign, const char *target, struct err *err)
{
	char host[256];
	const char *colon = strrchr(target, ':');
	size_t len = colon ? (size_t)(colon - target) : 0;
	const char *name = target;

	if (len > 2 && name[0] == '[' && name[len - 1] == ']') {
		name++;
		len -= 2;
	}
	if (!colon || len == 0 || len >= sizeof(host) || !colon[1])
		return err_set(
			err, -EINVAL, "--target %s: HOST:PORT is wanted, as in " GEN_TARGET_DEFAULT, target);
	memcpy(host, name, len);
	host[len] = '\0';

	/* getaddrinfo() would take 65561 for 25. */
	unsigned long port = strtoul(colon + 1, NULL, 10);
	if (isdigit((unsigned char)colon[1]) && (port < 1 || port > 65535))
		return err_set(err, -EINVAL, "--target %s: a port from 1 to 65535 is wanted", target);
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	struct addrinfo *found;
	int code = getaddrinfo(host, colon + 1, &hints, &found);
	if (code)
		return err_set(err, -EINVAL, "--target %s: %s", target, gai_strerror(code));
	for (const struct addrinfo *one = found; one && code == 0; one = one->ai_next)
		code = add_address(
			&campaign->targets, &campaign->target_count, one->ai_addr, one->ai_addrlen);
	freeaddrinfo(found);
	return code ? err_set(err, code, "out of memory") : 0;
}

static int resolve_sources(struct campaign *campaign, struct err *err)
{
	const struct gen_list *sources = &campaign->options->sources;
	for (size_t i = 0; i < sources->count; i++) {
		const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
		struct addrinfo *found;
		if (getaddrinfo(sources->texts[i], NULL, &hints, &found))
			return err_set(
				err, -EINVAL, "--source %s: an IP address is wanted", sources->texts[i]);
		int code = add_address(
			&campaign->sources, &campaign->source_count, found->ai_addr, found->ai_addrlen);
		freeaddrinfo(found);
		if (code)
			return err_set(err, code, "out of memory");
	}
	return 0;
}

static bool has_source(const struct campaign *campaign, sa_family_t family)
{
	for (size_t i = 0; i < campaign->source_count; i++)
		if (campaign->sources[i].address.ss_family == family)
			return true;
	return campaign->source_count == 0;
}

/* An address that no source can reach is no target. */
static int match_families(struct campaign *campaign, struct err *err)
{
	size_t kept = 0;
	for (size_t i = 0; i < campaign->target_count; i++)
		if (has_source(campaign, campaign->targets[i].address.ss_family))
			campaign->targets[kept++] = campaign->targets[i];
	campaign->target_count = kept;
	if (kept == 0)
		return err_set(err, -EINVAL,
			"--source: none is of the same family, IPv4 or IPv6, as --target %s",
			campaign->options->target);
	return 0;
}

int campaign_init(struct campaign *campaign, const struct gen_options *options, struct err *err)
{
	*campaign =
		(struct campaign){.options = options, .measure_from_ns = UINT64_MAX, .text = {.file = -1}};
	int code = mail_make(&campaign->mail, options, err);
	if (code == 0 && !options->http)
		stream_share(&campaign->text, options->bdat ? campaign->mail.text : campaign->mail.stuffed);
	if (code == 0 && !options->http)
		code = resolve_target(campaign, options->target, err);
	if (code == 0)
		code = resolve_sources(campaign, err);
	if (code == 0 && !options->http)
		code = match_families(campaign, err);
	if (code == 0 && options->starttls) {
		campaign->tls = stream_tls_new();
		if (!campaign->tls)
			code = err_set(err, -ENOMEM, "--starttls: OpenSSL could not be set up");
	}
	if (code < 0) {
		campaign_done(campaign);
		return code;
	}
	campaign->smtp = (struct smtp_client_setup){
		.mail = &campaign->mail,
		.ehlo = mix_pick(&campaign->mail.domains, options->seed)->name,
		.starttls = options->starttls,
		.pipeline = options->pipeline,
		.no_pipeline = options->no_pipeline,
		.bdat = options->bdat,
		.connect_only = options->connect_only,
	};
	return 0;
}

void campaign_done(struct campaign *campaign)
{
	stream_share_done(&campaign->text);
	mail_done(&campaign->mail);
	SSL_CTX_free(campaign->tls);
	free(campaign->targets);
	free(campaign->sources);
	*campaign = (struct campaign){0};
}

uint64_t campaign_take(struct campaign *campaign, uint64_t count, uint64_t *number)
{
	uint64_t limit = campaign->options->message_count;
	if (atomic_load_explicit(&campaign->stopping, memory_order_relaxed))
		return 0;
	if (limit) {
		uint64_t taken = atomic_load(&campaign->taken), left;
		do {
			left = limit - taken;
			if (left == 0)
				return 0;
			count = count < left ? count : left;
		} while (!atomic_compare_exchange_weak(&campaign->taken, &taken, taken + count));
	}
	*number = atomic_fetch_add_explicit(&campaign->next_number, count, memory_order_relaxed);
	return count;
}

bool campaign_sent(struct campaign *campaign, uint64_t count)
{
	uint64_t limit = campaign->options->message_count;
	return limit && count && atomic_fetch_add(&campaign->sent, count) + count == limit;
}

bool campaign_is_complete(const struct campaign *campaign)
{
	uint64_t limit = campaign->options->message_count;
	return limit && atomic_load(&campaign->sent) == limit;
}

void campaign_give_back(struct campaign *campaign, uint64_t count)
{
	if (campaign->options->message_count)
		atomic_fetch_sub(&campaign->taken, count);
}
