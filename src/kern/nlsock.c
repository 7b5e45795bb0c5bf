#include "nlsock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libnftnl/common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/*
 * An answer takes about 1 KB of the receive buffer. A batch has a message for each rule, chain, set
 * and counter and for each 500 elements: hundreds for the largest of configurations.
 */
#define RECEIVE_BUFFER (8 * 1024 * 1024)
/* What the kernel's socket accounting adds to a message that is sent. */
#define SEND_OVERHEAD 65536
/* The kernel fills a listing's datagrams up to what it was last asked with, 32 KB at most. */
#define ANSWER_MAX 32768
/* Stale answers that a former holder of an inherited socket may have left. */
#define DRAIN_MAX 100000
/* Half a second in all; an exchange takes milliseconds. */
#define LOCK_TRIES   500
#define LOCK_WAIT_NS 1000000

static int socket_new(struct nlsock *sock, struct err *err)
{
	sock->socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!sock->socket)
		return err_set(err, -errno, "netfilter's netlink socket: %s%s", strerror(errno),
			errno == EPROTONOSUPPORT ? " (the kernel needs nf_tables: modprobe nf_tables)" : "");
	if (mnl_socket_bind(sock->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
		int code = err_set(err, -errno, "netfilter's netlink socket: %s", strerror(errno));
		nlsock_close(sock);
		return code;
	}
	return 0;
}

static int socket_inherit(struct nlsock *sock, int fd, struct err *err)
{
	sock->socket = mnl_socket_fdopen(fd);
	if (!sock->socket)
		return err_set(
			err, -errno, "the inherited netlink socket (descriptor %d): %s", fd, strerror(errno));
	/* Who holds it while nobody reads must never see it fail for answers that came too many. */
	int on = 1;
	mnl_socket_setsockopt(sock->socket, NETLINK_NO_ENOBUFS, &on, sizeof(on));
	return 0;
}

int nlsock_open(struct nlsock *sock, int inherited, struct err *err)
{
	*sock = (struct nlsock){0};
	int code = inherited >= 0 ? socket_inherit(sock, inherited, err) : socket_new(sock, err);
	if (code < 0)
		return code;
	sock->inherited = inherited >= 0;
	sock->portid = mnl_socket_get_portid(sock->socket);

	/* Errors without a copy of the message that they are about: no answer is ever large. */
	int on = 1;
	mnl_socket_setsockopt(sock->socket, NETLINK_CAP_ACK, &on, sizeof(on));
	/* Without the capability, as in a user namespace, as far as the host's limit goes: twice what it gives unasked. */
	int size = RECEIVE_BUFFER, fd = mnl_socket_get_fd(sock->socket);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	return 0;
}

void nlsock_close(struct nlsock *sock)
{
	if (sock->socket)
		mnl_socket_close(sock->socket);
	*sock = (struct nlsock){0};
}

/* One datagram, without waiting; its length or a negative errno. */
static ssize_t answer_receive(const struct nlsock *sock, char *buf, size_t size)
{
	for (;;) {
		struct sockaddr_nl from;
		struct iovec iov = {buf, size};
		struct msghdr msg = {
			.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1};
		ssize_t len = recvmsg(mnl_socket_get_fd(sock->socket), &msg, MSG_DONTWAIT);
		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0)
			return -errno;
		if (msg.msg_flags & MSG_TRUNC)
			return -ENOSPC;
		/* Any process may send to a netlink address; only the kernel is port 0. */
		if (from.nl_pid == 0)
			return len;
	}
}

/*
 * Others who inherited the socket would take our answers for stale ones. Whoever holds it is stopped, if it takes
 * longer than any exchange: then what is lost is noticed. Descriptors of one socket share a lock by flock(), so by fcntl().
 */
static void exchange_begin(const struct nlsock *sock)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	for (int i = 0; sock->inherited && i < LOCK_TRIES; i++) {
		if (fcntl(mnl_socket_get_fd(sock->socket), F_SETLK, &lock) == 0 ||
			(errno != EAGAIN && errno != EACCES && errno != EINTR))
			return;
		nanosleep(&(struct timespec){0, LOCK_WAIT_NS}, NULL);
	}
}

