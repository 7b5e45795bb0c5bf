#include "stats.h"

#include <stdlib.h>
#include <string.h>

#define STATS_MAGIC   0x6d786d6972616765 /* "mxmirage" */
#define STATS_VERSION 6
#define PAGE          4096
/* Slots looked at before a key goes to `other`: bounds the time, also against chosen keys. */
#define PROBES_MAX 64
/*
 * Bytes of key text set aside per row. Domains in real traffic average 12 to 20, and 31 with the suffix that traffic
 * generators append; an address has 16 at most.
 */
static const uint32_t key_bytes[STATS_TABLES] = {
	[STATS_DOMAINS] = 32, [STATS_DESTINATIONS] = 16, [STATS_SOURCES] = 16, [STATS_PROVIDERS] = 24};

struct header {
	uint64_t magic;
	uint32_t version;
	struct stats_layout layout;
	stats_u64 since_s;
	struct {
		stats_u64 packets, bytes;           /* as the kernel counts now */
		stats_u64 packets_base, bytes_base; /* what tables now gone had counted */
	} counters[RULESET_COUNTERS];
	stats_u32 armed, owner, persist, walled, diverting, device_count;
	/* A name in two words: read while it is written, it may be wrong for a moment. */
	stats_u64 devices[STATS_DEVICES_MAX][IFNAMSIZ / sizeof(uint64_t)];
	stats_u64 read_s, repairs, starts;
	stats_u32 escape_queue, escape_log;
	stats_u64 escapes_lost;
};

/* A row's key is written before the index points to it, and never changes afterwards. */
struct row {
	uint32_t key; /* offset into the table's text */
	uint32_t len;
	stats_u64 fields[STATS_ROW_FIELDS];
};

struct table {
	uint32_t rows_max;
	uint32_t slots; /* a power of two, at least twice the rows */
	uint32_t text_max;
	uint32_t text_used;
	stats_u32 rows_used;
	uint32_t index, rows, text; /* offsets from the block */
};

struct stats_block {
	stats_u64 counters[STATS_COUNTERS];
	struct table tables[STATS_TABLES];
};

_Static_assert(sizeof(struct header) <= PAGE, "the header is one page");

static size_t round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

static uint32_t slots_for(uint32_t rows)
{
	uint32_t slots = 16;
	while (slots < 2 * rows)
		slots *= 2;
	return slots;
}

static uint64_t load(const stats_u64 *value)
{
	return atomic_load_explicit(value, memory_order_relaxed);
}

static void store(stats_u64 *value, uint64_t n)
{
	atomic_store_explicit(value, n, memory_order_relaxed);
}

/* A single writer needs no locked instruction. */
static void add(stats_u64 *value, uint64_t n)
{
	store(value, load(value) + n);
}

/* Lays out a block; with block == NULL only computes its size. */
static size_t block_lay(const struct stats_layout *layout, struct stats_block *block)
{
	size_t at = round_up(sizeof(struct stats_block), 64);
	for (int i = 0; i < STATS_TABLES; i++) {
		struct table table = {
			.rows_max = layout->rows[i] + 1,
			.slots = slots_for(layout->rows[i] + 1),
			.text_max = (layout->rows[i] + 1) * key_bytes[i],
			.rows_used = 1,
		};
		table.index = (uint32_t)at;
		at = round_up(at + table.slots * sizeof(uint32_t), 64);
		table.rows = (uint32_t)at;
		at = round_up(at + table.rows_max * sizeof(struct row), 64);
		table.text = (uint32_t)at;
		at = round_up(at + table.text_max, 64);
		if (block)
			block->tables[i] = table;
	}
	return round_up(at, PAGE);
}

/* The blocks come behind the header and the table of escapes. */
static size_t blocks_offset(void)
{
	return PAGE + round_up(escapes_size(), PAGE);
}

size_t stats_size(const struct stats_layout *layout)
{
	return blocks_offset() + layout->blocks * block_lay(layout, NULL);
}

struct escapes *stats_escapes(const struct stats *stats)
{
	return (struct escapes *)((char *)stats->memory + PAGE);
}

void stats_format(struct stats *stats, void *memory, const struct stats_layout *layout, uint64_t now_s)
{
	*stats = (struct stats){memory, *layout};
	struct header *header = memory;
	header->version = STATS_VERSION;
	header->layout = *layout;
	store(&header->since_s, now_s);
	for (uint32_t i = 0; i < layout->blocks; i++)
		block_lay(layout, stats_block(stats, i));
	/* Last: a region cut short in the making is not taken for whole. */
	atomic_thread_fence(memory_order_release);
	header->magic = STATS_MAGIC;
}

