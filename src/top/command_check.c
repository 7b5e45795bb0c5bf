#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bundle.h"
#include "command.h"
#include "escape.h"
#include "links.h"
#include "privilege.h"
#include "text.h"
#include "toml_reader.h"

static void note(void *arg, const char *text)
{
	(void)arg;
	fprintf(stderr, "%s\n", text);
}

/* Everything that the daemon would make of the file, so that nothing is left to find at its start. */
static struct conf *load(struct bundle *bundle, const char *file, struct err *err)
{
	struct conf *conf;
	if (bundle_read(bundle, file, &conf, err) < 0)
		return NULL;
	struct policy *policy = bundle_policy(bundle, conf, 0, note, NULL, err);
	policy_unref(policy);
	struct privilege_user user;
	if (policy && privilege_find_user(conf->responder.user, &user, err) == 0)
		return conf;
	conf_unref(conf);
	bundle_done(bundle);
	return NULL;
}

/* Tables of profiles are no keys: who keeps what is printed as a file is to know that they are not in it. */
static void profiles_name(const struct bundle *bundle, FILE *to)
{
	const char *file = bundle->files[BUNDLE_CONF].name, *text = bundle->files[BUNDLE_CONF].text;
	struct toml_node *root = toml_read(file, text, bundle->files[BUNDLE_CONF].len, NULL);
	for (size_t i = 0; root && i < root->count; i++) {
		const struct toml_node *tables = &root->items[i];
		for (size_t j = 0; strcmp(tables->key, "provider") == 0 && j < tables->count; j++) {
			char name[128];
			text_safe(tables->items[j].key, name, sizeof(name));
			fprintf(to, "\n# Taken as well, and not printed here: [provider.\"%s\"] at %s:%u.\n",
				name, file, tables->items[j].line);
		}
	}
	toml_free(root);
}

enum exit_code command_check(const struct command *command, const struct options *options)
{
	(void)command;
	const char *file = options->argc > 0 ? options->argv[0] : options->conf_file;
	struct err err;
	struct bundle bundle;
	struct conf *conf = load(&bundle, file, &err);
	if (!conf) {
		fprintf(stderr, "%s\n", err.text);
		return EXIT_CODE_CONFIGURATION;
	}
	enum exit_code code = EXIT_CODE_OK;
	if (options->dry_run) {
		struct ruleset *rules = links_ruleset_now(conf, RULESET_ALL, &err);
		struct ruleset_observation observation;
		/* Without the right to ask the kernel: what one that has everything gets. */
		if (escape_probe(&observation, NULL) < 0)
			observation = (struct ruleset_observation){RULESET_BY_NFT_QUEUE, true};
		if (rules && ruleset_observe(rules, &observation, &err) == 0) {
			ruleset_print(rules, stdout);
		} else {
			fprintf(stderr, "%s\n", err.text);
			code = EXIT_CODE_SOFTWARE;
		}
		ruleset_free(rules);
	} else {
		conf_print(conf, stdout);
		profiles_name(&bundle, stdout);
	}
	conf_unref(conf);
	bundle_done(&bundle);
	return code;
}
