#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "conf_suggest.h"
#include "conf_text.h"
#include "provider_key.h"
#include "provider_set.h"
#include "reply_text.h"

#define MILLION 1000000u

static void flag_check(struct provider_reader *reader, const struct toml_node *node, void *to)
{
	(void)to;
	if (node->type != TOML_BOOLEAN)
		provider_mistake(reader, node, "wants true or false");
}

static void ignored(struct provider_reader *reader, const struct toml_node *node, void *to)
{
	(void)reader;
	(void)node;
	(void)to;
}

static void banner_read(struct provider_reader *reader, const struct toml_node *node, void *to)
{
	struct err err;
	const char *banner = NULL;
	provider_read_text(reader, node, &banner);
	if (!banner)
		return;
	if (strchr(banner, '\n'))
		provider_mistake(reader, node, "has several lines; write one");
	else if (reply_text_check(banner, &err) < 0)
		provider_mistake(reader, node, "is wrong: %s", err.text);
	else
		*(const char **)to = banner;
}

#define AT(member) offsetof(struct provider, member)

static const struct provider_key keys[] = {
	{"match", provider_read_match, 0},
	{"domains", provider_read_domains, 0},
	{"banner", banner_read, AT(banner)},
	{"extensions", provider_read_extensions, 0},
	{"bounce", provider_read_percent, AT(bounce_ppm)},
	{"defer", provider_read_percent, AT(defer_ppm)},
	{"connection_limit", provider_read_count, AT(limits.site_connections)},
	{"provider_connection_limit", provider_read_count, AT(limits.provider_connections)},
	{"max_connection_rate", provider_read_rate, AT(limits.connection_rate)},
	{"max_message_rate", provider_read_rate, AT(limits.message_rate)},
	{"provider_max_message_rate", provider_read_rate, AT(limits.message_rate)},
	{"max_deliveries_per_connection", provider_read_count, AT(limits.deliveries_per_connection)},
	{"max_recipients_per_message", provider_read_count, AT(limits.recipients_per_message)},
	{"max_recipients_per_batch", provider_read_count, AT(limits.recipients_per_message)},
	{"max_message_size", provider_read_octets, AT(limits.message_size)},
	{"reputation_after", provider_read_count, AT(reputation_after)},
	{"reputation_recovers", provider_read_seconds, AT(reputation_recovers_s)},
	{"greylist", provider_read_seconds, AT(greylist_s)},
	{"bandwidth", provider_read_octets, AT(bandwidth)},
	{"slow_close", provider_read_seconds, AT(slow_close_s)},
	{"refuse", provider_read_percent, AT(refuse_ppm)},
	{"black_hole", provider_read_percent, AT(black_hole_ppm)},
	{"delay", provider_read_delays, 0},
	{"fault", provider_read_faults, 0},
	{"reply", provider_read_replies, 0},
	{"replace_base", flag_check, 0},
	/* What else shaping files say of a provider concerns the sender alone. */
	{"additional_connection_limits", ignored, 0},
	{"additional_message_rate_throttles", ignored, 0},
	{"automation", ignored, 0},
	{"banner_timeout", ignored, 0},
	{"connect_timeout", ignored, 0},
	{"consecutive_connection_failures_before_delay", ignored, 0},
	{"data_dot_timeout", ignored, 0},
	{"data_timeout", ignored, 0},
	{"ehlo_domain", ignored, 0},
	{"ehlo_timeout", ignored, 0},
	{"enable_dane", ignored, 0},
	{"enable_mta_sts", ignored, 0},
	{"enable_pipelining", ignored, 0},
	{"enable_rset", ignored, 0},
	{"enable_tls", ignored, 0},
	{"idle_timeout", ignored, 0},
	{"mail_from_timeout", ignored, 0},
	{"max_ready", ignored, 0},
	{"mx_rollup", ignored, 0},
	{"opportunistic_tls_reconnect_on_failed_handshake", ignored, 0},
	{"rcpt_to_timeout", ignored, 0},
	{"reconnect_strategy", ignored, 0},
	{"remember_broken_tls", ignored, 0},
	{"rset_timeout", ignored, 0},
	{"sources", ignored, 0},
	{"starttls_timeout", ignored, 0},
	{"system_shutdown_timeout", ignored, 0},
	{NULL, NULL, 0},
};

/* Two odds of which at most one comes true; told at the one that this table sets. */
static void odds_check(struct provider_reader *reader, const struct toml_node *table, const char *a,
	uint32_t a_ppm, const char *b, uint32_t b_ppm)
{
	const struct toml_node *node = provider_item(table, b);
	if (!node)
		node = provider_item(table, a);
	if (!node || a_ppm + b_ppm <= MILLION)
		return;
	conf_mistake(&reader->mistakes, node->line,
		"provider \"%.64s\": %s = %g and %s = %g are over 100 %% together; lower one",
		reader->provider->name, a, a_ppm / 1e4, b, b_ppm / 1e4);
}

static void nothing_matched(struct provider_reader *reader, const struct toml_node *table)
{
	struct conf_suggest suggest = {.word = reader->provider->name};
	for (size_t i = 0; i < reader->set->count; i++)
		if (reader->set->providers[i] != reader->provider)
			conf_suggest_offer(&suggest, reader->set->providers[i]->name);
	conf_mistake(&reader->mistakes, table->line,
		"provider \"%.64s\" matches nothing%s%s%s; write match = [{MXSuffix = \".example.com\"}] or "
		"domains = [\"example.com\"], or the name of a provider that there is",
		reader->provider->name, suggest.best ? " (did you mean \"" : "",
		suggest.best ? suggest.best : "", suggest.best ? "\"?)" : "");
}

