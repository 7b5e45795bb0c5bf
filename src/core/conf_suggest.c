#include "conf_suggest.h"

#include <string.h>

/* Longer words are no misspelling of a key. */
#define WORD_MAX 32

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Edits from a to b, a swap of neighbours counting as one (optimal string alignment). */
static unsigned edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	unsigned d[WORD_MAX + 1][WORD_MAX + 1];
	for (size_t i = 0; i <= a_len; i++)
		d[i][0] = (unsigned)i;
	for (size_t j = 0; j <= b_len; j++)
		d[0][j] = (unsigned)j;
	for (size_t i = 1; i <= a_len; i++) {
		for (size_t j = 1; j <= b_len; j++) {
			unsigned replaced = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
			unsigned moved = least(d[i - 1][j], d[i][j - 1]) + 1;
			d[i][j] = least(replaced, moved);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
		}
	}
	return d[a_len][b_len];
}

void conf_suggest_offer(struct conf_suggest *suggest, const char *offered)
{
	size_t word_len = strlen(suggest->word), offered_len = strlen(offered);
	if (word_len > WORD_MAX || offered_len > WORD_MAX)
		return;
	unsigned distance = edit_distance(suggest->word, word_len, offered, offered_len);
	/* More than a third wrong is another word, not a slip. */
	if (distance > (offered_len + 2) / 3)
		return;
	if (!suggest->best || distance < suggest->distance) {
		suggest->best = offered;
		suggest->distance = distance;
	}
}
