#include "conf_key.h"
#include "conf_text.h"

#define KEY(section_, name_) .section = section_, .name = name_, .path = section_ "." name_
/* Where a key's value is stored, for its row. */
#define STORED(member) .offset = offsetof(struct conf, member), .size = sizeof(((struct conf *)0)->member)
#define INTEGER(value)                                              \
	{                                                           \
		.type = TOML_INTEGER, .line = 0, .integer = (value) \
	}
#define STRING(value)                                             \
	{                                                         \
		.type = TOML_STRING, .line = 0, .string = (value) \
	}

static const char *const on_stop_words[] = {
	[CONF_ON_STOP_KEEP] = "keep",
	[CONF_ON_STOP_REMOVE] = "remove",
	NULL,
};

static const char *const answer_mode_words[] = {
	[CONF_ANSWER_SMART] = "smart",
	[CONF_ANSWER_SINK] = "sink",
	NULL,
};

static const char *const wording_words[] = {
	[CONF_WORDING_CURRENT] = "current",
	[CONF_WORDING_OLD] = "old",
	[CONF_WORDING_ALL] = "all",
	NULL,
};

static const char *const mx_mismatch_words[] = {
	[CONF_MX_MISMATCH_REJECT] = "reject",
	[CONF_MX_MISMATCH_ACCEPT] = "accept",
	NULL,
};

/* In the order of the bits of enum forced_family. */
static const char *const forced_words[] = {"words", "codes", "simulators", NULL};

static const struct toml_node forced_preset[] = {STRING("words"), STRING("codes"), STRING("simulators")};

static const struct toml_node port_25 = INTEGER(25);

