#include "conf_file.h"

#include <arpa/inet.h>
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "suite.h"

static struct conf *conf_of(const char *text, struct err *err)
{
	return conf_file_text("f.toml", text, strlen(text), err);
}

static char *printed(const struct conf *conf)
{
	char *text;
	size_t len;
	FILE *to = open_memstream(&text, &len);
	ck_assert_ptr_nonnull(to);
	conf_print(conf, to);
	fclose(to);
	return text;
}

/* Each mistake alone: the whole error. */
static const struct {
	const char *text;
	const char *says;
} mistakes[] = {
	/* Keys and sections. */
	{"[divert]\nprots = [25]\n", "f.toml:2: unknown key \"prots\" in [divert] (did you mean \"ports\"?)"},
	{"[divert]\nworkers = 1\n", "f.toml:2: unknown key \"workers\" in [divert] (it belongs in [listen])"},
	{"[divert]\nbanana = 1\n", "f.toml:2: unknown key \"banana\" in [divert]; there are ports, exclude"},
	{"[divert.lan]\nx = 1\n", "f.toml:1: unknown key \"lan\" in [divert]; there are ports, exclude"},
	{"[admin]\nhttp = 1\n", "f.toml:2: unknown key \"http\" in [admin]; there is only socket"},
	{"[Divert]\n", "f.toml:1: unknown section [Divert] (did you mean [divert]?)"},
	{"\n[banana]\n", "f.toml:2: unknown section [banana]; there are divert, listen, guard, "
			 "answer, dns, admin, counts, responder, provider.\"name\""},
	{"[providers.\"google\"]\n", "f.toml:1: unknown section [providers] (did you mean "
				     "[provider.\"name\"]?)"},
	{"ports = [25]\n", "f.toml:1: key \"ports\" stands outside a section; put it below [divert]"},
	{"divert = 1\n", "f.toml:1: \"divert\" is a section; write [divert] on a line of its own "
			 "and its keys below"},
	{"[[divert]]\n", "f.toml:1: \"divert\" is a section; write [divert] on a line of its own "
			 "and its keys below"},
	{"[divert]\n\"\\u001b[2J\" = 1\n",
		"f.toml:2: unknown key \"?[2J\" in [divert]; there are ports, exclude"},
	/* Types. */
	{"[divert]\nports = 25\n", "f.toml:2: divert.ports wants an array of integers, not an "
				   "integer; write ports = [25, 587]"},
	{"[divert]\nports = [25,\n\"587\"]\n",
		"f.toml:3: divert.ports wants an array of integers; item 2 is a string; "
		"write ports = [25, 587]"},
	{"[divert]\nexclude = \"192.0.2.1\"\n",
		"f.toml:2: divert.exclude wants an array of strings, not a string; "
		"write exclude = [\"192.0.2.0/24\"]"},
	{"[listen]\nports = 4025\n", "f.toml:2: listen.ports wants a string, not an integer; write "
				     "ports = \"4025-4032\""},
	{"[listen]\nworkers = \"4\"\n",
		"f.toml:2: listen.workers wants an integer, not a string; write workers = 4"},
	{"[listen]\nworkers = 1.0\n",
		"f.toml:2: listen.workers wants an integer, not a float; write workers = 4"},
	{"[guard]\non_stop = true\n",
		"f.toml:2: guard.on_stop wants a string, not a boolean; write on_stop = \"keep\""},
	{"[answer]\nhostname = {}\n", "f.toml:2: answer.hostname wants a string, not a table; "
				      "write hostname = \"mx.example.test\""},
	{"[answer]\nseed = 2026-01-01\n",
		"f.toml:2: answer.seed wants an integer, not a date or time; write seed = 1"},
	/* Ranges. */
	{"[divert]\nports = []\n",
		"f.toml:2: divert.ports has 0 ports; write 1 to 16, as in ports = [25, 587]"},
	{"[divert]\nports = [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]\n",
		"f.toml:2: divert.ports has 17 ports; write 1 to 16, as in ports = [25, 587]"},
	{"[divert]\nports = [25, 0]\n",
		"f.toml:2: divert.ports: 0 is not a port; write a number from 1 to 65535"},
	{"[divert]\nports = [65536]\n",
		"f.toml:2: divert.ports: 65536 is not a port; write a number from 1 to 65535"},
	{"[listen]\nports = \"4032-4025\"\n",
		"f.toml:2: listen.ports = \"4032-4025\" runs backwards; write \"4025-4032\""},
	{"[listen]\nports = \"4000-4064\"\n", "f.toml:2: listen.ports = \"4000-4064\" has 65 "
					      "ports; at most 64 are possible, as in "
					      "\"4000-4063\""},
	{"[listen]\nworkers = -1\n",
		"f.toml:2: listen.workers = -1 is out of range; write a number from 0 to 64"},
	{"[listen]\nworkers = 65\n",
		"f.toml:2: listen.workers = 65 is out of range; write a number from 0 to 64"},
	{"[answer]\nseed = -1\n", "f.toml:2: answer.seed = -1 is out of range; write a number from "
				  "0 to 9223372036854775807"},
	{"[counts]\ndomains = 15\n",
		"f.toml:2: counts.domains = 15 is out of range; write a number from 16 to 1048576"},
	{"[counts]\nsources = 1048577\n", "f.toml:2: counts.sources = 1048577 is out of range; "
					  "write a number from 16 to 1048576"},
	{"[counts]\ndestinations = 4294967312\n", "f.toml:2: counts.destinations = 4294967312 is "
						  "out of range; write a number from 16 to "
						  "1048576"},
	/* Choices and texts. */
	{"[guard]\non_stop = \"remvoe\"\n", "f.toml:2: guard.on_stop = \"remvoe\" is not possible; "
					    "write \"keep\" or \"remove\" "
					    "(did you mean \"remove\"?)"},
	{"[answer]\nmode = \"clever\"\n",
		"f.toml:2: answer.mode = \"clever\" is not possible; write \"smart\" or \"sink\""},
	{"[answer]\nforced = [\"word\"]\n", "f.toml:2: answer.forced: \"word\" is not possible; there are "
					    "\"words\", \"codes\", \"simulators\""},
	{"[answer]\nhostname = \"192.0.2.1\"\n", "f.toml:2: answer.hostname: \"192.0.2.1\" ends in "
						 "a number as an address does; write a host "
						 "name such as \"mx.example.test\""},
	{"[admin]\nsocket = \"x\"\n", "f.toml:2: admin.socket: \"x\" is not an absolute path; "
				      "begin it with \"/\", for it must "
				      "mean the same wherever the program is started"},
	{"[counts]\nfile = \"/run/\"\n",
		"f.toml:2: counts.file: \"/run/\" names a directory; name a file in it"},
	{"[responder]\nuser = \"root\"\n", "f.toml:2: responder.user: the responder must have no "
					   "privilege; name a user of its own, or "
					   "leave the key out"},
	/* Blocks: the line is the item's. */
	{"[divert]\nexclude = [\n\"192.0.2.0/24\",\n\"192.0.2.7/24\"]\n",
		"f.toml:4: divert.exclude: \"192.0.2.7/24\" has bits set behind its prefix; write "
		"\"192.0.2.0/24\" for the block or \"192.0.2.7\" for the one address"},
	{"[divert]\nexclude = [\"0.0.0.0/1\",\n\"128.0.0.0/1\"]\n",
		"f.toml:2: divert.exclude: the blocks together are every IPv4 address: they would "
		"switch "
		"the protection off; name only the networks that mail may really go to"},
	/* Two keys at once. */
	{"[listen]\nports = \"20-30\"\n", "f.toml:2: listen.ports = \"20-30\" holds port 25, which "
					  "divert.ports diverts; give the "
					  "listeners ports of their own"},
	{"[divert]\nports = [25, 4032]\n", "f.toml:2: listen.ports = \"4025-4032\" holds port "
					   "4032, which divert.ports diverts; give "
					   "the listeners ports of their own"},
	{"[divert]\nports = [26, 27]\n",
		"f.toml:2: divert.ports lacks port 25, which would be open: mail to the real MX hosts could "
		"leave; write ports = [25, 26]"},
	{"[divert]\nports = [25, 26]\n[listen]\nports = \"26\"\n",
		"f.toml:4: listen.ports = \"26\" holds port 26, which divert.ports diverts; "
		"give the "
		"listeners ports of their own"},
	{"[counts]\nfile = \"/run/mxmirage/control.sock\"\n",
		"f.toml:2: counts.file and admin.socket are the same path; give each its own"},
	/* TOML itself. */
	{"[divert]\nports = 25, 587\n",
		"f.toml:2:11: key-value pair: expected a comment or whitespace, saw ','; write one "
		"key = value a line"},
};

