#include "client.h"

#include <curl/curl.h>
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf_file.h"

/* Longer than the daemon itself waits for its warden (admin.c). */
#define TIMEOUT_S 35L

struct body {
	char *data;
	size_t len;
};

static size_t body_append(char *data, size_t size, size_t count, void *arg)
{
	struct body *body = arg;
	size_t len = size * count;
	char *more = realloc(body->data, body->len + len + 1);
	if (!more)
		return 0;
	memcpy(more + body->len, data, len);
	body->data = more;
	body->len += len;
	return len;
}

static enum exit_code explain(CURLcode code, long os_error, const char *socket)
{
	if (code == CURLE_OPERATION_TIMEDOUT) {
		fprintf(stderr, "mxmirage: the daemon at %s does not answer in time\n", socket);
		return EXIT_CODE_TIMED_OUT;
	}
	if (os_error == EACCES || os_error == EPERM) {
		struct stat st;
		/* Root's own, of a daemon that was run by hand, is for root. */
		const struct group *group =
			stat(socket, &st) == 0 && st.st_uid != 0 ? getgrgid(st.st_gid) : NULL;
		fprintf(stderr, "mxmirage: %s: permission denied: run this as root%s%s\n", socket,
			group ? ", or as a member of the group " : "", group ? group->gr_name : "");
		return EXIT_CODE_PRIVILEGE;
	}
	fprintf(stderr,
		"mxmirage: no daemon answers at %s (%s): start it with `systemctl start mxmirage` or "
		"`mxmirage "
		"run`, or name its socket with --socket or its configuration with -c\n",
		socket, os_error ? strerror((int)os_error) : curl_easy_strerror(code));
	return EXIT_CODE_UNREACHABLE;
}

static enum exit_code ask(
	const struct options *options, const char *posted, const char *path, json_t **answer)
{
	*answer = NULL;
	/* What is wrong in a file does not matter here; that it is missing means another daemon than was meant. */
	if (!options->socket && strcmp(options->conf_file, CONF_PATH_DEFAULT) != 0 &&
		access(options->conf_file, R_OK) < 0) {
		fprintf(stderr, "mxmirage: %s: %s; -c names the file that the daemon runs with\n",
			options->conf_file, strerror(errno));
		return EXIT_CODE_CONFIGURATION;
	}
	char *socket = options->socket ? strdup(options->socket) : conf_file_socket(options->conf_file);
	CURL *curl = curl_easy_init();
	struct body body = {NULL, 0};
	char url[2048];
	snprintf(url, sizeof(url), "http://mxmirage%s", path);
	enum exit_code outcome = EXIT_CODE_SOFTWARE;
	if (!curl || !socket)
		goto out;
	curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, TIMEOUT_S);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, body_append);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &body);
	if (posted)
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, posted);
	CURLcode code = curl_easy_perform(curl);
	long status = 0, os_error = 0;
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &os_error);
	if (code != CURLE_OK) {
		outcome = explain(code, os_error, socket);
		goto out;
	}
	*answer = status == 200 && body.data ? json_loadb(body.data, body.len, 0, NULL) : NULL;
	if (*answer)
		outcome = EXIT_CODE_OK;
	else
		fprintf(stderr, "mxmirage: the daemon at %s answered %ld: %.*s\n", socket, status,
			(int)(body.len < 500 ? body.len : 500), body.data ? body.data : "");
out:
	curl_easy_cleanup(curl);
	free(body.data);
	free(socket);
	return outcome;
}

enum exit_code client_ask(
	const struct options *options, enum client_method method, const char *path, json_t **answer)
{
	return ask(options, method == CLIENT_POST ? "" : NULL, path, answer);
}

enum exit_code client_tell(const struct options *options, const char *path, json_t *body, json_t **answer)
{
	char *text = json_dumps(body, JSON_COMPACT);
	json_decref(body);
	*answer = NULL;
	enum exit_code code = text ? ask(options, text, path, answer) : EXIT_CODE_SOFTWARE;
	free(text);
	return code;
}

enum exit_code client_show(const struct options *options, json_t *answer, void (*print)(const json_t *answer))
{
	const char *error = json_string_value(json_object_get(answer, "error"));
	if (error) {
		fprintf(stderr, "mxmirage: %s\n", error);
	} else if (options->json) {
		json_dumpf(answer, stdout, JSON_INDENT(2));
		printf("\n");
	} else {
		print(answer);
	}
	enum exit_code code = error ? EXIT_CODE_USAGE : EXIT_CODE_OK;
	json_decref(answer);
	return code;
}
