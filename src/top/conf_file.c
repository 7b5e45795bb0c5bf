#include "conf_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "toml_reader.h"

/* What open() and read() refuse most, and what helps. */
static const char *remedy(int error)
{
	switch (error) {
	case ENOENT:
		return "; name an existing file with -c, or leave -c out for the defaults";
	case EACCES:
		return "; make it readable for this user";
	case EISDIR:
		return "; name the file in it";
	default:
		return "";
	}
}

static int file_error(struct err *err, const char *file, int error)
{
	return err_set(err, -error, "%s: %s%s", file, strerror(error), remedy(error));
}

/*
 * Fills text with up to size bytes. Returns how many there were, or a negative errno. Asks no
 * fstat() for the size, so that a pipe can be read, too.
 */
static ssize_t read_whole(int fd, char *text, size_t size)
{
	size_t used = 0;
	while (used < size) {
		ssize_t got = read(fd, text + used, size - used);
		if (got == 0)
			break;
		if (got < 0 && errno != EINTR)
			return -errno;
		if (got > 0)
			used += (size_t)got;
	}
	return (ssize_t)used;
}

char *conf_file_read(const char *file, size_t *len, struct err *err)
{
	/* One byte more than allowed shows that there is too much; one for the NUL. */
	char *text = malloc(CONF_FILE_MAX + 2);
	if (!text) {
		err_set(err, -ENOMEM, "%s: out of memory", file);
		return NULL;
	}
	ssize_t got = 0;
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		got = read_whole(fd, text, CONF_FILE_MAX + 1);
		close(fd);
	} else if (errno != ENOENT || strcmp(file, CONF_PATH_DEFAULT) != 0) {
		got = -errno;
	}
	if (got < 0) {
		file_error(err, file, (int)-got);
		goto failed;
	}
	if (got > (ssize_t)CONF_FILE_MAX) {
		err_set(err, -EFBIG, "%s: larger than %u bytes; is it the right file?", file, CONF_FILE_MAX);
		goto failed;
	}
	text[got] = '\0';
	*len = (size_t)got;
	char *fitted = realloc(text, (size_t)got + 1);
	return fitted ? fitted : text;
failed:
	free(text);
	return NULL;
}

struct conf *conf_file_text(const char *file, const char *text, size_t len, struct err *err)
{
	struct toml_node *root = toml_read(file, text, len, err);
	if (!root)
		return NULL;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct conf *conf = conf_new(file, root, cpus > 0 ? (unsigned)cpus : 1, err);
	toml_free(root);
	return conf;
}

struct conf *conf_file_load(const char *file, struct err *err)
{
	size_t len;
	char *text = conf_file_read(file, &len, err);
	struct conf *conf = text ? conf_file_text(file, text, len, err) : NULL;
	free(text);
	return conf;
}

static const struct toml_node *item_of(const struct toml_node *table, const char *key)
{
	for (size_t i = 0; table && table->type == TOML_TABLE && i < table->count; i++)
		if (strcmp(table->items[i].key, key) == 0)
			return &table->items[i];
	return NULL;
}

char *conf_file_socket(const char *file)
{
	struct err err;
	size_t len;
	char *text = conf_file_read(file, &len, &err);
	struct toml_node *root = text ? toml_read(file, text, len, &err) : NULL;
	const struct toml_node *named = item_of(item_of(root, "admin"), "socket");
	struct conf *defaults = conf_new(NULL, NULL, 1, &err);
	char *socket = NULL;
	if (named && named->type == TOML_STRING)
		socket = strdup(named->string);
	else if (defaults)
		socket = strdup(defaults->admin.socket);
	conf_unref(defaults);
	toml_free(root);
	free(text);
	return socket;
}