bool stats_attach(struct stats *stats, void *memory, size_t size)
{
	const struct header *header = memory;
	if (size < PAGE || header->magic != STATS_MAGIC || header->version != STATS_VERSION)
		return false;
	/* The file may hold anything: sizes are believed only within what a configuration can ask for. */
	if (header->layout.blocks > CONF_WORKERS_MAX)
		return false;
	for (int i = 0; i < STATS_TABLES; i++)
		if (header->layout.rows[i] < 1 || header->layout.rows[i] > CONF_ROWS_MAX)
			return false;
	if (stats_size(&header->layout) != size)
		return false;
	*stats = (struct stats){memory, header->layout};
	return true;
}

static struct row *row_at(const struct stats_block *block, const struct table *table, uint32_t row)
{
	return (struct row *)((char *)block + table->rows) + row;
}

static bool table_is_sound(
	const struct stats_block *block, const struct table *table, const struct table *laid)
{
	uint32_t used = atomic_load_explicit(&table->rows_used, memory_order_relaxed);
	if (table->rows_max != laid->rows_max || table->slots != laid->slots ||
		table->text_max != laid->text_max || table->index != laid->index ||
		table->rows != laid->rows || table->text != laid->text)
		return false;
	if (used < 1 || used > table->rows_max || table->text_used > table->text_max)
		return false;
	for (uint32_t i = 0; i < used; i++) {
		const struct row *row = row_at(block, table, i);
		if (row->len > STATS_KEY_MAX || row->key > table->text_max - row->len)
			return false;
	}
	const stats_u32 *index = (const stats_u32 *)((const char *)block + table->index);
	for (uint32_t i = 0; i < table->slots; i++)
		if (atomic_load_explicit(&index[i], memory_order_relaxed) >= used)
			return false;
	return true;
}

bool stats_is_sound(const struct stats *stats)
{
	struct stats_block laid = {0};
	block_lay(&stats->layout, &laid);
	for (uint32_t i = 0; i < stats->layout.blocks; i++) {
		const struct stats_block *block = stats_block(stats, i);
		for (int j = 0; j < STATS_TABLES; j++)
			if (!table_is_sound(block, &block->tables[j], &laid.tables[j]))
				return false;
	}
	return true;
}

struct stats_block *stats_block(const struct stats *stats, uint32_t index)
{
	return (struct stats_block *)((char *)stats->memory + blocks_offset() +
				      index * block_lay(&stats->layout, NULL));
}

void stats_block_begin(struct stats_block *block)
{
	store(&block->counters[STATS_CONNECTIONS_CLOSED], load(&block->counters[STATS_CONNECTIONS]));
}

void stats_block_reset(struct stats_block *block)
{
	uint64_t open = stats_open(block);
	for (int i = 0; i < STATS_COUNTERS; i++)
		store(&block->counters[i], i == STATS_CONNECTIONS ? open : 0);
	for (int i = 0; i < STATS_TABLES; i++) {
		const struct table *table = &block->tables[i];
		uint32_t used = atomic_load_explicit(&table->rows_used, memory_order_relaxed);
		for (uint32_t j = 0; j < used; j++)
			for (int f = 0; f < STATS_ROW_FIELDS; f++)
				store(&row_at(block, table, j)->fields[f], 0);
	}
}

void stats_add(struct stats_block *block, enum stats_counter counter, uint64_t n)
{
	add(&block->counters[counter], n);
}

static struct span row_key(const struct stats_block *block, const struct table *table, const struct row *row)
{
	return (struct span){(const char *)block + table->text + row->key, row->len};
}

/* FNV-1a; chosen keys can make it collide, which PROBES_MAX bounds. */
static uint32_t key_hash(struct span key)
{
	uint32_t hash = 2166136261u;
	for (size_t i = 0; i < key.len; i++)
		hash = (hash ^ (unsigned char)key.data[i]) * 16777619u;
	return hash ^ hash >> 15;
}

uint32_t stats_row(struct stats_block *block, enum stats_table_id id, struct span key)
{
	struct table *table = &block->tables[id];
	if (key.len == 0 || key.len > STATS_KEY_MAX)
		return STATS_OTHER;

	stats_u32 *index = (stats_u32 *)((char *)block + table->index);
	uint32_t slot = key_hash(key) & (table->slots - 1);
	for (int probe = 0; probe < PROBES_MAX; probe++, slot = (slot + 1) & (table->slots - 1)) {
		uint32_t at = atomic_load_explicit(&index[slot], memory_order_relaxed);
		if (at != 0) {
			if (span_equal(row_key(block, table, row_at(block, table, at)), key))
				return at;
			continue;
		}
		uint32_t used = atomic_load_explicit(&table->rows_used, memory_order_relaxed);
		if (used == table->rows_max || key.len > table->text_max - table->text_used)
			return STATS_OTHER;
		struct row *row = row_at(block, table, used);
		row->key = table->text_used;
		row->len = (uint32_t)key.len;
		memcpy((char *)block + table->text + row->key, key.data, key.len);
		table->text_used += (uint32_t)key.len;
		/* Published for readers with all of it; the index is the writer's alone. */
		atomic_store_explicit(&table->rows_used, used + 1, memory_order_release);
		atomic_store_explicit(&index[slot], used, memory_order_relaxed);
		return used;
	}
	return STATS_OTHER;
}

