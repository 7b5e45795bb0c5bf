/*
 * shared: memory that a process has in common with those that it forks. Zeroed; its pages are not there before they are
 * used. Nothing in it may point out of it.
 */
#ifndef MX_SHARED_H
#define MX_SHARED_H

#include <stddef.h>

/* count × size bytes, aligned to a page. NULL when out of memory, errno set. */
void *shared_new(size_t count, size_t size);

/* With the figures it was made with. NULL is fine. */
void shared_free(void *memory, size_t count, size_t size);

#endif
