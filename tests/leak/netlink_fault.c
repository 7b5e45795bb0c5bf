/*
 * netlink_fault: for LD_PRELOAD. Counts the calls that the process makes on netlink sockets, and at the one that
 * LEAK_FAULT_AT names does what LEAK_FAULT says:
 *
 *   die       the process is killed before the call
 *   die-after ... after it
 *   short     a send or receive takes but half
 *   lost      a send is done and its answers are thrown away; a receive's datagram is, unless it is part of a listing
 *   ENOBUFS, EPERM, EAGAIN, EINTR, ENOMEM  the call is not made and fails with that
 *
 * Each call adds its name to the file LEAK_FAULT_LOG. A process that was started by the one with the fault does
 * not fail: LEAK_FAULT_PID must be its process ID, or be absent.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Whether the socket is netlink's; errno is left alone. */
static bool is_netlink(int fd)
{
	int domain = 0, saved = errno;
	socklen_t len = sizeof(domain);
	int (*real)(int, int, int, void *, socklen_t *) =
		(int (*)(int, int, int, void *, socklen_t *))dlsym(RTLD_NEXT, "getsockopt");
	bool yes = real(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_NETLINK;
	errno = saved;
	return yes;
}

static void log_call(const char *name)
{
	const char *path = getenv("LEAK_FAULT_LOG");
	int fd = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644) : -1;
	if (fd < 0)
		return;
	char line[32];
	size_t len = strlen(name);
	memcpy(line, name, len);
	line[len] = '\n';
	if (write(fd, line, len + 1) < 0)
		_exit(99);
	close(fd);
}

/* What is to happen at this call; NULL: nothing. The count is the process's own. */
static const char *fault_now(const char *name)
{
	static unsigned calls;
	const char *at = getenv("LEAK_FAULT_AT"), *pid = getenv("LEAK_FAULT_PID");
	if (pid && atoi(pid) != getpid())
		return NULL;
	log_call(name);
	calls++;
	return at && (unsigned)atoi(at) == calls ? getenv("LEAK_FAULT") : NULL;
}

static int errno_of(const char *fault)
{
	static const struct {
		const char *name;
		int code;
	} known[] = {{"ENOBUFS", ENOBUFS}, {"EPERM", EPERM}, {"EAGAIN", EAGAIN}, {"EINTR", EINTR},
		{"ENOMEM", ENOMEM}};
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(fault, known[i].name) == 0)
			return known[i].code;
	return 0;
}

/* Before the call: dies, or makes it fail. */
static bool fails(const char *fault)
{
	if (!fault)
		return false;
	if (strcmp(fault, "die") == 0)
		kill(getpid(), SIGKILL);
	int code = errno_of(fault);
	if (code)
		errno = code;
	return code;
}

/* After the call. */
static void afterwards(const char *fault)
{
	if (fault && strcmp(fault, "die-after") == 0)
		kill(getpid(), SIGKILL);
}

static bool is(const char *fault, const char *name)
{
	return fault && strcmp(fault, name) == 0;
}

#define REAL(name, ...) ((__VA_ARGS__)dlsym(RTLD_NEXT, name))

int socket(int domain, int type, int protocol)
{
	const char *fault = domain == AF_NETLINK ? fault_now("socket") : NULL;
	if (fails(fault))
		return -1;
	int fd = REAL("socket", int (*)(int, int, int))(domain, type, protocol);
	afterwards(fault);
	return fd;
}

int bind(int fd, const struct sockaddr *address, socklen_t len)
{
	const char *fault = is_netlink(fd) ? fault_now("bind") : NULL;
	if (fails(fault))
		return -1;
	int code = REAL("bind", int (*)(int, const struct sockaddr *, socklen_t))(fd, address, len);
	afterwards(fault);
	return code;
}

int getsockname(int fd, struct sockaddr *address, socklen_t *len)
{
	const char *fault = is_netlink(fd) ? fault_now("getsockname") : NULL;
	if (fails(fault))
		return -1;
	return REAL("getsockname", int (*)(int, struct sockaddr *, socklen_t *))(fd, address, len);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	const char *fault = is_netlink(fd) ? fault_now("setsockopt") : NULL;
	if (fails(fault))
		return -1;
	return REAL("setsockopt", int (*)(int, int, int, const void *, socklen_t))(
		fd, level, name, value, len);
}

static ssize_t receive(int fd, struct msghdr *message, int flags)
{
	return REAL("recvmsg", ssize_t(*)(int, struct msghdr *, int))(fd, message, flags);
}

/* Throws away what the kernel has answered so far: it answers before a send returns. */
static void drain(int fd)
{
	char buf[65536];
	struct iovec iov = {buf, sizeof(buf)};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	int saved = errno;
	while (receive(fd, &message, MSG_DONTWAIT) >= 0)
		;
	errno = saved;
}

/* Listings wait for their reader: the kernel does not lose them. */
static bool is_listing(const struct msghdr *message, ssize_t len)
{
	struct nlmsghdr head;
	if (len < (ssize_t)sizeof(head) || message->msg_iov[0].iov_len < sizeof(head))
		return false;
	memcpy(&head, message->msg_iov[0].iov_base, sizeof(head));
	return head.nlmsg_flags & NLM_F_MULTI;
}

ssize_t sendto(int fd, const void *data, size_t len, int flags, const struct sockaddr *to, socklen_t to_len)
{
	const char *fault = is_netlink(fd) ? fault_now("sendto") : NULL;
	if (fails(fault))
		return -1;
	ssize_t sent = REAL(
		"sendto", ssize_t(*)(int, const void *, size_t, int, const struct sockaddr *, socklen_t))(
		fd, data, is(fault, "short") ? len / 2 : len, flags, to, to_len);
	if (is(fault, "lost"))
		drain(fd);
	afterwards(fault);
	return sent;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	const char *fault = is_netlink(fd) ? fault_now("sendmsg") : NULL;
	if (fails(fault))
		return -1;
	ssize_t sent = REAL("sendmsg", ssize_t(*)(int, const struct msghdr *, int))(fd, message, flags);
	if (is(fault, "lost"))
		drain(fd);
	afterwards(fault);
	return sent;
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	const char *fault = is_netlink(fd) ? fault_now("recvmsg") : NULL;
	if (fails(fault))
		return -1;
	ssize_t got = receive(fd, message, flags);
	if (is(fault, "lost") && got >= 0 && !is_listing(message, got))
		got = receive(fd, message, flags);
	if (is(fault, "short") && got > 0) {
		got /= 2;
		message->msg_flags |= MSG_TRUNC;
	}
	afterwards(fault);
	return got;
}

ssize_t recv(int fd, void *data, size_t len, int flags)
{
	const char *fault = is_netlink(fd) ? fault_now("recv") : NULL;
	if (fails(fault))
		return -1;
	ssize_t got = REAL("recv", ssize_t(*)(int, void *, size_t, int))(fd, data, len, flags);
	afterwards(fault);
	return got;
}

ssize_t recvfrom(int fd, void *restrict data, size_t len, int flags, struct sockaddr *restrict from,
	socklen_t *restrict from_len)
{
	const char *fault = is_netlink(fd) ? fault_now("recvfrom") : NULL;
	if (fails(fault))
		return -1;
	ssize_t got = REAL("recvfrom", ssize_t(*)(int, void *, size_t, int, struct sockaddr *, socklen_t *))(
		fd, data, len, flags, from, from_len);
	afterwards(fault);
	return got;
}
