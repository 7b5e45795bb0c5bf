/*
 * exit_code: what the program's exit codes mean; scripts rely on them. The numbers from 64 on are those
 * of sysexits.h.
 */
#ifndef MX_EXIT_CODE_H
#define MX_EXIT_CODE_H

#include <errno.h>

enum exit_code {
	EXIT_CODE_OK = 0,
	EXIT_CODE_FALSE = 1, /* a checked statement is false */
	EXIT_CODE_USAGE = 2,
	EXIT_CODE_LEAK = 3, /* leak, or not leak-proof */
	EXIT_CODE_TIMED_OUT = 4,
	EXIT_CODE_UNREACHABLE = 69, /* the daemon does not answer */
	EXIT_CODE_SOFTWARE = 70,    /* something failed that should not */
	EXIT_CODE_PRIVILEGE = 77,
	EXIT_CODE_CONFIGURATION = 78,
};

/* For a failed call's negative errno: EPERM and EACCES are a privilege missing, the rest is software. */
static inline enum exit_code exit_code_of(int code)
{
	if (code == -EPERM || code == -EACCES)
		return EXIT_CODE_PRIVILEGE;
	if (code == -ETIMEDOUT)
		return EXIT_CODE_TIMED_OUT;
	if (code == -EINVAL)
		return EXIT_CODE_CONFIGURATION;
	return EXIT_CODE_SOFTWARE;
}

#endif
