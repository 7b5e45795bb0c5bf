#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "conf_suggest.h"
#include "provider_key.h"
#include "provider_set.h"
#include "provider_words.h"
#include "reply_text.h"

struct responses {
	struct provider_reader reader; /* its mistakes are what the file is refused for */
	const struct toml_node *root;
	void (*note)(void *arg, const char *text);
	void *arg;
	uint32_t bounce_ppm, defer_ppm; /* of [default] */
};

static void note(struct responses *responses, unsigned line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void note(struct responses *responses, unsigned line, const char *format, ...)
{
	char text[512];
	int lead = snprintf(text, sizeof(text), "%.200s:%u: ", responses->reader.file, line);
	va_list args;
	va_start(args, format);
	vsnprintf(text + lead, sizeof(text) - (size_t)lead, format, args);
	va_end(args);
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	if (responses->note)
		responses->note(responses->arg, text);
}

/* What has no meaning is left out, but not without a guess at what was meant. known ends with NULL. */
static void note_unknown(
	struct responses *responses, const struct toml_node *node, const char *what, const char *const *known)
{
	struct conf_suggest suggest = {.word = node->key};
	char possible[64] = "";
	for (size_t i = 0; known[i]; i++) {
		size_t used = strlen(possible);
		conf_suggest_offer(&suggest, known[i]);
		snprintf(possible + used, sizeof(possible) - used, "%s%s", used ? ", " : "", known[i]);
	}
	if (suggest.best)
		note(responses, node->line,
			"%s \"%.64s\" means nothing here (did you mean \"%s\"?); left out", what, node->key,
			suggest.best);
	else
		note(responses, node->line, "%s \"%.64s\" means nothing here, where there are %s; left out",
			what, node->key, possible);
}

static const struct provider_key odds_keys[] = {
	{"bounce", provider_read_percent, offsetof(struct provider, bounce_ppm)},
	{"defer", provider_read_percent, offsetof(struct provider, defer_ppm)},
	{NULL, NULL, 0},
};

static void odds_read(struct responses *responses, const struct toml_node *table, struct provider *provider)
{
	struct provider_reader *reader = &responses->reader;
	reader->provider = provider;
	for (size_t i = 0; i < table->count; i++) {
		const struct toml_node *node = &table->items[i];
		if (strcmp(node->key, "bounce") != 0 && strcmp(node->key, "defer") != 0)
			note_unknown(responses, node, "key", (const char *const[]){"bounce", "defer", NULL});
		else
			provider_keys_read(reader, odds_keys, "odds",
				&(struct toml_node){.type = TOML_TABLE, .items = node, .count = 1}, provider);
	}
	if (provider->bounce_ppm + provider->defer_ppm > 1000000)
		conf_mistake(&reader->mistakes, table->line,
			"\"%.64s\": bounce and defer are over 100 %% together; lower one", table->key);
}

/* The provider of a domain, made where there is none; NULL where memory runs out. */
static struct provider *domain_make(struct responses *responses, const struct toml_node *node)
{
	char name[sizeof(PROVIDER_DOMAIN_PREFIX) + 255];
	struct provider_set *set = responses->reader.set;
	const char *domain = provider_text_lower(set, node->key);
	size_t before = set->count;
	if (strlen(domain) == 0 || strlen(domain) > 255) {
		note(responses, node->line, "\"%.64s\" is no domain; left out", node->key);
		return NULL;
	}
	snprintf(name, sizeof(name), PROVIDER_DOMAIN_PREFIX "%s", domain);
	struct provider *provider = provider_make(set, name, responses->reader.file, node->line);
	if (provider)
		provider->by_domain_alone = true;
	if (!provider || set->count == before)
		return provider;
	const char **domains = provider_memory(set, sizeof(const char *));
	if (!domains)
		return NULL;
	domains[0] = domain;
	provider->domains = domains;
	provider->domain_count = 1;
	provider->bounce_ppm = responses->bounce_ppm;
	provider->defer_ppm = responses->defer_ppm;
	provider_claim(set, domain, provider);
	return provider;
}

/* A code that SMTP has for a refusal, also where it was written as a text; 0 after a note. */
static unsigned code_read(struct responses *responses, const struct toml_node *table)
{
	const struct toml_node *node = provider_item(table, "code");
	int64_t code = node && node->type == TOML_INTEGER ? node->integer : 0;
	int used = 0;
	if (node && node->type == TOML_STRING && sscanf(node->string, "%3" SCNd64 "%n", &code, &used) == 1 &&
		node->string[used] == '\0')
		note(responses, node->line, "code stands in quotes; taken as %" PRId64, code);
	if (code >= 400 && code <= 599)
		return (unsigned)code;
	note(responses, node ? node->line : table->line,
		"code is no number from 400 to 599; the answer is left out");
	return 0;
}

/* One note for an entry, whatever is wrong with it. */
static void entry_note(struct responses *responses, unsigned line, enum provider_kind kind, unsigned code,
	const struct provider_words *words)
{
	const struct {
		bool is;
		const char *what;
	} rows[] = {
		{words->comma, "a comma behind a code of its own, mended"},
		{words->own_codes && !words->comma, "the code of its own, which would come twice, left out"},
		{words->crlf, "CR LF between its lines, made a reply of several lines"},
		{words->control, "control characters, made spaces"},
		{words->folded, "a line too long for SMTP, divided at spaces"},
		{kind == PROVIDER_DEFER && code >= 500, "a code that no sender takes for a deferral, kept"},
		{kind == PROVIDER_BOUNCE && code < 500, "a code that no sender takes for a bounce, kept"},
	};
	char found[384] = "";
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t used = strlen(found);
		if (rows[i].is)
			snprintf(found + used, sizeof(found) - used, "%s%s", used ? "; " : "", rows[i].what);
	}
	if (found[0])
		note(responses, line, "the answer %u has %s", code, found);
}

