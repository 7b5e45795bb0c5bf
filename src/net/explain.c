#include "explain.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "conf_suggest.h"
#include "forced.h"
#include "mapped.h"
#include "reply_text.h"
#include "smtp_text.h"

static const char *const statuses[] = {
	[MX_FOUND] = "found",
	[MX_NULL] = "null MX: the domain takes no mail",
	[MX_NO_DOMAIN] = "no such domain",
	[MX_UNKNOWN] = "no answer",
};

/* `storage` keeps what the path's parts point to. */
static bool read_recipient(const char *address, char *storage, size_t size, struct smtp_path *path)
{
	if ((size_t)snprintf(storage, size, "<%s>", address) >= size)
		return false;
	struct span rest = span_of(storage);
	return smtp_text_path(&rest, path) == 0 && rest.len == 0 && path->domain.len > 0 &&
	       smtp_text_charset(path->mailbox) != SMTP_CHARSET_BROKEN;
}

bool explain_is_recipient(const char *address)
{
	char storage[EXPLAIN_ADDRESS_MAX + 2];
	struct smtp_path path;
	return read_recipient(address, storage, sizeof(storage), &path);
}

static json_t *json_number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *answer_json(const struct mx_answer *answer)
{
	json_t *dns = json_object(), *hosts = json_array(), *addresses = json_array();
	char text[INET6_ADDRSTRLEN];
	json_object_set_new(dns, "status", json_string(answer ? statuses[answer->status] : "not asked"));
	for (size_t i = 0; answer && i < answer->host_count; i++)
		json_array_append_new(
			hosts, json_pack("{s:i,s:s}", "preference", (int)answer->hosts[i].preference, "host",
				       answer->hosts[i].name));
	for (size_t i = 0; answer && i < answer->address_count; i++)
		json_array_append_new(addresses, json_string(mapped_text(&answer->addresses[i], text)));
	json_object_set_new(dns, "mx", hosts);
	json_object_set_new(dns, "addresses", addresses);
	return dns;
}

/* A suffix or name of the provider's that the answer's first host has. */
static const char *matched_by(const struct provider *provider, const struct mx_answer *answer)
{
	const char *host = answer && answer->host_count ? answer->hosts[0].name : "";
	for (size_t i = 0; i < provider->mx_suffix_count; i++) {
		size_t len = strlen(provider->mx_suffixes[i]), host_len = strlen(host);
		if (host_len >= len && strcmp(host + host_len - len, provider->mx_suffixes[i]) == 0)
			return provider->mx_suffixes[i];
	}
	for (size_t i = 0; i < provider->mx_name_count; i++)
		if (strcmp(host, provider->mx_names[i]) == 0)
			return provider->mx_names[i];
	return NULL;
}

static json_t *provider_json(const struct provider *provider, const struct mx_answer *answer)
{
	char why[320];
	const char *by = matched_by(provider, answer);
	if (by)
		snprintf(why, sizeof(why), "every MX host has %.256s", by);
	else if (provider->index == 0)
		snprintf(why, sizeof(why), "no profile matches: \"default\" answers");
	else
		snprintf(why, sizeof(why), "the domain is one of the profile's own");
	return json_pack("{s:s,s:s,s:s,s:i}", "name", provider->name, "why", why, "file", provider->file,
		"line", (int)provider->line);
}

/* The odds of a reply that is drawn, in percent of all recipients; those of a limit have none. */
static json_t *odds_json(const struct provider *provider, const struct provider_reply *reply)
{
	uint32_t ppm = reply->kind == PROVIDER_BOUNCE  ? provider->bounce_ppm
		       : reply->kind == PROVIDER_DEFER ? provider->defer_ppm
						       : 0;
	if (reply->kind > PROVIDER_DEFER || provider->weight[reply->kind] == 0)
		return json_null();
	return json_real((double)ppm / 1e4 * reply->weight / (double)provider->weight[reply->kind]);
}

