#include "reply_reader.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static void keep(struct reply_reader *reader, struct span bytes)
{
	size_t room = sizeof(reader->kept) - reader->kept_len;
	size_t len = bytes.len < room ? bytes.len : room;
	memcpy(reader->kept + reader->kept_len, bytes.data, len);
	reader->kept_len = (uint8_t)(reader->kept_len + len);
}

static enum reply_read parse(struct reply_reader *reader, struct span text, struct reply_line *line)
{
	if (text.len && text.data[text.len - 1] == '\r')
		text.len--;
	if (text.len < 3 || !is_digit(text.data[0]) || !is_digit(text.data[1]) || !is_digit(text.data[2]) ||
		text.data[0] < '1' || text.data[0] > '5' ||
		(text.len > 3 && text.data[3] != ' ' && text.data[3] != '-'))
		return REPLY_MALFORMED;
	line->code =
		(uint16_t)((text.data[0] - '0') * 100 + (text.data[1] - '0') * 10 + (text.data[2] - '0'));
	line->last = text.len == 3 || text.data[3] == ' ';
	line->text = span_from(text, text.len > 4 ? 4 : text.len);
	if (line->last)
		reader->lines = 0;
	else if (++reader->lines >= REPLY_LINES_MAX)
		return REPLY_MALFORMED;
	return REPLY_LINE;
}

enum reply_read reply_read(struct reply_reader *reader, struct span *input, struct reply_line *line)
{
	if (input->len == 0)
		return REPLY_MORE;
	const char *newline = memchr(input->data, '\n', input->len);
	struct span text = {input->data, newline ? (size_t)(newline - input->data) : input->len};

	*input = span_from(*input, newline ? text.len + 1 : text.len);
	if (newline && reader->kept_len == 0)
		return parse(reader, text, line);
	keep(reader, text);
	if (!newline)
		return REPLY_MORE;
	text = (struct span){reader->kept, reader->kept_len};
	reader->kept_len = 0;
	return parse(reader, text, line);
}

struct span reply_enhanced(struct span text)
{
	size_t at = 0;
	for (int part = 0; part < 3; part++) {
		size_t begin = at;
		while (at < text.len && is_digit(text.data[at]))
			at++;
		if (at == begin || at - begin > 3 || (part < 2 && (at == text.len || text.data[at++] != '.')))
			return (struct span){text.data, 0};
	}
	return at == text.len || text.data[at] == ' ' ? (struct span){text.data, at}
						      : (struct span){text.data, 0};
}
