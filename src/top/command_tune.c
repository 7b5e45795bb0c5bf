#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "columns.h"
#include "command.h"
#include "conf_file.h"
#include "text.h"
#include "tune.h"

static const char *const state_names[] = {"ok", "short", "unknown"};

static int print(const struct tune_row *rows, size_t count)
{
	static const struct column columns[] = {
		{.title = "state"},
		{.title = "setting"},
		{.title = "now"},
		{.title = "wanted"},
		{.title = "because", .elastic = true, .expendable = true},
	};
	struct columns *table = columns_new(columns, sizeof(columns) / sizeof(columns[0]));
	if (!table)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		const struct tune_row *row = &rows[i];
		const char *cells[] = {state_names[row->state], row->key, row->has[0] ? row->has : "?",
			row->state == TUNE_OK ? "" : row->wants, row->reason};
		columns_add(table, cells);
	}
	int code = columns_print(table, stdout, 0, columns_of_terminal());
	columns_free(table);
	return code;
}

static void print_json(const struct tune_row *rows, size_t count, const struct tune_need *need)
{
	json_t *list = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(
			list, json_pack("{s:s,s:b,s:s,s:s?,s:s,s:s}", "key", rows[i].key, "sysctl",
				      rows[i].sysctl, "state", state_names[rows[i].state], "has",
				      rows[i].has[0] ? rows[i].has : NULL, "wants", rows[i].wants, "reason",
				      rows[i].reason));
	json_t *all = json_pack("{s:I,s:o}", "connections", (json_int_t)need->connections, "settings", list);
	json_dumpf(all, stdout, JSON_INDENT(2));
	printf("\n");
	json_decref(all);
}

static const char *remedy(const char *path, int code)
{
	struct stat st;
	switch (code) {
	case -EEXIST:
		/* That is also said of a directory. */
		return stat(path, &st) == 0 && S_ISDIR(st.st_mode)
			       ? ", and is a directory: name a file in it, such as 60-mxmirage.conf"
			       : ": remove it first, or name another file";
	case -ENOENT:
	case -ENOTDIR:
		return ": its directory is not there: make that first, or name a file in another";
	case -EACCES:
	case -EPERM:
		return ": run this as root, or name a file in another directory";
	default:
		return "";
	}
}

/* A new file: one that is there may hold what its owner wants to keep. */
static enum exit_code write_file(
	const char *path, const struct tune_row *rows, size_t count, const struct tune_need *need)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	FILE *to = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (!to) {
		int code = -errno;
		fprintf(stderr, "mxmirage: %s: %s%s\n", path, strerror(-code), remedy(path, code));
		if (fd >= 0)
			close(fd);
		return code == -EEXIST ? EXIT_CODE_USAGE : exit_code_of(code);
	}
	tune_print_sysctl(rows, count, need, to);
	bool fine = !ferror(to);
	if (fclose(to) != 0 || !fine) {
		fprintf(stderr, "mxmirage: %s: %s\n", path, strerror(errno));
		return EXIT_CODE_SOFTWARE;
	}
	printf("written: %s; `sysctl -p %s` loads it now\n", path, path);
	return EXIT_CODE_OK;
}

enum exit_code command_tune(const struct command *command, const struct options *options)
{
	(void)command;
	struct err err;
	if (options->argc > 0 && !options->sysctl) {
		fprintf(stderr, "mxmirage: tune %s: a file is for --sysctl\n", options->argv[0]);
		return EXIT_CODE_USAGE;
	}
	struct conf *conf = conf_file_load(options->conf_file, &err);
	if (!conf) {
		fprintf(stderr, "%s\n", err.text);
		return EXIT_CODE_CONFIGURATION;
	}
	struct host host = {""};
	struct tune_need need = {options->connections, conf->listen.port_first, conf->listen.port_last};
	struct tune_row rows[TUNE_ROWS_MAX];
	size_t count = tune_rows(&host, &need, rows);
	conf_unref(conf);
	if (options->sysctl && options->argc > 0)
		return write_file(options->argv[0], rows, count, &need);
	if (options->sysctl) {
		tune_print_sysctl(rows, count, &need, stdout);
		return EXIT_CODE_OK;
	}
	if (options->json) {
		print_json(rows, count, &need);
		return EXIT_CODE_OK;
	}
	printf("For %s connections at once (--connections); `mxmirage tune --sysctl` makes a file of it.\n\n",
		text_number(need.connections).chars);
	return print(rows, count) < 0 ? EXIT_CODE_SOFTWARE : EXIT_CODE_OK;
}
