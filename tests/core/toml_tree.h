/*
 * toml_tree: TOML trees as C literals, for tests of what makes values of them: core's tests have no
 * reader. Lines are the caller's, as errors will name them.
 */
#ifndef MX_TOML_TREE_H
#define MX_TOML_TREE_H

#include "toml_node.h"

#define TREE_ITEMS(...)                                   \
	.items = (const struct toml_node[]){__VA_ARGS__}, \
	.count = sizeof((const struct toml_node[]){__VA_ARGS__}) / sizeof(struct toml_node)

/* clang-format off */
#define TREE_TABLE(name, at, ...) {.type = TOML_TABLE, .key = (name), .line = (at), TREE_ITEMS(__VA_ARGS__)}
#define TREE_ARRAY(name, at, ...) {.type = TOML_ARRAY, .key = (name), .line = (at), TREE_ITEMS(__VA_ARGS__)}
#define TREE_STRING(name, at, text) {.type = TOML_STRING, .key = (name), .line = (at), .string = (text)}
#define TREE_INTEGER(name, at, value) {.type = TOML_INTEGER, .key = (name), .line = (at), .integer = (value)}
#define TREE_FLOAT(name, at, value) {.type = TOML_FLOAT, .key = (name), .line = (at), .real = (value)}
/* clang-format on */

#endif
