/*
 * Plays the transcripts in dialogues/, each whole, byte by byte and in random pieces. See
 * dialogues/README.md for how to write one.
 */
#include <check.h>
#include <dirent.h>
#include <stdarg.h>
#include <time.h>

#include "core/smtp_caller.h"
#include "suite.h"

#define DIALOGUES TEST_DIR "/core/dialogues/"
#define ROWS      40 /* of the table of hostile input that the engine answers for */
#define ELLIPSIS  "\xe2\x80\xa6"

enum way {
	WAY_WHOLE, /* what stands together is sent together */
	WAY_BYTES,
	WAY_PIECES,
	WAYS,
};

struct play {
	const char *file;
	unsigned line;
	enum way way;
	unsigned seed, random;
	struct smtp_caller caller;
	FILE *group; /* what the client says before it listens again */
	char *group_text;
	size_t group_len;
	bool started;
	size_t replies_read, notes_read;
};

static const struct smtp_profile profile = {
	.hostname = "mx.example.net",
	.banner = "ESMTP",
};

static struct dirent **files;
static int file_count;

__attribute__((noreturn, format(printf, 2, 3))) static void play_fail(
	const struct play *play, const char *format, ...)
{
	static const char *const ways[] = {"whole", "byte by byte", "in random pieces"};
	char text[1024];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	ck_abort_msg("%s:%u (%s, seed %u): %s", play->file, play->line, ways[play->way], play->seed, text);
}

static size_t piece_length(struct play *play, size_t rest)
{
	if (play->way == WAY_BYTES)
		return 1;
	if (play->way == WAY_WHOLE)
		return rest;
	size_t len = 1 + (size_t)rand_r(&play->random) % 97;
	return len < rest ? len : rest;
}

/* Says what the client has to say. */
static void speak(struct play *play)
{
	struct smtp_caller *caller = &play->caller;
	fflush(play->group);
	unsigned writes = caller->writes;
	if (!play->started && !play->group_len)
		smtp_caller_feed(caller, (struct span){NULL, 0});
	play->started = true;
	for (size_t at = 0; at < play->group_len;) {
		size_t len = piece_length(play, play->group_len - at);
		smtp_caller_feed(caller, (struct span){play->group_text + at, len});
		at += len;
	}
	if (play->way == WAY_WHOLE && caller->writes > writes + 1)
		play_fail(play, "%u writes for one group of commands", caller->writes - writes);
	rewind(play->group);
}

static int hex_value(char c)
{
	const char *digits = "0123456789abcdef";
	const char *at = c ? strchr(digits, c) : NULL;
	return at ? (int)(at - digits) : -1;
}

/* Writes text with the escapes \r \n \0 \\ and \xHH resolved. */
static void write_escaped(struct play *play, const char *text)
{
	for (; *text; text++) {
		int c = *text;
		if (c == '\\') {
			c = *++text;
			if (c == 'r')
				c = '\r';
			else if (c == 'n')
				c = '\n';
			else if (c == '0')
				c = '\0';
			else if (c == 'x' && hex_value(text[1]) >= 0 && hex_value(text[2]) >= 0) {
				c = hex_value(text[1]) << 4 | hex_value(text[2]);
				text += 2;
			} else if (c != '\\')
				play_fail(play, "unknown escape");
		}
		fputc(c, play->group);
	}
}

/* A client's line; %d stands for the number of the repetition, from 1. */
static void hear_client(struct play *play, unsigned count, bool raw, const char *text)
{
	const char *number = strstr(text, "%d");
	for (unsigned i = 1; i <= count; i++) {
		if (raw)
			write_escaped(play, text);
		else if (number)
			fprintf(play->group, "%.*s%u%s\r\n", (int)(number - text), text, i, number + 2);
		else
			fprintf(play->group, "%s\r\n", text);
	}
}

static void expect_reply(struct play *play, const char *text)
{
	const char *got = play->caller.replies_text + play->replies_read;
	const char *end = strstr(got, "\r\n");
	if (!end)
		play_fail(play, "no reply, expected `%s`", text);
	size_t got_len = (size_t)(end - got);
	size_t len = strlen(text);
	size_t dots = strlen(ELLIPSIS);
	bool prefix = len >= dots && strcmp(text + len - dots, ELLIPSIS) == 0;
	if (prefix)
		len -= dots;
	if (prefix ? got_len < len : got_len != len)
		play_fail(play, "reply `%.*s`, expected `%s`", (int)got_len, got, text);
	if (memcmp(got, text, len) != 0)
		play_fail(play, "reply `%.*s`, expected `%s`", (int)got_len, got, text);
	play->replies_read += got_len + 2;
}

/* The next note about a message; empty where there is none. */
static const char *next_message(struct play *play)
{
	const char *note = play->caller.notes_text + play->notes_read;
	while (*note && strncmp(note, "M: ", 3) != 0)
		note += strcspn(note, "\n") + 1;
	play->notes_read = (size_t)(note - play->caller.notes_text);
	return note;
}

static void expect_message(struct play *play, const char *line)
{
	const char *note = next_message(play);
	size_t len = strcspn(note, "\n");
	char expected[256];
	snprintf(expected, sizeof(expected), "%s", line);
	/* Only whoever gets the body together with its DATA can tell that it came too early. */
	char *early = strstr(expected, "early_data,");
	if (early && play->way != WAY_WHOLE)
		memmove(early, early + strlen("early_data,"), strlen(early + strlen("early_data,")) + 1);
	if (strlen(expected) != len || memcmp(expected, note, len) != 0)
		play_fail(play, "message `%.*s`, expected `%s`", (int)len, note, expected);
	play->notes_read += len + (note[len] == '\n');
}

