/*
 * shared: memory that a process has in common with those that it forks. Zeroed; its pages are not there before they are
 * used. Nothing in it may point out of it.
 */
#ifndef MX_SHARED_H
#define MX_SHARED_H

#include <stddef.h>

/* What is to be cleared by itself begins so far from the start, or a multiple of it. */
#define SHARED_PAGE 4096

/* count × size bytes, aligned to a page. NULL when out of memory, errno set. */
void *shared_new(size_t count, size_t size);

/*
 * Zeroes len bytes from a page's begin on, in all processes, and gives their pages back; what is written to them at the
 * same time may stay. (To read a page that is not there makes it.) 0 or a negative errno.
 */
int shared_clear(void *memory, size_t len);

/* With the figures it was made with. NULL is fine. */
void shared_free(void *memory, size_t count, size_t size);

#endif
