#include "smtp_param.h"

#include <errno.h>

#include "smtp_text.h"

static const struct smtp_reply malformed = SMTP_REPLY(501, "5.5.4", "Bad parameter");

struct parameter {
	const char *key;
	/* Returns the refusal or NULL. */
	const struct smtp_reply *(*take)(struct smtp *smtp, const struct smtp_param *param);
};

static const struct smtp_reply *take_size(struct smtp *smtp, const struct smtp_param *param)
{
	/* size-value = 1*20DIGIT (RFC 1870 4), which may be more than 64 bits hold. */
	if (param->value.len > 20)
		return &malformed;
	int rc = smtp_text_number(param->value, &smtp->declared_size);
	if (rc == -ERANGE)
		smtp->declared_size = UINT64_MAX;
	/* Whether it is too much, the caller may say in words of its own. */
	return rc == -EINVAL ? &malformed : NULL;
}

static const struct smtp_reply *take_body(struct smtp *smtp, const struct smtp_param *param)
{
	if (span_is(param->value, "8BITMIME"))
		smtp->message.flags |= SMTP_FLAG_8BIT;
	else if (!span_is(param->value, "7BIT"))
		return &malformed;
	return NULL;
}

static const struct smtp_reply *take_smtputf8(struct smtp *smtp, const struct smtp_param *param)
{
	if (param->has_value)
		return &malformed;
	smtp->message.flags |= SMTP_FLAG_SMTPUTF8;
	return NULL;
}

static const struct smtp_reply *take_ret(struct smtp *smtp, const struct smtp_param *param)
{
	(void)smtp;
	return span_is(param->value, "FULL") || span_is(param->value, "HDRS") ? NULL : &malformed;
}

static const struct smtp_reply *take_envid(struct smtp *smtp, const struct smtp_param *param)
{
	(void)smtp;
	return smtp_text_is_xtext(param->value) ? NULL : &malformed;
}

static const struct smtp_reply *take_notify(struct smtp *smtp, const struct smtp_param *param)
{
	(void)smtp;
	struct span rest = param->value;
	if (span_is(rest, "NEVER"))
		return NULL;
	for (;;) {
		const char *comma = rest.len ? memchr(rest.data, ',', rest.len) : NULL;
		struct span word = {rest.data, comma ? (size_t)(comma - rest.data) : rest.len};
		if (!span_is(word, "SUCCESS") && !span_is(word, "FAILURE") && !span_is(word, "DELAY"))
			return &malformed;
		if (!comma)
			return NULL;
		rest = span_from(rest, word.len + 1);
	}
}

/* addr-type ";" xtext (RFC 3461 4.2) */
static const struct smtp_reply *take_orcpt(struct smtp *smtp, const struct smtp_param *param)
{
	(void)smtp;
	struct span value = param->value;
	const char *divider = value.len ? memchr(value.data, ';', value.len) : NULL;
	if (!divider || divider == value.data)
		return &malformed;
	struct span address = span_from(value, (size_t)(divider - value.data) + 1);
	return smtp_text_is_xtext(address) ? NULL : &malformed;
}

static const struct parameter mail_parameters[] = {
	{"SIZE", take_size},
	{"BODY", take_body},
	{"SMTPUTF8", take_smtputf8},
	{"RET", take_ret},
	{"ENVID", take_envid},
	{NULL, NULL},
};

static const struct parameter rcpt_parameters[] = {
	{"NOTIFY", take_notify},
	{"ORCPT", take_orcpt},
	{NULL, NULL},
};

static const struct smtp_reply *take_all(struct smtp *smtp, struct span rest, const struct parameter *known)
{
	static const struct smtp_reply unknown = SMTP_REPLY(555, "5.5.4", "Unsupported parameter");
	unsigned seen = 0; /* a bit for each row of known */
	struct smtp_param param;
	int rc;
	while ((rc = smtp_text_param(&rest, &param)) > 0) {
		unsigned row = 0;
		while (known[row].key && !span_is(param.key, known[row].key))
			row++;
		if (!known[row].key)
			return &unknown;
		const struct smtp_reply *refusal = seen & 1u << row ? &malformed : NULL;
		if (!refusal)
			refusal = known[row].take(smtp, &param);
		if (refusal)
			return refusal;
		seen |= 1u << row;
	}
	return rc ? &malformed : NULL;
}

const struct smtp_reply *smtp_param_take_mail(struct smtp *smtp, struct span rest)
{
	return take_all(smtp, rest, mail_parameters);
}

const struct smtp_reply *smtp_param_take_rcpt(struct smtp *smtp, struct span rest)
{
	return take_all(smtp, rest, rcpt_parameters);
}
