/*
 * err: what went wrong, as a text for the person who can mend it. It names the thing, the reason and
 * the remedy: `mxmirage.toml:12: unknown key "prots" (did you mean "ports"?)`. A function that takes a
 * struct err fills it when it returns a negative number, and leaves it alone otherwise.
 */
#ifndef MX_ERR_H
#define MX_ERR_H

struct err {
	char text[1024];
};

#define MX_MUST_CHECK __attribute__((warn_unused_result))

/*
 * Writes the text (cut to fit) and returns code, a negative errno, so that a caller can say
 * `return err_set(err, -EINVAL, "...")`. err may be NULL: then only the code is passed on.
 */
int err_set(struct err *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Puts a prefix and a colon before the text that err already has. Returns code. */
int err_prefix(struct err *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
