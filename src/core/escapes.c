#include "escapes.h"

#include <stdlib.h>
#include <string.h>

/* What is atomic changes while others read; the rest is written before `used` says that the row is there. */
struct row {
	struct escape_record record;
	_Atomic uint64_t packets, last_s;
	_Atomic uint32_t pid;
};

struct escapes {
	_Atomic uint64_t other;
	_Atomic uint32_t used;
	struct row rows[ESCAPES_ROWS];
};

const char *escape_path_name(enum escape_path path)
{
	static const char *const names[ESCAPE_PATHS] = {
		[ESCAPE_OUTPUT] = "output",
		[ESCAPE_FORWARD] = "forward",
		[ESCAPE_POSTROUTING] = "postrouting",
		[ESCAPE_EGRESS] = "egress",
	};
	return names[path];
}

size_t escapes_size(void)
{
	return sizeof(struct escapes);
}

/* The memory may come from a file that holds anything. */
static uint32_t rows_used(const struct escapes *escapes)
{
	uint32_t used = atomic_load_explicit(&escapes->used, memory_order_acquire);
	return used < ESCAPES_ROWS ? used : ESCAPES_ROWS;
}

/* A process chooses its own name: nothing in it may end a quoted text or move a terminal's cursor. */
static void make_printable(char *text, size_t size)
{
	text[size - 1] = '\0';
	for (; *text; text++)
		if (*text < ' ' || *text > '~' || *text == '"' || *text == '\\')
			*text = '?';
}

static bool same_sender(const struct escape_record *a, const struct escape_record *b)
{
	return a->path == b->path && a->uid == b->uid && strcmp(a->program, b->program) == 0 &&
	       strcmp(a->device, b->device) == 0 && strcmp(a->in_device, b->in_device) == 0;
}

static bool same_destination(const struct escape_record *a, const struct escape_record *b)
{
	return a->family == b->family && a->port == b->port &&
	       memcmp(a->destination, b->destination, sizeof(a->destination)) == 0;
}

static int row_find(const struct escapes *escapes, const struct escape_record *record, unsigned *of_sender)
{
	uint32_t used = rows_used(escapes);
	*of_sender = 0;
	for (uint32_t i = 0; i < used; i++) {
		const struct escape_record *other = &escapes->rows[i].record;
		if (!same_sender(other, record))
			continue;
		if (same_destination(other, record))
			return (int)i;
		++*of_sender;
	}
	return -1;
}

int escapes_add(struct escapes *escapes, const struct escape_record *record, uint64_t now_s, bool *is_new)
{
	struct escape_record wanted = *record;
	make_printable(wanted.program, sizeof(wanted.program));
	make_printable(wanted.cgroup, sizeof(wanted.cgroup));
	make_printable(wanted.device, sizeof(wanted.device));
	make_printable(wanted.in_device, sizeof(wanted.in_device));

	unsigned of_sender;
	int index = row_find(escapes, &wanted, &of_sender);
	if (index < 0 && of_sender >= ESCAPES_PER_SENDER) {
		wanted.family = wanted.port = 0;
		memset(wanted.destination, 0, sizeof(wanted.destination));
		memset(wanted.source, 0, sizeof(wanted.source));
		index = row_find(escapes, &wanted, &of_sender);
	}
	*is_new = index < 0;
	if (index < 0) {
		uint32_t used = rows_used(escapes);
		if (used == ESCAPES_ROWS) {
			*is_new = false;
			atomic_fetch_add_explicit(&escapes->other, 1, memory_order_relaxed);
			return -1;
		}
		wanted.first_s = now_s;
		escapes->rows[used].record = wanted;
		atomic_store_explicit(&escapes->rows[used].packets, 0, memory_order_relaxed);
		atomic_store_explicit(&escapes->used, used + 1, memory_order_release);
		index = (int)used;
	}
	struct row *row = &escapes->rows[index];
	if (wanted.pid > 0)
		atomic_store_explicit(&row->pid, wanted.pid, memory_order_relaxed);
	else if (*is_new)
		atomic_store_explicit(&row->pid, 0, memory_order_relaxed);
	atomic_store_explicit(&row->last_s, now_s, memory_order_relaxed);
	atomic_fetch_add_explicit(&row->packets, 1, memory_order_relaxed);
	return index;
}

void escapes_reset(struct escapes *escapes)
{
	atomic_store_explicit(&escapes->used, 0, memory_order_release);
	atomic_store_explicit(&escapes->other, 0, memory_order_relaxed);
}

void escapes_get(const struct escapes *escapes, int index, struct escape_record *record)
{
	const struct row *row = &escapes->rows[index];
	*record = row->record;
	record->path = record->path < ESCAPE_PATHS ? record->path : ESCAPE_OUTPUT;
	make_printable(record->program, sizeof(record->program));
	make_printable(record->cgroup, sizeof(record->cgroup));
	make_printable(record->device, sizeof(record->device));
	make_printable(record->in_device, sizeof(record->in_device));
	record->packets = atomic_load_explicit(&row->packets, memory_order_relaxed);
	record->last_s = atomic_load_explicit(&row->last_s, memory_order_relaxed);
	record->pid = atomic_load_explicit(&row->pid, memory_order_relaxed);
}

static int most_counted(const void *left, const void *right)
{
	const struct escape_record *a = left, *b = right;
	return (a->packets < b->packets) - (a->packets > b->packets);
}

size_t escapes_list(const struct escapes *escapes, struct escape_record records[ESCAPES_ROWS])
{
	uint32_t used = rows_used(escapes);
	for (uint32_t i = 0; i < used; i++)
		escapes_get(escapes, (int)i, &records[i]);
	if (used > 1)
		qsort(records, used, sizeof(*records), most_counted);
	return used;
}

uint64_t escapes_other(const struct escapes *escapes)
{
	return atomic_load_explicit(&escapes->other, memory_order_relaxed);
}