static void answer_read(struct responses *responses, const struct toml_node *table, struct provider *provider,
	enum provider_kind kind)
{
	struct provider_words words;
	struct err err;
	const struct toml_node *msg = provider_item(table, "msg");
	unsigned code = code_read(responses, table);
	if (!code)
		return;
	if (!msg || msg->type != TOML_STRING) {
		note(responses, table->line, "msg is no text; the answer is left out");
		return;
	}
	for (size_t i = 0; i < table->count; i++)
		if (strcmp(table->items[i].key, "msg") != 0 && strcmp(table->items[i].key, "code") != 0)
			note_unknown(responses, &table->items[i], "key",
				(const char *const[]){"code", "msg", NULL});
	provider_words_mend(msg->string, code, &words);
	if (reply_text_check(words.text, &err) < 0) {
		note(responses, msg->line, "msg: %s; the answer is left out", err.text);
		return;
	}
	entry_note(responses, msg->line, kind, code, &words);
	const struct provider_reply reply = {
		.kind = kind,
		.phase = SMTP_PHASE_END_OF_DATA,
		.code = code,
		.enhanced = provider_text(responses->reader.set, words.enhanced),
		.text = provider_text(responses->reader.set, words.text),
		.weight = 1,
		.wording = "",
		.source = "",
		.seen = "",
		.file = responses->reader.file,
		.line = table->line,
	};
	provider_reply_add(responses->reader.set, provider, &reply);
}

/* Gives a provider the sink's generic answer of a kind of which the file has none for it. */
static void generic_add(struct responses *responses, struct provider *provider)
{
	static const struct {
		enum provider_kind kind;
		unsigned code;
		const char *text;
	} generic[] = {
		{PROVIDER_BOUNCE, 550, "Message refused"},
		{PROVIDER_DEFER, 451, "Message deferred, try again later"},
	};
	provider_weigh(provider);
	for (size_t i = 0; i < sizeof(generic) / sizeof(generic[0]); i++) {
		const struct provider_reply reply = {
			.kind = generic[i].kind,
			.phase = SMTP_PHASE_END_OF_DATA,
			.code = generic[i].code,
			.enhanced = "",
			.text = generic[i].text,
			.weight = 1,
			.wording = "",
			.source = "",
			.seen = "",
			.file = responses->reader.file,
			.line = provider->line,
		};
		if (!provider->weight[reply.kind])
			provider_reply_add(responses->reader.set, provider, &reply);
	}
	provider_weigh(provider);
}

