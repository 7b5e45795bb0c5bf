#include "smtp_client.h"

#include <stddef.h>
#include <string.h>

enum {
	OFFERS_PIPELINING = 1,
	OFFERS_STARTTLS = 2,
	OFFERS_8BITMIME = 4,
	OFFERS_CHUNKING = 8,
};

static const struct {
	const char *keyword;
	uint8_t offer;
} offers[] = {
	{"PIPELINING", OFFERS_PIPELINING},
	{"STARTTLS", OFFERS_STARTTLS},
	{"8BITMIME", OFFERS_8BITMIME},
	{"CHUNKING", OFFERS_CHUNKING},
};

static void put(struct smtp_client *client, struct span bytes)
{
	struct smtp_client_out *out = &client->out;
	memcpy(out->bytes + out->len, bytes.data, bytes.len);
	out->len = (uint16_t)(out->len + bytes.len);
}

static void put_text(struct smtp_client *client, const char *text)
{
	put(client, span_of(text));
}

static void put_number(struct smtp_client *client, size_t number)
{
	char digits[20];
	size_t at = sizeof(digits);
	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	put(client, (struct span){digits + at, sizeof(digits) - at});
}

static size_t out_len(const struct smtp_client_out *out)
{
	return out->len + out->text.len;
}

static void await(struct smtp_client *client, enum gen_phase phase)
{
	client->due[client->due_count++] = (uint8_t)phase;
}

static void say(struct smtp_client *client, const char *command, enum gen_phase phase)
{
	put_text(client, command);
	await(client, phase);
}

static bool judged(const struct smtp_client *client)
{
	return client->verdict.code || client->verdict.text_len;
}

/* Nothing more can be said in this connection. */
static enum smtp_client_step give_up(
	struct smtp_client *client, enum gen_phase phase, uint16_t code, struct span text)
{
	client->over = true;
	if (!judged(client))
		client->verdict = gen_verdict_of(phase, code, text);
	return SMTP_CLIENT_OVER;
}

void smtp_client_init(struct smtp_client *client, const struct smtp_client_setup *setup)
{
	/* Without the buffers, which are large. */
	memset(client, 0, offsetof(struct smtp_client, out));
	client->out.len = client->out.split = 0;
	client->out.sent = 0;
	client->out.text = (struct span){NULL, 0};
	client->setup = setup;
	await(client, GEN_PHASE_BANNER);
}

static void say_ehlo(struct smtp_client *client)
{
	client->offered = 0;
	put_text(client, "EHLO ");
	put(client, client->setup->ehlo);
	say(client, "\r\n", GEN_PHASE_EHLO);
}

static void say_mail(struct smtp_client *client)
{
	char address[MAIL_ADDRESS_MAX];
	put_text(client, "MAIL FROM:<");
	put(client, (struct span){address, mail_put_sender(&client->item, address)});
	put_text(client, client->eight_bit && client->setup->mail->eight_bit ? "> BODY=8BITMIME" : ">");
	say(client, "\r\n", GEN_PHASE_MAIL);
}

static void say_rcpt(struct smtp_client *client)
{
	char address[MAIL_ADDRESS_MAX];
	put_text(client, "RCPT TO:<");
	put(client, (struct span){address, mail_put_recipient(&client->item, address)});
	say(client, ">\r\n", GEN_PHASE_RCPT);
}

/* Header and text; what is put afterwards goes behind them. */
static void say_message(struct smtp_client *client, struct span text, struct span header)
{
	put(client, header);
	client->out.split = client->out.len;
	client->out.text = text;
}

static void say_bdat(struct smtp_client *client, struct span date)
{
	const struct mail *mail = client->setup->mail;
	char header[MAIL_HEADER_MAX];
	size_t len = mail_put_header(mail, &client->item, date, header);
	put_text(client, "BDAT ");
	put_number(client, len + mail->text.len);
	say(client, " LAST\r\n", GEN_PHASE_END_OF_DATA);
	say_message(client, mail->text, (struct span){header, len});
}

static void say_envelope(struct smtp_client *client, struct span date)
{
	say_mail(client);
	if (!client->pipelining)
		return;
	say_rcpt(client);
	if (client->chunking)
		say_bdat(client, date);
	else
		say(client, "DATA\r\n", GEN_PHASE_DATA);
}

void smtp_client_begin(struct smtp_client *client, const struct mail_item *item, struct span date)
{
	client->ready = false;
	client->under_way++;
	client->item = *item;
	say_envelope(client, date);
}

