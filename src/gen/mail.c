#include "mail.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "draw.h"
#include "mail_text.h"

/* What the draws of one message are for. */
enum purpose {
	PURPOSE_FROM,
	PURPOSE_TO,
	PURPOSE_USER,
	PURPOSE_TENANT,
	PURPOSE_ID,
	PURPOSE_MORE, /* and from here on the further recipients' */
};

#define TENANT_MAX 64

static size_t put(char *to, struct span bytes)
{
	memcpy(to, bytes.data, bytes.len);
	return bytes.len;
}

static size_t put_text(char *to, const char *text)
{
	return put(to, span_of(text));
}

static size_t put_number(char *to, uint64_t number)
{
	char digits[20];
	size_t at = sizeof(digits);
	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	return put(to, (struct span){digits + at, sizeof(digits) - at});
}

static size_t put_hex(char *to, uint64_t number)
{
	for (int i = 0; i < 16; i++)
		to[i] = "0123456789abcdef"[number >> (60 - 4 * i) & 15];
	return 16;
}

int mail_make(struct mail *mail, const struct gen_options *options, struct err *err)
{
	*mail = (struct mail){.seed = options->seed, .whole = options->body_file != NULL};
	int code = mix_read(&mail->domains, options->domains.texts, options->domains.count,
		options->domain_suffix, "--domain", err);
	if (code == 0)
		code = mix_read(
			&mail->tenants, options->tenants.texts, options->tenants.count, "", "--tenant", err);
	for (size_t i = 0; code == 0 && i < mail->tenants.count; i++)
		if (mail->tenants.rows[i].name.len > TENANT_MAX)
			code = err_set(err, -EINVAL, "--tenant %s: longer than %d octets",
				options->tenants.texts[i], TENANT_MAX);
	if (code == 0)
		code = mail_text_make(options, &mail->text, &mail->stuffed, &mail->eight_bit, err);
	if (code < 0)
		mail_done(mail);
	return code;
}

void mail_done(struct mail *mail)
{
	mix_done(&mail->domains);
	mix_done(&mail->tenants);
	free((char *)mail->text.data);
	free((char *)mail->stuffed.data);
	*mail = (struct mail){0};
}

static uint64_t draw_for(const struct mail *mail, uint64_t number, uint64_t purpose)
{
	return draw_number(draw_number(mail->seed, number), purpose);
}

void mail_pick(const struct mail *mail, uint64_t number, struct mail_item *item)
{
	item->number = number;
	item->from = mix_pick(&mail->domains, draw_for(mail, number, PURPOSE_FROM))->name;
	item->to = mix_pick(&mail->domains, draw_for(mail, number, PURPOSE_TO))->name;
	item->user = draw_for(mail, number, PURPOSE_USER);
	item->tenant =
		mail->tenants.count ? mix_pick(&mail->tenants, draw_for(mail, number, PURPOSE_TENANT)) : NULL;
}

void mail_pick_recipient(const struct mail *mail, uint64_t nth, struct mail_item *item)
{
	item->to = mix_pick(&mail->domains, draw_for(mail, item->number, PURPOSE_MORE + 2 * nth))->name;
	item->user = draw_for(mail, item->number, PURPOSE_MORE + 2 * nth + 1);
}

/* A tenant that is a domain has its return path there; of another one the local part tells. */
size_t mail_put_sender(const struct mail_item *item, char *to)
{
	char *at = to;
	bool domain = item->tenant && memchr(item->tenant->name.data, '.', item->tenant->name.len);
	at += put_text(at, "noreply");
	if (item->tenant && !domain) {
		*at++ = '-';
		at += put(at, item->tenant->name);
	}
	*at++ = '@';
	at += put(at, domain ? item->tenant->name : item->from);
	return (size_t)(at - to);
}

size_t mail_put_recipient(const struct mail_item *item, char *to)
{
	char *at = to;
	at += put_text(at, "user-");
	at += put_number(at, item->user);
	*at++ = '@';
	at += put(at, item->to);
	return (size_t)(at - to);
}

size_t mail_put_header(const struct mail *mail, const struct mail_item *item, struct span date, char *to)
{
	char *at = to;
	if (mail->whole)
		return 0;
	at += put_text(at, "From: <");
	at += mail_put_sender(item, at);
	at += put_text(at, ">\r\nTo: <");
	at += mail_put_recipient(item, at);
	at += put_text(at, ">\r\nSubject: test message ");
	at += put_number(at, item->number);
	at += put_text(at, "\r\nDate: ");
	at += put(at, date);
	at += put_text(at, "\r\nMessage-ID: <");
	at += put_hex(at, draw_for(mail, item->number, PURPOSE_ID));
	*at++ = '@';
	at += put(at, item->from);
	at += put_text(at, ">\r\nX-Mailer: mxmirage gen\r\n");
	if (item->tenant) {
		at += put_text(at, "X-Tenant: ");
		at += put(at, item->tenant->name);
		at += put_text(at, "\r\n");
	}
	return (size_t)(at - to);
}

struct mail_date mail_date_of(time_t now)
{
	static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char *const months[] = {
		"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	struct mail_date date;
	struct tm tm;
	gmtime_r(&now, &tm);
	/* Not strftime(): the names must not follow the locale. */
	int len = snprintf(date.chars, sizeof(date.chars), "%s, %d %s %d %02d:%02d:%02d +0000",
		days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
		tm.tm_sec);
	date.len = (size_t)len;
	return date;
}
