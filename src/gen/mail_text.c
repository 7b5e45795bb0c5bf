#include "mail_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_OCTETS 78 /* with CRLF, as RFC 5322 2.1.1 asks for */
#define FILE_MAX_OCTETS (1l << 30)

static const char words[] = "quae res in civitate duae plurimum possunt eae contra nos ambae faciunt in hoc "
			    "tempore summa gratia et "
			    "eloquentia quarum alteram vereor alteram metuo eloquentia ne me in dicendo "
			    "impediat nonnihil commoveor ";

/* Text in growing memory; `failed` once there was none, so that one check at the end is enough. */
struct writer {
	char *data;
	size_t len, size;
	bool failed;
};

static void writer_put(struct writer *writer, const char *data, size_t len)
{
	if (writer->failed || len == 0)
		return;
	if (writer->size - writer->len < len) {
		size_t size = (writer->len + len) * 2;
		char *grown = realloc(writer->data, size);
		if (!grown) {
			writer->failed = true;
			return;
		}
		writer->data = grown;
		writer->size = size;
	}
	memcpy(writer->data + writer->len, data, len);
	writer->len += len;
}

/* Words, in lines, that come to exactly `size` octets; of one octet, which could hold no CRLF, becomes a line. */
static void put_body(struct writer *writer, uint64_t size)
{
	char line[LINE_MAX_OCTETS];
	size_t word = 0;
	while (size > 0) {
		size_t len = size < sizeof(line) ? (size_t)size : sizeof(line);
		if (size - len == 1)
			len--;
		size_t text = len < 2 ? len : len - 2;
		for (size_t i = 0; i < text; i++) {
			char c = words[word++ % (sizeof(words) - 1)];
			/* No line begins or ends with a space. */
			line[i] = c == ' ' && (i == 0 || i + 1 == text) ? 'a' : c;
		}
		writer_put(writer, line, text);
		writer_put(writer, "\r\n", 2);
		size -= len;
	}
}

/* Whatever its lines end with, CRLF is what they get. */
static void put_lines(struct writer *writer, struct span text)
{
	while (text.len) {
		const char *newline = memchr(text.data, '\n', text.len);
		size_t line = newline ? (size_t)(newline - text.data) : text.len;
		size_t used = newline ? line + 1 : line;
		if (line && text.data[line - 1] == '\r')
			line--;
		writer_put(writer, text.data, line);
		writer_put(writer, "\r\n", 2);
		text = span_from(text, used);
	}
}

static int put_file(struct writer *writer, const char *path, struct err *err)
{
	FILE *file = fopen(path, "rb");
	int code = 0;
	char *data = NULL;
	long size = 0;

	if (!file)
		return err_set(err, -errno, "--body-file %s: %s", path, strerror(errno));
	if (fseek(file, 0, SEEK_END) < 0 || (size = ftell(file)) < 0 || size > FILE_MAX_OCTETS) {
		code = err_set(err, -EINVAL, "--body-file %s: no regular file, or larger than 1 GiB", path);
		goto out;
	}
	rewind(file);
	data = malloc((size_t)size + 1);
	if (!data) {
		code = err_set(err, -ENOMEM, "--body-file %s: out of memory", path);
		goto out;
	}
	size_t len = fread(data, 1, (size_t)size, file);
	if (ferror(file))
		code = err_set(err, -EIO, "--body-file %s: cannot be read", path);
	else
		put_lines(writer, (struct span){data, len});
out:
	free(data);
	fclose(file);
	return code;
}

size_t mail_text_stuff(struct span text, char *to)
{
	size_t len = 0;
	while (text.len) {
		if (*text.data == '.') {
			if (to)
				to[len] = '.';
			len++;
		}
		const char *newline = memchr(text.data, '\n', text.len);
		size_t line = newline ? (size_t)(newline - text.data) + 1 : text.len;
		if (to)
			memcpy(to + len, text.data, line);
		len += line;
		text = span_from(text, line);
	}
	return len;
}

static bool has_eight_bit(struct span text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.data[i] > 127)
			return true;
	return false;
}

int mail_text_make(const struct gen_options *options, struct span *text, struct span *stuffed,
	bool *eight_bit, struct err *err)
{
	struct writer writer = {0};
	int code = 0;

	for (size_t i = 0; i < options->headers.count; i++) {
		writer_put(&writer, options->headers.texts[i], strlen(options->headers.texts[i]));
		writer_put(&writer, "\r\n", 2);
	}
	if (options->body_file) {
		code = put_file(&writer, options->body_file, err);
	} else {
		writer_put(&writer, "\r\n", 2);
		put_body(&writer, options->body_size);
	}
	struct span made = {writer.data, writer.len};
	char *copy = NULL;
	if (code == 0 && !writer.failed)
		copy = malloc(mail_text_stuff(made, NULL) + 1);
	if (code == 0 && !copy)
		code = err_set(err, -ENOMEM, "no memory for a message of this size");
	if (code < 0) {
		free(writer.data);
		return code;
	}
	*text = made;
	*stuffed = (struct span){copy, mail_text_stuff(made, copy)};
	*eight_bit = has_eight_bit(made);
	return 0;
}
