/*
 * admin_json: the counts as JSON values, in the shape that scripts rely on.
 */
#ifndef MX_ADMIN_JSON_H
#define MX_ADMIN_JSON_H

#include <jansson.h>

#include "stats.h"

/* New references; NULL when out of memory. Times are seconds since the epoch. */
json_t *admin_json_status(const struct stats *stats, uint64_t started_s, uint64_t now_s, const char *mode);
json_t *admin_json_table(const struct stats *stats, enum stats_table_id table);

#endif
