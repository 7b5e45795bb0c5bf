#include "command.h"

#include <getopt.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"
#include "conf_suggest.h"
#include "tune.h"

#define ASKS (OPTION_CONF | OPTION_SOCKET | OPTION_JSON)

static const struct command commands[] = {
	{"run", "", "divert port 25 to here and answer, in the foreground",
		OPTION_CONF | OPTION_NO_DIVERT | OPTION_DISARM_ON_EXIT, 0, 0, command_run},
	{"check", "[FILE]", "validate the configuration; with --dry-run print the rules it asks for",
		OPTION_CONF | OPTION_DRY_RUN, 0, 1, command_check},
	{"guard", "arm|disarm|status", "the rules alone: load them, take them down on purpose, show them",
		OPTION_CONF | OPTION_JSON | OPTION_STATIC, 1, 1, command_guard},
	{"prove", "", "send canaries by every path that this host has; where did each end?",
		OPTION_CONF | OPTION_JSON, 0, 0, command_prove},
	{"status", "", "what was diverted, answered and blocked", ASKS, 0, 0, command_status},
	{"providers", "", "recipients counted by mailbox provider", ASKS | OPTION_ROWS, 0, 0, command_table},
	{"domains", "", "recipients counted by their domain", ASKS | OPTION_ROWS, 0, 0, command_table},
	{"destinations", "", "connections and messages by original destination", ASKS | OPTION_ROWS, 0, 0,
		command_table},
	{"sources", "", "connections and messages by source address", ASKS | OPTION_ROWS, 0, 0,
		command_table},
	{"reload", "", "load the configuration anew; a bad one changes nothing", ASKS, 0, 0, command_reload},
	{"explain", "USER@DOMAIN", "why an address is answered as it is: MX, provider, odds, limits",
		ASKS | OPTION_PEERS, 1, 1, command_explain},
	{"inject", "[CODE [ENHANCED] [TEXT…]]", "set a temporary behaviour; without a code, list them",
		ASKS | OPTION_INJECT, 0, 64, command_inject},
	{"reset", "", "counters, injected behaviour and what is held against senders to nothing", ASKS, 0, 0,
		command_reset},
	{"replies", "[PROVIDER]", "the replies that providers are known to give",
		OPTION_CONF | OPTION_JSON | OPTION_RESPONSES, 0, 1, command_replies},
	{"coverage", "SHAPING.toml...",
		"which of a sender's patterns some reply sets off; which never fire, and why",
		OPTION_CONF | OPTION_JSON | OPTION_ROWS | OPTION_CLASSES | OPTION_RESPONSES, 1, INT_MAX,
		command_coverage},
	{"doctor", "", "is this host fit for it? a line each, with the remedy",
		OPTION_CONF | OPTION_JSON | OPTION_CONNECTIONS, 0, 0, command_doctor},
	{"tune", "[FILE]", "what the host should have for a load test; --sysctl makes a file of it",
		OPTION_CONF | OPTION_JSON | OPTION_CONNECTIONS | OPTION_SYSCTL, 0, 1, command_tune},
	{"gen", "", "put a load on a mail server, with traffic-gen's options", OPTION_OWN, 0, 0, command_gen},
	/* The warden's way to start the responder: no summary, not shown. */
	{"responder", "CHANNEL", NULL, OPTION_OWN, 1, 1, command_responder},
};

enum long_option {
	LONG_SOCKET = 256,
	LONG_JSON,
	LONG_NO_DIVERT,
	LONG_DISARM_ON_EXIT,
	LONG_DRY_RUN,
	LONG_STATIC,
	LONG_CLASSES,
	LONG_RESPONSES,
	LONG_HELP,
	LONG_FROM,
	LONG_TO,
	LONG_DOMAIN,
	LONG_PROVIDER,
	LONG_SOURCE,
	LONG_PHASE,
	LONG_COUNT,
	LONG_FOR,
	LONG_DELAY,
	LONG_ACTION,
	LONG_END,
	LONG_CONNECTIONS,
	LONG_SYSCTL,
};

