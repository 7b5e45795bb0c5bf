#include "stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

/* Measured: from here on the pages are cheaper than the copy. */
#define SHARED_MIN 32768

int stream_open(struct stream *stream, const struct sockaddr *target, socklen_t len,
	const struct sockaddr *source, socklen_t source_len)
{
	const int on = 1;
	*stream = (struct stream){
		.fd = socket(target->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
	if (stream->fd < 0)
		return -errno;
	setsockopt(stream->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (source) {
		/* The port is chosen by connect(): so it need differ for the same target only. */
		setsockopt(stream->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
		if (bind(stream->fd, source, source_len) < 0)
			goto fail;
	}
	if (connect(stream->fd, target, len) == 0 || errno == EINPROGRESS)
		return 0;
fail:;
	int code = -errno;
	stream_close(stream);
	return code;
}

int stream_connected(const struct stream *stream)
{
	int error = 0;
	socklen_t len = sizeof(error);
	if (getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return -errno;
	return -error;
}

void stream_close(struct stream *stream)
{
	if (stream->ssl)
		SSL_free(stream->ssl);
	if (stream->fd >= 0)
		close(stream->fd);
	*stream = (struct stream){.fd = -1};
}

SSL_CTX *stream_tls_new(void)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	if (!context)
		return NULL;
	SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
	SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					  SSL_MODE_RELEASE_BUFFERS);
	return context;
}

static int tls_error(const struct stream *stream, int result)
{
	int error = SSL_get_error(stream->ssl, result);
	ERR_clear_error();
	switch (error) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SYSCALL:
		return errno ? -errno : -ECONNRESET;
	default:
		return -EPROTO;
	}
}

int stream_secure(struct stream *stream, SSL_CTX *context)
{
	if (!stream->ssl) {
		stream->ssl = SSL_new(context);
		if (!stream->ssl || !SSL_set_fd(stream->ssl, stream->fd))
			return -ENOMEM;
		SSL_set_connect_state(stream->ssl);
	}
	errno = 0;
	int result = SSL_do_handshake(stream->ssl);
	if (result == 1)
		return 0;
	int code = tls_error(stream, result);
	return code ? code : -ECONNRESET;
}

ssize_t stream_read(struct stream *stream, void *to, size_t size)
{
	if (!stream->ssl) {
		ssize_t n = recv(stream->fd, to, size, 0);
		return n < 0 ? -errno : n;
	}
	errno = 0;
	int n = SSL_read(stream->ssl, to, (int)size);
	return n > 0 ? n : tls_error(stream, n);
}

static ssize_t tls_write(struct stream *stream, const struct iovec *parts, unsigned count)
{
	ssize_t total = 0;
	for (unsigned i = 0; i < count; i++) {
		size_t done = 0;
		while (done < parts[i].iov_len) {
			errno = 0;
			int n = SSL_write(stream->ssl, (const char *)parts[i].iov_base + done,
				(int)(parts[i].iov_len - done));
			if (n <= 0) {
				int code = tls_error(stream, n);
				return total || code == -EAGAIN ? (total ? total : -EAGAIN)
								: (code ? code : -ECONNRESET);
			}
			done += (size_t)n;
			total += n;
		}
	}
	return total;
}

void stream_share(struct stream_shared *shared, struct span octets)
{
	*shared = (struct stream_shared){.file = -1, .octets = octets};
	if (octets.len < SHARED_MIN)
		return;
	shared->file = memfd_create("mail", MFD_CLOEXEC);
	size_t done = 0;
	while (shared->file >= 0 && done < octets.len) {
		ssize_t n = write(shared->file, octets.data + done, octets.len - done);
		if (n <= 0)
			stream_share_done(shared);
		else
			done += (size_t)n;
	}
}

void stream_share_done(struct stream_shared *shared)
{
	if (shared->file >= 0)
		close(shared->file);
	shared->file = -1;
}

static bool is_shared(const struct stream_shared *shared, const struct iovec *part)
{
	uintptr_t begin = (uintptr_t)shared->octets.data, at = (uintptr_t)part->iov_base;
	return shared->file >= 0 && at >= begin && at - begin < shared->octets.len;
}

/* Corked, so that what follows the pages goes in the same segment. */
static ssize_t send_pages(struct stream *stream, const struct iovec *part, const struct stream_shared *shared)
{
	const int on = 1;
	off_t at = (const char *)part->iov_base - shared->octets.data;
	if (!stream->corked)
		stream->corked = setsockopt(stream->fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on)) == 0;
	return sendfile(stream->fd, shared->file, &at, part->iov_len);
}

ssize_t stream_write(
	struct stream *stream, const struct iovec *parts, unsigned count, const struct stream_shared *shared)
{
	const int on = 1;
	unsigned copied = 0;
	ssize_t n;
	if (stream->ssl)
		return tls_write(stream, parts, count);
	while (copied < count && !is_shared(shared, &parts[copied]))
		copied++;
	unsigned written = copied ? copied : 1;
	if (copied == 0) {
		n = send_pages(stream, parts, shared);
	} else {
		const struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = copied};
		n = sendmsg(stream->fd, &message, copied < count ? MSG_NOSIGNAL | MSG_MORE : MSG_NOSIGNAL);
	}
	int code = n < 0 ? -errno : 0;
	/* This pushes what is corked, see tcp(7). */
	if (stream->corked && written == count)
		setsockopt(stream->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return code ? code : n;
}
