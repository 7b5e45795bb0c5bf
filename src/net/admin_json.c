#include "admin_json.h"

#include <arpa/inet.h>
#include <stdlib.h>

static json_t *integer(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *pair(uint64_t packets, uint64_t bytes)
{
	json_t *object = json_object();
	json_object_set_new(object, "packets", integer(packets));
	json_object_set_new(object, "bytes", integer(bytes));
	return object;
}

/* Which counter stands where in the status. */
static const struct {
	const char *group, *key;
	enum stats_counter counter;
} sums[] = {
	{"connections", "total", STATS_CONNECTIONS},
	{"connections", "undiverted", STATS_UNDIVERTED},
	{"connections", "unknown_destination", STATS_UNKNOWN_DESTINATION},
	{"connections", "timed_out", STATS_TIMEOUTS},
	{"connections", "accept_pauses", STATS_ACCEPT_BACKOFFS},
	{"messages", "accepted", STATS_MESSAGES_ACCEPTED},
	{"messages", "tempfail", STATS_MESSAGES_TEMPFAIL},
	{"messages", "permfail", STATS_MESSAGES_PERMFAIL},
	{"messages", "aborted", STATS_MESSAGES_ABORTED},
	{"messages", "bytes", STATS_MESSAGES_BYTES},
	{"recipients", "accepted", STATS_RECIPIENTS_ACCEPTED},
	{"recipients", "tempfail", STATS_RECIPIENTS_TEMPFAIL},
	{"recipients", "permfail", STATS_RECIPIENTS_PERMFAIL},
	{"messages", "limited", STATS_LIMITED},
	{"recipients", "mx_mismatch", STATS_MX_MISMATCH},
	{"connections", "faults", STATS_FAULTS},
	{"dns", "failed", STATS_DNS_FAILED},
	{"dns", "lookups", STATS_DNS_LOOKUPS},
	{"dns", "cached", STATS_DNS_CACHED},
	{"dns", "timed_out", STATS_DNS_TIMED_OUT},
	{"dns", "refused", STATS_DNS_REFUSED},
	{"tls", "handshakes", STATS_TLS_HANDSHAKES},
	{"tls", "failed", STATS_TLS_FAILED},
};

/* A number, or null where it is `unknown`. */
static json_t *known(uint64_t n, uint64_t unknown)
{
	return n == unknown ? json_null() : integer(n);
}

static json_t *text(const char *text)
{
	return text[0] ? json_string(text) : json_null();
}

static json_t *address(const struct escape_record *record, const uint8_t *bytes)
{
	char plain[INET6_ADDRSTRLEN];
	bool is_one = record->family == AF_INET || record->family == AF_INET6;
	return is_one ? json_string(inet_ntop((int)record->family, bytes, plain, sizeof(plain)))
		      : json_null();
}

static json_t *escapes_json(const struct escapes *escapes)
{
	struct escape_record *records = calloc(ESCAPES_ROWS, sizeof(*records));
	json_t *list = json_array();
	size_t count = records ? escapes_list(escapes, records) : 0;
	for (size_t i = 0; i < count; i++) {
		const struct escape_record *record = &records[i];
		json_t *row = json_object();
		json_object_set_new(row, "path", json_string(escape_path_name(record->path)));
		json_object_set_new(row, "uid", known(record->uid, ESCAPE_UNKNOWN));
		json_object_set_new(row, "gid", known(record->gid, ESCAPE_UNKNOWN));
		json_object_set_new(row, "process", text(record->program));
		json_object_set_new(row, "pid", known(record->pid, 0));
		json_object_set_new(row, "cgroup", text(record->cgroup));
		json_object_set_new(row, "device", text(record->device));
		json_object_set_new(row, "from_device", text(record->in_device));
		json_object_set_new(row, "from", address(record, record->source));
		json_object_set_new(row, "to", address(record, record->destination));
		json_object_set_new(row, "port", known(record->port, 0));
		json_object_set_new(row, "packets", integer(record->packets));
		json_object_set_new(row, "first_s", integer(record->first_s));
		json_object_set_new(row, "last_s", integer(record->last_s));
		json_array_append_new(list, row);
	}
	free(records);
	return list;
}

json_t *admin_json_status(const struct stats *stats, const struct policy_state *state, uint64_t uptime_s,
	const struct conf *conf)
{
	struct stats_kernel kernel;
	stats_kernel_read(stats, &kernel);

	json_t *status = json_object();
	json_object_set_new(status, "version", json_string(MXMIRAGE_VERSION));
	json_object_set_new(status, "uptime_s", integer(uptime_s));
	json_object_set_new(status, "counting_since_s", integer(stats_since(stats)));
	json_object_set_new(status, "mode",
		json_string(conf && conf->answer.mode == CONF_ANSWER_SMART ? "smart" : "sink"));

	json_t *guard = json_object();
	json_object_set_new(guard, "diverting", json_boolean(kernel.diverting));
	json_object_set_new(guard, "armed", json_boolean(kernel.armed));
	json_object_set_new(guard, "owner", json_boolean(kernel.owner));
	json_object_set_new(guard, "persist", json_boolean(kernel.persist));
	json_object_set_new(guard, "static", json_boolean(kernel.walled));
	json_t *ports = json_array(), *devices = json_array();
	for (size_t i = 0; conf && i < conf->divert.port_count; i++)
		json_array_append_new(ports, json_integer(conf->divert.ports[i]));
	json_object_set_new(guard, "ports", ports);
	for (uint32_t i = 0; i < kernel.device_count && i < STATS_DEVICES_MAX; i++)
		json_array_append_new(devices, json_string(kernel.devices[i]));
	json_object_set_new(guard, "devices", devices);
	json_object_set_new(guard, "device_count", integer(kernel.device_count));
	json_object_set_new(guard, "repairs", integer(kernel.repairs));
	json_object_set_new(guard, "escape_queue", json_string(ruleset_means_name(kernel.escape_queue)));
	json_object_set_new(guard, "escape_log", json_boolean(kernel.escape_log));
	json_object_set_new(guard, "escapes_lost", integer(kernel.escapes_lost));
	json_object_set_new(guard, "escapes_other", integer(escapes_other(stats_escapes(stats))));
	json_object_set_new(status, "guard", guard);
	json_object_set_new(status, "escapes", escapes_json(stats_escapes(stats)));

	json_t *firewall = json_object();
	for (int i = 0; i < RULESET_COUNTERS; i++)
		json_object_set_new(
			firewall, ruleset_counter_name(i), pair(kernel.packets[i], kernel.bytes[i]));
	json_object_set_new(status, "firewall", firewall);

	for (size_t i = 0; i < sizeof(sums) / sizeof(sums[0]); i++) {
		json_t *group = json_object_get(status, sums[i].group);
		if (!group) {
			group = json_object();
			json_object_set_new(status, sums[i].group, group);
		}
		json_object_set_new(group, sums[i].key, integer(stats_sum(stats, sums[i].counter)));
	}
	/* Read after the total, a connection closed meanwhile must not make this negative. */
	uint64_t closed = stats_sum(stats, STATS_CONNECTIONS_CLOSED);
	uint64_t total = stats_sum(stats, STATS_CONNECTIONS);
	json_object_set_new(
		json_object_get(status, "connections"), "open", integer(total > closed ? total - closed : 0));

	json_t *tables = json_object();
	json_object_set_new(tables, "senders_without_room", integer(limit_table_overflows(state->limits)));
	json_object_set_new(tables, "tries_without_room", integer(attempt_table_overflows(state->attempts)));
	json_object_set_new(status, "tables", tables);

	json_t *responder = json_object();
	json_object_set_new(responder, "starts", integer(kernel.starts));
	json_object_set_new(responder, "workers", integer(stats->layout.blocks));
	json_object_set_new(status, "responder", responder);
	return status;
}

static const struct {
	const char *name, *key;
	bool address;
} tables[] = {
	[STATS_DOMAINS] = {"domains", "domain", false},
	[STATS_DESTINATIONS] = {"destinations", "address", true},
	[STATS_SOURCES] = {"sources", "address", true},
	[STATS_PROVIDERS] = {"providers", "provider", false},
};

static const char *const fields[] = {
	[STATS_ROW_CONNECTIONS] = "connections",
	[STATS_ROW_ACCEPTED] = "accepted",
	[STATS_ROW_TEMPFAIL] = "tempfail",
	[STATS_ROW_PERMFAIL] = "permfail",
	[STATS_ROW_BYTES] = "bytes",
};

static json_t *row_key(struct span key, bool address)
{
	char text[INET6_ADDRSTRLEN];
	if (address)
		return json_string(
			inet_ntop(key.len == 4 ? AF_INET : AF_INET6, key.data, text, sizeof(text)));
	json_t *name = json_stringn(key.data, key.len);
	if (name)
		return name;
	/* Not UTF-8: shown with its strange bytes replaced. */
	char plain[STATS_KEY_MAX];
	for (size_t i = 0; i < key.len; i++)
		plain[i] = (unsigned char)key.data[i] < 0x80 ? key.data[i] : '?';
	return json_stringn(plain, key.len);
}

/* A key's longest, each octet as \u00XX, and the fields with their names. */
#define ROW_TEXT_MAX (6 * STATS_KEY_MAX + STATS_ROW_FIELDS * 40 + 64)

static bool put_row(const struct stats_row *stats_row, enum stats_table_id id, struct evbuffer *to)
{
	json_t *row = json_object();
	if (stats_row->key.len > 0)
		json_object_set_new(row, tables[id].key, row_key(stats_row->key, tables[id].address));
	for (int f = 0; f < STATS_ROW_FIELDS; f++)
		/* A domain or provider has no connections: one connection carries many. */
		if (tables[id].address || f != STATS_ROW_CONNECTIONS)
			json_object_set_new(row, fields[f], integer(stats_row->fields[f]));
	char text[ROW_TEXT_MAX];
	size_t len = json_dumpb(row, text, sizeof(text), JSON_COMPACT);
	json_decref(row);
	return len > 0 && len <= sizeof(text) && evbuffer_add(to, text, len) == 0;
}

bool admin_json_table(const struct stats *stats, enum stats_table_id id, struct evbuffer *to)
{
	size_t max = stats_rows_max(stats, id);
	struct stats_row *rows = calloc(max, sizeof(*rows));
	if (!rows)
		return false;
	size_t count = stats_rows(stats, id, rows, max);
	bool good = evbuffer_add_printf(to, "{\"other\":") > 0 && put_row(&rows[0], id, to) &&
		    evbuffer_add_printf(to, ",\"%s\":[", tables[id].name) > 0;
	for (size_t i = 1; i < count && good; i++)
		good = (i == 1 || evbuffer_add(to, ",", 1) == 0) && put_row(&rows[i], id, to);
	free(rows);
	return good && evbuffer_add(to, "]}", 2) == 0;
}