static const struct {
	unsigned bit;
	struct option option;
	const char *shown, *meaning;
} known_options[] = {
	{OPTION_CONF, {"config", required_argument, NULL, 'c'}, "-c FILE",
		"the configuration (default " CONF_PATH_DEFAULT ")"},
	{OPTION_SOCKET, {"socket", required_argument, NULL, LONG_SOCKET}, "--socket PATH",
		"the daemon's control socket (default: as the configuration says)"},
	{OPTION_JSON, {"json", no_argument, NULL, LONG_JSON}, "--json", "for machines"},
	{OPTION_ROWS, {"rows", required_argument, NULL, 'n'}, "-n ROWS",
		"show so many rows (default 40; 0 = all)"},
	{OPTION_NO_DIVERT, {"no-divert", no_argument, NULL, LONG_NO_DIVERT}, "--no-divert",
		"a plain sink on the listener ports: no rules, no root"},
	{OPTION_DISARM_ON_EXIT, {"disarm-on-exit", no_argument, NULL, LONG_DISARM_ON_EXIT},
		"--disarm-on-exit", "take the rules down at an orderly stop"},
	{OPTION_STATIC, {"static", no_argument, NULL, LONG_STATIC}, "--static",
		"arm: the static wall, which belongs to nobody, also where systemd runs"},
	{OPTION_DRY_RUN, {"dry-run", no_argument, NULL, LONG_DRY_RUN}, "--dry-run",
		"print the rules that would be loaded"},
	{OPTION_PEERS, {"from", required_argument, NULL, LONG_FROM}, "--from IP", "the sender's address"},
	{OPTION_PEERS, {"to", required_argument, NULL, LONG_TO}, "--to IP", "the destination that it dials"},
	{OPTION_INJECT, {"domain", required_argument, NULL, LONG_DOMAIN}, "--domain NAME",
		"for recipients of this domain, or .suffix"},
	{OPTION_INJECT, {"provider", required_argument, NULL, LONG_PROVIDER}, "--provider NAME",
		"for this provider"},
	{OPTION_INJECT, {"source", required_argument, NULL, LONG_SOURCE}, "--source IP", "for this sender"},
	{OPTION_INJECT, {"phase", required_argument, NULL, LONG_PHASE}, "--phase PHASE",
		"connect, ehlo, mail, rcpt (default), data, end_of_data"},
	{OPTION_INJECT, {"count", required_argument, NULL, LONG_COUNT}, "--count N", "the next N alone"},
	{OPTION_INJECT, {"for", required_argument, NULL, LONG_FOR}, "--for TIME", "for so long: 90s, 10m"},
	{OPTION_INJECT, {"delay", required_argument, NULL, LONG_DELAY}, "--delay TIME",
		"answer so much later"},
	{OPTION_INJECT, {"action", required_argument, NULL, LONG_ACTION}, "--action ACTION",
		"reply (default), reply_close, close, reset, hang"},
	{OPTION_INJECT, {"end", required_argument, NULL, LONG_END}, "--end N",
		"take back the one with this number in the list"},
	{OPTION_CLASSES, {"classes", required_argument, NULL, LONG_CLASSES}, "--classes FILE",
		"judge this file of bounce classes, too ([rules] Class = [patterns])"},
	{OPTION_RESPONSES, {"responses", required_argument, NULL, LONG_RESPONSES}, "--responses FILE",
		"for comparison: a smart sink's responses.toml in place of the providers"},
	{OPTION_CONNECTIONS, {"connections", required_argument, NULL, LONG_CONNECTIONS}, "--connections N",
		"the test's connections at once (default 20000)"},
	{OPTION_SYSCTL, {"sysctl", no_argument, NULL, LONG_SYSCTL}, "--sysctl",
		"print a file for /etc/sysctl.d, or write it to FILE"},
};

