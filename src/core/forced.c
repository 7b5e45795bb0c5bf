#include "forced.h"

#include "smtp_text.h"

/* The word is in lower case. Most places are told by their first letter, which is cheaper than a call. */
static bool holds(struct span text, const char *word)
{
	size_t len = strlen(word);
	for (size_t i = 0; i + len <= text.len; i++)
		if ((text.data[i] | 0x20) == *word && strncasecmp(text.data + i, word, len) == 0)
			return true;
	return false;
}

/* The part of *rest up to the next '+', and the cursor behind it. */
static struct span next_part(struct span *rest)
{
	const char *plus = memchr(rest->data, '+', rest->len);
	struct span part = {rest->data, plus ? (size_t)(plus - rest->data) : rest->len};
	*rest = span_from(*rest, part.len + (plus != NULL));
	return part;
}

static bool is_name(struct span text, const char *name)
{
	return span_is(next_part(&text), name);
}

/* Words that ask for an outcome at RCPT. */
static const struct {
	enum forced_family family;
	bool (*matches)(struct span local, const char *word);
	const char *word;
	struct smtp_reply reply; /* code 0: accepted */
} words[] = {
	/* To the letter, for whoever's scripts count on it. */
	{FORCED_SMART_SINK, holds, "tempfail", SMTP_REPLY(400, "", "tempfail requested")},
	{FORCED_SMART_SINK, holds, "permfail", SMTP_REPLY(500, "", "permfail requested")},
	{FORCED_WORDS, holds, "tempfail",
		SMTP_REPLY(451, "4.7.1", "Temporary failure, as the local part asks (tempfail)")},
	{FORCED_WORDS, holds, "permfail",
		SMTP_REPLY(550, "5.7.1", "Permanent failure, as the local part asks (permfail)")},
	{FORCED_SIMULATOR, is_name, "success", SMTP_REPLY(0, "", "")},
	{FORCED_SIMULATOR, is_name, "ooto", SMTP_REPLY(0, "", "")},
	{FORCED_SIMULATOR, is_name, "complaint", SMTP_REPLY(0, "", "")},
	{FORCED_SIMULATOR, is_name, "bounce",
		SMTP_REPLY(550, "5.1.1", "No such mailbox, as the local part asks (bounce)")},
	{FORCED_SIMULATOR, is_name, "suppressionlist",
		SMTP_REPLY(550, "5.1.1",
			"The address is on a suppression list, as the local part asks (suppressionlist)")},
};

static const struct {
	const char *name;
	enum smtp_phase phase;
} phases[] = {
	{"mail", SMTP_PHASE_MAIL},
	{"rcpt", SMTP_PHASE_RCPT},
	{"data", SMTP_PHASE_DATA},
	{"end_of_data", SMTP_PHASE_END_OF_DATA},
};

static size_t digits_length(struct span text)
{
	size_t len = 0;
	while (len < text.len && text.data[len] >= '0' && text.data[len] <= '9')
		len++;
	return len;
}

/* Takes a code of 2xx, 4xx or 5xx that something follows; 0 where there is none. */
static unsigned take_code(struct span *text)
{
	if (text->len < 4 || digits_length(*text) != 3 || !memchr("245", text->data[0], 3))
		return 0;
	unsigned code = 0;
	for (int i = 0; i < 3; i++)
		code = code * 10 + (unsigned)(text->data[i] - '0');
	*text = span_from(*text, 3);
	return code;
}

/* Takes "-x.y.z" (RFC 3463 2); empty where it does not stand there. */
static struct span take_enhanced(struct span *text)
{
	struct span none = {text->data, 0};
	if (text->len < 2 || text->data[0] != '-' || !memchr("245", text->data[1], 3))
		return none;
	size_t len = 2;
	for (int part = 0; part < 2; part++) {
		if (len == text->len || text->data[len] != '.')
			return none;
		size_t digits = digits_length(span_from(*text, len + 1));
		if (digits < 1 || digits > 3)
			return none;
		len += 1 + digits;
	}
	struct span enhanced = {text->data + 1, len - 1};
	*text = span_from(*text, len);
	return enhanced;
}

/* Reads a whole "-PHASE" or "@PHASE". */
static bool read_phase(struct span text, enum smtp_phase *phase)
{
	if (text.len == 0 || (text.data[0] != '-' && text.data[0] != '@'))
		return false;
	for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
		if (!span_is(span_from(text, 1), phases[i].name))
			continue;
		*phase = phases[i].phase;
		return true;
	}
	return false;
}

/* NNN with an enhanced code, a phase or both, and nothing else. */
static bool read_exact(struct span part, struct forced *forced)
{
	unsigned code = take_code(&part);
	if (code == 0)
		return false;
	struct span enhanced = take_enhanced(&part);
	enum smtp_phase phase = SMTP_PHASE_RCPT;
	if (part.len ? !read_phase(part, &phase) : enhanced.len == 0)
		return false;
	*forced = (struct forced){code < 300, phase, {code, enhanced, {NULL, 0}}};
	return true;
}

/* NNN-anything. */
static bool read_free(struct span local, struct forced *forced)
{
	unsigned code = take_code(&local);
	if (code == 0 || local.data[0] != '-')
		return false;
	*forced = (struct forced){code < 300, SMTP_PHASE_RCPT, {code, {local.data, 0}, {NULL, 0}}};
	return true;
}

static bool find_code(struct span local, struct forced *forced)
{
	bool found = false;
	for (struct span rest = local; rest.len && !found;)
		found = read_exact(next_part(&rest), forced);
	if (!found && !read_free(local, forced))
		return false;
	forced->reply.text = local;
	return true;
}

static bool find_word(struct span local, unsigned families, struct forced *forced)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!(families & words[i].family) || !words[i].matches(local, words[i].word))
			continue;
		*forced = (struct forced){words[i].reply.code == 0, SMTP_PHASE_RCPT, words[i].reply};
		return true;
	}
	return false;
}

static bool find(struct span local, unsigned families, struct forced *forced)
{
	return find_word(local, families & (FORCED_WORDS | FORCED_SMART_SINK), forced) ||
	       ((families & FORCED_CODES) && find_code(local, forced)) ||
	       find_word(local, families & FORCED_SIMULATOR, forced);
}

bool forced_find(const struct smtp_path *path, enum smtp_phase at, unsigned families, struct forced *forced)
{
	struct span local = path->local;
	if (local.len >= 2 && local.data[0] == '"')
		local = (struct span){local.data + 1, local.len - 2};
	struct forced asked;
	if (!find(local, at == SMTP_PHASE_MAIL ? families & FORCED_CODES : families, &asked))
		return false;
	if (at == SMTP_PHASE_MAIL && asked.phase != SMTP_PHASE_MAIL)
		return false;
	if (asked.phase < at)
		asked.phase = at;
	*forced = asked;
	return true;
}