/* Defaults, checks, the printed file and what a reload may change all derive from this. */
const struct conf_key conf_keys[] = {
	{
		KEY("divert", "ports"),
		.kind = &conf_kind_ports,
		.preset = {.type = TOML_ARRAY, .items = &port_25, .count = 1},
		.example = "[25, 587]",
		.meaning =
			"The TCP ports whose outbound connections are diverted, 1 to 16 of them, 25 among\n"
			"them.",
	},
	{
		KEY("divert", "exclude"),
		.kind = &conf_kind_exclude,
		.preset = {.type = TOML_ARRAY},
		.example = "[\"192.0.2.0/24\"]",
		.meaning = "Destinations left alone: mail to these addresses and blocks really "
			   "goes there.\n"
			   "An empty list excludes nothing.",
	},
	{
		KEY("listen", "ports"),
		.kind = &conf_kind_range,
		.preset = STRING("4025-4032"),
		.example = "\"4025-4032\"",
		.meaning = "The listeners' ports, one or a range of at most 64. Each lifts the "
			   "number of\n"
			   "connections that one source address can have by 64,512.",
		.restart = true,
	},
	{
		KEY("listen", "workers"),
		.kind = &conf_kind_number,
		STORED(listen.workers_written),
		.preset = INTEGER(0),
		.max = CONF_WORKERS_MAX,
		.example = "4",
		.meaning = "Threads that answer; 0 is one for each CPU, at most 64.",
		.restart = true,
	},
	{
		KEY("listen", "processes"),
		.kind = &conf_kind_number,
		STORED(listen.processes),
		.preset = INTEGER(1),
		.min = 1,
		.max = CONF_WORKERS_MAX,
		.example = "4",
		.meaning = "Processes that the workers are spread over, at least one worker each. Each "
			   "can have as\n"
			   "many connections as its descriptor limit allows (LimitNOFILE=, ulimit -n).",
		.restart = true,
	},
	{
		KEY("guard", "on_stop"),
		.kind = &conf_kind_choice,
		STORED(guard.on_stop),
		.preset = STRING("keep"),
		.choices = on_stop_words,
		.example = "\"keep\"",
		.meaning = "When the daemon stops on purpose: \"keep\" leaves the ports shut, "
			   "\"remove\" opens\n"
			   "the way to the real internet.",
	},
	{
		KEY("guard", "devices"),
		.kind = &conf_kind_devices,
		.preset = {.type = TOML_ARRAY},
		.example = "[\"tun0\"]",
		.meaning = "Network devices that do not exist yet and are to be guarded from their first\n"
			   "packet on; every device is guarded within milliseconds of its appearance.",
	},
	{
		KEY("answer", "mode"),
		.kind = &conf_kind_choice,
		STORED(answer.mode),
		.preset = STRING("smart"),
		.choices = answer_mode_words,
		.example = "\"smart\"",
		.meaning =
			"\"smart\" answers as each recipient's provider would, \"sink\" accepts everything.",
	},
	{
		KEY("answer", "seed"),
		.kind = &conf_kind_number,
		STORED(answer.seed),
		.preset = INTEGER(1),
		.max = INT64_MAX,
		.example = "1",
		.meaning = "Where chance begins: the same seed and the same traffic give the same "
			   "answers.",
	},
	{
		KEY("answer", "hostname"),
		.kind = &conf_kind_text,
		STORED(answer.hostname),
		.preset = STRING("mx.mxmirage.test"),
		.check = conf_text_hostname,
		.example = "\"mx.example.test\"",
		.meaning = "The name given in the banner and in the answer to EHLO.",
	},
	{
		KEY("answer", "responses"),
		.kind = &conf_kind_text,
		STORED(answer.responses),
		.preset = STRING(""),
		.check = conf_text_file,
		.example = "\"responses.toml\"",
		.meaning = "The smart sink's file, unchanged; \"\" is none. Relative to this file.",
	},
	{
		KEY("answer", "providers"),
		.kind = &conf_kind_text,
		STORED(answer.providers),
		.preset = STRING(""),
		.check = conf_text_file,
		.example = "\"providers.toml\"",
		.meaning = "A file of further provider profiles; \"\" is none. Relative to this file.\n"
			   "Profiles may stand in this file as well: [provider.\"name\"].",
	},
	{
		KEY("answer", "wording"),
		.kind = &conf_kind_choice,
		STORED(answer.wording),
		.preset = STRING("current"),
		.choices = wording_words,
		.example = "\"current\"",
		.meaning = "Which of the wordings that providers have had: \"current\", \"old\" or \"all\".",
	},
	{
		KEY("answer", "forced"),
		.kind = &conf_kind_words,
		STORED(answer.forced),
		.preset = {.type = TOML_ARRAY, .items = forced_preset, .count = 3},
		.choices = forced_words,
		.example = "[\"words\"]",
		.meaning = "Outcomes that an address may ask for: \"words\" (tempfail, permfail),\n"
			   "\"codes\" (450-4.2.1), \"simulators\" (bounce@, success@ and the like).",
	},
	{
		KEY("answer", "mx_mismatch"),
		.kind = &conf_kind_choice,
		STORED(answer.mx_mismatch),
		.preset = STRING("reject"),
		.choices = mx_mismatch_words,
		.example = "\"reject\"",
		.meaning = "A recipient whose domain is not served where the connection was meant to go:\n"
			   "\"reject\" answers as a server that does not relay, \"accept\" goes on.",
	},
	{
		KEY("dns", "servers"),
		.kind = &conf_kind_text,
		STORED(dns.servers),
		.preset = STRING(""),
		.check = conf_text_servers,
		.example = "\"192.0.2.53\"",
		.meaning = "The name servers that are asked for MX hosts, divided by commas; \"\" is as\n"
			   "resolv.conf says.",
		.restart = true,
	},
	{
		KEY("admin", "socket"),
		.kind = &conf_kind_text,
		STORED(admin.socket),
		.preset = STRING("/run/mxmirage/control.sock"),
		.check = conf_text_socket,
		.example = "\"/run/mxmirage/control.sock\"",
		.meaning = "The control socket, through which the other commands find the daemon.",
		.restart = true,
	},
	{
		KEY("counts", "file"),
		.kind = &conf_kind_text,
		STORED(counts.file),
		.preset = STRING("/run/mxmirage/counts"),
		.check = conf_text_path,
		.example = "\"/run/mxmirage/counts\"",
		.meaning = "The counters' memory, which outlives the processes. Keep it on a tmpfs.",
		.restart = true,
	},
	{
		KEY("counts", "domains"),
		.kind = &conf_kind_number,
		STORED(counts.domains),
		.preset = INTEGER(65536),
		.min = CONF_ROWS_MIN,
		.max = CONF_ROWS_MAX,
		.example = "250000",
		.meaning = "Rows for recipient domains, for each worker; what finds no row is "
			   "counted as\n"
			   "\"other\".",
		.restart = true,
	},
	{
		KEY("counts", "destinations"),
		.kind = &conf_kind_number,
		STORED(counts.destinations),
		.preset = INTEGER(32768),
		.min = CONF_ROWS_MIN,
		.max = CONF_ROWS_MAX,
		.example = "100000",
		.meaning = "Rows for original destinations, for each worker.",
		.restart = true,
	},
	{
		KEY("counts", "sources"),
		.kind = &conf_kind_number,
		STORED(counts.sources),
		.preset = INTEGER(8192),
		.min = CONF_ROWS_MIN,
		.max = CONF_ROWS_MAX,
		.example = "10000",
		.meaning = "Rows for source addresses, for each worker.",
		.restart = true,
	},
	{
		KEY("responder", "user"),
		.kind = &conf_kind_text,
		STORED(responder.user),
		.preset = STRING(""),
		.check = conf_text_user,
		.example = "\"mxmirage\"",
		.meaning = "The user that the responder runs as; \"\" is mxmirage where that user "
			   "exists,\n"
			   "otherwise nobody.",
		.restart = true,
	},
	{.section = NULL},
};
