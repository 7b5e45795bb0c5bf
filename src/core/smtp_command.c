#include "smtp_command.h"

#include "smtp_param.h"
#include "smtp_text.h"

static const struct smtp_reply ok = SMTP_REPLY(250, "2.0.0", "Ok");

static const struct smtp_reply *ask(struct smtp *smtp, enum smtp_phase phase)
{
	smtp->phase = phase;
	smtp->pending = SMTP_PENDING_DECISION;
	return NULL;
}

void smtp_command_reset(struct smtp *smtp)
{
	if (smtp->state < SMTP_STATE_MAIL)
		return;
	smtp->state = SMTP_STATE_READY;
	smtp->pending = SMTP_PENDING_FORGET;
}

static const struct smtp_reply *hello(struct smtp *smtp, struct span argument, bool ehlo)
{
	static const struct smtp_reply bad_name = SMTP_REPLY(501, "5.5.4", "Bad host name");
	if (!smtp_text_is_printable(argument))
		return &bad_name;
	smtp->helo = argument;
	smtp->ehlo = ehlo;
	return ask(smtp, SMTP_PHASE_HELO);
}

static const struct smtp_reply *run_ehlo(struct smtp *smtp, struct span argument)
{
	return hello(smtp, argument, true);
}

static const struct smtp_reply *run_helo(struct smtp *smtp, struct span argument)
{
	return hello(smtp, argument, false);
}

/* RFC 6531 3.2; broken is the reply to bytes that are no UTF-8. NULL where all is well. */
static const struct smtp_reply *check_charset(const struct smtp *smtp, const struct smtp_reply *broken)
{
	static const struct smtp_reply undeclared =
		SMTP_REPLY(553, "5.6.7", "Address needs SMTPUTF8, which was not declared");
	enum smtp_charset charset = smtp_text_charset(smtp->path.mailbox);
	if (charset == SMTP_CHARSET_ASCII)
		return NULL;
	if (!(smtp->message.flags & SMTP_FLAG_SMTPUTF8))
		return &undeclared;
	return charset == SMTP_CHARSET_UTF8 ? NULL : broken;
}

static const struct smtp_reply *run_mail(struct smtp *smtp, struct span rest)
{
	static const struct smtp_reply bad_sender = SMTP_REPLY(501, "5.1.7", "Bad sender address syntax");
	smtp->message = (struct smtp_message){.flags = smtp->flags};
	smtp->declared_size = 0;
	smtp->overshoot = 0;
	if (!smtp_text_prefix(&rest, "FROM:") || smtp_text_path(&rest, &smtp->path))
		return &bad_sender;
	if (smtp->path.mailbox.len && !smtp->path.domain.len)
		return &bad_sender;
	const struct smtp_reply *refusal = smtp_param_take_mail(smtp, rest);
	if (!refusal)
		refusal = check_charset(smtp, &bad_sender);
	return refusal ? refusal : ask(smtp, SMTP_PHASE_MAIL);
}

static const struct smtp_reply *run_rcpt(struct smtp *smtp, struct span rest)
{
	static const struct smtp_reply bad_recipient =
		SMTP_REPLY(501, "5.1.3", "Bad recipient address syntax");
	if (!smtp_text_prefix(&rest, "TO:") || smtp_text_path(&rest, &smtp->path))
		return &bad_recipient;
	/* <postmaster> is the one mailbox without a domain (RFC 5321 4.1.1.3). */
	if (!smtp->path.domain.len && !span_is(smtp->path.local, "postmaster"))
		return &bad_recipient;
	const struct smtp_reply *refusal = smtp_param_take_rcpt(smtp, rest);
	if (!refusal)
		refusal = check_charset(smtp, &bad_recipient);
	/* Also where there are enough already: who counts is to hear of it, and smtp_decide() refuses. */
	return refusal ? refusal : ask(smtp, SMTP_PHASE_RCPT);
}

static const struct smtp_reply *run_data(struct smtp *smtp, struct span argument)
{
	(void)argument;
	/* Perhaps left by a DATA that was refused; smtp_step() looks at this one. */
	smtp->message.flags &= ~(uint32_t)SMTP_FLAG_EARLY_DATA;
	return ask(smtp, SMTP_PHASE_DATA);
}

