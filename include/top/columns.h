/*
 * columns: rows of text in aligned columns, for people: as wide as needed where nobody watches, fitted to
 * the window where stdout is a terminal: the columns that matter least are left out and the one long text is
 * cut. Bytes that a terminal should not be shown become '?'.
 */
#ifndef MX_COLUMNS_H
#define MX_COLUMNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define COLUMNS_MAX 12

struct column {
	const char *title;
	bool number;        /* aligned to the right */
	bool expendable;    /* left out, the last first, before the elastic column gets too narrow to read */
	bool elastic;       /* takes what is left; one of them */
	unsigned width_max; /* in a terminal; 0 = as needed */
};

struct columns;

/* The titles must outlive it. NULL when out of memory. */
struct columns *columns_new(const struct column *columns, size_t count);
void columns_free(struct columns *columns);

/* Copies a cell for each column. Running out of memory shows at columns_print(). */
void columns_add(struct columns *columns, const char *const *cells);

/* Width in columns, each line `indent` behind its start; 0 = no limit. 0, or -ENOMEM with nothing printed. */
int columns_print(const struct columns *columns, FILE *to, unsigned indent, unsigned width);

/* Of the terminal that stdout is; 0 where it is none. */
unsigned columns_of_terminal(void);

#endif
