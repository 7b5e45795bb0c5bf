#include <stdio.h>
#include <string.h>

#include "provider_key.h"
#include "provider_set.h"
#include "reply_text.h"

/* Keeps the sum over any number of replies far from overflow. */
#define WEIGHT_MAX 1000000

#define AT_CONNECT     (1u << SMTP_PHASE_CONNECT)
#define AT_EHLO        (1u << SMTP_PHASE_HELO)
#define AT_MAIL        (1u << SMTP_PHASE_MAIL)
#define AT_RCPT        (1u << SMTP_PHASE_RCPT)
#define AT_DATA        (1u << SMTP_PHASE_DATA)
#define AT_END_OF_DATA (1u << SMTP_PHASE_END_OF_DATA)
#define AT_ANY         ((1u << PROVIDER_PHASES) - 1)

/* What there is to say of a kind: where it can come up, which classes of codes it takes, what asks for it. */
static const struct {
	const char *name;
	enum smtp_phase usual;
	unsigned phases;
	unsigned class; /* 4 or 5; 0 = both */
	const char *setting;
	const char *example;
} kinds[PROVIDER_KINDS] = {
	[PROVIDER_BOUNCE] = {"bounce", SMTP_PHASE_RCPT, AT_ANY, 5, "bounce", "bounce = 1"},
	[PROVIDER_DEFER] = {"defer", SMTP_PHASE_RCPT, AT_ANY, 4, "defer", "defer = 2"},
	[PROVIDER_CONNECTIONS] = {"connection_limit", SMTP_PHASE_CONNECT,
		AT_CONNECT | AT_EHLO | AT_MAIL | AT_RCPT, 0, "limit of connections",
		"provider_connection_limit = 5"},
	[PROVIDER_CONNECTION_RATE] = {"max_connection_rate", SMTP_PHASE_CONNECT,
		AT_CONNECT | AT_EHLO | AT_MAIL | AT_RCPT, 0, "max_connection_rate",
		"max_connection_rate = \"100/min\""},
	[PROVIDER_MESSAGE_RATE] = {"max_message_rate", SMTP_PHASE_MAIL,
		AT_MAIL | AT_RCPT | AT_DATA | AT_END_OF_DATA, 0, "max_message_rate",
		"max_message_rate = \"100/min\""},
	[PROVIDER_DELIVERIES] = {"max_deliveries_per_connection", SMTP_PHASE_MAIL, AT_MAIL | AT_RCPT, 0,
		"max_deliveries_per_connection", "max_deliveries_per_connection = 20"},
	[PROVIDER_RECIPIENTS] = {"max_recipients_per_message", SMTP_PHASE_RCPT,
		AT_RCPT | AT_DATA | AT_END_OF_DATA, 0, "max_recipients_per_message",
		"max_recipients_per_message = 100"},
	[PROVIDER_SIZE] = {"max_message_size", SMTP_PHASE_END_OF_DATA, AT_MAIL | AT_END_OF_DATA, 0,
		"max_message_size", "max_message_size = 26214400"},
	[PROVIDER_REPUTATION] = {"reputation", SMTP_PHASE_MAIL, AT_ANY, 0, "reputation_after",
		"reputation_after = 10"},
	[PROVIDER_GREYLIST] = {"greylist", SMTP_PHASE_RCPT, AT_RCPT | AT_DATA | AT_END_OF_DATA, 4, NULL,
		NULL},
	[PROVIDER_MISMATCH] = {"mx_mismatch", SMTP_PHASE_RCPT, AT_RCPT, 0, NULL, NULL},
};

static const char *const phases[PROVIDER_PHASES] = {
	[SMTP_PHASE_CONNECT] = "connect",
	[SMTP_PHASE_HELO] = "ehlo",
	[SMTP_PHASE_MAIL] = "mail",
	[SMTP_PHASE_RCPT] = "rcpt",
	[SMTP_PHASE_DATA] = "data",
	[SMTP_PHASE_END_OF_DATA] = "end_of_data",
};

const char *provider_kind_name(enum provider_kind kind)
{
	return kinds[kind].name;
}

const char *provider_phase_name(enum smtp_phase phase)
{
	return phases[phase];
}

static void kind_read(struct provider_reader *reader, const struct toml_node *node, void *kind)
{
	const char *words[PROVIDER_KINDS + 1] = {NULL};
	for (int i = 0; i < PROVIDER_KINDS; i++)
		words[i] = kinds[i].name;
	int found = provider_word(reader, node, words);
	if (found >= 0)
		*(enum provider_kind *)kind = (enum provider_kind)found;
}