/* RFC 3030 2. Behind a BDAT that cannot be read nobody knows where a command starts: close. */
static const struct smtp_reply *start_chunk(
	struct smtp *smtp, struct span argument, enum smtp_chunk more, enum smtp_chunk last)
{
	static const struct smtp_reply bad_chunk = SMTP_REPLY(501, "5.5.4", "Bad chunk size, closing");
	uint64_t size;
	struct span digits = smtp_text_word(&argument);
	bool is_last = span_is(argument, "LAST");
	if (smtp_text_number(digits, &size) || (argument.len && !is_last)) {
		smtp->state = SMTP_STATE_CLOSED;
		return &bad_chunk;
	}
	smtp->chunk_left = size;
	smtp->chunk = is_last ? last : more;
	return NULL;
}

static const struct smtp_reply *run_bdat(struct smtp *smtp, struct span argument)
{
	smtp->state = SMTP_STATE_CHUNKED;
	smtp->message.flags |= SMTP_FLAG_CHUNKED;
	return start_chunk(smtp, argument, SMTP_CHUNK_MORE, SMTP_CHUNK_LAST);
}

static const struct smtp_reply *misplaced_bdat(struct smtp *smtp, struct span argument)
{
	return start_chunk(smtp, argument, SMTP_CHUNK_REFUSED, SMTP_CHUNK_REFUSED);
}

const struct smtp_reply *smtp_command_chunk_done(struct smtp *smtp)
{
	static const struct smtp_reply received = SMTP_REPLY(250, "2.0.0", "Chunk received");
	enum smtp_chunk chunk = smtp->chunk;
	smtp->chunk = SMTP_CHUNK_NONE;
	if (chunk == SMTP_CHUNK_REFUSED)
		return smtp_command_misplaced(smtp);
	return chunk == SMTP_CHUNK_MORE ? &received : ask(smtp, SMTP_PHASE_END_OF_DATA);
}

static const struct smtp_reply *run_rset(struct smtp *smtp, struct span argument)
{
	(void)argument;
	smtp_command_reset(smtp);
	return &ok;
}

static const struct smtp_reply *run_quit(struct smtp *smtp, struct span argument)
{
	static const struct smtp_reply bye = SMTP_REPLY(221, "2.0.0", "Bye");
	(void)argument;
	smtp->state = SMTP_STATE_CLOSED;
	smtp->quit = true;
	return &bye;
}

/* What follows are headers, and perhaps a body meant to be taken for commands: read none of it. */
static const struct smtp_reply *run_http(struct smtp *smtp, struct span argument)
{
	static const struct smtp_reply not_http = SMTP_REPLY(421, "4.7.0", "This is SMTP, not HTTP: closing");
	(void)argument;
	smtp->state = SMTP_STATE_CLOSED;
	return &not_http;
}

static const struct smtp_reply unverified = SMTP_REPLY(252, "2.0.0", "Cannot verify, but send mail and see");
static const struct smtp_reply help = SMTP_REPLY(214, "2.0.0", "See RFC 5321");
static const struct smtp_reply unoffered = SMTP_REPLY(502, "5.5.1", "Command not offered");

/* What a verb wants behind it. */
enum argument {
	ARGUMENT_ANY,
	ARGUMENT_NONE,
	ARGUMENT_NEEDED,
};

struct command {
	const char *verb;
	unsigned states; /* where it is allowed: a bit for each enum smtp_state */
	/* Returns what smtp_command() returns; NULL where there is nothing to do but to reply. */
	const struct smtp_reply *(*run)(struct smtp *smtp, struct span argument);
	const struct smtp_reply *reply; /* where run is NULL */
	enum argument argument;
	struct smtp_reply syntax; /* to an argument that is not as wanted */
	/* Run where the verb is not allowed; NULL where saying so is enough. */
	const struct smtp_reply *(*misplaced)(struct smtp *smtp, struct span argument);
};