static int exchange_end(const struct nlsock *sock, int code)
{
	struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
	if (sock->inherited && fcntl(mnl_socket_get_fd(sock->socket), F_SETLK, &lock) < 0)
		return code < 0 ? code : -errno;
	return code;
}

static int message_send(const struct nlsock *sock, const void *data, size_t len)
{
	char stale[ANSWER_MAX];
	for (int i = 0; i < DRAIN_MAX; i++) {
		ssize_t got = answer_receive(sock, stale, sizeof(stale));
		if (got < 0 && got != -ENOBUFS && got != -ENOSPC)
			break;
	}

	int size = (int)len + SEND_OVERHEAD, now = 0;
	socklen_t now_len = sizeof(now);
	int fd = mnl_socket_get_fd(sock->socket);
	if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &now, &now_len) == 0 && now < size)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	ssize_t sent = mnl_socket_sendto(sock->socket, data, len);
	if (sent < 0)
		return -errno;
	return (size_t)sent == len ? 0 : -EMSGSIZE;
}

/* Closes the message that was added last: its attributes are all there now. */
static void batch_close_message(struct nlbatch *batch)
{
	if (batch->count > 0 && !batch->broken) {
		struct nlmsghdr *last = (struct nlmsghdr *)(batch->data + batch->len);
		batch->len += MNL_ALIGN(last->nlmsg_len);
	}
}

/* Makes room for one more message behind batch->len; false when memory ran out. */
static bool batch_reserve(struct nlbatch *batch)
{
	if (batch->broken)
		return false;
	if (batch->size - batch->len < NLBATCH_MESSAGE_MAX) {
		size_t size = batch->size * 2 + 4 * NLBATCH_MESSAGE_MAX;
		char *data = realloc(batch->data, size);
		if (!data)
			goto fail;
		batch->data = data;
		batch->size = size;
	}
	if (batch->count == batch->room) {
		size_t room = batch->room * 2 + 64;
		struct nlbatch_item *items = realloc(batch->items, room * sizeof(*items));
		if (!items)
			goto fail;
		batch->items = items;
		batch->room = room;
	}
	return true;
fail:
	batch->broken = -ENOMEM;
	return false;
}

int nlbatch_init(struct nlbatch *batch, const struct nlsock *sock, uint32_t generation)
{
	*batch = (struct nlbatch){.seq = sock->seq + 1};
	if (!batch_reserve(batch))
		return -ENOMEM;
	/* The begin message has the first number and is no item. */
	struct nlmsghdr *begin = nftnl_batch_begin(batch->data, batch->seq++);
	if (generation != 0)
		mnl_attr_put_u32(begin, NFNL_BATCH_GENID, htonl(generation));
	batch->len = MNL_ALIGN(begin->nlmsg_len);
	return 0;
}

void nlbatch_done(struct nlbatch *batch)
{
	for (size_t i = 0; i < batch->count; i++)
		free(batch->items[i].what);
	free(batch->items);
	free(batch->data);
	*batch = (struct nlbatch){0};
}

struct nlmsghdr *nlbatch_add(
	struct nlbatch *batch, uint16_t type, uint8_t family, uint16_t flags, const char *format, ...)
{
	batch_close_message(batch);
	if (!batch_reserve(batch))
		return NULL;
	char *what = NULL;
	va_list args;
	va_start(args, format);
	int len = vasprintf(&what, format, args);
	va_end(args);
	if (len < 0) {
		batch->broken = -ENOMEM;
		return NULL;
	}
	batch->items[batch->count++] = (struct nlbatch_item){batch->seq, what, batch->tag};
	return nftnl_nlmsg_build_hdr(batch->data + batch->len, type, family, flags | NLM_F_ACK, batch->seq++);
}

struct answers {
	const struct nlbatch *batch;
	uint32_t begin; /* the begin message's sequence number */
	size_t seen;    /* messages answered for */
	size_t refused; /* the first refused message, SIZE_MAX without one */
	int code;       /* its negative errno */
	int batch_code; /* a refusal of the batch as a whole */
};

static void answer_take(struct answers *answers, const struct nlmsghdr *nlh)
{
	if (nlh->nlmsg_type != NLMSG_ERROR)
		return;
	const struct nlmsgerr *answer = mnl_nlmsg_get_payload(nlh);
	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*answer))
		return;
	if (nlh->nlmsg_seq == answers->begin) {
		answers->batch_code = answer->error;
		return;
	}
	size_t index = nlh->nlmsg_seq - answers->begin - 1;
	if (index >= answers->batch->count)
		return;
	answers->seen++;
	if (answer->error != 0 && index < answers->refused) {
		answers->refused = index;
		answers->code = answer->error;
	}
}

