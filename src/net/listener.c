#include "listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* The kernel cuts this to net.core.somaxconn. */
#define BACKLOG 65535

/* A bound socket; shared: with other sockets of this user's. */
static int bind_family(int family, uint16_t port, bool shared)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	const int on = 1, off = 0, share = shared;
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} address = {0};
	socklen_t len;
	if (family == AF_INET6) {
		address.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
		len = sizeof(address.v6);
	} else {
		address.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
		len = sizeof(address.v4);
	}
	/*
	 * These two are inherited by accepted sockets: system calls saved per connection. Replies are small and no
	 * path is congested by them: what BBR paces and estimates would be paid for in vain. Reno every kernel has;
	 * where it is not allowed, the host's own choice does.
	 */
	static const char reno[] = "reno";
	(void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, reno, sizeof(reno) - 1);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &share, sizeof(share)) == 0 &&
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0 &&
		(family != AF_INET6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) == 0) &&
		bind(fd, &address.any, len) == 0)
		return fd;
	int code = -errno;
	close(fd);
	return code;
}

static int bind_port(uint16_t port, bool shared)
{
	int fd = bind_family(AF_INET6, port, shared);
	if (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL)
		fd = bind_family(AF_INET, port, shared);
	return fd;
}

static int port_error(uint16_t port, int code, struct err *err)
{
	if (code == -EADDRINUSE)
		return err_set(err, code,
			"port %u is in use by another process: stop it, or choose other ports by "
			"listen.ports (ss -ltnp 'sport = :%u' names it)",
			port, port);
	if (code == -EACCES)
		return err_set(err, code,
			"port %u: permission denied: choose ports from 1024 on by listen.ports", port);
	return err_set(err, code, "port %u cannot be listened on: %s", port, strerror(-code));
}

int listener_check(uint16_t port, struct err *err)
{
	int fd = bind_port(port, false);
	if (fd < 0)
		return port_error(port, fd, err);
	close(fd);
	return 0;
}

int listener_open(uint16_t port, struct err *err)
{
	int fd = bind_port(port, true);
	if (fd < 0)
		return port_error(port, fd, err);
	if (listen(fd, BACKLOG) == 0)
		return fd;
	int code = -errno;
	close(fd);
	return port_error(port, code, err);
}

int listener_open_unix(const char *path, unsigned gid, struct err *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(address.sun_path))
		return err_set(err, -ENAMETOOLONG,
			"control socket %s: the path is longer than %zu bytes: "
			"choose a shorter admin.socket",
			path, sizeof(address.sun_path) - 1);
	memcpy(address.sun_path, path, strlen(path));
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(err, -errno, "control socket: %s", strerror(errno));
	/* Where nobody listens, connecting fails, and what is there is stale. */
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 || errno == EAGAIN) {
		close(fd);
		return err_set(err, -EADDRINUSE,
			"control socket %s: another process answers there: stop it, or choose another "
			"admin.socket",
			path);
	}
	unlink(path);
	/* Bound without any permission, opened once its owner is right. */
	mode_t mask = umask(0777);
	int bound = bind(fd, (struct sockaddr *)&address, sizeof(address));
	int code = -errno;
	umask(mask);
	if (bound == 0 && (geteuid() != 0 || chown(path, 0, gid) == 0) && chmod(path, 0660) == 0 &&
		listen(fd, 64) == 0)
		return fd;
	if (bound == 0)
		code = -errno;
	close(fd);
	return err_set(err, code,
		"control socket %s: %s: does its directory exist and may this user write there?", path,
		strerror(-code));
}
