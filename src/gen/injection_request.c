#include "injection_request.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static json_t *recipients(const struct mail *mail, struct mail_item item, uint64_t count)
{
	json_t *list = json_array();
	for (uint64_t i = 0; i < count; i++) {
		char address[MAIL_ADDRESS_MAX];
		if (i)
			mail_pick_recipient(mail, i, &item);
		size_t len = mail_put_recipient(&item, address);
		json_array_append_new(list, json_pack("{s:s%}", "email", address, len));
	}
	return list;
}

static json_t *content(const struct mail *mail, const struct mail_item *item, struct span date)
{
	char *whole = malloc(MAIL_HEADER_MAX + mail->text.len);
	if (!whole)
		return NULL;
	size_t len = mail_put_header(mail, item, date, whole);
	memcpy(whole + len, mail->text.data, mail->text.len);
	json_t *text = json_stringn(whole, len + mail->text.len);
	free(whole);
	return text;
}

char *injection_request_make(const struct mail *mail, const struct mail_item *item, uint64_t count,
	struct span date, const struct injection_options *options)
{
	char sender[MAIL_ADDRESS_MAX];
	size_t sender_len = mail_put_sender(item, sender);
	json_t *request = json_pack("{s:s%, s:o, s:o, s:b, s:b}", "envelope_sender", sender, sender_len,
		"content", content(mail, item, date), "recipients", recipients(mail, *item, count),
		"deferred_spool", options->defer_spool, "deferred_generation", options->defer_generation);
	char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	json_decref(request);
	return text;
}

uint64_t injection_response_read(long status, struct span body, uint64_t count, struct gen_verdict *verdict)
{
	if (status < 200 || status > 299) {
		const char *end = body.len ? memchr(body.data, '\n', body.len) : NULL;
		struct span line = {body.data, end ? (size_t)(end - body.data) : body.len};
		*verdict = gen_verdict_of(GEN_PHASE_HTTP, (uint16_t)status, line);
		return count;
	}
	json_t *response = json_loadb(body.data ? body.data : "", body.len, 0, NULL);
	if (!json_is_object(response)) {
		json_decref(response);
		*verdict = gen_verdict_of(
			GEN_PHASE_HTTP, (uint16_t)status, span_of("not the injection API's answer"));
		return count;
	}
	json_int_t failed = json_integer_value(json_object_get(response, "fail_count"));
	const char *why = json_string_value(json_array_get(json_object_get(response, "errors"), 0));
	if (failed > 0)
		*verdict = gen_verdict_of(
			GEN_PHASE_HTTP, (uint16_t)status, span_of(why ? why : "no reason given"));
	json_decref(response);
	return failed < 0 ? 0 : (uint64_t)failed > count ? count : (uint64_t)failed;
}