static json_t *replies_json(const struct provider *provider)
{
	json_t *list = json_array();
	for (size_t i = 0; i < provider->reply_count; i++) {
		const struct provider_reply *reply = &provider->replies[i];
		json_array_append_new(
			list, json_pack("{s:s,s:s,s:o,s:i,s:s,s:s,s:s,s:i}", "phase",
				      provider_phase_name(reply->phase), "kind",
				      provider_kind_name(reply->kind), "percent", odds_json(provider, reply),
				      "code", (int)reply->code, "enhanced", reply->enhanced, "text",
				      reply->text, "file", reply->file, "line", (int)reply->line));
	}
	return list;
}

static json_t *limits_json(const struct provider *provider)
{
	const struct provider_limits *limits = &provider->limits;
	const struct {
		const char *name;
		uint64_t count;
		uint32_t period_s;
	} all[] = {
		{"connection_limit", limits->site_connections, 0},
		{"provider_connection_limit", limits->provider_connections, 0},
		{"max_connection_rate", limits->connection_rate.count, limits->connection_rate.period_s},
		{"max_message_rate", limits->message_rate.count, limits->message_rate.period_s},
		{"max_deliveries_per_connection", limits->deliveries_per_connection, 0},
		{"max_recipients_per_message", limits->recipients_per_message, 0},
		{"max_message_size", limits->message_size, 0},
	};
	json_t *list = json_array();
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (all[i].count == 0)
			continue;
		json_t *limit =
			json_pack("{s:s,s:I}", "name", all[i].name, "count", (json_int_t)all[i].count);
		if (all[i].period_s)
			json_object_set_new(limit, "per_s", json_number(all[i].period_s));
		json_array_append_new(list, limit);
	}
	return list;
}

/* An outcome that the address itself asks for; NULL where it asks for none. */
static json_t *asked_json(const struct policy *policy, const char *address)
{
	char storage[EXPLAIN_ADDRESS_MAX + 2];
	struct smtp_path path;
	struct forced forced;
	if (!read_recipient(address, storage, sizeof(storage), &path) ||
		!policy_asked(policy, &path, SMTP_PHASE_RCPT, &forced))
		return NULL;
	if (forced.accept)
		return json_pack("{s:b}", "accept", 1);
	return json_pack("{s:b,s:s,s:i,s:s%}", "accept", 0, "phase", provider_phase_name(forced.phase),
		"code", (int)forced.reply.code, "enhanced", forced.reply.enhanced.data,
		forced.reply.enhanced.len);
}

/* What comes before the odds. */
static void add_precedence(json_t *all, const struct policy *policy, const struct policy_state *state,
	struct span domain, const struct provider *provider, const struct in6_addr *from, uint64_t now_ms)
{
	char source[INET6_ADDRSTRLEN];
	size_t injected = injections_for(state->injections, domain, provider ? provider->name : "",
		from ? mapped_text(from, source) : NULL, now_ms);
	json_t *asked = asked_json(policy, json_string_value(json_object_get(all, "address")));
	if (injected > 0)
		json_object_set_new(all, "injected", json_number(injected));
	if (asked)
		json_object_set_new(all, "asked", asked);
}

json_t *explain_address(const struct policy *policy, const struct policy_state *state, const char *address,
	const struct in6_addr *from, const struct in6_addr *to, const struct mx_answer *answer,
	uint64_t now_ms)
{
	const char *at = strrchr(address, '@');
	struct span domain = span_of(at ? at + 1 : address);
	json_t *all = json_pack("{s:s,s:o}", "address", address, "dns", answer_json(answer));
	if (!policy->providers) {
		json_object_set_new(
			all, "mode", json_string("sink: accepted, unless injected or asked otherwise"));
		add_precedence(all, policy, state, domain, NULL, from, now_ms);
		return all;
	}
	struct policy_mx mx = policy_mx_of(policy, domain, answer);
	const struct provider *provider = mx.provider;
	add_precedence(all, policy, state, domain, provider, from, now_ms);
	char site[512] = "";
	if (answer && answer->status == MX_FOUND)
		mx_site_name(answer, site, sizeof(site));
	json_object_set_new(all, "provider", provider_json(provider, answer));
	json_object_set_new(all, "site", json_string(site));
	json_object_set_new(all, "bounce_percent", json_real(provider->bounce_ppm / 1e4));
	json_object_set_new(all, "defer_percent", json_real(provider->defer_ppm / 1e4));
	json_object_set_new(all, "limits", limits_json(provider));
	json_object_set_new(all, "replies", replies_json(provider));
	if (to && answer)
		json_object_set_new(all, "served_at_destination", json_boolean(mx_has_address(answer, to)));
	if (to && answer && policy->conf->answer.mx_mismatch == CONF_MX_MISMATCH_REJECT)
		json_object_set_new(all, "mx_mismatch", json_string("reject"));
	if (from) {
		struct policy_standing standing;
		policy_standing(state, provider, from, now_ms, &standing);
		json_object_set_new(all, "sender",
			json_pack("{s:i,s:i}", "connections", (int)standing.connections, "violations",
				(int)standing.violations));
	}
	return all;
}

