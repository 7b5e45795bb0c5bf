#include "responder_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clock.h"
#include "exit_code.h"
#include "listener.h"
#include "log.h"
#include "privilege.h"

/* 50 ms each. */
#define PORT_TRIES 20

/* An earlier responder that was killed lets go of the counts' lock a moment before its listeners. */
static int port_await(uint16_t port, struct err *err)
{
	int code = listener_check(port, err);
	for (int i = 0; i < PORT_TRIES && code == -EADDRINUSE; i++) {
		nanosleep(&(struct timespec){0, 50 * 1000 * 1000}, NULL);
		code = listener_check(port, err);
	}
	return code;
}

int responder_sockets_open(struct responder_sockets *sockets, const struct conf *conf, struct err *err)
{
	unsigned ports = conf->listen.port_last - conf->listen.port_first + 1u;
	*sockets = (struct responder_sockets){.admin = -1, .ports = ports};
	sockets->listeners = calloc((size_t)conf->listen.workers * ports, sizeof(int));
	sockets->admin_path = strdup(conf->admin.socket);
	if (!sockets->listeners || !sockets->admin_path)
		return err_set(err, -ENOMEM, "listeners: out of memory");
	for (unsigned p = 0; p < ports; p++) {
		int code = port_await((uint16_t)(conf->listen.port_first + p), err);
		if (code < 0)
			return code;
	}
	for (unsigned w = 0; w < conf->listen.workers; w++) {
		for (unsigned p = 0; p < ports; p++) {
			int fd = listener_open((uint16_t)(conf->listen.port_first + p), err);
			if (fd < 0) {
				/* What was opened so far is closed with the rest. */
				while (p-- > 0)
					close(sockets->listeners[w * ports + p]);
				return fd;
			}
			sockets->listeners[w * ports + p] = fd;
		}
		sockets->workers = w + 1;
	}
	struct privilege_user user;
	int code = privilege_find_user(conf->responder.user, &user, err);
	if (code < 0)
		return code;
	if (user.stands_in)
		log_warning("responder-user=nobody reason=\"there is no user mxmirage\" remedy=\"adduser "
			    "--system "
			    "--group mxmirage\"");
	sockets->admin = listener_open_unix(sockets->admin_path, user.gid, err);
	return sockets->admin < 0 ? sockets->admin : 0;
}

void responder_sockets_close(struct responder_sockets *sockets)
{
	for (unsigned i = 0; i < sockets->workers * sockets->ports; i++)
		close(sockets->listeners[i]);
	free(sockets->listeners);
	if (sockets->admin_path && sockets->admin >= 0) {
		close(sockets->admin);
		unlink(sockets->admin_path);
	}
	free(sockets->admin_path);
	*sockets = (struct responder_sockets){.admin = -1};
}

/* In the child. Does not return. */
static void responder_execute(
	const struct privilege_user *user, pid_t parent, int program, int channel, unsigned processes)
{
	struct err err;
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	privilege_raise_files();
	char channel_text[16], processes_text[16];
	snprintf(channel_text, sizeof(channel_text), "%d", channel);
	snprintf(processes_text, sizeof(processes_text), "%u", processes);
	char *const argv[] = {"mxmirage", "responder", channel_text, processes_text, NULL};
	if (fcntl(channel, F_SETFD, 0) < 0 || privilege_drop(user, parent, &err) < 0) {
		log_error("%s", err.text);
		_exit(EXIT_CODE_SOFTWARE);
	}
	/* By descriptor: the responder's user need not be able to reach the program's directory. */
	fexecve(program, argv, environ);
	log_error("responder: cannot be executed: %s", strerror(errno));
	_exit(EXIT_CODE_SOFTWARE);
}

int responder_process_start(struct responder_process *process, const struct conf *conf, struct err *err)
{
	struct privilege_user user;
	int code = privilege_find_user(conf->responder.user, &user, err);
	if (code < 0)
		return code;
	int program = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	if (program < 0)
		return err_set(err, -errno, "responder: /proc/self/exe: %s", strerror(errno));
	int pair[2];
	code = control_pair(pair, err);
	if (code < 0) {
		close(program);
		return code;
	}
	pid_t parent = getpid(), pid = fork();
	if (pid == 0)
		responder_execute(&user, parent, program, pair[1], conf->listen.processes);
	close(program);
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return err_set(err, -errno, "responder: no process: %s", strerror(errno));
	}
	*process = (struct responder_process){pid, pair[0], clock_ms()};
	return 0;
}

static int send_fds(struct responder_process *process, enum control_type type, int code, uint64_t value,
	const int *fds, size_t count, struct err *err)
{
	struct control_message message = {.type = type, .code = code, .value = value, .fd_count = count};
	memcpy(message.fds, fds, count * sizeof(int));
	return control_send(process->channel, &message, err);
}

int responder_process_setup(struct responder_process *process, const struct responder_sockets *sockets,
	int counts, struct err *err)
{
	int code = send_fds(process, CONTROL_COUNTS, 0, 0, &counts, 1, err);
	return code < 0 ? code : send_fds(process, CONTROL_ADMIN, 0, 0, &sockets->admin, 1, err);
}

static int send_file(struct responder_process *process, const struct bundle *bundle, enum bundle_role role,
	struct err *err)
{
	struct control_message message = {.type = CONTROL_FILE, .value = role, .fd_count = 1};
	size_t len = bundle->files[role].len;
	snprintf(message.text, sizeof(message.text), "%s", bundle->files[role].name);
	int fd = memfd_create("configuration", MFD_CLOEXEC);
	ssize_t written = fd < 0 ? -1 : write(fd, bundle->files[role].text, len);
	if (written != (ssize_t)len) {
		int reason = written < 0 ? errno : ENOSPC;
		int code = err_set(err, -reason, "configuration: cannot be passed on: %s", strerror(reason));
		if (fd >= 0)
			close(fd);
		return code;
	}
	message.fds[0] = fd;
	int code = control_send(process->channel, &message, err);
	close(fd);
	return code;
}

int responder_process_configure(
	struct responder_process *process, const struct bundle *bundle, struct err *err)
{
	int code = 0;
	if (process->channel < 0)
		return 0; /* the next one is told at its start */
	for (int role = 0; role < BUNDLE_ROLES && code == 0; role++)
		if (bundle->files[role].name)
			code = send_file(process, bundle, (enum bundle_role)role, err);
	return code < 0 ? code : control_say(process->channel, CONTROL_CONFIG, 0, "", err);
}

int responder_process_begin(struct responder_process *process, const struct responder_sockets *sockets,
	bool diverting, uint64_t started_ms, struct err *err)
{
	int code = 0;
	for (unsigned w = 0; w < sockets->workers && code == 0; w++)
		code = send_fds(process, CONTROL_WORKER, diverting, w,
			sockets->listeners + w * sockets->ports, sockets->ports, err);
	struct control_message start = {.type = CONTROL_START, .value = started_ms};
	return code < 0 ? code : control_send(process->channel, &start, err);
}

void responder_process_ended(struct responder_process *process)
{
	if (process->channel >= 0)
		close(process->channel);
	*process = (struct responder_process){.channel = -1};
}
