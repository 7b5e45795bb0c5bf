/*
 * tree: toml_tree's literals where no line matters but that of the test itself:
 * TABLE("", TABLE("provider", TABLE("acme", NUMBER("bounce", 10)))).
 */
#ifndef MX_TEST_TREE_H
#define MX_TEST_TREE_H

#include "toml_tree.h"

#define TABLE(name, ...)    TREE_TABLE(name, __LINE__, __VA_ARGS__)
#define ARRAY(name, ...)    TREE_ARRAY(name, __LINE__, __VA_ARGS__)
#define TEXT(name, value)   TREE_STRING(name, __LINE__, value)
#define NUMBER(name, value) TREE_INTEGER(name, __LINE__, value)

#endif
