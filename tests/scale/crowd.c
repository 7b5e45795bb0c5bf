#include "crowd.h"

#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SPARE_DESCRIPTORS 50 /* listeners, epoll, what was inherited */

static sigset_t end_signals(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	return set;
}

int crowd_init(struct crowd *crowd, unsigned connections, size_t shared_size)
{
	struct rlimit limit;
	sigset_t end = end_signals();
	sigprocmask(SIG_BLOCK, &end, NULL);
	if (getrlimit(RLIMIT_NOFILE, &limit))
		return -1;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_max <= 2 * SPARE_DESCRIPTORS)
		return -1;
	crowd->each = limit.rlim_max - SPARE_DESCRIPTORS > connections
			      ? connections
			      : (unsigned)limit.rlim_max - SPARE_DESCRIPTORS;
	crowd->processes = (connections + crowd->each - 1) / crowd->each;
	crowd->shared = mmap(NULL, shared_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return crowd->shared == MAP_FAILED || crowd->processes > CROWD_MAX ? -1 : 0;
}

int crowd_start(struct crowd *crowd, void (*work)(struct crowd *crowd, unsigned index))
{
	pid_t parent = getpid();
	fflush(stdout);
	for (unsigned i = 0; i < crowd->processes; i++) {
		pid_t pid = fork();
		if (pid < 0)
			return -1;
		if (pid > 0) {
			crowd->pids[i] = pid;
			continue;
		}
		/* None outlives the parent, whatever ends it. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() == parent)
			work(crowd, i);
		for (;;)
			pause();
	}
	return 0;
}

void crowd_await_end(void)
{
	sigset_t end = end_signals();
	int signal;
	sigwait(&end, &signal);
}

void crowd_done(struct crowd *crowd)
{
	for (unsigned i = 0; i < crowd->processes; i++) {
		if (crowd->pids[i] > 0)
			kill(crowd->pids[i], SIGKILL);
	}
	while (wait(NULL) > 0)
		;
}

void crowd_reset_on_close(int fd)
{
	const struct linger reset = {.l_onoff = 1, .l_linger = 0};
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
}