static void action_read(struct provider_reader *reader, const struct toml_node *node, void *action)
{
	static const char *const words[] = {
		[PROVIDER_REPLY] = "reply",
		[PROVIDER_REPLY_CLOSE] = "reply_close",
		[PROVIDER_CLOSE] = "close",
		[PROVIDER_RESET] = "reset",
		[PROVIDER_HANG] = "hang",
		NULL,
	};
	int found = provider_word(reader, node, words);
	if (found >= 0)
		*(enum provider_action *)action = (enum provider_action)found;
}

static void code_read(struct provider_reader *reader, const struct toml_node *node, void *code)
{
	if (node->type == TOML_INTEGER && node->integer >= 400 && node->integer <= 599)
		*(unsigned *)code = (unsigned)node->integer;
	else
		provider_mistake(reader, node, "wants a number from 400 to 599");
}

static void enhanced_read(struct provider_reader *reader, const struct toml_node *node, void *enhanced)
{
	if (node->type == TOML_STRING && (node->string[0] == '\0' || reply_text_is_enhanced(node->string)))
		provider_read_text(reader, node, enhanced);
	else
		provider_mistake(reader, node, "wants an enhanced code such as \"4.7.1\", or \"\" for none");
}

static void text_read(struct provider_reader *reader, const struct toml_node *node, void *text)
{
	struct err err;
	const char *found = NULL;
	provider_read_text(reader, node, &found);
	if (!found)
		return;
	if (reply_text_check(found, &err) < 0)
		provider_mistake(reader, node, "is wrong: %s", err.text);
	else
		*(const char **)text = found;
}

static void weight_read(struct provider_reader *reader, const struct toml_node *node, void *weight)
{
	if (node->type == TOML_INTEGER && node->integer >= 1 && node->integer <= WEIGHT_MAX)
		*(uint32_t *)weight = (uint32_t)node->integer;
	else
		provider_mistake(reader, node, "wants a whole number from 1 to %d", WEIGHT_MAX);
}

static void wording_read(struct provider_reader *reader, const struct toml_node *node, void *wording)
{
	static const char *const words[] = {"current", "old", NULL};
	int found = provider_word(reader, node, words);
	if (found >= 0)
		*(const char **)wording = words[found];
}

/* A year and month, with or without a day. */
static void seen_read(struct provider_reader *reader, const struct toml_node *node, void *seen)
{
	static const char form[] = "0000-00-00";
	size_t at = 0;
	if (node->type == TOML_STRING)
		while (form[at] && (form[at] == '-' ? node->string[at] == '-'
						    : node->string[at] >= '0' && node->string[at] <= '9'))
			at++;
	if ((at == 7 || at == 10) && node->string[at] == '\0')
		provider_read_text(reader, node, seen);
	else
		provider_mistake(reader, node, "wants a month or day such as \"2026-02\"");
}

#define AT(member) offsetof(struct provider_reply, member)

static const struct provider_key keys[] = {
	{"kind", kind_read, AT(kind)},
	{"phase", provider_read_phase, AT(phase)},
	{"action", action_read, AT(action)},
	{"code", code_read, AT(code)},
	{"enhanced", enhanced_read, AT(enhanced)},
	{"text", text_read, AT(text)},
	{"weight", weight_read, AT(weight)},
	{"wording", wording_read, AT(wording)},
	{"source", provider_read_text, AT(source)},
	{"seen", seen_read, AT(seen)},
	{NULL, NULL, 0},
};

/* What concerns two keys at once; each was found good by itself. */
static void reply_check(
	struct provider_reader *reader, const struct toml_node *table, const struct provider_reply *reply)
{
	char code[4];
	bool silent = reply->action != PROVIDER_REPLY && reply->action != PROVIDER_REPLY_CLOSE;
	snprintf(code, sizeof(code), "%u", reply->code % 1000);
	if (!provider_item(table, "kind"))
		provider_mistake(reader, table, "without a kind; write kind = \"bounce\" or another");
	else if (!(kinds[reply->kind].phases & 1u << reply->phase))
		provider_mistake(reader, table,
			"of kind \"%s\" cannot come at phase \"%s\"; write phase = \"%s\"",
			kinds[reply->kind].name, phases[reply->phase], phases[kinds[reply->kind].usual]);
	if (silent && (provider_item(table, "code") || provider_item(table, "text") ||
			      provider_item(table, "enhanced")))
		provider_mistake(reader, table,
			"with an action that says nothing has words; leave code, enhanced and text out, or "
			"write action = \"reply_close\"");
	else if (!silent && (!provider_item(table, "code") || !provider_item(table, "text")))
		provider_mistake(reader, table, "without code and text; write both, or action = \"close\"");
	else if (silent || !reply->code)
		return;
	else if (kinds[reply->kind].class && reply->code / 100 != kinds[reply->kind].class)
		provider_mistake(reader, table, "of kind \"%s\" wants a code %uxx, not %u",
			kinds[reply->kind].name, kinds[reply->kind].class, reply->code);
	else if (reply->enhanced[0] && reply->enhanced[0] != code[0])
		provider_mistake(reader, table, "has code %s and enhanced %s, which contradict", code,
			reply->enhanced);
	else if (strncmp(reply->text, code, 3) == 0 && (reply->text[3] == ' ' || reply->text[3] == '-'))
		provider_mistake(reader, table, "has a text that repeats the code %s; leave it out", code);
	else if (provider_item(table, "text") && reply->text[0] == '\0')
		provider_mistake(reader, table, "has an empty text; write what the provider says");
}

