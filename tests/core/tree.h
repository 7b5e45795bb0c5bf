/*
 * tree: configuration trees written in C, for tests of the layer that has no TOML reader:
 * TABLE("", TABLE("provider", TABLE("acme", NUMBER("bounce", 10)))).
 */
#ifndef MX_TEST_TREE_H
#define MX_TEST_TREE_H

#include "toml_node.h"

#define TREE_ITEMS(...)                                   \
	.items = (const struct toml_node[]){__VA_ARGS__}, \
	.count = sizeof((const struct toml_node[]){__VA_ARGS__}) / sizeof(struct toml_node)

#define TABLE(name, ...)                                           \
	{                                                          \
		.type = TOML_TABLE, .line = __LINE__, .key = name, \
		{                                                  \
			{                                          \
				TREE_ITEMS(__VA_ARGS__)            \
			}                                          \
		}                                                  \
	}
#define ARRAY(name, ...)                                           \
	{                                                          \
		.type = TOML_ARRAY, .line = __LINE__, .key = name, \
		{                                                  \
			{                                          \
				TREE_ITEMS(__VA_ARGS__)            \
			}                                          \
		}                                                  \
	}
#define TEXT(name, value)                                                           \
	{                                                                           \
		.type = TOML_STRING, .line = __LINE__, .key = name, .string = value \
	}
#define NUMBER(name, value)                                                           \
	{                                                                             \
		.type = TOML_INTEGER, .line = __LINE__, .key = name, .integer = value \
	}

#endif