/* A number of the request's, 0 where it names none. */
static int read_number(const json_t *value, const char *key, uint32_t *number, struct err *err)
{
	const json_t *found = json_object_get(value, key);
	json_int_t wanted = json_integer_value(found);
	*number = 0;
	if (found && (!json_is_integer(found) || wanted < 0 || wanted > UINT32_MAX))
		return err_set(err, -EINVAL, "%s: say a whole number from 0 to %" PRIu32, key, UINT32_MAX);
	*number = (uint32_t)wanted;
	return 0;
}

static const char *text_of(const json_t *value, const char *key)
{
	const char *text = json_string_value(json_object_get(value, key));
	return text ? text : "";
}

/* -1 where no phase or action has the name. */
static int phase_of(const char *name)
{
	for (int i = 0; i < PROVIDER_PHASES; i++)
		if (strcmp(name, provider_phase_name(i)) == 0)
			return i;
	return -1;
}

static const char *const actions[] = {"reply", "reply_close", "close", "reset", "hang"};

static int action_of(const char *name)
{
	for (int i = 0; i < (int)(sizeof(actions) / sizeof(actions[0])); i++)
		if (strcmp(name, actions[i]) == 0)
			return i;
	return -1;
}

static int check_provider(const struct provider_set *providers, const char *name, struct err *err)
{
	if (!name[0] || (providers && provider_by_name(providers, span_of(name))))
		return 0;
	if (!providers)
		return err_set(
			err, -EINVAL, "provider \"%s\": with answer.mode = \"sink\" there are none", name);
	struct conf_suggest suggest = {.word = name};
	for (size_t i = 0; i < provider_count(providers); i++)
		conf_suggest_offer(&suggest, provider_at(providers, i)->name);
	if (suggest.best)
		return err_set(err, -EINVAL, "provider \"%s\" is unknown (did you mean \"%s\"?)", name,
			suggest.best);
	return err_set(err, -EINVAL, "provider \"%s\" is unknown; `mxmirage replies` lists them", name);
}

static int read_source(const char *text, char source[INET6_ADDRSTRLEN], struct err *err)
{
	struct in6_addr address;
	if (!text[0])
		return 0;
	if (!mapped_read(text, &address))
		return err_set(
			err, -EINVAL, "source \"%s\" is no IP address: say one, such as 192.0.2.11", text);
	mapped_text(&address, source);
	return 0;
}

