/*
 * kernel: what the kernel under the tests can, where a test holds for newer ones alone: it asks, and says
 * what holds instead.
 */
#ifndef TEST_KERNEL_H
#define TEST_KERNEL_H

#include <stdbool.h>

#include "feature.h"

bool kernel_has(enum feature feature);

/*
 * For rules that name devices which a test never makes: a kernel that takes no chains for devices to come gets
 * devices of these names, space-separated, in the namespace that the caller is in.
 */
void kernel_needs_devices(const char *names);

#endif
