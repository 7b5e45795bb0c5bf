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

#include "span.h"

struct stream {
	int fd;      /* -1 = closed */
	SSL *ssl;    /* NULL = in the clear */
	bool corked; /* TCP_CORK is set: what is written waits for more until it is pushed */
};

/*
 * Octets that many streams send, in a file as well: the kernel sends its pages themselves, where it would copy
 * memory. Of a few KB the copy is the cheaper way: such octets have no file.
 */
struct stream_shared {
	int file; /* -1 = none: memory it is */
	struct span octets;
};

/* The octets stay the caller's and must outlive it. Without a file it works as well, so this cannot fail. */
void stream_share(struct stream_shared *shared, struct span octets);
void stream_share_done(struct stream_shared *shared);

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
/*
 * Parts that lie within `shared` go from its file. The last part ends what there is to say for now. It may raise
 * SIGPIPE: let the thread block it.
 */
ssize_t stream_write(
	struct stream *stream, const struct iovec *parts, unsigned count, const struct stream_shared *shared);

#endif