/* `KEY: text`, `KEY*COUNT: text` */
static void play_line(struct play *play, char *line)
{
	char *text = strchr(line, ':');
	if (!text)
		play_fail(play, "expected a `C:`, `S:`, `M:` or `X:` line or a `#` comment");
	const char *behind = text + 1 + (text[1] == ' ');
	unsigned count = 1;
	char *star = memchr(line, '*', (size_t)(text - line));
	if (star)
		count = (unsigned)strtoul(star + 1, NULL, 10);
	if (line[0] == 'C') {
		hear_client(play, count, line[1] == '<', behind);
		return;
	}
	speak(play);
	if (line[0] == 'S')
		for (unsigned i = 0; i < count; i++)
			expect_reply(play, behind);
	else if (line[0] == 'M')
		expect_message(play, line);
	else if (line[0] != 'X')
		play_fail(play, "unknown directive");
	else if (!play->caller.closed)
		play_fail(play, "still open");
}

static void play_file(const char *name, enum way way, unsigned seed)
{
	char path[512];
	snprintf(path, sizeof(path), "%s%s", DIALOGUES, name);
	FILE *file = fopen(path, "r");
	ck_assert_ptr_nonnull(file);
	struct smtp_profile limited = profile;
	limited.limits = smtp_limits_default;
	struct play play = {.file = name, .way = way, .seed = seed, .random = seed};
	smtp_caller_init(&play.caller, &limited, way == WAY_WHOLE ? 1 << 20 : SMTP_REPLY_MAX);
	play.caller.flags_ignored = way == WAY_WHOLE ? 0 : SMTP_FLAG_EARLY_DATA;
	play.group = open_memstream(&play.group_text, &play.group_len);

	char *line = NULL;
	size_t size = 0;
	bool closed_expected = false;
	while (getline(&line, &size, file) > 0) {
		play.line++;
		line[strcspn(line, "\n")] = '\0';
		if (!line[0] || line[0] == '#')
			continue;
		play_line(&play, line);
		closed_expected = line[0] == 'X';
	}
	speak(&play);
	if (play.caller.replies_text[play.replies_read])
		play_fail(&play, "one reply too many: `%s`", play.caller.replies_text + play.replies_read);
	if (next_message(&play)[0])
		play_fail(&play, "one message too many: `%s`", next_message(&play));
	if (play.caller.closed != closed_expected)
		play_fail(&play, "closed");
	free(line);
	fclose(file);
	fclose(play.group);
	free(play.group_text);
	smtp_caller_done(&play.caller);
}

START_TEST(a_dialogue_goes_as_written)
{
	const char *name = files[_i]->d_name;
	unsigned seed = (unsigned)time(NULL);
	for (enum way way = WAY_WHOLE; way < WAYS; way++)
		play_file(name, way, seed);
}
END_TEST

/* Notes the rows that `# row 12: …`, `# rows 1-3, 5: …` name. */
static void note_rows(const char *line, bool *seen)
{
	if (strncmp(line, "# row ", 6) != 0 && strncmp(line, "# rows ", 7) != 0)
		return;
	const char *at = line + strcspn(line, "0123456789");
	while (*at && *at != ':') {
		char *end;
		unsigned long first = strtoul(at, &end, 10);
		unsigned long last = *end == '-' ? strtoul(end + 1, &end, 10) : first;
		for (unsigned long row = first; row <= last && row <= ROWS; row++)
			seen[row] = true;
		at = end == at ? at + 1 : end;
	}
}

START_TEST(every_row_has_a_dialogue)
{
	bool seen[ROWS + 1] = {false};
	char *line = NULL;
	size_t size = 0;
	for (int i = 0; i < file_count; i++) {
		char path[512];
		snprintf(path, sizeof(path), "%s%s", DIALOGUES, files[i]->d_name);
		FILE *file = fopen(path, "r");
		ck_assert_ptr_nonnull(file);
		while (getline(&line, &size, file) > 0)
			note_rows(line, seen);
		fclose(file);
	}
	free(line);
	for (unsigned row = 1; row <= ROWS; row++)
		ck_assert_msg(seen[row], "no dialogue names row %u", row);
}
END_TEST

static int is_dialogue(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');
	return dot && strcmp(dot, ".txt") == 0;
}

int main(void)
{
	file_count = scandir(DIALOGUES, &files, is_dialogue, alphasort);
	if (file_count <= 0) {
		fprintf(stderr, "no dialogues in %s\n", DIALOGUES);
		return EXIT_FAILURE;
	}
	Suite *suite = suite_create("smtp dialogues");
	TCase *dialogues = tcase_create("dialogues");
	tcase_set_timeout(dialogues, 120);
	tcase_add_loop_test(dialogues, a_dialogue_goes_as_written, 0, file_count);
	tcase_add_test(dialogues, every_row_has_a_dialogue);
	suite_add_tcase(suite, dialogues);
	int status = suite_run(suite);
	for (int i = 0; i < file_count; i++)
		free(files[i]);
	free(files);
	return status;
}
