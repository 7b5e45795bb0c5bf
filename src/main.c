#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "command.h"

int main(int argc, char **argv)
{
	int code = command_main(argc, argv);
	/* Half a report on a full disk must not pass for a whole one. */
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	fprintf(stderr, "mxmirage: standard output: %s: not all of it was written\n", strerror(errno));
	return code == EXIT_CODE_OK ? EXIT_CODE_SOFTWARE : code;
}
