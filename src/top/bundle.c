#include "bundle.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf_file.h"
#include "corpus.h"
#include "toml_reader.h"

static const char *const wordings[] = {
	[CONF_WORDING_CURRENT] = "current",
	[CONF_WORDING_OLD] = "old",
	[CONF_WORDING_ALL] = "all",
};

int bundle_put(struct bundle *bundle, enum bundle_role role, const char *name, const char *text, size_t len,
	struct err *err)
{
	char *name_copy = strdup(name), *text_copy = malloc(len + 1);
	if (!name_copy || !text_copy) {
		free(name_copy);
		free(text_copy);
		return err_set(err, -ENOMEM, "%s: out of memory", name);
	}
	memcpy(text_copy, text, len);
	text_copy[len] = '\0';
	free(bundle->files[role].name);
	free(bundle->files[role].text);
	bundle->files[role].name = name_copy;
	bundle->files[role].text = text_copy;
	bundle->files[role].len = len;
	return 0;
}

static int read_role(struct bundle *bundle, enum bundle_role role, const char *name, struct err *err)
{
	size_t len;
	char *text = conf_file_read(name, &len, err);
	if (!text)
		return -EINVAL;
	int code = bundle_put(bundle, role, name, text, len, err);
	free(text);
	return code;
}

/* A file that the configuration names, relative to it. */
static int read_named(struct bundle *bundle, enum bundle_role role, const char *conf_file, const char *key,
	const char *named, struct err *err)
{
	char directory[4096], path[8300];
	if (!named[0])
		return 0;
	snprintf(directory, sizeof(directory), "%s", conf_file);
	if (named[0] == '/')
		snprintf(path, sizeof(path), "%s", named);
	else
		snprintf(path, sizeof(path), "%s/%s", dirname(directory), named);
	/* Asked first: what conf_file_read() advises is about -c. */
	if (access(path, R_OK) < 0)
		return err_set(err, -EINVAL, "%s: %s names %s: %s; %s", conf_file, key, path, strerror(errno),
			errno == EACCES
				? "make it and its directory readable for the user that mxmirage runs as"
				: "name a file that there is, or leave it out");
	return read_role(bundle, role, path, err);
}

int bundle_read(struct bundle *bundle, const char *conf_file, struct conf **conf, struct err *err)
{
	*bundle = (struct bundle){0};
	*conf = NULL;
	int code = read_role(bundle, BUNDLE_CONF, conf_file, err);
	if (code == 0) {
		*conf = bundle_conf(bundle, err);
		code = *conf ? 0 : -EINVAL;
	}
	if (code == 0)
		code = read_named(bundle, BUNDLE_PROVIDERS, conf_file, "answer.providers",
			(*conf)->answer.providers, err);
	if (code == 0)
		code = read_named(bundle, BUNDLE_RESPONSES, conf_file, "answer.responses",
			(*conf)->answer.responses, err);
	if (code == 0)
		return 0;
	conf_unref(*conf);
	*conf = NULL;
	bundle_done(bundle);
	return code;
}

struct conf *bundle_conf(const struct bundle *bundle, struct err *err)
{
	return conf_file_text(bundle->files[BUNDLE_CONF].name, bundle->files[BUNDLE_CONF].text,
		bundle->files[BUNDLE_CONF].len, err);
}

static int add_file(const struct bundle *bundle, enum bundle_role role, struct provider_set *set,
	const char *wording, void (*note)(void *arg, const char *text), void *arg, struct err *err)
{
	const char *name = bundle->files[role].name;
	if (!name)
		return 0;
	struct toml_node *root = toml_read(name, bundle->files[role].text, bundle->files[role].len, err);
	if (!root)
		return -EINVAL;
	int code = role == BUNDLE_RESPONSES ? provider_set_add_responses(set, name, root, note, arg, err)
					    : provider_set_add(set, name, root, wording, err);
	toml_free(root);
	return code;
}

static void note_nothing(void *arg, const char *text)
{
	(void)arg;
	(void)text;
}

struct provider_set *bundle_providers(const struct bundle *bundle, const char *wording,
	void (*note)(void *arg, const char *text), void *arg, struct err *err)
{
	static const enum bundle_role order[] = {BUNDLE_PROVIDERS, BUNDLE_CONF, BUNDLE_RESPONSES};
	struct provider_set *set = provider_set_new(err);
	int code = set ? corpus_load(set, wording, err) : -ENOMEM;
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]) && code == 0; i++)
		code = add_file(bundle, order[i], set, wording, note ? note : note_nothing, arg, err);
	if (code == 0)
		return set;
	provider_set_free(set);
	return NULL;
}

struct policy *bundle_policy(const struct bundle *bundle, const struct conf *conf, uint64_t serial,
	void (*note)(void *arg, const char *text), void *arg, struct err *err)
{
	if (conf->answer.mode == CONF_ANSWER_SINK)
		return policy_new(conf, NULL, serial, err);
	struct provider_set *set = bundle_providers(bundle, wordings[conf->answer.wording], note, arg, err);
	return set ? policy_new(conf, set, serial, err) : NULL;
}

void bundle_done(struct bundle *bundle)
{
	for (int i = 0; i < BUNDLE_ROLES; i++) {
		free(bundle->files[i].name);
		free(bundle->files[i].text);
	}
	*bundle = (struct bundle){0};
}
