/*
 * failmalloc: lets the n-th allocation of this program fail, so that a test can walk through every
 * out-of-memory path. It stands in for the C library's malloc, calloc and mmap; under AddressSanitizer and
 * ThreadSanitizer, which do that themselves, FAILMALLOC is undefined and nothing fails. Include it in a test's one
 * file.
 */
#ifndef MX_FAILMALLOC_H
#define MX_FAILMALLOC_H

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)

static inline void failmalloc_at(long nth)
{
	(void)nth;
}

#else
#define FAILMALLOC

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);

static long failmalloc_left;

/* The nth allocation from here on fails, 1 is the next; 0: none does. */
static inline void failmalloc_at(long nth)
{
	failmalloc_left = nth;
}

static inline int failmalloc_now(void)
{
	if (failmalloc_left == 0 || --failmalloc_left > 0)
		return 0;
	errno = ENOMEM;
	return 1;
}

void *malloc(size_t size)
{
	return failmalloc_now() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	return failmalloc_now() ? NULL : __libc_calloc(count, size);
}

void *mmap(void *address, size_t len, int protection, int flags, int fd, off_t offset)
{
	if (failmalloc_now())
		return MAP_FAILED;
	return (void *)syscall(SYS_mmap, address, len, protection, flags, fd, offset);
}

#endif
#endif
