/*
 * toml_node: a TOML document as a plain tree with line numbers: what the reader (C++ behind a C
 * interface) hands to those who give keys a meaning. Owned by whoever called toml_read().
 */
#ifndef MX_TOML_NODE_H
#define MX_TOML_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum toml_type {
	TOML_TABLE,
	TOML_ARRAY,
	TOML_STRING,
	TOML_INTEGER,
	TOML_FLOAT,
	TOML_BOOLEAN,
	TOML_OTHER, /* dates and times: nothing here takes one */
};

/* "a table", "an integer": as errors name a type. */
const char *toml_type_name(enum toml_type type);

struct toml_node {
	enum toml_type type;
	unsigned line;   /* from 1 */
	const char *key; /* in a table: its name; in an array: NULL */
	union {
		struct {
			const struct toml_node *items; /* in the order of the file */
			size_t count;
		};                  /* TOML_TABLE and TOML_ARRAY */
		const char *string; /* UTF-8; a NUL inside is refused by the reader */
		int64_t integer;
		double real;
		bool boolean;
	};
};

#ifdef __cplusplus
}
#endif

#endif
