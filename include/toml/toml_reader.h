/*
 * toml_reader: reads TOML text into a tree of plain nodes (toml_node.h) with toml++, behind a C
 * interface. It knows no key and gives none a meaning.
 */
#ifndef MX_TOML_READER_H
#define MX_TOML_READER_H

#include <stddef.h>

#include "toml_node.h"

#ifdef __cplusplus
extern "C" {
#endif

#include "err.h"

/*
 * Parses len bytes of text; `file` names it in errors. The root is a table. NULL on failure, err
 * filled with `file:line:column: reason`. toml_free() releases the whole tree; NULL is fine.
 */
struct toml_node *toml_read(const char *file, const char *text, size_t len, struct err *err);
void toml_free(struct toml_node *root);

#ifdef __cplusplus
}
#endif

#endif