START_TEST(mistake_names_line_reason_and_remedy)
{
	struct err err = {.text = ""};
	ck_assert_ptr_null(conf_of(mistakes[_i].text, &err));
	ck_assert_str_eq(err.text, mistakes[_i].says);
	ck_assert_ptr_null(conf_of(mistakes[_i].text, NULL));
}
END_TEST

static const char *const bad_ranges[] = {
	"",
	"-",
	"4025-",
	"-4025",
	"0",
	"0-10",
	"65536",
	"65530-65536",
	"4025-4026-4027",
	"4025 - 4026",
	"+4025",
	"4025,4026",
	"99999999999999999999",
	"smtp",
};

START_TEST(bad_range_is_refused)
{
	char text[128];
	struct err err = {.text = ""};
	snprintf(text, sizeof(text), "[listen]\nports = \"%s\"\n", bad_ranges[_i]);
	ck_assert_ptr_null(conf_of(text, &err));
	ck_assert_msg(strstr(err.text, "is not a port or range of ports from 1 to 65535; write ports = "
				       "\"4025-4032\""),
		"%s", err.text);
}
END_TEST

START_TEST(all_mistakes_are_told_in_order)
{
	struct err err = {.text = ""};
	ck_assert_ptr_null(conf_of("[listen]\nworkers = 65\nport = 1\n[divert]\nports = [0]\n", &err));
	ck_assert_str_eq(err.text,
		"f.toml:2: listen.workers = 65 is out of range; write a number from 0 to 64\n"
		"f.toml:3: unknown key \"port\" in [listen] (did you mean \"ports\"?)\n"
		"f.toml:5: divert.ports: 0 is not a port; write a number from 1 to 65535");
}
END_TEST