void stats_row_add(
	struct stats_block *block, enum stats_table_id id, uint32_t row, enum stats_field field, uint64_t n)
{
	add(&row_at(block, &block->tables[id], row)->fields[field], n);
}

uint64_t stats_sum(const struct stats *stats, enum stats_counter counter)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < stats->layout.blocks; i++)
		sum += load(&stats_block(stats, i)->counters[counter]);
	return sum;
}

uint64_t stats_open(const struct stats_block *block)
{
	/* In this order: one that opens and closes in between is not missed twice. */
	uint64_t closed = load(&block->counters[STATS_CONNECTIONS_CLOSED]);
	uint64_t opened = load(&block->counters[STATS_CONNECTIONS]);
	return opened > closed ? opened - closed : 0;
}

size_t stats_rows_max(const struct stats *stats, enum stats_table_id id)
{
	size_t max = 1;
	for (uint32_t i = 0; i < stats->layout.blocks; i++)
		max += atomic_load_explicit(
			&stats_block(stats, i)->tables[id].rows_used, memory_order_acquire);
	return max;
}

static int compare_keys(const void *a, const void *b)
{
	const struct span *x = &((const struct stats_row *)a)->key, *y = &((const struct stats_row *)b)->key;
	size_t shorter = x->len < y->len ? x->len : y->len;
	int order = shorter ? memcmp(x->data, y->data, shorter) : 0;
	return order ? order : (x->len > y->len) - (x->len < y->len);
}

static int compare_counts(const void *a, const void *b)
{
	const struct stats_row *x = a, *y = b;
	uint64_t nx =
		x->fields[STATS_ROW_ACCEPTED] + x->fields[STATS_ROW_TEMPFAIL] + x->fields[STATS_ROW_PERMFAIL];
	uint64_t ny =
		y->fields[STATS_ROW_ACCEPTED] + y->fields[STATS_ROW_TEMPFAIL] + y->fields[STATS_ROW_PERMFAIL];
	if (nx == ny) {
		nx = x->fields[STATS_ROW_CONNECTIONS];
		ny = y->fields[STATS_ROW_CONNECTIONS];
	}
	return nx == ny ? compare_keys(a, b) : nx < ny ? 1 : -1;
}

static bool row_counted(const struct stats_row *row)
{
	for (int f = 0; f < STATS_ROW_FIELDS; f++)
		if (row->fields[f])
			return true;
	return false;
}

size_t stats_rows(const struct stats *stats, enum stats_table_id id, struct stats_row *rows, size_t max)
{
	/* `other` has the empty key, so that it sorts first and merges like any row. */
	size_t count = 0;
	for (uint32_t i = 0; i < stats->layout.blocks; i++) {
		const struct stats_block *block = stats_block(stats, i);
		const struct table *table = &block->tables[id];
		uint32_t used = atomic_load_explicit(&table->rows_used, memory_order_acquire);
		for (uint32_t j = 0; j < used && count < max; j++) {
			const struct row *row = row_at(block, table, j);
			struct stats_row *out = &rows[count++];
			out->key = j == STATS_OTHER ? (struct span){"", 0} : row_key(block, table, row);
			for (int f = 0; f < STATS_ROW_FIELDS; f++)
				out->fields[f] = load(&row->fields[f]);
		}
	}
	qsort(rows, count, sizeof(*rows), compare_keys);
	size_t merged = 0;
	for (size_t i = 0; i < count; i++) {
		if (merged > 0 && span_equal(rows[merged - 1].key, rows[i].key)) {
			for (int f = 0; f < STATS_ROW_FIELDS; f++)
				rows[merged - 1].fields[f] += rows[i].fields[f];
		} else {
			rows[merged++] = rows[i];
		}
	}
	/* What a reset emptied is not shown. */
	size_t shown = 1;
	for (size_t i = 1; i < merged; i++)
		if (row_counted(&rows[i]))
			rows[shown++] = rows[i];
	merged = shown;
	if (merged > 1)
		qsort(rows + 1, merged - 1, sizeof(*rows), compare_counts);
	return merged;
}

uint64_t stats_since(const struct stats *stats)
{
	return load(&((const struct header *)stats->memory)->since_s);
}

void stats_begin_again(const struct stats *stats, uint64_t now_s)
{
	store(&((struct header *)stats->memory)->since_s, now_s);
}

