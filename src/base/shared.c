#include "shared.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>

void *shared_new(size_t count, size_t size)
{
	if (size == 0 || count > SIZE_MAX / size) {
		errno = ENOMEM;
		return NULL;
	}
	void *memory = mmap(NULL, count * size, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return memory == MAP_FAILED ? NULL : memory;
}

int shared_clear(void *memory, size_t len)
{
	return madvise(memory, len, MADV_REMOVE) < 0 ? -errno : 0;
}

void shared_free(void *memory, size_t count, size_t size)
{
	if (memory)
		munmap(memory, count * size);
}
