#include "prove_report.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "columns.h"
#include "text.h"

static const struct column columns[] = {
	{.title = "path"},
	{.title = "by way of", .elastic = true},
	{.title = "IP", .number = true},
	{.title = "port", .number = true},
	{.title = "expected"},
	{.title = "happened"},
	{.title = "detail", .expendable = true, .width_max = 48},
};

#define COLUMNS (sizeof(columns) / sizeof(columns[0]))

/* The outcomes in order, without those that say that there was nothing to send: "diverted or refused". */
static void expected_format(const struct canary_kind *kind, char *text, size_t size)
{
	static const enum canary_outcome shown[] = {
		CANARY_DIVERTED, CANARY_REFUSED, CANARY_STOPPED, CANARY_SILENT};
	size_t used = 0;
	text[0] = '\0';
	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
		if (kind->in_order & 1u << shown[i] && used < size)
			used += (size_t)snprintf(text + used, size - used, "%s%s", used ? " or " : "",
				canary_outcome_name(shown[i]));
}

static int version_of(const struct canary *canary)
{
	return canary->destination.family == AF_INET ? 4 : 6;
}

static bool alike(const struct canary *a, const struct canary *b)
{
	return a->kind == b->kind && a->port == b->port && a->outcome == b->outcome &&
	       version_of(a) == version_of(b) && strcmp(a->detail, b->detail) == 0;
}

/* Those that follow and ended alike; every one that is not in order has its own line. */
static size_t alike_count(const struct canary *canaries, size_t count)
{
	size_t same = 1;
	if (!canary_in_order(canaries))
		return same;
	while (same < count && alike(canaries, &canaries[same]))
		same++;
	return same;
}

static void row_add(struct columns *table, const struct canary *canary, size_t same)
{
	char where[224], version[8], port[8], expected[64], happened[64];
	if (same > 2)
		snprintf(where, sizeof(where), "%s and %s more", canary->where, text_number(same - 1).chars);
	else
		snprintf(where, sizeof(where), "%s%s%s", canary->where, same == 2 ? " and " : "",
			same == 2 ? canary[1].where : "");
	snprintf(version, sizeof(version), "v%d", version_of(canary));
	snprintf(port, sizeof(port), "%u", canary->port);
	expected_format(canary->kind, expected, sizeof(expected));
	snprintf(happened, sizeof(happened), "%s%s%s%s", canary_outcome_name(canary->outcome),
		canary->seen_on[0] ? " by " : "", canary->seen_on, canary_in_order(canary) ? "" : " !");
	const char *cells[COLUMNS] = {canary->kind->name, where, version,
		canary->kind->portless ? "none" : port, expected, happened, canary->detail};
	columns_add(table, cells);
}

static void verdict_print(const struct proof *proof, FILE *to)
{
	size_t left = 0, faults = 0, sent = 0;
	for (size_t i = 0; i < proof->plan.count; i++) {
		const struct canary *canary = &proof->plan.canaries[i];
		left += canary->outcome == CANARY_LEFT;
		faults += !canary_in_order(canary);
		sent += canary->outcome != CANARY_UNTESTED;
	}
	switch (proof_verdict(proof)) {
	case PROOF_HOLDS:
		fprintf(to, "proven: of %s canaries none left this host\n", text_number(sent).chars);
		break;
	case PROOF_FAILED:
		fprintf(to, "not proven: none of %s canaries left this host, but ", text_number(sent).chars);
		if (faults > 0)
			fprintf(to, "%s ended otherwise than expected (marked !)\n",
				text_number(faults).chars);
		else
			fprintf(to, "not everything could be tried\n");
		break;
	case PROOF_LEAK:
		fprintf(to, "LEAK: %s of %s canaries left this host\n", text_number(left).chars,
			text_number(sent).chars);
		fprintf(to,
			"`mxmirage guard status` says whether the guard stands, `mxmirage guard arm` raises "
			"it, `mxmirage doctor` looks for what is in its way\n");
	}
}

int prove_report_print(const struct proof *proof, FILE *to, unsigned width)
{
	struct columns *table = columns_new(columns, COLUMNS);
	if (!table)
		return -ENOMEM;
	for (size_t i = 0; i < proof->plan.count;) {
		size_t same = alike_count(&proof->plan.canaries[i], proof->plan.count - i);
		row_add(table, &proof->plan.canaries[i], same);
		i += same;
	}
	int code = columns_print(table, to, 0, width);
	columns_free(table);
	fputc('\n', to);
	for (size_t i = 0; i < proof->untested_count; i++)
		fprintf(to, "not tested: %s\n", proof->untested[i]);
	for (size_t i = 0; i < proof->unproven_count; i++)
		fprintf(to, "unproven: %s\n", proof->unproven[i]);
	if (proof_verdict(proof) != PROOF_LEAK)
		fprintf(to, "what was stopped of them counts in `mxmirage status`, as attempts to get out; "
			    "`mxmirage reset` forgets it\n");
	verdict_print(proof, to);
	return code;
}

static json_t *canary_json(const struct canary *canary)
{
	char expected[64], address[ADDRESS_TEXT_MAX];
	expected_format(canary->kind, expected, sizeof(expected));
	address_format(&canary->destination, address);
	json_t *row = json_pack("{s:s,s:s,s:i,s:s,s:s,s:s,s:b}", "path", canary->kind->name, "way",
		canary->where, "ip", version_of(canary), "to", address, "expected", expected, "happened",
		canary->outcome == CANARY_LEFT ? "left" : canary_outcome_name(canary->outcome), "in_order",
		canary_in_order(canary));
	if (!canary->kind->portless)
		json_object_set_new(row, "port", json_integer(canary->port));
	if (canary->seen_on[0])
		json_object_set_new(row, "device", json_string(canary->seen_on));
	if (canary->detail[0]) {
		/* A greeting may be anything. */
		char safe[sizeof(canary->detail)];
		text_safe(canary->detail, safe, sizeof(safe));
		json_object_set_new(row, "detail", json_string(safe));
	}
	return row;
}

static json_t *notes_json(const char notes[][PROOF_NOTE_MAX], size_t count)
{
	json_t *array = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(array, json_string(notes[i]));
	return array;
}

int prove_report_json(const struct proof *proof, FILE *to)
{
	static const char *const verdicts[] = {
		[PROOF_HOLDS] = "proven", [PROOF_FAILED] = "not proven", [PROOF_LEAK] = "leak"};
	json_t *canaries = json_array();
	for (size_t i = 0; i < proof->plan.count; i++)
		json_array_append_new(canaries, canary_json(&proof->plan.canaries[i]));
	json_t *all = json_pack("{s:s,s:i,s:o,s:o,s:o}", "verdict", verdicts[proof_verdict(proof)],
		"controls", (int)proof->controls, "canaries", canaries, "not_tested",
		notes_json(proof->untested, proof->untested_count), "unproven",
		notes_json(proof->unproven, proof->unproven_count));
	int code = all && json_dumpf(all, to, JSON_INDENT(2)) == 0 ? 0 : -ENOMEM;
	fputc('\n', to);
	json_decref(all);
	return code;
}
