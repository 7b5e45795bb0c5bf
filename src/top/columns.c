#include "columns.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "text.h"

#define GAP           2
#define ELASTIC_LEAST 32 /* narrower, a reply cannot be recognized */

struct columns {
	struct column columns[COLUMNS_MAX];
	size_t count, rows;
	char **cells; /* row by row */
	bool failed;
};

struct columns *columns_new(const struct column *columns, size_t count)
{
	struct columns *made = calloc(1, sizeof(*made));
	if (made) {
		made->count = count < COLUMNS_MAX ? count : COLUMNS_MAX;
		memcpy(made->columns, columns, made->count * sizeof(*columns));
	}
	return made;
}

void columns_free(struct columns *columns)
{
	if (!columns)
		return;
	for (size_t i = 0; i < columns->rows * columns->count; i++)
		free(columns->cells[i]);
	free(columns->cells);
	free(columns);
}

void columns_add(struct columns *columns, const char *const *cells)
{
	size_t used = columns->rows * columns->count;
	char **grown = reallocarray(columns->cells, used + columns->count, sizeof(*grown));
	if (!grown) {
		columns->failed = true;
		return;
	}
	columns->cells = grown;
	for (size_t i = 0; i < columns->count; i++) {
		size_t size = strlen(cells[i]) + 1;
		grown[used + i] = malloc(size);
		if (grown[used + i])
			text_safe(cells[i], grown[used + i], size);
		else
			columns->failed = true;
	}
	columns->rows++;
}

/* The width of each column as needed; those beyond the terminal's width are set to 0: left out. */
static void fit(const struct columns *columns, size_t *widths, unsigned indent, unsigned width)
{
	size_t total = indent, elastic = columns->count;
	for (size_t c = 0; c < columns->count; c++) {
		const struct column *column = &columns->columns[c];
		widths[c] = strlen(column->title);
		for (size_t r = 0; r < columns->rows; r++) {
			size_t len = strlen(columns->cells[r * columns->count + c]);
			widths[c] = len > widths[c] ? len : widths[c];
		}
		if (width > 0 && column->width_max > 0 && widths[c] > column->width_max)
			widths[c] = column->width_max;
		if (column->elastic)
			elastic = c;
		total += widths[c] + GAP;
	}
	if (width == 0 || elastic == columns->count)
		return;
	size_t least = widths[elastic] < ELASTIC_LEAST ? widths[elastic] : ELASTIC_LEAST;
	for (size_t c = columns->count; c-- > 0 && total - widths[elastic] + least > width + GAP;) {
		if (!columns->columns[c].expendable)
			continue;
		total -= widths[c] + GAP;
		widths[c] = 0;
	}
	if (total > width + GAP) {
		size_t others = total - widths[elastic];
		size_t left = others < width + GAP ? width + GAP - others : 0;
		widths[elastic] = left > least ? left : least;
	}
}

static void print_cell(const struct column *column, const char *cell, size_t width, bool last, FILE *to)
{
	size_t len = strlen(cell);
	if (len > width)
		fprintf(to, "%.*s…", (int)width - 1, cell);
	else if (column->number)
		fprintf(to, "%*s", (int)width, cell);
	else
		fprintf(to, "%-*s", last ? 0 : (int)width, cell);
	if (!last)
		fprintf(to, "%*s", GAP, "");
}

int columns_print(const struct columns *columns, FILE *to, unsigned indent, unsigned width)
{
	if (columns->failed)
		return -ENOMEM;
	size_t widths[COLUMNS_MAX], last = 0;
	fit(columns, widths, indent, width);
	for (size_t c = 0; c < columns->count; c++)
		last = widths[c] > 0 ? c : last;
	for (size_t r = 0; r <= columns->rows; r++) {
		fprintf(to, "%*s", (int)indent, "");
		for (size_t c = 0; c <= last; c++) {
			const struct column *column = &columns->columns[c];
			const char *cell =
				r == 0 ? column->title : columns->cells[(r - 1) * columns->count + c];
			if (widths[c] > 0)
				print_cell(column, cell, widths[c], c == last, to);
		}
		fputc('\n', to);
	}
	return 0;
}

unsigned columns_of_terminal(void)
{
	struct winsize size;
	if (!isatty(STDOUT_FILENO))
		return 0;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
		return 80;
	return size.ws_col;
}
