#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "columns.h"
#include "text.h"

/* Addresses in a line, about. */
#define LINE 90

static const char *string(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	return text ? text : "";
}

static void print_dns(const json_t *dns)
{
	size_t i;
	json_t *one;
	printf("MX         %s\n", string(dns, "status"));
	json_array_foreach(json_object_get(dns, "mx"), i, one) printf("           %5lld %s\n",
		json_integer_value(json_object_get(one, "preference")), string(one, "host"));
	const json_t *addresses = json_object_get(dns, "addresses");
	int used = 0;
	json_array_foreach(addresses, i, one)
	{
		if (i == 0 || used > LINE)
			used = printf("%s%-10s", i == 0 ? "" : "\n", i == 0 ? "addresses" : "");
		used += printf(" %s", json_string_value(one));
	}
	if (used > 0)
		printf("\n");
}

/* As the configuration has it where it can: 100/min. */
static void print_rate(uint64_t period_s)
{
	switch (period_s) {
	case 1:
		printf("/s");
		break;
	case 60:
		printf("/min");
		break;
	case 3600:
		printf("/h");
		break;
	case 86400:
		printf("/d");
		break;
	default:
		printf(" per %s", text_duration(period_s).chars);
	}
}

static void print_limits(const json_t *limits)
{
	size_t i;
	json_t *one;
	json_array_foreach(limits, i, one)
	{
		json_int_t per = json_integer_value(json_object_get(one, "per_s"));
		printf("%-10s %s = %s", i == 0 ? "limits" : "", string(one, "name"),
			text_number((uint64_t)json_integer_value(json_object_get(one, "count"))).chars);
		if (per)
			print_rate((uint64_t)per);
		printf("\n");
	}
}

static const struct column columns[] = {
	{.title = "odds", .number = true},
	{.title = "phase"},
	{.title = "when", .width_max = 29},
	{.title = "reply", .elastic = true},
	{.title = "from", .expendable = true},
};

static void print_replies(const json_t *replies)
{
	size_t i;
	json_t *one;
	struct columns *table = columns_new(columns, sizeof(columns) / sizeof(columns[0]));
	if (!table || json_array_size(replies) == 0)
		goto out;
	json_array_foreach(replies, i, one)
	{
		char odds[16] = "limit", reply[1024], where[300];
		if (json_is_real(json_object_get(one, "percent")))
			snprintf(odds, sizeof(odds), "%.2f %%",
				json_real_value(json_object_get(one, "percent")));
		snprintf(reply, sizeof(reply), "%lld %s%s%s",
			json_integer_value(json_object_get(one, "code")), string(one, "enhanced"),
			string(one, "enhanced")[0] ? " " : "", string(one, "text"));
		for (char *p = reply; *p; p++)
			if (*p == '\n')
				*p = ' ';
		snprintf(where, sizeof(where), "%s:%lld", string(one, "file"),
			json_integer_value(json_object_get(one, "line")));
		const char *const cells[] = {odds, string(one, "phase"), string(one, "kind"), reply, where};
		columns_add(table, cells);
	}
	printf("\n");
	if (columns_print(table, stdout, 1, columns_of_terminal()) < 0)
		fprintf(stderr, "mxmirage: no memory for the replies\n");
out:
	columns_free(table);
}

/* What comes before the odds. */
static void print_precedence(const json_t *answer)
{
	const json_t *asked = json_object_get(answer, "asked");
	json_int_t injected = json_integer_value(json_object_get(answer, "injected"));
	if (injected > 0)
		printf("injected   %lld, before all else: `mxmirage inject` lists what\n", injected);
	if (asked && json_is_true(json_object_get(asked, "accept")))
		printf("asks for   acceptance, whatever the odds (answer.forced)\n");
	else if (asked)
		printf("asks for   %lld%s%s at %s, whatever the odds (answer.forced)\n",
			json_integer_value(json_object_get(asked, "code")),
			string(asked, "enhanced")[0] ? " " : "", string(asked, "enhanced"),
			string(asked, "phase"));
}

static void print_destination(const json_t *answer)
{
	const json_t *served = json_object_get(answer, "served_at_destination");
	if (!served)
		return;
	printf("dials      %s\n",
		json_is_true(served) ? "one of the domain's MX hosts"
		: string(answer, "mx_mismatch")[0]
			? "none of the domain's MX hosts: refused as a relay attempt, if the host "
			  "is known to be another provider's (answer.mx_mismatch)"
			: "none of the domain's MX hosts");
}

static void print(const json_t *answer)
{
	const json_t *provider = json_object_get(answer, "provider"),
		     *sender = json_object_get(answer, "sender");
	printf("address    %s\n", string(answer, "address"));
	if (string(answer, "mode")[0]) {
		printf("mode       %s\n", string(answer, "mode"));
		print_precedence(answer);
		return;
	}
	print_precedence(answer);
	print_dns(json_object_get(answer, "dns"));
	printf("provider   %s: %s (%s:%lld)\n", string(provider, "name"), string(provider, "why"),
		string(provider, "file"), json_integer_value(json_object_get(provider, "line")));
	if (string(answer, "site")[0])
		printf("site       %s\n", string(answer, "site"));
	print_destination(answer);
	printf("odds       %.2f %% bounce, %.2f %% defer\n",
		json_real_value(json_object_get(answer, "bounce_percent")),
		json_real_value(json_object_get(answer, "defer_percent")));
	print_limits(json_object_get(answer, "limits"));
	if (sender)
		printf("sender     %lld connections open, %lld limits passed within the hour\n",
			json_integer_value(json_object_get(sender, "connections")),
			json_integer_value(json_object_get(sender, "violations")));
	print_replies(json_object_get(answer, "replies"));
}

static void add_parameter(char *path, size_t size, const char *name, const char *value)
{
	if (!value)
		return;
	size_t used = strlen(path);
	char *escaped = curl_easy_escape(NULL, value, 0);
	snprintf(path + used, size - used, "%c%s=%s", strchr(path, '?') ? '&' : '?', name,
		escaped ? escaped : "");
	curl_free(escaped);
}

enum exit_code command_explain(const struct command *command, const struct options *options)
{
	(void)command;
	char path[1900] = "/api/v1/explain";
	json_t *answer;
	add_parameter(path, sizeof(path), "address", options->argv[0]);
	add_parameter(path, sizeof(path), "from", options->from);
	add_parameter(path, sizeof(path), "to", options->to);
	enum exit_code code = client_ask(options, CLIENT_GET, path, &answer);
	return code == EXIT_CODE_OK ? client_show(options, answer, print) : code;
}