static void reply_read(struct provider_reader *reader, const struct toml_node *table)
{
	struct provider_reply reply = {
		.enhanced = "",
		.text = "",
		.weight = 1,
		.wording = "",
		.source = "",
		.seen = "",
		.file = reader->file,
		.line = table->line,
	};
	struct toml_node named = *table;
	unsigned mistakes = reader->mistakes.count;
	named.key = "reply";
	/* The kind comes first, whatever the order: it says which phase is meant where none is named. */
	const struct toml_node *kind = provider_item(table, "kind");
	for (int i = 0; kind && kind->type == TOML_STRING && i < PROVIDER_KINDS; i++)
		if (strcmp(kind->string, kinds[i].name) == 0)
			reply.phase = kinds[i].usual;
	provider_keys_read(reader, keys, "a reply", table, &reply);
	if (reader->mistakes.count == mistakes)
		reply_check(reader, &named, &reply);
	if (reader->mistakes.count > mistakes)
		return;
	bool chosen = reply.wording[0] == '\0' || strcmp(reader->wordings, "all") == 0 ||
		      strcmp(reader->wordings, reply.wording) == 0;
	if (chosen)
		provider_reply_add(reader->set, reader->provider, &reply);
}

void provider_read_replies(struct provider_reader *reader, const struct toml_node *node, void *to)
{
	(void)to;
	if (node->type != TOML_ARRAY) {
		provider_mistake(reader, node, "wants an array of tables; write [[provider.\"%.64s\".reply]]",
			reader->provider->name);
		return;
	}
	for (size_t i = 0; i < node->count; i++) {
		if (node->items[i].type == TOML_TABLE)
			reply_read(reader, &node->items[i]);
		else
			provider_mistake(reader, &node->items[i], "reply wants tables");
	}
}

bool provider_asks(const struct provider *provider, enum provider_kind kind)
{
	const struct provider_limits *limits = &provider->limits;
	switch (kind) {
	case PROVIDER_BOUNCE:
		return provider->bounce_ppm > 0;
	case PROVIDER_DEFER:
		return provider->defer_ppm > 0;
	case PROVIDER_CONNECTIONS:
		return limits->site_connections || limits->provider_connections;
	case PROVIDER_CONNECTION_RATE:
		return limits->connection_rate.count > 0;
	case PROVIDER_MESSAGE_RATE:
		return limits->message_rate.count > 0;
	case PROVIDER_DELIVERIES:
		return limits->deliveries_per_connection > 0;
	case PROVIDER_RECIPIENTS:
		return limits->recipients_per_message > 0;
	case PROVIDER_SIZE:
		return limits->message_size > 0;
	case PROVIDER_REPUTATION:
		return provider->reputation_after > 0;
	/* Is the user's to turn on, in a table that says no more than that. */
	case PROVIDER_GREYLIST:
	case PROVIDER_MISMATCH:
	case PROVIDER_KINDS:
		break;
	}
	return true;
}

void provider_replies_check(struct provider_reader *reader, const struct toml_node *table)
{
	const struct provider *provider = reader->provider;
	bool told[PROVIDER_KINDS] = {false};
	/* What default says stands in for providers that have nothing to say of their own. */
	for (size_t i = 0; i < provider->reply_count && provider->index != 0; i++) {
		const struct provider_reply *reply = &provider->replies[i];
		/* An earlier file's replies may well be put out of use by a setting of this one. */
		if (reply->file != reader->file || told[reply->kind] || provider_asks(provider, reply->kind))
			continue;
		told[reply->kind] = true;
		struct toml_node at = *table;
		at.line = reply->line;
		at.key = "reply";
		provider_mistake(reader, &at, "of kind \"%s\" is never given without %s; write %s above it",
			kinds[reply->kind].name, kinds[reply->kind].setting, kinds[reply->kind].example);
	}
}
