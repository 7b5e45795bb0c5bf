/*
 * Any bytes from a server, in pieces: the generator's side comes to an end, and what is to be sent and said of it stays
 * within its bounds. The first byte chooses the setup, the second the length of the pieces.
 */
#include <stdlib.h>

#include "smtp_client.h"

#define MESSAGE "Subject: x\r\n\r\nhi\r\n"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void send_all(struct smtp_client *client)
{
	struct iovec parts[3];
	unsigned count;
	while ((count = smtp_client_out(client, parts)) > 0) {
		size_t len = 0;
		for (unsigned i = 0; i < count && i < 3; i++)
			len += parts[i].iov_len;
		if (count > 3 || len == 0)
			abort();
		smtp_client_wrote(client, len);
	}
}

/* False at the end. */
static bool step(struct smtp_client *client, struct span *in, unsigned *messages)
{
	static const struct mail_item item = {
		.user = 7, .from = {"from.example", 12}, .to = {"to.example", 10}};
	const struct span date = {"now", 3};
	bool more = *messages > 0;
	switch (smtp_client_step(client, in)) {
	case SMTP_CLIENT_WAIT:
		send_all(client);
		return in->len > 0;
	case SMTP_CLIENT_READY:
		if (more)
			smtp_client_begin(client, &item, date);
		else
			smtp_client_quit(client);
		*messages -= more;
		return true;
	case SMTP_CLIENT_TEXT: {
		bool together = smtp_client_pipelines(client);
		smtp_client_text(client, date, together && more ? &item : NULL, together && !more);
		*messages -= together && more;
		send_all(client);
		return true;
	}
	case SMTP_CLIENT_TLS:
		send_all(client);
		smtp_client_secured(client);
		return true;
	case SMTP_CLIENT_SENT:
	case SMTP_CLIENT_FAILED:
		if (client->verdict.text_len > sizeof(client->verdict.text))
			abort();
		return true;
	case SMTP_CLIENT_OVER:
		return false;
	}
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct mail mail = {
		.whole = true,
		.text = {MESSAGE, sizeof(MESSAGE) - 1},
		.stuffed = {MESSAGE, sizeof(MESSAGE) - 1},
	};
	static struct smtp_client client;
	if (size < 2)
		return 0;
	const struct smtp_client_setup setup = {
		.mail = &mail,
		.ehlo = {"gen.example", 11},
		.starttls = data[0] & 1,
		.pipeline = data[0] & 2,
		.no_pipeline = data[0] & 4,
		.bdat = data[0] & 8,
	};
	unsigned messages = data[0] >> 4;
	size_t piece = 1 + data[1] % 64, steps = 0;
	struct span rest = {(const char *)data + 2, size - 2};
	smtp_client_init(&client, &setup);
	while (rest.len > 0) {
		struct span in = {rest.data, rest.len < piece ? rest.len : piece};
		rest = span_from(rest, in.len);
		/* A step takes a line, or says or asks one thing of it. */
		while (step(&client, &in, &messages))
			if (++steps > 8 * size + 100)
				abort();
		if (in.len > 0)
			break; /* it is over */
	}
	return 0;
}
