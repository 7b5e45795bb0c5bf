/*
 * admin_json: the counts as JSON values, in the shape that scripts rely on.
 */
#ifndef MX_ADMIN_JSON_H
#define MX_ADMIN_JSON_H

#include <event2/buffer.h>
#include <jansson.h>
#include <stdbool.h>

#include "conf.h"
#include "policy.h"
#include "stats.h"

/* New references; NULL when out of memory. conf: what is in force, NULL: not told yet. */
json_t *admin_json_status(const struct stats *stats, const struct policy_state *state, uint64_t uptime_s,
	const struct conf *conf);

/*
 * Appends a table's text. A row at a time: a table may have a million, and their values together would take ten times
 * the text's memory. False when out of memory; then `to` holds a part.
 */
bool admin_json_table(const struct stats *stats, enum stats_table_id table, struct evbuffer *to);

#endif
