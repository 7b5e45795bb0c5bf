#include "coverage_address.h"

#include <string.h>

#include "span.h"

#define SINK_DOMAIN "domain:"

static bool ends_in(struct span name, struct span suffix)
{
	return name.len >= suffix.len &&
	       strncasecmp(name.data + name.len - suffix.len, suffix.data, suffix.len) == 0;
}

/* The domain whose rules of the smart sink's a provider stands for; NULL for others. */
static const char *sink_domain(const struct provider *provider)
{
	size_t len = strlen(SINK_DOMAIN);
	return strncmp(provider->name, SINK_DOMAIN, len) == 0 ? provider->name + len : NULL;
}

static bool serves(const struct provider *provider, const char *domain)
{
	const char *own = sink_domain(provider);
	if (own && strcasecmp(own, domain) == 0)
		return true;
	for (size_t i = 0; i < provider->domain_count; i++)
		if (strcasecmp(provider->domains[i], domain) == 0)
			return true;
	return false;
}

/*
 * Of suffixes, one of another: ".protection.outlook.com" has hosts of ".olc.protection.outlook.com", and
 * the reverse.
 */
static bool suffix_addresses(struct span suffix, const struct provider *home)
{
	for (size_t i = 0; i < home->mx_suffix_count; i++) {
		struct span own = span_of(home->mx_suffixes[i]);
		if (ends_in(own, suffix) || ends_in(suffix, own))
			return true;
	}
	for (size_t i = 0; i < home->mx_name_count; i++)
		if (ends_in(span_of(home->mx_names[i]), suffix))
			return true;
	return false;
}

static bool name_addresses(struct span name, const struct provider *home)
{
	for (size_t i = 0; i < home->mx_suffix_count; i++)
		if (ends_in(name, span_of(home->mx_suffixes[i])))
			return true;
	for (size_t i = 0; i < home->mx_name_count; i++)
		if (span_is(name, home->mx_names[i]))
			return true;
	return false;
}

static bool domain_suffix_addresses(struct span suffix, const struct provider *provider)
{
	const char *own = sink_domain(provider);
	if (own)
		return ends_in(span_of(own), suffix);
	for (size_t i = 0; i < provider->domain_count; i++)
		if (ends_in(span_of(provider->domains[i]), suffix))
			return true;
	return false;
}

static bool dotted(const struct shaping_match *match)
{
	size_t len = strlen(match->text);
	return len > 0 && match->text[len - 1] == '.';
}

static bool match_addresses(const struct shaping_match *match, const struct provider *provider,
	const struct provider_set *known, bool mended)
{
	struct span text = span_of(match->text);
	if (dotted(match)) {
		if (!mended)
			return false;
		text.len--;
	}
	if (match->form == SHAPING_DOMAIN_SUFFIX)
		return domain_suffix_addresses(text, provider);
	const struct provider *home = provider;
	if (sink_domain(provider))
		home = provider_by_domain(known, span_of(sink_domain(provider)));
	if (!home)
		return false;
	return match->form == SHAPING_MX_SUFFIX ? suffix_addresses(text, home) : name_addresses(text, home);
}

bool coverage_addresses(const struct shaping_block *block, const struct provider *provider,
	const struct provider_set *known, bool mended)
{
	if (block->kind == SHAPING_DEFAULT)
		return true;
	if (block->kind == SHAPING_DOMAIN)
		return serves(provider, block->name);
	for (size_t i = 0; i < block->match_count; i++)
		if (match_addresses(&block->matches[i], provider, known, mended))
			return true;
	return false;
}

const struct shaping_match *coverage_dotted(const struct shaping_block *block)
{
	for (size_t i = 0; i < block->match_count; i++)
		if (dotted(&block->matches[i]))
			return &block->matches[i];
	return NULL;
}
