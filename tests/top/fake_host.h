/*
 * fake_host: a machine laid out in a temporary directory, whose files a `struct host` reads in the place of this
 * machine's.
 */
#ifndef TEST_FAKE_HOST_H
#define TEST_FAKE_HOST_H

#include "host.h"

struct fake_host {
	struct host host;
	char root[64];
};

void fake_host_init(struct fake_host *fake);
/* Removes it all. */
void fake_host_done(struct fake_host *fake);

/* A file with this text, and the directories above it. */
void fake_host_file(struct fake_host *fake, const char *path, const char *text);
/* "net.core.somaxconn" */
void fake_host_sysctl(struct fake_host *fake, const char *key, const char *text);

#endif
