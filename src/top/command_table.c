/* providers, domains, destinations, sources: the verb's name is the resource's name is the JSON key. */
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "columns.h"
#include "text.h"

static const char *const columns[] = {"connections", "accepted", "tempfail", "permfail"};

#define COLUMNS (sizeof(columns) / sizeof(columns[0]))

/* Of a name: what a terminal leaves beside the numbers, if the longest needs as much. */
static size_t width_of(size_t longest, bool connections)
{
	const size_t numbers = (COLUMNS - !connections) * 14 + 12, least = 16;
	size_t terminal = columns_of_terminal();
	size_t room = terminal > numbers + least ? terminal - numbers : least;
	return terminal > 0 && longest > room ? room : longest;
}

static void print_row(const char *name, size_t width, const json_t *row, bool connections)
{
	if (strlen(name) > width)
		printf("%.*s…", (int)width - 1, name);
	else
		printf("%-*s", (int)width, name);
	for (size_t i = connections ? 0 : 1; i < COLUMNS; i++)
		printf(" %13s",
			text_number((uint64_t)json_integer_value(json_object_get(row, columns[i]))).chars);
	printf(" %11s\n", text_bytes((uint64_t)json_integer_value(json_object_get(row, "bytes"))).chars);
}

static bool counted(const json_t *row)
{
	for (size_t i = 0; i < COLUMNS; i++)
		if (json_integer_value(json_object_get(row, columns[i])) > 0)
			return true;
	return false;
}

static void row_name(const json_t *row, char *name, size_t size)
{
	static const char *const keys[] = {"domain", "address", "provider"};
	const char *key = NULL;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]) && !key; i++)
		key = json_string_value(json_object_get(row, keys[i]));
	text_safe(key ? key : "?", name, size);
}

static void print(const json_t *rows, const json_t *other, const char *title, unsigned limit)
{
	char name[256];
	size_t count = json_array_size(rows), shown = limit && limit < count ? limit : count;
	size_t width = strlen(title);
	for (size_t i = 0; i < shown; i++) {
		row_name(json_array_get(rows, i), name, sizeof(name));
		width = strlen(name) > width ? strlen(name) : width;
	}
	bool connections = strcmp(title, "domains") != 0 && strcmp(title, "providers") != 0;
	width = width_of(width, connections);
	printf("%-*s", (int)width, title);
	for (size_t i = connections ? 0 : 1; i < COLUMNS; i++)
		printf(" %13s", columns[i]);
	printf(" %11s\n", "bytes");
	for (size_t i = 0; i < shown; i++) {
		row_name(json_array_get(rows, i), name, sizeof(name));
		print_row(name, width, json_array_get(rows, i), connections);
	}
	if (counted(other))
		print_row("(other)", width, other, connections);
	if (shown < count)
		printf("… and %s more; -n 0 shows all\n", text_number(count - shown).chars);
	if (count == 0 && !counted(other))
		printf("nothing counted yet\n");
}

enum exit_code command_table(const struct command *command, const struct options *options)
{
	char path[64];
	snprintf(path, sizeof(path), "/api/v1/%s", command->name);
	json_t *table;
	enum exit_code code = client_ask(options, CLIENT_GET, path, &table);
	if (code != EXIT_CODE_OK)
		return code;
	if (options->json) {
		json_dumpf(table, stdout, JSON_INDENT(2));
		printf("\n");
	} else {
		print(json_object_get(table, command->name), json_object_get(table, "other"), command->name,
			options->rows);
	}
	json_decref(table);
	return EXIT_CODE_OK;
}