/* Without its end message the kernel checks a batch and takes it back. */
static int batch_exchange(struct nlsock *sock, struct nlbatch *batch, bool whole,
	struct nlbatch_refusal *refusal, struct err *err)
{
	*refusal = (struct nlbatch_refusal){"the batch", 0};

	struct answers answers = {.batch = batch, .begin = sock->seq + 1, .refused = SIZE_MAX};
	batch_close_message(batch);
	if (!batch_reserve(batch))
		return err_set(err, batch->broken, "no memory for the batch of rules");
	if (whole) {
		struct nlmsghdr *end = nftnl_batch_end(batch->data + batch->len, batch->seq);
		batch->len += MNL_ALIGN(end->nlmsg_len);
	}
	sock->seq = batch->seq;

	int code = message_send(sock, batch->data, batch->len);
	if (code < 0)
		return err_set(err, code, "sending %zu bytes of rules to the kernel: %s", batch->len,
			strerror(-code));

	_Alignas(struct nlmsghdr) char buf[ANSWER_MAX];
	ssize_t len;
	while ((len = answer_receive(sock, buf, sizeof(buf))) >= 0) {
		int left = (int)len;
		for (const struct nlmsghdr *nlh = (void *)buf; mnl_nlmsg_ok(nlh, left);
			nlh = mnl_nlmsg_next(nlh, &left))
			answer_take(&answers, nlh);
	}

	if (answers.refused != SIZE_MAX) {
		*refusal = (struct nlbatch_refusal){
			batch->items[answers.refused].what, batch->items[answers.refused].tag};
		return err_set(err, answers.code, "%s: %s", refusal->what, strerror(-answers.code));
	}
	if (answers.batch_code != 0)
		return err_set(err, answers.batch_code, "the kernel refused the whole batch: %s",
			strerror(-answers.batch_code));
	if (answers.seen != batch->count)
		return err_set(err, -EIO,
			"the kernel answered for %zu of %zu messages only (%s): what stands is "
			"unknown",
			answers.seen, batch->count, strerror((int)-len));
	return 0;
}

static int batch_send(struct nlsock *sock, struct nlbatch *batch, bool whole, struct nlbatch_refusal *refusal,
	struct err *err)
{
	exchange_begin(sock);
	return exchange_end(sock, batch_exchange(sock, batch, whole, refusal, err));
}

int nlsock_commit(
	struct nlsock *sock, struct nlbatch *batch, struct nlbatch_refusal *refusal, struct err *err)
{
	struct nlbatch_refusal none;
	return batch_send(sock, batch, true, refusal ? refusal : &none, err);
}

int nlsock_check(struct nlsock *sock, struct nlbatch *batch, struct err *err)
{
	struct nlbatch_refusal refusal;
	return batch_send(sock, batch, false, &refusal, err);
}

struct nlmsghdr *nlsock_prepare(struct nlsock *sock, char *buf, uint16_t type, uint8_t family, uint16_t flags)
{
	return nftnl_nlmsg_build_hdr(buf, type, family, flags | NLM_F_ACK, ++sock->seq);
}

static int request_exchange(
	struct nlsock *sock, const struct nlmsghdr *request, mnl_cb_t callback, void *data)
{
	int code = message_send(sock, request, request->nlmsg_len);
	if (code < 0)
		return code;
	_Alignas(struct nlmsghdr) char buf[ANSWER_MAX];
	for (;;) {
		ssize_t len = answer_receive(sock, buf, sizeof(buf));
		if (len < 0)
			return len == -EAGAIN ? -EIO : (int)len;
		int more = mnl_cb_run(buf, (size_t)len, request->nlmsg_seq, sock->portid, callback, data);
		if (more < 0)
			return -errno;
		if (more == MNL_CB_STOP)
			return 0;
	}
}

int nlsock_request(struct nlsock *sock, const struct nlmsghdr *request, mnl_cb_t callback, void *data)
{
	exchange_begin(sock);
	return exchange_end(sock, request_exchange(sock, request, callback, data));
}
