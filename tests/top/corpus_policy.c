#include "corpus_policy.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "corpus.h"
#include "toml_reader.h"

/* How a limit is switched off, and set where a profile has none. No rate is faster than the clock. */
static const struct {
	enum provider_kind kind;
	const char *off, *set;
} settings[] = {
	{PROVIDER_BOUNCE, "bounce = 0\n", ""},
	{PROVIDER_DEFER, "defer = 0\n", ""},
	{PROVIDER_CONNECTIONS, "connection_limit = 0\nprovider_connection_limit = 0\n",
		"connection_limit = 3\n"},
	{PROVIDER_CONNECTION_RATE, "max_connection_rate = \"4000000000/s\"\n",
		"max_connection_rate = \"6/min\"\n"},
	{PROVIDER_MESSAGE_RATE, "max_message_rate = \"4000000000/s\"\n", "max_message_rate = \"6/min\"\n"},
	{PROVIDER_DELIVERIES, "max_deliveries_per_connection = 0\n", "max_deliveries_per_connection = 4\n"},
	{PROVIDER_RECIPIENTS, "max_recipients_per_message = 0\n", "max_recipients_per_message = 5\n"},
	{PROVIDER_SIZE, "max_message_size = 0\n", "max_message_size = 70000\n"},
	{PROVIDER_REPUTATION, "reputation_after = 0\n",
		"reputation_after = 4\nreputation_recovers = \"30m\"\n"},
	{PROVIDER_GREYLIST, "greylist = \"0s\"\n", "greylist = \"5m\"\n"},
};

uint64_t corpus_limit(const struct provider *provider, enum provider_kind kind)
{
	const struct provider_limits *limits = &provider->limits;
	switch (kind) {
	case PROVIDER_CONNECTIONS:
		if (limits->site_connections == 0 ||
			(limits->provider_connections &&
				limits->provider_connections < limits->site_connections))
			return limits->provider_connections;
		return limits->site_connections;
	case PROVIDER_CONNECTION_RATE:
		return limits->connection_rate.count;
	case PROVIDER_MESSAGE_RATE:
		return limits->message_rate.count;
	case PROVIDER_DELIVERIES:
		return limits->deliveries_per_connection;
	case PROVIDER_RECIPIENTS:
		return limits->recipients_per_message;
	case PROVIDER_SIZE:
		return limits->message_size;
	case PROVIDER_REPUTATION:
		return provider->reputation_after;
	case PROVIDER_GREYLIST:
		return provider->greylist_s;
	case PROVIDER_BOUNCE:
	case PROVIDER_DEFER:
	case PROVIDER_MISMATCH:
	case PROVIDER_KINDS:
		break;
	}
	return 0;
}

static void overlay_write(FILE *to, const struct provider *provider, unsigned kept, unsigned added)
{
	fprintf(to, "[provider.\"%s\"]\nfault = []\nrefuse = 0\nblack_hole = 0\n", provider->name);
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		unsigned bit = 1u << settings[i].kind;
		if (!(kept & bit))
			fputs(settings[i].off, to);
		else if ((added & bit) && corpus_limit(provider, settings[i].kind) == 0)
			fputs(settings[i].set, to);
	}
}

const struct policy *corpus_policy(unsigned kept, unsigned added, uint64_t seed)
{
	struct err err = {""};
	char *text, conf_text[64];
	size_t len;
	struct provider_set *set = provider_set_new(&err);
	ck_assert_msg(set && corpus_load(set, "current", &err) == 0, "%s", err.text);
	FILE *to = open_memstream(&text, &len);
	ck_assert_ptr_nonnull(to);
	for (size_t i = 0; i < provider_count(set); i++)
		overlay_write(to, provider_at(set, i), kept, added);
	fclose(to);
	struct toml_node *root = toml_read("overlay", text, len, &err);
	ck_assert_msg(root && provider_set_add(set, "overlay", root, "current", &err) == 0, "%s", err.text);
	toml_free(root);
	free(text);

	snprintf(conf_text, sizeof(conf_text), "answer.seed = %" PRIu64 "\n", seed);
	root = toml_read("conf", conf_text, strlen(conf_text), &err);
	struct conf *conf = root ? conf_new("conf", root, 1, &err) : NULL;
	toml_free(root);
	ck_assert_msg(conf != NULL, "%s", err.text);
	struct policy *policy = policy_new(conf, set, seed, &err);
	conf_unref(conf);
	ck_assert_msg(policy != NULL, "%s", err.text);
	return policy;
}
