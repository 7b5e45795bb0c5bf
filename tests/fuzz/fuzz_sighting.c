/* Any bytes that the witness's tap shows, read from every place where an IP header may begin. */
#include <stdlib.h>
#include <sys/socket.h>

#include "sighting.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t offsets[] = SIGHTING_OFFSETS;
	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		struct sighting sighting;
		if (sighting_read(data, size, offsets[i], &sighting) &&
			((sighting.source.family != AF_INET && sighting.source.family != AF_INET6) ||
				sighting.source.family != sighting.destination.family ||
				size < offsets[i] + 20))
			abort();
	}
	return 0;
}
