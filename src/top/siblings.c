#include "siblings.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exit_code.h"

/* In the forked process: nothing but its own channel, and its end with the first one's. */
static int sibling_settle(struct siblings *siblings, pid_t first, int *channel, int own)
{
	for (unsigned i = 0; i < siblings->count; i++)
		close(siblings->others[i].channel);
	siblings->count = 0;
	close(*channel);
	*channel = own;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != first)
		_exit(EXIT_CODE_SOFTWARE);
	return 0;
}

int siblings_fork(struct siblings *siblings, unsigned processes, int *channel, struct err *err)
{
	pid_t first = getpid();
	*siblings = (struct siblings){0};
	for (unsigned number = 1; number < processes && number < CONF_WORKERS_MAX; number++) {
		int pair[2];
		int code = control_pair(pair, err);
		if (code < 0)
			return code;
		pid_t pid = fork();
		if (pid == 0) {
			close(pair[0]);
			sibling_settle(siblings, first, channel, pair[1]);
			return (int)number;
		}
		close(pair[1]);
		if (pid < 0) {
			close(pair[0]);
			return err_set(err, -errno, "responder: process %u of %u: %s", number + 1, processes,
				strerror(errno));
		}
		siblings->others[siblings->count++] =
			(struct sibling){.all = siblings, .pid = pid, .channel = pair[0]};
	}
	return 0;
}

static void sibling_answered(struct sibling *sibling, enum control_type type)
{
	struct siblings *siblings = sibling->all;
	if (sibling->answers[type] == siblings->asked[type])
		return;
	sibling->answers[type]++;
	for (unsigned i = 0; i < siblings->count; i++)
		if (siblings->others[i].answers[type] == siblings->answered[type])
			return;
	siblings->answered[type]++;
	siblings->on_answered(siblings->arg, type);
}

static void sibling_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)what;
	struct sibling *sibling = arg;
	struct siblings *siblings = sibling->all;
	struct control_message message;
	struct err err;
	int got = control_receive(fd, &message, &err);
	if (got == 0)
		err_set(&err, -ECHILD, "process %d of the responder has ended", (int)sibling->pid);
	if (got <= 0) {
		event_del(sibling->readable);
		siblings->on_ended(siblings->arg, &err);
		return;
	}
	/* No answer has any. */
	for (size_t i = 0; i < message.fd_count; i++)
		close(message.fds[i]);
	if (message.type < CONTROL_TYPES)
		sibling_answered(sibling, message.type);
}

int siblings_watch(struct siblings *siblings, struct event_base *base, siblings_answered *on_answered,
	siblings_ended *on_ended, void *arg, struct err *err)
{
	siblings->on_answered = on_answered;
	siblings->on_ended = on_ended;
	siblings->arg = arg;
	for (unsigned i = 0; i < siblings->count; i++) {
		struct sibling *sibling = &siblings->others[i];
		sibling->readable =
			event_new(base, sibling->channel, EV_READ | EV_PERSIST, sibling_readable, sibling);
		if (!sibling->readable || event_add(sibling->readable, NULL) < 0)
			return err_set(err, -ENOMEM, "responder: out of memory");
	}
	return 0;
}

int siblings_send(
	struct siblings *siblings, unsigned number, const struct control_message *message, struct err *err)
{
	return control_send(siblings->others[number - 1].channel, message, err);
}

int siblings_send_all(struct siblings *siblings, const struct control_message *message, struct err *err)
{
	int code = 0;
	for (unsigned i = 0; i < siblings->count && code == 0; i++)
		code = control_send(siblings->others[i].channel, message, err);
	return code;
}

int siblings_ask_all(struct siblings *siblings, const struct control_message *message,
	enum control_type answer, struct err *err)
{
	if (siblings->count == 0)
		siblings->on_answered(siblings->arg, answer);
	else
		siblings->asked[answer]++;
	return siblings_send_all(siblings, message, err);
}

void siblings_end(struct siblings *siblings)
{
	/* All at once: their goodbyes take their time. */
	for (unsigned i = 0; i < siblings->count; i++) {
		struct sibling *sibling = &siblings->others[i];
		if (sibling->readable)
			event_free(sibling->readable);
		close(sibling->channel);
	}
	for (unsigned i = 0; i < siblings->count; i++)
		while (waitpid(siblings->others[i].pid, NULL, 0) < 0 && errno == EINTR)
			;
	siblings->count = 0;
}
