#include "conf_text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/un.h>

#define DIGITS  "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

#define HOSTNAME_MAX 253 /* RFC 1035 2.3.4, without the root's empty label */
#define LABEL_MAX    63
#define USER_MAX     32 /* useradd(8) */

static bool label_valid(const char *label, size_t len)
{
	return len > 0 && len <= LABEL_MAX && label[0] != '-' && label[len - 1] != '-' &&
	       strspn(label, LETTERS DIGITS "-") == len;
}

int conf_text_hostname(const char *text, struct err *err)
{
	if (strlen(text) > HOSTNAME_MAX)
		return err_set(err, -EINVAL, "\"%.32s...\" is longer than a host name's %d bytes; shorten it",
			text, HOSTNAME_MAX);
	const char *label = text;
	for (;;) {
		size_t len = strcspn(label, ".");
		if (!label_valid(label, len))
			return err_set(err, -EINVAL,
				"\"%.253s\" is not a host name: the label \"%.*s\" must be 1 to %d "
				"letters, digits "
				"and inner hyphens; write one such as \"mx.example.test\"",
				text, (int)len, label, LABEL_MAX);
		if (label[len] == '\0') {
			if (strspn(label, DIGITS) == len)
				return err_set(err, -EINVAL,
					"\"%.253s\" ends in a number as an address does; write a "
					"host name such "
					"as \"mx.example.test\"",
					text);
			return 0;
		}
		label += len + 1;
	}
}

static int path_check(const char *text, size_t max, struct err *err)
{
	size_t len = strlen(text);
	if (text[0] != '/')
		return err_set(err, -EINVAL,
			"\"%.64s\" is not an absolute path; begin it with \"/\", for it must mean "
			"the same "
			"wherever the program is started",
			text);
	if (text[len - 1] == '/')
		return err_set(err, -EINVAL, "\"%.64s\" names a directory; name a file in it", text);
	if (len > max)
		return err_set(err, -EINVAL,
			"\"%.32s...\" has %zu bytes; at most %zu are possible, shorten it", text, len, max);
	return 0;
}

int conf_text_socket(const char *text, struct err *err)
{
	return path_check(text, sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1, err);
}

int conf_text_path(const char *text, struct err *err)
{
	return path_check(text, PATH_MAX - 1, err);
}

int conf_text_user(const char *text, struct err *err)
{
	size_t len = strlen(text);
	if (len == 0)
		return 0;
	if (strcmp(text, "root") == 0)
		return err_set(err, -EINVAL,
			"the responder must have no privilege; name a user of its own, or leave "
			"the key out");
	if (len > USER_MAX || !strchr(LETTERS "_", text[0]) || strspn(text, LETTERS DIGITS "_.-") != len)
		return err_set(err, -EINVAL,
			"\"%.64s\" is not a user's name; write a name such as \"mxmirage\", no "
			"number",
			text);
	return 0;
}

int conf_text_file(const char *text, struct err *err)
{
	size_t len = strlen(text);
	if (len >= PATH_MAX)
		return err_set(
			err, -EINVAL, "a path of %zu bytes is too long; %d are possible", len, PATH_MAX - 1);
	if (len && text[len - 1] == '/')
		return err_set(err, -EINVAL, "\"%.64s\" is a directory's path; name a file in it", text);
	return 0;
}

/* One server: an IPv4 address or an IPv6 one, with a port or without. */
static bool is_server(const char *text, size_t len)
{
	char address[64];
	unsigned char parsed[16];
	if (len == 0 || len >= sizeof(address))
		return false;
	memcpy(address, text, len);
	address[len] = '\0';
	char *host = address, *port = NULL, *bracket = strchr(address, ']');
	if (address[0] == '[' && bracket) {
		host = address + 1;
		*bracket = '\0';
		port = bracket[1] == ':' ? bracket + 2 : NULL;
		if (bracket[1] && !port)
			return false;
	} else if (inet_pton(AF_INET6, host, parsed) != 1 && strchr(host, ':')) {
		port = strchr(host, ':') + 1;
		port[-1] = '\0';
	}
	if (port && (!*port || strlen(port) > 5 || strspn(port, DIGITS) != strlen(port)))
		return false;
	return inet_pton(AF_INET, host, parsed) == 1 || inet_pton(AF_INET6, host, parsed) == 1;
}

int conf_text_servers(const char *text, struct err *err)
{
	const char *at = text;
	while (*text) {
		size_t len = strcspn(at, ",");
		if (!is_server(at, len))
			return err_set(err, -EINVAL,
				"\"%.64s\" holds what is no server's address; write IP addresses divided by "
				"commas, "
				"such as \"192.0.2.53,192.0.2.54:5353\"",
				text);
		if (!at[len])
			break;
		at += len + 1;
	}
	return 0;
}