static const char everything[] =
	"[responder]\nuser = \"sink\"\n"
	"[divert]\nports = [2525, 25, 587, 25]\n"
	"exclude = [\"2001:db8::1\", \"192.0.2.64/26\", \"192.0.2.65\", \"10.0.0.0/25\", "
	"\"10.0.0.128/25\"]\n"
	"[listen]\nports = \"26\"\nworkers = 64\n"
	"[guard]\non_stop = \"remove\"\n"
	"[answer]\nmode = \"sink\"\nseed = 9223372036854775807\nhostname = \"mx.example.test\"\n"
	"[admin]\nsocket = '/tmp/\"quoted\\ \303\251'\n"
	"[counts]\nfile = \"/dev/shm/counts\\u007f\\t\"\n"
	"domains = 16\ndestinations = 1048576\nsources = 17\n";

START_TEST(every_key_is_read)
{
	struct err err = {.text = ""};
	struct conf *conf = conf_of(everything, &err);
	ck_assert_msg(conf, "%s", err.text);
	ck_assert_str_eq(conf->file, "f.toml");
	ck_assert_uint_eq(conf->divert.port_count, 3);
	ck_assert_uint_eq(conf->divert.ports[0], 25);
	ck_assert_uint_eq(conf->divert.ports[1], 587);
	ck_assert_uint_eq(conf->divert.ports[2], 2525);
	ck_assert_uint_eq(conf->divert.exclude_count, 3);
	ck_assert_uint_eq(conf->divert.exclude[0].prefix, 24);
	ck_assert_mem_eq(conf->divert.exclude[1].address, "\xc0\x00\x02\x40", 4);
	ck_assert_uint_eq(conf->divert.exclude[2].family, AF_INET6);
	ck_assert_uint_eq(conf->listen.port_first, 26);
	ck_assert_uint_eq(conf->listen.port_last, 26);
	ck_assert_uint_eq(conf->listen.workers, 64);
	ck_assert_int_eq(conf->guard.on_stop, CONF_ON_STOP_REMOVE);
	ck_assert_int_eq(conf->answer.mode, CONF_ANSWER_SINK);
	ck_assert_uint_eq(conf->answer.seed, INT64_MAX);
	ck_assert_str_eq(conf->answer.hostname, "mx.example.test");
	ck_assert_str_eq(conf->admin.socket, "/tmp/\"quoted\\ \303\251");
	ck_assert_str_eq(conf->counts.file, "/dev/shm/counts\x7f\t");
	ck_assert_uint_eq(conf->counts.domains, 16);
	ck_assert_uint_eq(conf->counts.destinations, 1048576);
	ck_assert_uint_eq(conf->counts.sources, 17);
	ck_assert_str_eq(conf->responder.user, "sink");
	conf_unref(conf);
}
END_TEST

