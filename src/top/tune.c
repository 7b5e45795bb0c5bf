#include "tune.h"

#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>

#include "text.h"

/*
 * How long a connection of a load test lives, in seconds, for rates from a number of connections: senders keep
 * one open for some seconds and some tens of messages.
 */
#define CONNECTION_LIFE 10
/* The kernel keeps a socket so long after its close; no setting changes it. */
#define SOCKET_TIME_WAIT 60
/* Beside the connections: log, spool and library files of the sender and of everything else. */
#define FILES_BESIDE 10000
/* What one listener port takes from one source address: the reply must be unique (conntrack). */
#define PER_LISTENER_PORT 64512
/* Where the ephemeral ports may begin: above what programs commonly listen on. */
#define EPHEMERAL_FIRST 10000
#define EPHEMERAL_LAST  65535

#define N(value) text_number(value).chars

struct tuning {
	const struct host *host;
	const struct tune_need *need;
	struct tune_row *rows;
	size_t count;
	uint64_t rate; /* connections opened and closed a second */
};

static uint64_t round_up(uint64_t value, uint64_t to)
{
	return (value + to - 1) / to * to;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static struct tune_row *row_add(struct tuning *tuning, const char *key)
{
	struct tune_row *row = &tuning->rows[tuning->count++];
	*row = (struct tune_row){.key = key, .sysctl = true, .state = TUNE_UNKNOWN};
	return row;
}

enum bound {
	AT_LEAST,
	AT_MOST,
	EXACTLY,
};

/* A row of one number. The reason is the caller's to fill. */
static struct tune_row *row_number(struct tuning *tuning, const char *key, enum bound bound, uint64_t wanted)
{
	struct tune_row *row = row_add(tuning, key);
	snprintf(row->wants, sizeof(row->wants), "%" PRIu64, wanted);
	uint64_t has;
	if (host_sysctl(tuning->host, key, &has, 1) != 1)
		return row;
	snprintf(row->has, sizeof(row->has), "%" PRIu64, has);
	bool fine = bound == AT_LEAST ? has >= wanted : bound == AT_MOST ? has <= wanted : has == wanted;
	row->state = fine ? TUNE_OK : TUNE_SHORT;
	return row;
}

#define REASON(row, ...) snprintf((row)->reason, sizeof((row)->reason), __VA_ARGS__)

static void tune_files(struct tuning *tuning)
{
	uint64_t connections = tuning->need->connections;
	uint64_t each = round_up(connections + FILES_BESIDE, 1024);
	struct rlimit limit;
	struct tune_row *row = row_add(tuning, "RLIMIT_NOFILE");
	row->sysctl = false;
	snprintf(row->wants, sizeof(row->wants), "%" PRIu64, each);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		snprintf(row->has, sizeof(row->has), "%" PRIu64 " (soft %" PRIu64 ")",
			(uint64_t)limit.rlim_max, (uint64_t)limit.rlim_cur);
		row->state = limit.rlim_max >= each ? TUNE_OK : TUNE_SHORT;
	}
	REASON(row,
		"the hard limit of open files of the sender and of mxmirage, each: %s connections and %s "
		"files beside them; LimitNOFILE=%" PRIu64
		" in the sender's unit (mxmirage raises its own soft limit; each of its "
		"listen.processes has as many)",
		N(connections), N(FILES_BESIDE), each);
	row = row_number(tuning, "fs.nr_open", AT_LEAST, max_u64(each, 1048576));
	REASON(row,
		"the most that any process may be allowed to have open; RLIMIT_NOFILE cannot be above it");
	row = row_number(tuning, "fs.file-max", AT_LEAST,
		max_u64(round_up(3 * connections + FILES_BESIDE, 10000), 250000));
	REASON(row,
		"open files of the whole host: a connection has one at the sender, one at mxmirage and a "
		"spool "
		"file: 3 x %s, and %s beside them",
		N(connections), N(FILES_BESIDE));
}