int explain_read_injection(const json_t *value, const struct provider_set *providers, uint64_t now_ms,
	struct injection *injection, struct err *err)
{
	*injection = (struct injection){0};
	const char *phase = text_of(value, "phase"), *action = text_of(value, "action");
	const char *text = text_of(value, "text");
	int at = phase_of(phase[0] ? phase : "rcpt"), act = action_of(action[0] ? action : "reply");
	uint32_t code, delay, seconds, count;
	if (read_number(value, "code", &code, err) < 0 || read_number(value, "delay_ms", &delay, err) < 0 ||
		read_number(value, "seconds", &seconds, err) < 0 ||
		read_number(value, "count", &count, err) < 0)
		return -EINVAL;
	if (at < 0)
		return err_set(err, -EINVAL,
			"phase \"%s\" is none: say connect, ehlo, mail, rcpt, data or end_of_data", phase);
	if (act < 0)
		return err_set(err, -EINVAL,
			"action \"%s\" is none: say reply, reply_close, close, reset or hang", action);
	if (act >= PROVIDER_CLOSE && code == 0)
		code = 421; /* never said: the connection ends instead */
	if ((code != 0 || delay == 0) && (code < 400 || code > 599))
		return err_set(err, -EINVAL,
			"code %" PRIu32 " is no refusal: say 400 to 599, or only a delay", code);
	const char *enhanced = text_of(value, "enhanced");
	if (enhanced[0] && !reply_text_is_enhanced(enhanced))
		return err_set(err, -EINVAL, "enhanced: say a code such as 4.7.1, or none");
	if (enhanced[0] && code > 0 && (uint32_t)(enhanced[0] - '0') != code / 100)
		return err_set(err, -EINVAL,
			"code %" PRIu32 " and enhanced %.15s contradict: begin both with the same digit",
			code, enhanced);
	if (delay > 600000)
		return err_set(err, -EINVAL, "delay of %" PRIu32 " s: say 600 s at most", delay / 1000);
	if (text_of(value, "domain")[0] && at != SMTP_PHASE_RCPT)
		return err_set(err, -EINVAL,
			"a recipient's domain is known in phase rcpt alone: leave phase or domain out");
	if (strlen(text_of(value, "domain")) >= sizeof(injection->domain))
		return err_set(err, -EINVAL, "domain: longer than a domain can be");
	if (strlen(text) >= sizeof(injection->text) || reply_text_check(text, err) < 0)
		return err_prefix(err, -EINVAL, "text");
	if (check_provider(providers, text_of(value, "provider"), err) < 0 ||
		read_source(text_of(value, "source"), injection->source, err) < 0)
		return -EINVAL;
	snprintf(injection->domain, sizeof(injection->domain), "%s", text_of(value, "domain"));
	snprintf(injection->provider, sizeof(injection->provider), "%s", text_of(value, "provider"));
	snprintf(injection->enhanced, sizeof(injection->enhanced), "%s", enhanced);
	snprintf(injection->text, sizeof(injection->text), "%s", text[0] ? text : "Injected");
	injection->phase = (enum smtp_phase)at;
	injection->reply = (struct provider_reply){
		.kind = code >= 500 ? PROVIDER_BOUNCE : PROVIDER_DEFER,
		.phase = (enum smtp_phase)at,
		.action = (enum provider_action)act,
		.code = code,
		.weight = 1,
		.wording = "current",
		.source = "inject",
		.seen = "",
		.file = "inject",
	};
	injection->delay_ms = delay;
	injection->until_ms = seconds ? now_ms + seconds * UINT64_C(1000) : 0;
	injection->count = count;
	return 0;
}

json_t *explain_injections(const struct injections *injections, uint64_t now_ms)
{
	json_t *list = json_array();
	struct injection injection;
	uint32_t used;
	for (size_t i = 0; injections_at(injections, i, &injection, &used); i++) {
		json_t *one = json_pack("{s:s,s:s,s:s,s:s,s:s,s:I,s:s,s:s,s:I,s:I,s:I}", "domain",
			injection.domain, "provider", injection.provider, "source", injection.source, "phase",
			provider_phase_name(injection.phase), "action", actions[injection.reply.action],
			"code", (json_int_t)injection.reply.code, "enhanced", injection.enhanced, "text",
			injection.text, "delay_ms", (json_int_t)injection.delay_ms, "used", (json_int_t)used,
			"count", (json_int_t)injection.count);
		if (injection.until_ms)
			json_object_set_new(one, "seconds_left",
				json_number(injection.until_ms > now_ms
						    ? (injection.until_ms - now_ms + 999) / 1000
						    : 0));
		json_array_append_new(list, one);
	}
	return json_pack("{s:o}", "injections", list);
}