static const char *const texts[] = {"", everything, "[divert]\nexclude = []\n"};

/*
 * What is printed prints the same again once it is read; that every value is in it is what
 * each_change_shows() tells.
 */
START_TEST(print_reads_back_to_the_same)
{
	struct err err = {.text = ""};
	struct conf *conf = conf_of(texts[_i], &err);
	ck_assert_msg(conf, "%s", err.text);
	char *first = printed(conf);
	struct conf *again = conf_of(first, &err);
	ck_assert_msg(again, "%s\n%s", err.text, first);
	char *second = printed(again);
	ck_assert_str_eq(first, second);
	free(first);
	free(second);
	conf_unref(conf);
	conf_unref(again);
}
END_TEST

/* Each key by itself, set to another value than its default. */
static const struct {
	const char *text;
	const char *needs_restart;
} changes[] = {
	{"[divert]\nports = [25, 26]\n", NULL},
	{"[divert]\nports = [25, 465]\n", NULL},
	{"[divert]\nexclude = [\"192.0.2.1\"]\n", NULL},
	{"[listen]\nports = \"4025-4031\"\n", "listen.ports"},
	{"[listen]\nports = \"4026-4032\"\n", "listen.ports"},
	{"[listen]\nworkers = 63\n", "listen.workers"},
	{"[guard]\non_stop = \"remove\"\n", NULL},
	{"[answer]\nseed = 4294967297\n", NULL},
	{"[answer]\nhostname = \"mx.example.test\"\n", NULL},
	{"[admin]\nsocket = \"/run/x\"\n", "admin.socket"},
	{"[counts]\nfile = \"/run/x\"\n", "counts.file"},
	{"[counts]\ndomains = 16\n", "counts.domains"},
	{"[counts]\ndestinations = 16\n", "counts.destinations"},
	{"[counts]\nsources = 16\n", "counts.sources"},
	{"[responder]\nuser = \"sink\"\n", "responder.user"},
};

START_TEST(each_change_shows)
{
	struct err err = {.text = ""};
	struct conf *defaults = conf_of("", &err);
	struct conf *changed = conf_of(changes[_i].text, &err);
	ck_assert_msg(changed, "%s", err.text);
	ck_assert_pstr_eq(conf_needs_restart(defaults, changed), changes[_i].needs_restart);
	char *before = printed(defaults), *after = printed(changed);
	ck_assert_str_ne(before, after);
	struct conf *again = conf_of(after, &err);
	ck_assert_ptr_nonnull(again);
	ck_assert_ptr_null(conf_needs_restart(changed, again));
	free(before);
	free(after);
	conf_unref(defaults);
	conf_unref(changed);
	conf_unref(again);
}
END_TEST

/* count single addresses, no two of them halves of a block. */
static char *many_blocks(unsigned count)
{
	char *text;
	size_t len;
	FILE *to = open_memstream(&text, &len);
	ck_assert_ptr_nonnull(to);
	fputs("[divert]\nexclude = [\n", to);
	for (unsigned i = 0; i < count; i++)
		fprintf(to, "\"2001:db8::%x\",\n", 2 * i);
	fputs("]\n", to);
	fclose(to);
	return text;
}

START_TEST(blocks_have_a_limit)
{
	struct err err = {.text = ""};
	char *text = many_blocks(CONF_EXCLUDE_MAX);
	struct conf *conf = conf_of(text, &err);
	ck_assert_msg(conf, "%s", err.text);
	ck_assert_uint_eq(conf->divert.exclude_count, CONF_EXCLUDE_MAX);
	conf_unref(conf);
	free(text);
	text = many_blocks(CONF_EXCLUDE_MAX + 1);
	ck_assert_ptr_null(conf_of(text, &err));
	ck_assert_str_eq(err.text, "f.toml:2: divert.exclude has 10001 separate blocks; at most 10000 are "
				   "possible, write fewer and larger ones");
	free(text);
}
END_TEST

