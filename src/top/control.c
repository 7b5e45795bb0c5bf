#include "control.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

struct packet {
	uint32_t type;
	int32_t code;
	uint64_t value;
	char text[CONTROL_TEXT_MAX];
};

int control_pair(int fds[2], struct err *err)
{
	const struct timeval patience = {CONTROL_PATIENCE_S, 0};
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return err_set(err, -errno, "channel to the responder: %s", strerror(errno));
	if (setsockopt(fds[0], SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) == 0)
		return 0;
	int code = err_set(err, -errno, "channel to the responder: %s", strerror(errno));
	close(fds[0]);
	close(fds[1]);
	return code;
}

static int packet_send(int fd, const struct control_message *message, int flags, struct err *err)
{
	struct packet packet = {message->type, message->code, message->value, ""};
	snprintf(packet.text, sizeof(packet.text), "%s", message->text);
	struct iovec data = {&packet, sizeof(packet)};
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(message->fds))];
	} ancillary = {0};
	struct msghdr header = {.msg_iov = &data, .msg_iovlen = 1};
	if (message->fd_count > 0) {
		size_t len = message->fd_count * sizeof(int);
		header.msg_control = ancillary.bytes;
		header.msg_controllen = CMSG_SPACE(len);
		struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(len);
		memcpy(CMSG_DATA(cmsg), message->fds, len);
	}
	ssize_t n;
	do
		n = sendmsg(fd, &header, MSG_NOSIGNAL | flags);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_set(err, -errno, "channel between warden and responder: %s", strerror(errno));
	return 0;
}

int control_send(int fd, const struct control_message *message, struct err *err)
{
	return packet_send(fd, message, 0, err);
}

int control_say(int fd, enum control_type type, int32_t code, const char *text, struct err *err)
{
	struct control_message message = {.type = type, .code = code};
	snprintf(message.text, sizeof(message.text), "%s", text);
	return packet_send(fd, &message, MSG_DONTWAIT, err);
}

int control_receive(int fd, struct control_message *message, struct err *err)
{
	struct packet packet = {0};
	struct iovec data = {&packet, sizeof(packet)};
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(message->fds))];
	} ancillary;
	struct msghdr header = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = ancillary.bytes,
		.msg_controllen = sizeof(ancillary.bytes),
	};
	ssize_t n;
	do
		n = recvmsg(fd, &header, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == ECONNRESET)
		return 0;
	if (n < 0)
		return err_set(err, -errno, "channel between warden and responder: %s", strerror(errno));
	message->fd_count = 0;
	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header); cmsg; cmsg = CMSG_NXTHDR(&header, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		message->fd_count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(message->fds, CMSG_DATA(cmsg), message->fd_count * sizeof(int));
	}
	if (n == 0)
		return 0;
	if ((size_t)n != sizeof(packet) || (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
		for (size_t i = 0; i < message->fd_count; i++)
			close(message->fds[i]);
		return err_set(err, -EPROTO,
			"channel between warden and responder: a broken message "
			"(of two versions of the program? restart mxmirage)");
	}
	message->type = packet.type;
	message->code = packet.code;
	message->value = packet.value;
	packet.text[sizeof(packet.text) - 1] = '\0';
	memcpy(message->text, packet.text, sizeof(message->text));
	return 1;
}