void smtp_client_quit(struct smtp_client *client)
{
	client->ready = false;
	say(client, "QUIT\r\n", GEN_PHASE_QUIT);
}

void smtp_client_text(struct smtp_client *client, struct span date, const struct mail_item *next, bool quit)
{
	char header[MAIL_HEADER_MAX];
	if (client->chunking) {
		say_bdat(client, date);
		return;
	}
	size_t len = mail_put_header(client->setup->mail, &client->item, date, header);
	say_message(client, client->setup->mail->stuffed, (struct span){header, len});
	say(client, ".\r\n", GEN_PHASE_END_OF_DATA);
	if (next)
		smtp_client_begin(client, next, date);
	else if (quit)
		smtp_client_quit(client);
}

bool smtp_client_pipelines(const struct smtp_client *client)
{
	return client->pipelining && !client->chunking;
}

void smtp_client_secured(struct smtp_client *client)
{
	client->secure = true;
	say_ehlo(client);
}

enum gen_phase smtp_client_phase(const struct smtp_client *client)
{
	return client->due_count ? client->due[0] : GEN_PHASE_IDLE;
}

/* The reply to EHLO is complete. */
static enum smtp_client_step greeted(struct smtp_client *client)
{
	const struct smtp_client_setup *setup = client->setup;
	if (setup->starttls && !client->secure && client->offered & OFFERS_STARTTLS) {
		say(client, "STARTTLS\r\n", GEN_PHASE_STARTTLS);
		return SMTP_CLIENT_WAIT;
	}
	client->pipelining = setup->pipeline || (!setup->no_pipeline && client->offered & OFFERS_PIPELINING);
	client->eight_bit = client->offered & OFFERS_8BITMIME;
	client->chunking = setup->bdat && client->offered & OFFERS_CHUNKING;
	if (setup->bdat && !client->chunking)
		return give_up(
			client, GEN_PHASE_EHLO, 0, span_of("CHUNKING is not offered: --bdat cannot be done"));
	client->ready = true;
	return SMTP_CLIENT_WAIT;
}

/* The oldest message is done with. Where its transaction is still open, that is given up. */
static enum smtp_client_step message_done(struct smtp_client *client, bool refused)
{
	client->under_way--;
	if (!refused) {
		client->opened = false;
		client->ready = client->due_count == 0;
		return SMTP_CLIENT_SENT;
	}
	if (client->due_count == 0 && client->opened)
		say(client, "RSET\r\n", GEN_PHASE_RSET);
	else
		client->ready = client->due_count == 0;
	client->opened = false;
	client->told = true;
	return SMTP_CLIENT_FAILED;
}

static enum smtp_client_step replied_connection(
	struct smtp_client *client, enum gen_phase phase, const struct reply_line *line)
{
	switch (phase) {
	case GEN_PHASE_BANNER:
		if (line->code != 220)
			break;
		if (client->setup->connect_only)
			client->ready = true;
		else
			say_ehlo(client);
		return SMTP_CLIENT_WAIT;
	case GEN_PHASE_EHLO:
		if (line->code == 250)
			return greeted(client);
		break;
	case GEN_PHASE_STARTTLS:
		if (line->code == 220)
			return SMTP_CLIENT_TLS;
		break;
	case GEN_PHASE_RSET:
		if (line->code != 250)
			break;
		client->ready = true;
		return SMTP_CLIENT_WAIT;
	default: /* QUIT: whatever the answer */
		client->over = true;
		return SMTP_CLIENT_OVER;
	}
	return give_up(client, phase, line->code, line->text);
}

static enum smtp_client_step replied_message(
	struct smtp_client *client, enum gen_phase phase, const struct reply_line *line)
{
	uint16_t wanted = phase == GEN_PHASE_DATA ? 354 : 250;
	bool good = line->code == wanted || (phase == GEN_PHASE_RCPT && line->code == 251);

	if (!good && !judged(client))
		client->verdict = gen_verdict_of(phase, line->code, line->text);
	if (!good && line->code < 400)
		return give_up(client, phase, line->code, line->text);