/* Where an option's text goes. */
static const struct {
	int option;
	size_t offset;
} option_texts[] = {
	{'c', offsetof(struct options, conf_file)},
	{LONG_SOCKET, offsetof(struct options, socket)},
	{LONG_FROM, offsetof(struct options, from)},
	{LONG_TO, offsetof(struct options, to)},
	{LONG_DOMAIN, offsetof(struct options, domain)},
	{LONG_PROVIDER, offsetof(struct options, provider)},
	{LONG_SOURCE, offsetof(struct options, source)},
	{LONG_PHASE, offsetof(struct options, phase)},
	{LONG_COUNT, offsetof(struct options, count)},
	{LONG_FOR, offsetof(struct options, duration)},
	{LONG_DELAY, offsetof(struct options, delay)},
	{LONG_ACTION, offsetof(struct options, action)},
	{LONG_END, offsetof(struct options, end)},
	{LONG_CLASSES, offsetof(struct options, classes_file)},
	{LONG_RESPONSES, offsetof(struct options, responses_file)},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define VERB_COLUMN  26

static void usage(FILE *to)
{
	fprintf(to, "mxmirage %s: a mirage of every MX on the internet\n\nusage: mxmirage VERB [OPTION…]\n\n",
		MXMIRAGE_VERSION);
	for (size_t i = 0; i < COUNT(commands); i++)
		if (commands[i].summary) {
			char shown[80];
			snprintf(shown, sizeof(shown), "%s %s", commands[i].name, commands[i].arguments);
			/* One that is too long for its column has a line of its own. */
			bool fits = strlen(shown) < VERB_COLUMN;
			fprintf(to, "  %-*s%s", VERB_COLUMN, shown, fits ? "" : "\n");
			fprintf(to, "%*s%s\n", fits ? 0 : VERB_COLUMN + 2, "", commands[i].summary);
		}
	fprintf(to, "\n`mxmirage VERB --help` lists a verb's options, `mxmirage --version` tells the "
		    "version.\n\nExit codes: 0 fine; 1 a checked "
		    "statement is false; 2 usage; 3 leak or not leak-proof;\n4 timed out; 69 daemon not "
		    "reachable; 70 something else failed; 77 privilege missing;\n78 configuration.\n");
}

static void usage_of(const struct command *command, FILE *to)
{
	fprintf(to, "usage: mxmirage %s%s%s [OPTION…]\n%s\n\n", command->name,
		command->arguments[0] ? " " : "", command->arguments, command->summary);
	for (size_t i = 0; i < COUNT(known_options); i++)
		if (command->options & known_options[i].bit)
			fprintf(to, "  %-18s %s\n", known_options[i].shown, known_options[i].meaning);
}

static bool parse_connections(const char *text, uint64_t *connections)
{
	char *end;
	unsigned long long n = strtoull(text, &end, 10);
	if (*end || n < 1 || n > TUNE_CONNECTIONS_MAX || text[0] == '-') {
		fprintf(stderr, "mxmirage: --connections %s: say a number from 1 to %d\n", text,
			TUNE_CONNECTIONS_MAX);
		return false;
	}
	*connections = n;
	return true;
}

/* False after having said what is wrong. */
static bool parse_rows(const char *text, unsigned *rows)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);
	if (*end || !*text || n > 1000000000) {
		fprintf(stderr, "mxmirage: -n %s: not a number of rows; say for example -n 10\n", text);
		return false;
	}
	*rows = (unsigned)n;
	return true;
}

static bool take_text(int option, struct options *options)
{
	for (size_t i = 0; i < COUNT(option_texts); i++) {
		if (option_texts[i].option != option)
			continue;
		*(const char **)((char *)options + option_texts[i].offset) = optarg;
		return true;
	}
	return false;
}

