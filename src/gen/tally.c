#include "tally.h"

static bool is_same(const struct gen_verdict *a, const struct gen_verdict *b)
{
	struct span a_text = {a->text, a->text_len}, b_text = {b->text, b->text_len};
	if (a->phase != b->phase || a->code != b->code)
		return false;
	return a->code ? span_equal(reply_enhanced(a_text), reply_enhanced(b_text))
		       : span_equal(a_text, b_text);
}

static struct tally_failure *row_for(struct tally *tally, const struct gen_verdict *verdict)
{
	for (size_t i = 0; i < TALLY_FAILURES; i++) {
		struct tally_failure *row = &tally->failures[i];
		bool empty = row->messages + row->connections == 0;
		if (!empty && !is_same(&row->verdict, verdict))
			continue;
		if (empty)
			row->verdict = *verdict;
		return row;
	}
	return &tally->failures[TALLY_FAILURES - 1];
}

void tally_failure(
	struct tally *tally, const struct gen_verdict *verdict, uint64_t messages, uint64_t connections)
{
	struct tally_failure *row = row_for(tally, verdict);
	row->messages += messages;
	row->connections += connections;
}

void tally_merge(struct tally *into, const struct tally *from)
{
	for (int i = 0; i < TALLY_COUNTERS; i++)
		tally_add(into, i, tally_get(from, i));
	for (size_t i = 0; i < TALLY_FAILURES; i++) {
		const struct tally_failure *row = &from->failures[i];
		if (row->messages + row->connections)
			tally_failure(into, &row->verdict, row->messages, row->connections);
	}
	histogram_merge(&into->latency, &from->latency);
}
