/*
 * stream: a TCP connection to the target, in the clear or, from some moment on, in TLS. It never blocks and
 * knows nothing of SMTP.
 */
#ifndef MX_STREAM_H
#define MX_STREAM_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/uio.h>

struct stream {
	int fd;   /* -1 = closed */
	SSL *ssl; /* NULL = in the clear */
};

/* Begins to connect. source may be NULL. 0 or a negative errno; then the stream is closed. */
int stream_open(struct stream *stream, const struct sockaddr *target, socklen_t len,
	const struct sockaddr *source, socklen_t source_len);
/* How the attempt to connect ended: 0 or a negative errno. */
int stream_connected(const struct stream *stream);
void stream_close(struct stream *stream);

/* A context for streams: TLS 1.2 and 1.3, nothing verified: the target is a test's. NULL: out of memory. */
SSL_CTX *stream_tls_new(void);
/* From here on in TLS. 0: the handshake is done; -EAGAIN: call again when the socket is ready; else it failed. */
int stream_secure(struct stream *stream, SSL_CTX *context);

/* How much, 0 at the end (of reading), -EAGAIN, or another negative errno (-EPROTO for TLS's own). */
ssize_t stream_read(struct stream *stream, void *to, size_t size);
ssize_t stream_write(struct stream *stream, const struct iovec *parts, unsigned count);

#endif
