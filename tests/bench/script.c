#include "script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EHLO   "EHLO load.example.org\r\n"
#define HEADER "Subject: load\r\n\r\n"
#define DOT    ".\r\n"
#define MAIL   "MAIL FROM:<load@example.org>\r\n"
#define RCPT   "RCPT TO:<load@example.com>\r\n"
#define DATA   "DATA\r\n"
#define QUIT   "QUIT\r\n"

#define LINE 78 /* with CRLF */

enum {
	MAIL_ALONE = SCRIPT_FIRST_MAIL,
	RCPT_ALONE,
	DATA_ALONE,
	TEXT_ALONE,
	QUIT_ALONE,
};

enum {
	GROUP = SCRIPT_FIRST_MAIL,
	QUIT_BEHIND_GROUP,
};

enum {
	ENVELOPE = SCRIPT_FIRST_MAIL,
	TEXT_AND_ENVELOPE,
	TEXT_AND_QUIT,
};

/* Header and lines that come to exactly size octets. Returns where they end. */
static char *put_text(char *to, size_t size)
{
	to = stpcpy(to, HEADER);
	size_t left = size - strlen(HEADER);
	while (left > 0) {
		size_t line = left < LINE ? left : LINE;
		if (left - line == 1)
			line--; /* a lone octet could not hold a CRLF */
		memset(to, 'x', line - 2);
		to = stpcpy(to + line - 2, "\r\n");
		left -= line;
	}
	return to;
}

static char *put_message(char *to, size_t size)
{
	return stpcpy(put_text(to, size), DOT);
}

#define RANGE(from, to) .bytes = from, .len = (size_t)(to - from)
#define NEXT(step)      .next = step, .last = step

/* MAIL, RCPT and BDAT with the text in one group. */
static void script_bdat(struct script_step *steps, char *group, size_t size)
{
	char *text = stpcpy(stpcpy(group, MAIL), RCPT);
	text += sprintf(text, "BDAT %zu LAST\r\n", size);
	char *quit = put_text(text, size), *end = stpcpy(quit, QUIT);
	steps[GROUP] = (struct script_step){RANGE(group, quit), .replies = {250, 250, 250}, .opens = true,
		.finishes = 3, .next = GROUP, .last = QUIT_BEHIND_GROUP};
	steps[QUIT_BEHIND_GROUP] = (struct script_step){RANGE(quit, end), .replies = {221}, NEXT(SCRIPT_END)};
}

/* What may be sent together lies together, so that each step is one range of bytes. */
static void script_data(struct script_step *steps, char *text, size_t size, bool pipelined)
{
	char *mail = put_message(text, size);
	char *rcpt = stpcpy(mail, MAIL);
	char *data = stpcpy(rcpt, RCPT);
	char *quit = stpcpy(data, DATA);
	char *last_text = stpcpy(quit, QUIT);
	char *end = stpcpy(put_message(last_text, size), QUIT);

#define TEXT .due = size + sizeof(DOT) - 1, .finishes = 1
	if (pipelined) {
		steps[ENVELOPE] = (struct script_step){RANGE(mail, quit), .replies = {250, 250, 354},
			.opens = true, .next = TEXT_AND_ENVELOPE, .last = TEXT_AND_QUIT};
		steps[TEXT_AND_ENVELOPE] =
			(struct script_step){RANGE(text, quit), .replies = {250, 250, 250, 354},
				.opens = true, TEXT, .next = TEXT_AND_ENVELOPE, .last = TEXT_AND_QUIT};
		steps[TEXT_AND_QUIT] = (struct script_step){
			RANGE(last_text, end), .replies = {250, 221}, TEXT, NEXT(SCRIPT_END)};
		return;
	}
	steps[MAIL_ALONE] =
		(struct script_step){RANGE(mail, rcpt), .replies = {250}, .opens = true, NEXT(RCPT_ALONE)};
	steps[RCPT_ALONE] = (struct script_step){RANGE(rcpt, data), .replies = {250}, NEXT(DATA_ALONE)};
	steps[DATA_ALONE] = (struct script_step){RANGE(data, quit), .replies = {354}, NEXT(TEXT_ALONE)};
	steps[TEXT_ALONE] = (struct script_step){
		RANGE(text, mail), .replies = {250}, TEXT, .next = MAIL_ALONE, .last = QUIT_ALONE};
	steps[QUIT_ALONE] = (struct script_step){RANGE(quit, last_text), .replies = {221}, NEXT(SCRIPT_END)};
}

int script_init(struct script *script, size_t size, enum script_form form)
{
	*script = (struct script){0};
	if (size < strlen(HEADER) + 2)
		return -1;
	char *ehlo = malloc(2 * size + sizeof(EHLO DOT MAIL RCPT DATA QUIT DOT QUIT) + 32);
	if (!ehlo)
		return -1;
	script->bytes = ehlo;
	char *rest = stpcpy(ehlo, EHLO);
	struct script_step *steps = script->steps;
	steps[SCRIPT_GREETING] = (struct script_step){.replies = {220}, NEXT(SCRIPT_EHLO)};
	steps[SCRIPT_EHLO] =
		(struct script_step){RANGE(ehlo, rest), .replies = {250}, NEXT(SCRIPT_FIRST_MAIL)};
	if (form == SCRIPT_QUIT)
		/* In the place of EHLO, behind the banner. */
		steps[SCRIPT_EHLO] = (struct script_step){.bytes = rest,
			.len = (size_t)(stpcpy(rest, QUIT) - rest),
			.replies = {221},
			.opens = true,
			.finishes = 1,
			NEXT(SCRIPT_END)};
	else if (form == SCRIPT_BDAT)
		script_bdat(steps, rest, size);
	else
		script_data(steps, rest, size, form == SCRIPT_PIPELINED);
	for (size_t i = 0; i < SCRIPT_STEPS; i++)
		if (!steps[i].due)
			steps[i].due = steps[i].len;
	return 0;
}

void script_done(struct script *script)
{
	free(script->bytes);
	*script = (struct script){0};
}

size_t script_replies(const struct script_step *step)
{
	size_t count = 0;
	while (count < SCRIPT_REPLIES && step->replies[count])
		count++;
	return count;
}