	switch (phase) {
	case GEN_PHASE_MAIL:
		client->opened = good;
		if (client->due_count)
			return SMTP_CLIENT_WAIT;
		if (!good)
			return message_done(client, true);
		say_rcpt(client);
		return SMTP_CLIENT_WAIT;
	case GEN_PHASE_RCPT:
		if (client->due_count)
			return SMTP_CLIENT_WAIT;
		if (!good)
			return message_done(client, true);
		if (client->chunking)
			return SMTP_CLIENT_TEXT;
		say(client, "DATA\r\n", GEN_PHASE_DATA);
		return SMTP_CLIENT_WAIT;
	case GEN_PHASE_DATA:
		if (!good)
			return message_done(client, true);
		if (!judged(client))
			return SMTP_CLIENT_TEXT;
		/* Refused, and yet it wants a text: it gets an empty one (RFC 2920 3.1). */
		say(client, ".\r\n", GEN_PHASE_END_OF_DATA);
		return SMTP_CLIENT_WAIT;
	default: /* END_OF_DATA; behind a failed BDAT the transaction goes on (RFC 3030 2) */
		if (!client->chunking || good)
			client->opened = false;
		return message_done(client, judged(client));
	}
}

static enum smtp_client_step replied(struct smtp_client *client, const struct reply_line *line)
{
	enum gen_phase phase = smtp_client_phase(client);
	if (phase == GEN_PHASE_IDLE || line->code == 421)
		return give_up(client, phase, line->code, line->text);
	/* A reply to what has not been said in full: the text, or the last of what is awaited. */
	size_t said = client->out.sent, text_end = client->out.split + client->out.text.len;
	if (phase == GEN_PHASE_END_OF_DATA ? said < text_end
					   : client->due_count == 1 && said < out_len(&client->out))
		return line->code >= 400
			       ? give_up(client, phase, line->code, line->text)
			       : give_up(client, phase, 0, span_of("a reply came before it was due"));

	client->due_count--;
	memmove(client->due, client->due + 1, client->due_count);
	return phase >= GEN_PHASE_MAIL && phase <= GEN_PHASE_END_OF_DATA
		       ? replied_message(client, phase, line)
		       : replied_connection(client, phase, line);
}

static void note_offer(struct smtp_client *client, struct span text)
{
	for (size_t i = 0; i < sizeof(offers) / sizeof(offers[0]); i++) {
		size_t len = strlen(offers[i].keyword);
		if (text.len >= len && span_is((struct span){text.data, len}, offers[i].keyword) &&
			(text.len == len || text.data[len] == ' '))
			client->offered |= offers[i].offer;
	}
}

enum smtp_client_step smtp_client_step(struct smtp_client *client, struct span *in)
{
	struct reply_line line;
	enum smtp_client_step step = SMTP_CLIENT_WAIT;

	if (client->told)
		client->verdict = (struct gen_verdict){0};
	client->told = false;
	while (step == SMTP_CLIENT_WAIT) {
		if (client->over)
			return SMTP_CLIENT_OVER;
		if (client->ready) {
			client->ready = false;
			return SMTP_CLIENT_READY;
		}
		switch (reply_read(&client->reader, in, &line)) {
		case REPLY_MORE:
			return SMTP_CLIENT_WAIT;
		case REPLY_MALFORMED:
			return give_up(client, smtp_client_phase(client), 0, span_of("not an SMTP reply"));
		case REPLY_LINE:
			break;
		}
		if (smtp_client_phase(client) == GEN_PHASE_EHLO && line.code == 250)
			note_offer(client, line.text);
		if (client->first.code == 0 && !line.last && line.code >= 400)
			client->first = gen_verdict_of(smtp_client_phase(client), line.code, line.text);
		if (!line.last)
			continue;
		if (client->first.code != 0)
			line.text = (struct span){client->first.text, client->first.text_len};
		client->first.code = 0;
		step = replied(client, &line);
	}
	return step;
}

unsigned smtp_client_out(const struct smtp_client *client, struct iovec parts[3])
{
	const struct smtp_client_out *out = &client->out;
	const struct span all[3] = {{out->bytes, out->split}, out->text,
		{out->bytes + out->split, (size_t)(out->len - out->split)}};
	size_t skip = out->sent;
	unsigned count = 0;
	for (int i = 0; i < 3; i++) {
		size_t skipped = skip < all[i].len ? skip : all[i].len;
		skip -= skipped;
		if (skipped < all[i].len)
			parts[count++] = (struct iovec){(char *)all[i].data + skipped, all[i].len - skipped};
	}
	return count;
}

void smtp_client_wrote(struct smtp_client *client, size_t len)
{
	struct smtp_client_out *out = &client->out;
	out->sent += len;
	if (out->sent < out_len(out))
		return;
	out->len = out->split = 0;
	out->sent = 0;
	out->text = (struct span){NULL, 0};
}
