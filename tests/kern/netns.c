#include "netns.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Without duplicate address detection: IPv6 works on a new link at once, not two seconds later. */
static void loopback_up(void)
{
	shell("ip link set lo up && sysctl -q net.ipv6.conf.default.accept_dad=0");
}

unsigned test_slowness(void)
{
	const char *slowness = getenv("TEST_SLOWNESS");
	int times = slowness ? atoi(slowness) : 1;
	return times > 0 ? (unsigned)times : 1;
}

void netns_fresh(void)
{
	/* By Check's handler the whole process group would end, where no test is forked: ctest, ./dev and the shell. */
	signal(SIGALRM, SIG_DFL);
	alarm(180 * test_slowness());
	must(unshare(CLONE_NEWNET) == 0, "a network namespace: %s (needs root)", strerror(errno));
	loopback_up();
}

pid_t netns_peer(void)
{
	int ready[2];
	ck_assert_int_eq(pipe(ready), 0);
	pid_t child = suite_fork();
	if (child == 0) {
		netns_fresh();
		must(write(ready[1], "", 1) == 1, "%s", strerror(errno));
		for (;;)
			pause();
	}
	close(ready[1]);
	char byte;
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return child;
}

uint64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void netns_enter(pid_t process)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/ns/net", process);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	must(fd >= 0 && setns(fd, CLONE_NEWNET) == 0, "%s: %s", path, strerror(errno));
	close(fd);
}

static FILE *shell_open(const char *format, va_list args)
{
	char command[4096];
	int len = vsnprintf(command, sizeof(command), format, args);
	must(len >= 0 && (size_t)len < sizeof(command), "too long a command: %s", format);
	FILE *from = popen(command, "r");
	must(from != NULL, "%s: %s", command, strerror(errno));
	return from;
}

static char *stream_read(FILE *from)
{
	char *text = NULL;
	size_t len = 0, room = 0;
	for (;;) {
		if (room - len < 4096) {
			room = room * 2 + 65536;
			text = realloc(text, room);
			must(text != NULL, "out of memory");
		}
		size_t got = fread(text + len, 1, room - len - 1, from);
		if (got == 0)
			break;
		len += got;
	}
	text[len] = '\0';
	return text;
}

static char *output_take(FILE *from, int *status)
{
	char *text = stream_read(from);
	*status = pclose(from);
	return text;
}

void shell(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int status;
	free(output_take(shell_open(format, args), &status));
	va_end(args);
	must(status == 0, "`%s` failed with status 0x%x", format, status);
}

int shell_status(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int status;
	free(output_take(shell_open(format, args), &status));
	va_end(args);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

char *shell_output(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int status;
	char *text = output_take(shell_open(format, args), &status);
	va_end(args);
	must(status == 0, "`%s` failed with status 0x%x", format, status);
	return text;
}

char *nft_list(void)
{
	return shell_output("for t in 'inet mxmirage' 'netdev mxmirage' 'bridge mxmirage' "
			    "'inet mxmirage_static' 'netdev mxmirage_static' 'bridge "
			    "mxmirage_static';"
			    " do nft -s list table $t 2>/dev/null |"
			    " sed -e '1s/ # progname.*//' -e '/^\tflags/,+1d'; done");
}

char *file_read(const char *path)
{
	FILE *from = fopen(path, "r");
	must(from != NULL, "%s cannot be read", path);
	char *text = stream_read(from);
	fclose(from);
	return text;
}

void assert_same_text(const char *found, const char *wanted)
{
	const char *f = found, *w = wanted;
	for (unsigned line = 1; *f || *w; line++) {
		size_t f_len = strcspn(f, "\n"), w_len = strcspn(w, "\n");
		ck_assert_msg(f_len == w_len && memcmp(f, w, f_len) == 0,
			"line %u is\n%.*s\nand should be\n%.*s", line, (int)f_len, f, (int)w_len, w);
		f += f_len + (f[f_len] == '\n');
		w += w_len + (w[w_len] == '\n');
	}
}