void stats_kernel_restart(const struct stats *stats)
{
	struct header *header = stats->memory;
	for (int i = 0; i < RULESET_COUNTERS; i++) {
		add(&header->counters[i].packets_base, load(&header->counters[i].packets));
		add(&header->counters[i].bytes_base, load(&header->counters[i].bytes));
		store(&header->counters[i].packets, 0);
		store(&header->counters[i].bytes, 0);
	}
}

void stats_kernel_reset(const struct stats *stats)
{
	struct header *header = stats->memory;
	for (int i = 0; i < RULESET_COUNTERS; i++) {
		/* Unsigned: the sum of both is what was counted since. */
		store(&header->counters[i].packets_base, -load(&header->counters[i].packets));
		store(&header->counters[i].bytes_base, -load(&header->counters[i].bytes));
	}
}

static void name_store(stats_u64 *words, const char *name)
{
	uint64_t plain[IFNAMSIZ / sizeof(uint64_t)];
	memcpy(plain, name, sizeof(plain));
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		store(&words[i], plain[i]);
}

static void name_load(char *name, stats_u64 *words)
{
	uint64_t plain[IFNAMSIZ / sizeof(uint64_t)];
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		plain[i] = load(&words[i]);
	memcpy(name, plain, sizeof(plain));
	name[IFNAMSIZ - 1] = '\0';
}

void stats_kernel_write(const struct stats *stats, const struct stats_kernel *kernel)
{
	struct header *header = stats->memory;
	for (int i = 0; i < RULESET_COUNTERS; i++) {
		store(&header->counters[i].packets, kernel->packets[i]);
		store(&header->counters[i].bytes, kernel->bytes[i]);
	}
	atomic_store_explicit(&header->armed, kernel->armed, memory_order_relaxed);
	atomic_store_explicit(&header->owner, kernel->owner, memory_order_relaxed);
	atomic_store_explicit(&header->persist, kernel->persist, memory_order_relaxed);
	atomic_store_explicit(&header->walled, kernel->walled, memory_order_relaxed);
	atomic_store_explicit(&header->device_count, kernel->device_count, memory_order_relaxed);
	for (size_t i = 0; i < STATS_DEVICES_MAX; i++)
		name_store(header->devices[i], kernel->devices[i]);
	atomic_store_explicit(&header->diverting, kernel->diverting, memory_order_relaxed);
	store(&header->read_s, kernel->read_s);
	store(&header->repairs, kernel->repairs);
	store(&header->starts, kernel->starts);
	atomic_store_explicit(&header->escape_queue, kernel->escape_queue, memory_order_relaxed);
	atomic_store_explicit(&header->escape_log, kernel->escape_log, memory_order_relaxed);
	store(&header->escapes_lost, kernel->escapes_lost);
}

void stats_kernel_read(const struct stats *stats, struct stats_kernel *kernel)
{
	struct header *header = stats->memory;
	for (int i = 0; i < RULESET_COUNTERS; i++) {
		kernel->packets[i] =
			load(&header->counters[i].packets) + load(&header->counters[i].packets_base);
		kernel->bytes[i] = load(&header->counters[i].bytes) + load(&header->counters[i].bytes_base);
	}
	kernel->armed = atomic_load_explicit(&header->armed, memory_order_relaxed);
	kernel->owner = atomic_load_explicit(&header->owner, memory_order_relaxed);
	kernel->persist = atomic_load_explicit(&header->persist, memory_order_relaxed);
	kernel->walled = atomic_load_explicit(&header->walled, memory_order_relaxed);
	kernel->device_count = atomic_load_explicit(&header->device_count, memory_order_relaxed);
	for (size_t i = 0; i < STATS_DEVICES_MAX; i++)
		name_load(kernel->devices[i], header->devices[i]);
	kernel->diverting = atomic_load_explicit(&header->diverting, memory_order_relaxed);
	kernel->read_s = load(&header->read_s);
	kernel->repairs = load(&header->repairs);
	kernel->starts = load(&header->starts);
	uint32_t queue = atomic_load_explicit(&header->escape_queue, memory_order_relaxed);
	kernel->escape_queue = queue < RULESET_MEANS ? queue : RULESET_BY_COUNTERS;
	kernel->escape_log = atomic_load_explicit(&header->escape_log, memory_order_relaxed);
	kernel->escapes_lost = load(&header->escapes_lost);
}

void stats_kernel_last(const struct stats *stats, struct stats_kernel *kernel)
{
	struct header *header = stats->memory;
	stats_kernel_read(stats, kernel);
	for (int i = 0; i < RULESET_COUNTERS; i++) {
		kernel->packets[i] = load(&header->counters[i].packets);
		kernel->bytes[i] = load(&header->counters[i].bytes);
	}
}