static bool is_domain(const struct provider *provider)
{
	return strncmp(provider->name, PROVIDER_DOMAIN_PREFIX, strlen(PROVIDER_DOMAIN_PREFIX)) == 0;
}

/* [domain."X"]: the odds. */
static void domains_read(struct responses *responses)
{
	const struct toml_node *domains = provider_item(responses->root, "domain");
	for (size_t i = 0; domains && domains->type == TOML_TABLE && i < domains->count; i++) {
		const struct toml_node *table = &domains->items[i];
		if (table->type != TOML_TABLE) {
			note(responses, table->line, "\"%.64s\" is no table of odds; left out", table->key);
			continue;
		}
		struct provider *provider = domain_make(responses, table);
		if (provider)
			odds_read(responses, table, provider);
	}
}

/* [[bounce."X"]] or [[defer."X"]] */
static void answers_read(struct responses *responses, enum provider_kind kind)
{
	const struct toml_node *domains = provider_item(responses->root, provider_kind_name(kind));
	for (size_t i = 0; domains && domains->type == TOML_TABLE && i < domains->count; i++) {
		const struct toml_node *answers = &domains->items[i];
		if (answers->type != TOML_ARRAY) {
			note(responses, answers->line, "\"%.64s\" is no array of tables; left out",
				answers->key);
			continue;
		}
		struct provider *provider = domain_make(responses, answers);
		for (size_t j = 0; provider && j < answers->count; j++) {
			if (answers->items[j].type == TOML_TABLE)
				answer_read(responses, &answers->items[j], provider, kind);
			else
				note(responses, answers->items[j].line, "an answer is no table; left out");
		}
	}
}

static void sections_check(struct responses *responses)
{
	static const char *const known[] = {"default", "domain", "bounce", "defer", NULL};
	for (size_t i = 0; i < responses->root->count; i++) {
		const struct toml_node *node = &responses->root->items[i];
		size_t at = 0;
		while (known[at] && strcmp(known[at], node->key) != 0)
			at++;
		if (!known[at])
			note_unknown(responses, node, "section", known);
		else if (node->type != TOML_TABLE)
			note(responses, node->line, "\"%s\" is no table; left out", node->key);
	}
}

int provider_set_add_responses(struct provider_set *set, const char *file, const struct toml_node *root,
	void (*tell)(void *arg, const char *text), void *arg, struct err *err)
{
	struct err unread;
	struct responses responses = {
		.reader = {.set = set,
			.file = provider_text(set, file),
			.wordings = "all",
			.mistakes = {.file = file, .err = err ? err : &unread}},
		.root = root,
		.note = tell,
		.arg = arg,
	};
	struct provider *fallback = set->providers[0];
	const struct toml_node *odds = provider_item(root, "default");
	sections_check(&responses);
	/* Who has this file wants its answers for every domain that it does not name, too. */
	fallback->file = responses.reader.file;
	fallback->line = odds ? odds->line : 0;
	fallback->bounce_ppm = fallback->defer_ppm = 0;
	provider_replies_drop(fallback, PROVIDER_BOUNCE);
	provider_replies_drop(fallback, PROVIDER_DEFER);
	if (odds && odds->type == TOML_TABLE)
		odds_read(&responses, odds, fallback);
	responses.bounce_ppm = fallback->bounce_ppm;
	responses.defer_ppm = fallback->defer_ppm;
	domains_read(&responses);
	answers_read(&responses, PROVIDER_BOUNCE);
	answers_read(&responses, PROVIDER_DEFER);
	for (size_t i = 0; i < set->count; i++)
		if (i == 0 || is_domain(set->providers[i]))
			generic_add(&responses, set->providers[i]);
	int rc = conf_mistakes_end(&responses.reader.mistakes);
	if (rc == 0 && set->starved)
		return err_set(err, -ENOMEM, "%s: out of memory", file);
	return rc;
}
