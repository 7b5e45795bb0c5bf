/*
 * conf_suggest: "did you mean": the nearest of the words offered to the one that was written. It
 * suggests nothing where nothing is near.
 */
#ifndef MX_CONF_SUGGEST_H
#define MX_CONF_SUGGEST_H

struct conf_suggest {
	const char *word;  /* as written; set it, leave the rest zero */
	const char *best;  /* the nearest offered, NULL for none */
	unsigned distance; /* of best, in edits */
};

/* Offers a word, which must outlive the suggestion. Of equally near ones the first stays. */
void conf_suggest_offer(struct conf_suggest *suggest, const char *offered);

#endif
