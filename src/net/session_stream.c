#include <sys/socket.h>

#include "session_internal.h"

static int stream_fd(const struct session *session)
{
	return event_get_fd(&session->event);
}

ssize_t stream_receive(struct session *session, char *data, size_t size)
{
	return recv(stream_fd(session), data, size, 0);
}

ssize_t stream_discard(struct session *session, size_t len)
{
	return recv(stream_fd(session), NULL, len, MSG_TRUNC);
}

ssize_t stream_send(struct session *session, const char *data, size_t len, bool ends)
{
	return send(stream_fd(session), data, len, MSG_NOSIGNAL | (ends ? MSG_MORE : 0));
}

void stream_end(struct session *session)
{
	shutdown(stream_fd(session), SHUT_WR);
}
