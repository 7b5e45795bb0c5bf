/*
 * Any input, whole and in pieces whose length its first byte gives: the replies, questions and
 * messages must be the same, and the caller's rules (smtp.h) must hold.
 */
#include "core/smtp_caller.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void play(
	struct smtp_caller *caller, const struct smtp_profile *profile, struct span input, size_t piece)
{
	smtp_caller_init(caller, profile, SMTP_REPLY_MAX);
	caller->flags_ignored = SMTP_FLAG_EARLY_DATA;
	smtp_caller_feed(caller, (struct span){NULL, 0});
	while (input.len) {
		size_t len = piece < input.len ? piece : input.len;
		smtp_caller_feed(caller, (struct span){input.data, len});
		input = span_from(input, len);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Limits within reach of small inputs. */
	static const struct smtp_profile profile = {
		.hostname = "mx.example.net",
		.banner = "ESMTP",
		.limits = {.command_line = 128,
			.endless_line = 512,
			.recipients = 3,
			.recipient_overshoot = 2,
			.bad_commands = 20,
			.message_size = 256},
	};
	if (size == 0)
		return 0;
	struct span input = {(const char *)data + 1, size - 1};
	struct smtp_caller whole, pieces;
	play(&whole, &profile, input, input.len);
	play(&pieces, &profile, input, 1 + data[0] % 64);
	if (whole.replies_len != pieces.replies_len || whole.notes_len != pieces.notes_len ||
		memcmp(whole.replies_text, pieces.replies_text, whole.replies_len) != 0 ||
		memcmp(whole.notes_text, pieces.notes_text, whole.notes_len) != 0)
		abort();
	smtp_caller_done(&whole);
	smtp_caller_done(&pieces);
	return 0;
}