static void table_check(struct provider_reader *reader, const struct toml_node *table)
{
	const struct provider *provider = reader->provider;
	odds_check(reader, table, "bounce", provider->bounce_ppm, "defer", provider->defer_ppm);
	odds_check(reader, table, "refuse", provider->refuse_ppm, "black_hole", provider->black_hole_ppm);
	if (provider->reputation_after && !provider->reputation_recovers_s)
		conf_mistake(&reader->mistakes, table->line,
			"provider \"%.64s\": reputation_after without reputation_recovers; write "
			"reputation_recovers = \"1h\"",
			provider->name);
	bool matched = provider->mx_suffix_count || provider->mx_name_count || provider->domain_count;
	if (provider->index != 0 && !matched)
		nothing_matched(reader, table);
	if (provider->index == 0 && matched)
		conf_mistake(&reader->mistakes, table->line,
			"provider \"%s\" is for what no other matches; leave match and domains out",
			provider->name);
	provider_replies_check(reader, table);
}

static void profile_read(struct provider_reader *reader, const struct toml_node *table)
{
	if (table->type != TOML_TABLE || table->key[0] == '\0' ||
		strncmp(table->key, PROVIDER_DOMAIN_PREFIX, strlen(PROVIDER_DOMAIN_PREFIX)) == 0) {
		conf_mistake(&reader->mistakes, table->line,
			"\"%.64s\" is no provider; write [provider.\"NAME\"], the name not empty and without "
			"\"" PROVIDER_DOMAIN_PREFIX "\"",
			table->key);
		return;
	}
	struct provider *provider = provider_make(reader->set, table->key, reader->file, table->line);
	if (!provider)
		return;
	reader->provider = provider;
	if (provider->index == 0 && provider->line == 0) {
		provider->file = reader->file;
		provider->line = table->line;
	}
	const struct toml_node *replace = provider_item(table, "replace_base");
	if (replace && replace->type == TOML_BOOLEAN && replace->boolean)
		provider_replies_drop(provider, PROVIDER_KINDS);
	provider_keys_read(reader, keys, "a provider's table", table, provider);
	table_check(reader, table);
	provider_weigh(provider);
}

/* Whether every host that provider matches is matched by an earlier one, too. */
static bool hidden_by(const struct provider *provider, const struct provider *earlier)
{
	size_t hidden = 0;
	for (size_t i = 0; i < provider->mx_suffix_count + provider->mx_name_count; i++) {
		const char *end = i < provider->mx_suffix_count
					  ? provider->mx_suffixes[i]
					  : provider->mx_names[i - provider->mx_suffix_count];
		struct span host = span_of(end);
		bool found = false;
		for (size_t j = 0; j < earlier->mx_suffix_count && !found; j++) {
			struct span suffix = span_of(earlier->mx_suffixes[j]);
			found = host.len >= suffix.len &&
				span_equal(span_from(host, host.len - suffix.len), suffix);
		}
		hidden += found;
	}
	return hidden && hidden == provider->mx_suffix_count + provider->mx_name_count;
}

static void hidden_check(struct provider_reader *reader, const struct toml_node *table)
{
	struct provider_set *set = reader->set;
	const struct provider *provider = provider_by_name(set, span_of(table->key));
	const struct toml_node *match = table->type == TOML_TABLE ? provider_item(table, "match") : NULL;
	for (size_t i = 0; provider && match && i < provider->index; i++) {
		const struct provider *earlier = set->providers[i];
		if (!hidden_by(provider, earlier))
			continue;
		conf_mistake(&reader->mistakes, match->line,
			"provider \"%.64s\": match is never reached: provider \"%.64s\" (%s:%u) has these MX "
			"hosts and comes first; change that one, or name domains instead",
			provider->name, earlier->name, earlier->file, earlier->line);
		return;
	}
}

static const char *const wordings[] = {"current", "old", "all", NULL};

int provider_set_add(struct provider_set *set, const char *file, const struct toml_node *root,
	const char *wording, struct err *err)
{
	struct err unread;
	size_t known = 0;
	while (wordings[known] && strcmp(wordings[known], wording) != 0)
		known++;
	if (!wordings[known])
		return err_set(err, -EINVAL,
			"replies' wording \"%.64s\" is unknown; there are current, old, all", wording);
	struct provider_reader reader = {
		.set = set,
		.file = provider_text(set, file),
		.wordings = wordings[known],
		.mistakes = {.file = file, .err = err ? err : &unread},
	};
	const struct toml_node *profiles = provider_item(root, "provider");
	if (profiles && profiles->type != TOML_TABLE) {
		conf_mistake(&reader.mistakes, profiles->line,
			"\"provider\" is no table; write [provider.\"NAME\"]");
		profiles = NULL;
	}
	for (size_t i = 0; profiles && i < profiles->count; i++)
		profile_read(&reader, &profiles->items[i]);
	for (size_t i = 0; profiles && i < profiles->count; i++)
		hidden_check(&reader, &profiles->items[i]);
	int rc = conf_mistakes_end(&reader.mistakes);
	if (rc == 0 && set->starved)
		return err_set(err, -ENOMEM, "%s: out of memory", file);
	return rc;
}
