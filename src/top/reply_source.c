#include "reply_source.h"

#include <errno.h>
#include <stdio.h>

#include "bundle.h"
#include "toml_file.h"
#include "toml_reader.h"

static void print_note(void *arg, const char *text)
{
	(void)arg;
	fprintf(stderr, "mxmirage: %s\n", text);
}

static int add_responses(struct reply_source *source, const char *file, struct err *err)
{
	struct toml_node *tree = toml_file_read(file, err);
	if (!tree)
		return -EINVAL;
	source->set = provider_set_new(err);
	int code = source->set ? provider_set_add_responses(source->set, file, tree, print_note, NULL, err)
			       : -ENOMEM;
	toml_free(tree);
	return code;
}

static struct provider_set *configured(const char *conf_file, struct err *err)
{
	struct bundle bundle;
	struct conf *conf;
	if (bundle_read(&bundle, conf_file, &conf, err) < 0)
		return NULL;
	struct provider_set *set = bundle_providers(&bundle, "all", print_note, NULL, err);
	conf_unref(conf);
	bundle_done(&bundle);
	return set;
}

int reply_source_init(
	struct reply_source *source, const char *conf_file, const char *responses_file, struct err *err)
{
	*source = (struct reply_source){.corpus = configured(conf_file, err)};
	source->set = source->corpus;
	int code = source->corpus ? 0 : -EINVAL;
	if (code == 0 && responses_file)
		code = add_responses(source, responses_file, err);
	if (code < 0)
		reply_source_done(source);
	return code;
}

void reply_source_done(struct reply_source *source)
{
	if (source->set != source->corpus)
		provider_set_free(source->set);
	provider_set_free(source->corpus);
	*source = (struct reply_source){NULL, NULL};
}
