#include "toml_reader.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>
#include <toml++/toml.h>
#include <vector>

namespace
{

/* Deeper than any configuration; bounds the recursion here and in toml_free(). */
constexpr unsigned depth_max = 64;
/* toml++ 3.3 recurses once for every dot of a dotted key, without a limit of its own: 50,000 of
 * them overflow the stack. */
constexpr size_t line_max = 16384;

/* A document that TOML allows and this program does not. */
struct refusal {
	toml::source_position at;
	const char *reason;
};

/* What people get wrong most, by the words with which toml++ refuses it; the first match counts. */
constexpr struct {
	const char *words;
	const char *remedy;
} remedies[] = {
	{"cannot redefine", "name each key and each section once"},
	{"could not determine value", "text stands in double quotes: key = \"text\""},
	{"boolean: expected", "write true or false, and text in double quotes: key = \"text\""},
	{"floating-point: expected", "addresses and other text stand in double quotes: key = \"192.0.2.1\""},
	{"date: expected", "ranges and other text stand in double quotes: key = \"4025-4032\""},
	{"expected value", "write key = value, text in double quotes"},
	{"expected '='", "write key = value"},
	{"control characters", "is a closing quote missing before it?"},
	{"string: encountered end-of-file", "is a closing quote missing?"},
	{"parsing array", "write an array as [one, two]"},
	{"leading zero", "write the number without them"},
	{"escape sequence", "write a backslash as \\\\, or the text in single quotes"},
	{"inline table", "write an inline table as {key = value, key = value} on one line"},
	{"saw ']'", "write a section as [name]"},
	{"table header", "write a section as [name]"},
	{"comment or whitespace", "write one key = value a line"},
	{"expected keys", "comments begin with #, sections with ["},
	{"utf-8", "save the file as UTF-8"},
};

void *zeroed(size_t count, size_t size)
{
	void *memory = calloc(count, size);
	if (!memory)
		throw std::bad_alloc();
	return memory;
}

const char *text_copy(std::string_view text, const toml::source_position &at)
{
	if (text.find('\0') != text.npos)
		throw refusal{at, "a NUL character stands in a text; leave it out"};
	char *copy = static_cast<char *>(zeroed(text.size() + 1, 1));
	memcpy(copy, text.data(), text.size());
	return copy;
}

void node_fill(struct toml_node &to, const toml::node &from, unsigned depth);

/* Gives `to` its items, all empty tables until they are filled, so that a half-made tree can be
 * freed. */
struct toml_node *items_make(struct toml_node &to, size_t count, enum toml_type type)
{
	auto *items = static_cast<struct toml_node *>(zeroed(count ? count : 1, sizeof(*to.items)));
	to.type = type;
	to.items = items;
	to.count = count;
	return items;
}

void table_fill(struct toml_node &to, const toml::table &from, unsigned depth)
{
	std::vector<std::pair<const toml::key *, const toml::node *>> entries;
	for (auto &&[key, node] : from)
		entries.emplace_back(&key, &node);
	/* toml++ keeps a table in the order of its keys' names; people expect that of the file. */
	std::sort(entries.begin(), entries.end(), [](const auto &a, const auto &b) {
		return a.first->source().begin < b.first->source().begin;
	});
	struct toml_node *items = items_make(to, entries.size(), TOML_TABLE);
	for (size_t i = 0; i < entries.size(); i++) {
		auto [key, node] = entries[i];
		items[i].key = text_copy(key->str(), key->source().begin);
		node_fill(items[i], *node, depth);
	}
}

void node_fill(struct toml_node &to, const toml::node &from, unsigned depth)
{
	const toml::source_position &at = from.source().begin;
	if (depth == 0)
		throw refusal{at, "tables and arrays are nested too deeply; 64 levels are possible"};
	to.line = at.line;
	if (auto *table = from.as_table()) {
		table_fill(to, *table, depth - 1);
	} else if (auto *array = from.as_array()) {
		struct toml_node *items = items_make(to, array->size(), TOML_ARRAY);
		for (size_t i = 0; i < array->size(); i++)
			node_fill(items[i], *array->get(i), depth - 1);
	} else if (auto *string = from.as_string()) {
		to.string = text_copy(string->get(), at);
		to.type = TOML_STRING;
	} else if (auto *integer = from.as_integer()) {
		to.type = TOML_INTEGER;
		to.integer = integer->get();
	} else if (auto *real = from.as_floating_point()) {
		to.type = TOML_FLOAT;
		to.real = real->get();
	} else if (auto *boolean = from.as_boolean()) {
		to.type = TOML_BOOLEAN;
		to.boolean = boolean->get();
	} else {
		to.type = TOML_OTHER;
	}
}

void node_done(const struct toml_node &node)
{
	if (node.type == TOML_STRING) {
		free(const_cast<char *>(node.string));
	} else if (node.type == TOML_TABLE || node.type == TOML_ARRAY) {
		for (size_t i = 0; i < node.count; i++)
			node_done(node.items[i]);
		free(const_cast<struct toml_node *>(node.items));
	}
	free(const_cast<char *>(node.key));
}

void lines_check(std::string_view text)
{
	uint32_t line = 1;
	for (size_t start = 0; start < text.size(); line++) {
		size_t end = text.find('\n', start);
		if (end == text.npos)
			end = text.size();
		if (end - start > line_max)
			throw refusal{{line, line_max}, "the line is longer than 16384 bytes; break it up"};
		start = end + 1;
	}
}

/* What toml++ quotes of the file may hold anything; a terminal is shown nothing raw. */
void error_set(struct err *err, int code, const char *file, const toml::source_position &at,
	std::string_view reason, const char *divider, const char *remedy)
{
	err_set(err, code, "%s:%u:%u: %.*s%s%s", file, at.line, at.column, static_cast<int>(reason.size()),
		reason.data(), divider, remedy);
	for (char *p = err ? err->text : nullptr; p && *p; p++)
		if (static_cast<unsigned char>(*p) < ' ' || *p == 0x7f)
			*p = '?';
}

void parse_error_set(struct err *err, const char *file, const toml::parse_error &error)
{
	static constexpr std::string_view lead = "Error while parsing ";
	std::string_view reason = error.description();
	const char *remedy = nullptr;
	for (const auto &row : remedies)
		if (!remedy && reason.find(row.words) != reason.npos)
			remedy = row.remedy;
	if (reason.substr(0, lead.size()) == lead)
		reason.remove_prefix(lead.size());
	/* Of a quoted key toml++ says a piece twice: provider."gogoogle". */
	if (reason.find("redefine") != reason.npos && reason.find('"') != reason.npos)
		reason = reason.substr(0, reason.find(" '"));
	error_set(err, -EINVAL, file, error.source().begin, reason, remedy ? "; " : "", remedy ? remedy : "");
}

} // namespace

struct toml_node *toml_read(const char *file, const char *text, size_t len, struct err *err)
{
	struct toml_node *root = nullptr;
	try {
		std::string_view document(text, len);
		lines_check(document);
		toml::table table = toml::parse(document);
		root = static_cast<struct toml_node *>(zeroed(1, sizeof(*root)));
		node_fill(*root, table, depth_max);
		return root;
	} catch (const toml::parse_error &error) {
		parse_error_set(err, file, error);
	} catch (const refusal &refused) {
		error_set(err, -EINVAL, file, refused.at, refused.reason, "", "");
	} catch (const std::bad_alloc &) {
		err_set(err, -ENOMEM, "%s: out of memory while it was read", file);
	} catch (...) {
		err_set(err, -EINVAL, "%s: cannot be read as TOML", file);
	}
	toml_free(root);
	return nullptr;
}

void toml_free(struct toml_node *root)
{
	if (!root)
		return;
	node_done(*root);
	free(root);
}