#define IN(state)       (1u << SMTP_STATE_##state)
#define IN_SESSION      (IN(GREETED) | IN(READY) | IN(MAIL) | IN(RCPT) | IN(CHUNKED))
#define ANYWHERE        (IN(REFUSED) | IN_SESSION)
#define NONE(syntax_)   .argument = ARGUMENT_NONE, .syntax = SMTP_REPLY(501, "5.5.4", "Syntax: " syntax_)
#define NEEDED(syntax_) .argument = ARGUMENT_NEEDED, .syntax = SMTP_REPLY(501, "5.5.4", "Syntax: " syntax_)

/* The verbs, and the one place that says what is allowed where. */
/* clang-format off */
static const struct command commands[] = {
	{"EHLO", IN_SESSION,             run_ehlo, NEEDED("EHLO hostname")},
	{"HELO", IN_SESSION,             run_helo, NEEDED("HELO hostname")},
	{"MAIL", IN(READY),              run_mail, NEEDED("MAIL FROM:<address> [parameters]")},
	{"RCPT", IN(MAIL) | IN(RCPT),    run_rcpt, NEEDED("RCPT TO:<address> [parameters]")},
	{"DATA", IN(RCPT),               run_data, NONE("DATA")},
	{"BDAT", IN(RCPT) | IN(CHUNKED), run_bdat, .misplaced = misplaced_bdat},
	{"RSET", IN_SESSION,             run_rset, NONE("RSET")},
	{"QUIT", ANYWHERE,               run_quit, NONE("QUIT")},
	{"NOOP", IN_SESSION, .reply = &ok},
	{"HELP", IN_SESSION, .reply = &help},
	{"VRFY", IN_SESSION, .reply = &unverified, NEEDED("VRFY address")},
	{"EXPN", IN_SESSION, .reply = &unoffered},
	{"STARTTLS", IN_SESSION, .reply = &unoffered},
	{"AUTH", IN_SESSION, .reply = &unoffered},
	/* RFC 9110 9, and the preface of HTTP/2. */
	{"GET",     ANYWHERE, .run = run_http},
	{"HEAD",    ANYWHERE, .run = run_http},
	{"POST",    ANYWHERE, .run = run_http},
	{"PUT",     ANYWHERE, .run = run_http},
	{"DELETE",  ANYWHERE, .run = run_http},
	{"CONNECT", ANYWHERE, .run = run_http},
	{"OPTIONS", ANYWHERE, .run = run_http},
	{"TRACE",   ANYWHERE, .run = run_http},
	{"PATCH",   ANYWHERE, .run = run_http},
	{"PRI",     ANYWHERE, .run = run_http},
	{.verb = NULL},
};
/* clang-format on */

const struct smtp_reply *smtp_command_misplaced(const struct smtp *smtp)
{
	static const struct smtp_reply next[] = {
		[SMTP_STATE_REFUSED] = SMTP_REPLY(503, "5.5.1", "Refused: only QUIT is left"),
		[SMTP_STATE_GREETED] = SMTP_REPLY(503, "5.5.1", "EHLO or HELO comes first"),
		[SMTP_STATE_READY] = SMTP_REPLY(503, "5.5.1", "MAIL comes first"),
		[SMTP_STATE_MAIL] = SMTP_REPLY(503, "5.5.1", "RCPT comes next"),
		[SMTP_STATE_RCPT] = SMTP_REPLY(503, "5.5.1", "RCPT, DATA or BDAT comes next"),
		[SMTP_STATE_CHUNKED] = SMTP_REPLY(503, "5.5.1", "BDAT or RSET comes next"),
	};
	return &next[smtp->state];
}

const struct smtp_reply *smtp_command(struct smtp *smtp, struct span line)
{
	static const struct smtp_reply unknown = SMTP_REPLY(500, "5.5.1", "Command not recognized");
	while (line.len && line.data[line.len - 1] == ' ')
		line.len--;
	struct span argument = line;
	struct span verb = smtp_text_word(&argument);
	const struct command *command = commands;
	while (command->verb && !span_is(verb, command->verb))
		command++;
	if (!command->verb)
		return &unknown;
	if (!(command->states & 1u << smtp->state))
		return command->misplaced ? command->misplaced(smtp, argument) : smtp_command_misplaced(smtp);
	if ((command->argument == ARGUMENT_NONE && argument.len) ||
		(command->argument == ARGUMENT_NEEDED && !argument.len))
		return &command->syntax;
	return command->run ? command->run(smtp, argument) : command->reply;
}