static char directory[] = "/tmp/test_conf_file.XXXXXX";
static char path[sizeof(directory) + 16];

static void directory_make(void)
{
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/f.toml", directory);
}

static void directory_remove(void)
{
	unlink(path);
	rmdir(directory);
	memcpy(directory + sizeof(directory) - 7, "XXXXXX", 6);
}

static void file_make(const char *text, off_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	ck_assert_int_eq(ftruncate(fd, size), 0);
	close(fd);
}

START_TEST(file_is_read_whole)
{
	struct err err = {.text = ""};
	size_t len = 99;
	file_make("a = 1\n", 6);
	char *text = conf_file_read(path, &len, &err);
	ck_assert_msg(text, "%s", err.text);
	ck_assert_uint_eq(len, 6);
	ck_assert_str_eq(text, "a = 1\n");
	free(text);
	file_make("", 0);
	text = conf_file_read(path, &len, &err);
	ck_assert_uint_eq(len, 0);
	ck_assert_str_eq(text, "");
	free(text);
}
END_TEST

START_TEST(file_has_a_limit)
{
	struct err err = {.text = ""};
	size_t len;
	file_make("", CONF_FILE_MAX);
	char *text = conf_file_read(path, &len, &err);
	ck_assert_msg(text, "%s", err.text);
	ck_assert_uint_eq(len, CONF_FILE_MAX);
	free(text);
	file_make("", CONF_FILE_MAX + 1);
	ck_assert_ptr_null(conf_file_read(path, &len, &err));
	ck_assert_msg(strstr(err.text, "f.toml: larger than 4194304 bytes"), "%s", err.text);
}
END_TEST

START_TEST(unreadable_file_is_an_error)
{
	struct err err = {.text = ""};
	size_t len;
	ck_assert_ptr_null(conf_file_read(path, &len, &err));
	ck_assert_msg(
		strstr(err.text, "f.toml: No such file or directory; name an existing file"), "%s", err.text);
	ck_assert_ptr_null(conf_file_read(directory, &len, &err));
	ck_assert_msg(strstr(err.text, "Is a directory; name the file in it"), "%s", err.text);
}
END_TEST

START_TEST(missing_default_file_means_defaults)
{
	if (access(CONF_PATH_DEFAULT, F_OK) == 0)
		return;
	struct err err = {.text = ""};
	size_t len = 99;
	char *text = conf_file_read(CONF_PATH_DEFAULT, &len, &err);
	ck_assert_msg(text, "%s", err.text);
	ck_assert_uint_eq(len, 0);
	struct conf *conf = conf_file_text(CONF_PATH_DEFAULT, text, len, &err);
	ck_assert_ptr_nonnull(conf);
	ck_assert_uint_eq(conf->divert.ports[0], 25);
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	ck_assert_int_eq(conf->listen.workers, cpus > CONF_WORKERS_MAX ? CONF_WORKERS_MAX : cpus);
	conf_unref(conf);
	free(text);
}
END_TEST

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

int main(void)
{
	Suite *suite = suite_create("conf_file");
	TCase *text = tcase_create("text");
	tcase_add_loop_test(text, mistake_names_line_reason_and_remedy, 0, COUNT(mistakes));
	tcase_add_loop_test(text, bad_range_is_refused, 0, COUNT(bad_ranges));
	tcase_add_test(text, all_mistakes_are_told_in_order);
	tcase_add_test(text, every_key_is_read);
	tcase_add_loop_test(text, print_reads_back_to_the_same, 0, COUNT(texts));
	tcase_add_loop_test(text, each_change_shows, 0, COUNT(changes));
	tcase_add_test(text, blocks_have_a_limit);
	suite_add_tcase(suite, text);
	TCase *file = tcase_create("file");
	tcase_add_checked_fixture(file, directory_make, directory_remove);
	tcase_add_test(file, file_is_read_whole);
	tcase_add_test(file, file_has_a_limit);
	tcase_add_test(file, unreadable_file_is_an_error);
	tcase_add_test(file, missing_default_file_means_defaults);
	suite_add_tcase(suite, file);
	return suite_run(suite);
}