/* argv[0] is what messages begin with. Returns -1 to go on, else an exit code. */
static int parse(const struct command *command, int argc, char **argv, struct options *options)
{
	struct option accepted[COUNT(known_options) + 2] = {{"help", no_argument, NULL, LONG_HELP}};
	char letters[8] = "h";
	size_t count = 1;
	for (size_t i = 0; i < COUNT(known_options); i++) {
		if (!(command->options & known_options[i].bit))
			continue;
		accepted[count++] = known_options[i].option;
		/* Both that have a letter take a value. */
		if (known_options[i].option.val < LONG_SOCKET)
			snprintf(letters + strlen(letters), sizeof(letters) - strlen(letters),
				"%c:", known_options[i].option.val);
	}
	optind = 1;
	int c;
	while ((c = getopt_long(argc, argv, letters, accepted, NULL)) >= 0) {
		if (take_text(c, options))
			continue;
		switch (c) {
		case 'n':
			if (!parse_rows(optarg, &options->rows))
				return EXIT_CODE_USAGE;
			break;
		case LONG_CONNECTIONS:
			if (!parse_connections(optarg, &options->connections))
				return EXIT_CODE_USAGE;
			break;
		case LONG_SYSCTL:
			options->sysctl = true;
			break;
		case LONG_JSON:
			options->json = true;
			break;
		case LONG_NO_DIVERT:
			options->no_divert = true;
			break;
		case LONG_DISARM_ON_EXIT:
			options->disarm_on_exit = true;
			break;
		case LONG_STATIC:
			options->wall = true;
			break;
		case LONG_DRY_RUN:
			options->dry_run = true;
			break;
		case 'h':
		case LONG_HELP:
			usage_of(command, stdout);
			return EXIT_CODE_OK;
		default:
			usage_of(command, stderr);
			return EXIT_CODE_USAGE;
		}
	}
	options->argc = argc - optind;
	options->argv = argv + optind;
	if (options->argc >= command->arguments_min && options->argc <= command->arguments_max)
		return -1;
	if (options->argc > command->arguments_max)
		fprintf(stderr, "%s: \"%s\" is one argument too many\n", argv[0],
			options->argv[command->arguments_max]);
	else
		fprintf(stderr, "%s: %s is missing\n", argv[0], command->arguments);
	usage_of(command, stderr);
	return EXIT_CODE_USAGE;
}

static const struct command *command_named(const char *name)
{
	for (size_t i = 0; i < COUNT(commands); i++)
		if (strcmp(name, commands[i].name) == 0)
			return &commands[i];
	return NULL;
}

static enum exit_code unknown_verb(const char *name)
{
	struct conf_suggest suggest = {.word = name};
	for (size_t i = 0; i < COUNT(commands); i++)
		if (commands[i].summary)
			conf_suggest_offer(&suggest, commands[i].name);
	fprintf(stderr, "mxmirage: unknown verb \"%s\"", name);
	if (suggest.best)
		fprintf(stderr, " (did you mean \"%s\"?)", suggest.best);
	fprintf(stderr, "; `mxmirage --help` lists them%s\n",
		name[0] == '-' ? ", and options stand behind the verb" : "");
	return EXIT_CODE_USAGE;
}

int command_main(int argc, char **argv)
{
	if (argc < 2) {
		usage(stderr);
		return EXIT_CODE_USAGE;
	}
	bool help = strcmp(argv[1], "help") == 0;
	if (help && argc > 2) {
		/* `help VERB` is `VERB --help`. */
		const struct command *asked = command_named(argv[2]);
		char option[] = "--help", *words[] = {argv[0], argv[2], option, NULL};
		return asked && asked->summary ? command_main(3, words) : (int)unknown_verb(argv[2]);
	}
	if (help || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		usage(stdout);
		return EXIT_CODE_OK;
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("mxmirage %s\n", MXMIRAGE_VERSION);
		return EXIT_CODE_OK;
	}
	const struct command *command = command_named(argv[1]);
	if (!command)
		return unknown_verb(argv[1]);
	struct options options = {
		.conf_file = CONF_PATH_DEFAULT, .rows = 40, .connections = TUNE_CONNECTIONS_DEFAULT};
	options.argc = argc - 1;
	options.argv = argv + 1;
	int code = -1;
	char name[64];
	if (!(command->options & OPTION_OWN)) {
		snprintf(name, sizeof(name), "mxmirage %s", command->name);
		argv[1] = name;
		code = parse(command, argc - 1, argv + 1, &options);
	}
	return code >= 0 ? code : (int)command->run(command, &options);
}
