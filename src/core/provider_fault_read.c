#include <stdlib.h>
#include <string.h>

#include "provider_key.h"
#include "provider_set.h"

/* Longer than any sender waits. */
#define DELAY_MAX_MS 600000
#define SIGMA_MAX    4
#define MILLION      1000000u

#define DELAY_FORM "write \"2s\", \"1s..5s\" or \"lognormal(2s, 0.8)\", at most 10 minutes"

static bool time_read(struct span text, uint32_t *ms)
{
	uint64_t found;
	if (rate_read_duration(text, &found, NULL) < 0 || found > DELAY_MAX_MS)
		return false;
	*ms = (uint32_t)found;
	return true;
}

/* "lognormal(MEDIAN, SIGMA)" */
static bool lognormal_read(const char *text, struct provider_delay *delay)
{
	static const char lead[] = "lognormal(";
	if (strncmp(text, lead, strlen(lead)) != 0)
		return false;
	text += strlen(lead);
	const char *comma = strchr(text, ',');
	if (!comma || !time_read((struct span){text, (size_t)(comma - text)}, &delay->low_ms))
		return false;
	const char *number = comma + 1 + strspn(comma + 1, " ");
	char *end;
	if (strspn(number, "0123456789.") == 0)
		return false;
	delay->form = PROVIDER_DELAY_LOGNORMAL;
	delay->sigma = strtod(number, &end);
	return strcmp(end, ")") == 0 && delay->sigma <= SIGMA_MAX;
}

static bool delay_read(const char *text, struct provider_delay *delay)
{
	const char *dots = strstr(text, "..");
	if (lognormal_read(text, delay))
		return true;
	if (!dots) {
		delay->form = PROVIDER_DELAY_FIXED;
		return time_read(span_of(text), &delay->low_ms);
	}
	delay->form = PROVIDER_DELAY_UNIFORM;
	return time_read((struct span){text, (size_t)(dots - text)}, &delay->low_ms) &&
	       time_read(span_of(dots + 2), &delay->high_ms) && delay->low_ms <= delay->high_ms;
}

static void delay_key_read(struct provider_reader *reader, const struct toml_node *node, void *to)
{
	struct provider_delay delay = {.form = PROVIDER_DELAY_NONE};
	if (node->type == TOML_STRING && delay_read(node->string, &delay))
		*(struct provider_delay *)to = delay;
	else
		provider_mistake(reader, node, "is no delay; " DELAY_FORM);
}

void provider_read_delays(struct provider_reader *reader, const struct toml_node *node, void *to)
{
	struct provider_key keys[PROVIDER_PHASES + 1] = {{NULL, NULL, 0}};
	struct provider *provider = to;
	if (node->type != TOML_TABLE) {
		provider_mistake(
			reader, node, "wants a table; write [provider.\"%.64s\".delay]", provider->name);
		return;
	}
	for (int i = 0; i < PROVIDER_PHASES; i++)
		keys[i] = (struct provider_key){
			provider_phase_name(i), delay_key_read, (size_t)i * sizeof(provider->delays[0])};
	provider_keys_read(reader, keys, "delay", node, provider->delays);
}

static void form_read(struct provider_reader *reader, const struct toml_node *node, void *form)
{
	static const char *const words[] = {
		[PROVIDER_FAULT_RESET] = "reset",
		[PROVIDER_FAULT_CLOSE] = "close",
		[PROVIDER_FAULT_STALL] = "stall",
		[PROVIDER_FAULT_TRUNCATE] = "truncate",
		[PROVIDER_FAULT_GARBLE] = "garble",
		NULL,
	};
	int found = provider_word(reader, node, words);
	if (found >= 0)
		*(enum provider_fault_form *)form = (enum provider_fault_form)found;
}

static const struct provider_key fault_keys[] = {
	{"form", form_read, offsetof(struct provider_fault, form)},
	{"phase", provider_read_phase, offsetof(struct provider_fault, phase)},
	{"odds", provider_read_percent, offsetof(struct provider_fault, odds_ppm)},
	{NULL, NULL, 0},
};

void provider_read_faults(struct provider_reader *reader, const struct toml_node *node, void *to)
{
	struct provider *provider = to;
	uint64_t sums[PROVIDER_PHASES] = {0};
	if (node->type != TOML_ARRAY) {
		provider_mistake(reader, node,
			"wants an array; write fault = [{form = \"reset\", phase = \"rcpt\", odds = 0.5}]");
		return;
	}
	struct provider_fault *faults =
		provider_memory(reader->set, (node->count ? node->count : 1) * sizeof(*faults));
	if (!faults)
		return;
	for (size_t i = 0; i < node->count; i++) {
		const struct toml_node *item = &node->items[i];
		if (item->type != TOML_TABLE || item->count != 3) {
			provider_mistake(reader, item, "fault wants items of form, phase and odds");
			return;
		}
		provider_keys_read(reader, fault_keys, "fault", item, &faults[i]);
		sums[faults[i].phase] += faults[i].odds_ppm;
		if (sums[faults[i].phase] > MILLION)
			provider_mistake(reader, item,
				"fault: the odds of phase \"%s\" are over 100 %% together; lower one",
				provider_phase_name(faults[i].phase));
	}
	provider->faults = faults;
	provider->fault_count = node->count;
}