static void tune_ports(struct tuning *tuning)
{
	uint16_t first = tuning->need->listen_first, last = tuning->need->listen_last;
	/* Above the listeners where that leaves a range worth having, else around them and reserved. */
	uint64_t low = EPHEMERAL_FIRST;
	if (last >= EPHEMERAL_FIRST && last < 2 * EPHEMERAL_FIRST)
		low = last + 1u;
	bool inside = last >= low;
	uint64_t wanted = tuning->need->connections + tuning->rate * SOCKET_TIME_WAIT;
	if (wanted > EPHEMERAL_LAST - low + 1)
		wanted = EPHEMERAL_LAST - low + 1;
	struct tune_row *row = row_add(tuning, "net.ipv4.ip_local_port_range");
	snprintf(row->wants, sizeof(row->wants), "%" PRIu64 " %d", low, EPHEMERAL_LAST);
	uint64_t range[2];
	uint64_t has_low = low, has_high = EPHEMERAL_LAST;
	if (host_sysctl(tuning->host, row->key, range, 2) == 2) {
		has_low = range[0];
		has_high = range[1];
		snprintf(row->has, sizeof(row->has), "%" PRIu64 " %" PRIu64, has_low, has_high);
		row->state = has_high + 1 >= has_low + wanted ? TUNE_OK : TUNE_SHORT;
		/* A range that is better is kept, and overlaps as it is. */
		if (row->state == TUNE_OK)
			inside = last >= has_low && first <= has_high;
	}
	REASON(row,
		"one source address to one MX address: a port for each of %s connections and, for %d s, of "
		"%s closed a "
		"second, if there are as many; from %" PRIu64 " on, %s the listener ports %u-%u",
		N(tuning->need->connections), SOCKET_TIME_WAIT, N(tuning->rate), low,
		last < low ? "above" : "around", first, last);

	row = row_add(tuning, "listen.ports");
	row->sysctl = false;
	uint64_t ports = last - first + 1u;
	uint64_t wanted_ports = tuning->need->connections / PER_LISTENER_PORT + 1;
	snprintf(row->has, sizeof(row->has), "%" PRIu64, ports);
	snprintf(row->wants, sizeof(row->wants), "%" PRIu64, wanted_ports);
	row->state = ports >= wanted_ports ? TUNE_OK : TUNE_SHORT;
	REASON(row, "one source address has at most %s connections to each listener port, whatever the MX",
		N(PER_LISTENER_PORT));

	row = row_add(tuning, "net.ipv4.ip_local_reserved_ports");
	char list[1024];
	int len = host_sysctl_text(tuning->host, row->key, list, sizeof(list));
	bool reserved = len >= 0 && host_ports_reserved(list, first, last);
	bool room = len >= 0 && (size_t)len + 16 < sizeof(row->wants);
	if (len > 0 && room && !reserved)
		snprintf(row->wants, sizeof(row->wants), "%.*s,%u-%u", len, list, first, last);
	else
		snprintf(row->wants, sizeof(row->wants), "%u-%u", first, last);
	if (len >= 0) {
		snprintf(row->has, sizeof(row->has), "%.80s", list[0] ? list : "none");
		row->state = reserved || !inside ? TUNE_OK : TUNE_SHORT;
	}
	REASON(row,
		inside ? "the listener ports %u-%u lie among the ephemeral ports: reserved, no outgoing "
			 "connection takes one before mxmirage listens"
		       : "the listener ports %u-%u lie outside of the ephemeral ports: nothing to reserve",
		first, last);
}

static void tune_backlog(struct tuning *tuning)
{
	/* The listeners hold what arrives while the responder is started anew: a second. */
	uint64_t ports = tuning->need->listen_last - tuning->need->listen_first + 1u;
	uint64_t wanted = max_u64(4096, round_up(tuning->rate / ports, 1024));
	if (wanted > 65535)
		wanted = 65535;
	struct tune_row *row = row_number(tuning, "net.core.somaxconn", AT_LEAST, wanted);
	REASON(row,
		"connections that wait in a listener while the responder starts anew: %s a second over %s "
		"ports, at least 4,096; the next ones' SYNs would be dropped and sent again a second later",
		N(tuning->rate), N(ports));
	row = row_number(tuning, "net.ipv4.tcp_max_syn_backlog", AT_LEAST, wanted);
	REASON(row, "the same for handshakes under way");
	row = row_number(tuning, "net.core.netdev_max_backlog", AT_LEAST, 10000);
	REASON(row,
		"what is diverted goes over loopback, which drops packets once so many wait for a CPU; the "
		"usual 1,000 are some 100 KB messages");
}

static void tune_time_wait(struct tuning *tuning)
{
	struct tune_row *row = row_number(tuning, "net.ipv4.tcp_tw_reuse", EXACTLY, 1);
	REASON(row,
		"the sender may take a port again whose connection it has just closed; 2, the usual value, "
		"does so for loopback addresses only, and the sender sees the MX's address");
	row = row_number(tuning, "net.ipv4.tcp_max_tw_buckets", AT_LEAST,
		max_u64(round_up(tuning->rate * SOCKET_TIME_WAIT * 2, 1024), 65536));
	REASON(row, "closed connections that the kernel remembers for %d s: %s a second, doubled for bursts",
		SOCKET_TIME_WAIT, N(tuning->rate));
}

uint64_t tune_conntrack_entries(uint64_t connections, uint64_t time_wait)
{
	uint64_t rate = connections / CONNECTION_LIFE + 1;
	return 2 * (connections + rate * time_wait);
}

static void tune_conntrack(struct tuning *tuning)
{
	uint64_t connections = tuning->need->connections, time_wait = TUNE_TIME_WAIT;
	struct tune_row *row = row_number(
		tuning, "net.netfilter.nf_conntrack_tcp_timeout_time_wait", AT_MOST, TUNE_TIME_WAIT);
	REASON(row,
		"seconds for which a closed connection keeps its entry; the usual 120 fill the table with "
		"what is over (needs the module nf_conntrack to be loaded first: name it in "
		"/etc/modules-load.d)");
	uint64_t wanted = round_up(tune_conntrack_entries(connections, time_wait), 65536);
	row = row_number(tuning, "net.netfilter.nf_conntrack_max", AT_LEAST, wanted);
	REASON(row,
		"a full table drops new connections in silence: %s open and %s closed a second for %s s, "
		"doubled for DNS and all else; 320 bytes each, %s",
		N(connections), N(tuning->rate), N(time_wait), text_bytes(wanted * 320).chars);
	row = row_number(tuning, "net.netfilter.nf_conntrack_buckets", AT_LEAST, wanted / 2);
	REASON(row,
		"hash chains of the connection table; an entry is in two: four to a chain when it is full");
}

static void tune_memory(struct tuning *tuning)
{
	struct tune_row *row = row_number(tuning, "net.core.rmem_max", AT_LEAST, 262144);
	REASON(row, "the largest receive buffer that a sender may ask for by itself");
	row = row_number(tuning, "net.core.wmem_max", AT_LEAST, 262144);
	REASON(row, "the same for its send buffer: two messages of 100 KB under way");

	static const struct {
		const char *key;
		uint64_t least[3];
		const char *reason;
	} buffers[] = {
		{"net.ipv4.tcp_rmem", {4096, 131072, 4194304},
			"receive buffer per connection, least, first, most: the first takes a 100 KB message "
			"whole"},
		{"net.ipv4.tcp_wmem", {4096, 16384, 4194304},
			"send buffer per connection, least, first, most: grows by itself"},
	};
	for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++) {
		row = row_add(tuning, buffers[i].key);
		REASON(row, "%s", buffers[i].reason);
		uint64_t has[3], wants[3];
		bool known = host_sysctl(tuning->host, row->key, has, 3) == 3;
		memcpy(wants, buffers[i].least, sizeof(wants));
		if (known)
			for (int k = 0; k < 3; k++)
				wants[k] = max_u64(has[k], wants[k]);
		snprintf(row->wants, sizeof(row->wants), "%" PRIu64 " %" PRIu64 " %" PRIu64, wants[0],
			wants[1], wants[2]);
		if (!known)
			continue;
		snprintf(row->has, sizeof(row->has), "%" PRIu64 " %" PRIu64 " %" PRIu64, has[0], has[1],
			has[2]);
		row->state = memcmp(has, wants, sizeof(has)) == 0 ? TUNE_OK : TUNE_SHORT;
	}
}

size_t tune_rows(const struct host *host, const struct tune_need *need, struct tune_row rows[TUNE_ROWS_MAX])
{
	struct tuning tuning = {host, need, rows, 0, need->connections / CONNECTION_LIFE + 1};
	tune_files(&tuning);
	tune_ports(&tuning);
	tune_backlog(&tuning);
	tune_time_wait(&tuning);
	tune_conntrack(&tuning);
	tune_memory(&tuning);
	return tuning.count;
}

const struct tune_row *tune_find(const struct tune_row *rows, size_t count, const char *key)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(rows[i].key, key) == 0)
			return &rows[i];
	return NULL;
}

/* Comment lines of at most 100 columns. */
static void comment(const char *text, FILE *to)
{
	while (*text) {
		size_t len = strlen(text);
		if (len > 98) {
			len = 98;
			while (len > 1 && text[len] != ' ')
				len--;
		}
		fprintf(to, "# %.*s\n", (int)len, text);
		text += len;
		while (*text == ' ')
			text++;
	}
}

void tune_print_sysctl(const struct tune_row *rows, size_t count, const struct tune_need *need, FILE *to)
{
	fprintf(to,
		"# For a load test of %s connections at once, written by `mxmirage tune --sysctl`.\n"
		"# Load it with `sysctl --system`, from /etc/sysctl.d. What this host has already is left "
		"out.\n",
		N(need->connections));
	for (size_t i = 0; i < count; i++) {
		const struct tune_row *row = &rows[i];
		if (row->state == TUNE_OK || (!row->sysctl && row->state == TUNE_UNKNOWN))
			continue;
		fprintf(to, "\n");
		if (row->sysctl) {
			comment(row->reason, to);
			fprintf(to, "# now: %s\n%s = %s\n", row->has[0] ? row->has : "not readable", row->key,
				row->wants);
		} else {
			char text[512];
			snprintf(text, sizeof(text), "Not a sysctl: %s: %s; now %s", row->key, row->reason,
				row->has);
			comment(text, to);
		}
	}
}
