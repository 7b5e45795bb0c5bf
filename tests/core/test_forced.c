#include "forced.h"

#include <check.h>
#include <stdlib.h>

#include "smtp_text.h"
#include "suite.h"

/* What an address as it stands in RCPT TO:<…> asks for; code 0 = nothing, 250 = acceptance. */
static const struct {
	const char *path;
	unsigned code;
	const char *enhanced;
	enum smtp_phase phase;
	const char *text; /* NULL: not looked at */
} recipients[] = {
	{"<ann@example.com>", 0, "", 0, NULL},
	{"<>", 0, "", 0, NULL},
	{"<postmaster>", 0, "", 0, NULL},

	{"<tempfail@example.com>", 451, "4.7.1", SMTP_PHASE_RCPT,
		"Temporary failure, as the local part asks (tempfail)"},
	{"<ann.TempFail.1@example.com>", 451, "4.7.1", SMTP_PHASE_RCPT, NULL},
	{"<permfail>", 550, "5.7.1", SMTP_PHASE_RCPT, "Permanent failure, as the local part asks (permfail)"},
	{"<\"a permfail b\"@example.com>", 550, "5.7.1", SMTP_PHASE_RCPT, NULL},
	{"<ann@tempfail.example.com>", 0, "", 0, NULL},
	{"<temp-fail@example.com>", 0, "", 0, NULL},
	{"<tempfai@example.com>", 0, "", 0, NULL},
	/* As the smart sink does, words come before codes. */
	{"<250-tempfail@example.com>", 451, "4.7.1", SMTP_PHASE_RCPT, NULL},

	{"<450-@example.com>", 450, "", SMTP_PHASE_RCPT, "450-"},
	{"<450-over.there+tag@example.com>", 450, "", SMTP_PHASE_RCPT, "450-over.there+tag"},
	{"<250-anything@example.com>", 250, "", SMTP_PHASE_RCPT, NULL},
	{"<599-x@example.com>", 599, "", SMTP_PHASE_RCPT, "599-x"},
	{"<350-x@example.com>", 0, "", 0, NULL},
	{"<150-x@example.com>", 0, "", 0, NULL},
	{"<650-x@example.com>", 0, "", 0, NULL},
	{"<4500-x@example.com>", 0, "", 0, NULL},
	{"<45-x@example.com>", 0, "", 0, NULL},
	{"<450@example.com>", 0, "", 0, NULL},
	{"<\"450\"@example.com>", 0, "", 0, NULL},
	{"<450x@example.com>", 0, "", 0, NULL},
	{"<ann-450-x@example.com>", 0, "", 0, NULL},
	{"<ann+450-x@example.com>", 0, "", 0, NULL},
	{"<ann+450@example.com>", 0, "", 0, NULL},

	{"<452-4.2.2@example.com>", 452, "4.2.2", SMTP_PHASE_RCPT, "452-4.2.2"},
	{"<ann+452-4.2.2@example.com>", 452, "4.2.2", SMTP_PHASE_RCPT, "ann+452-4.2.2"},
	{"<ann+a+552-5.2.2-data+b@example.com>", 552, "5.2.2", SMTP_PHASE_DATA, "ann+a+552-5.2.2-data+b"},
	{"<552-5.2.2-end_of_data+tag@example.com>", 552, "5.2.2", SMTP_PHASE_END_OF_DATA, NULL},
	{"<550-5.7.515-RCPT@example.com>", 550, "5.7.515", SMTP_PHASE_RCPT, NULL},
	{"<421-data@example.com>", 421, "", SMTP_PHASE_DATA, "421-data"},
	{"<ann+421-end_of_data@example.com>", 421, "", SMTP_PHASE_END_OF_DATA, NULL},
	{"<ann+421-@example.com>", 0, "", 0, NULL},
	{"<\"450-4.2.2@data\"@example.com>", 450, "4.2.2", SMTP_PHASE_DATA, "450-4.2.2@data"},
	{"<\"450@end_of_data\"@example.com>", 450, "", SMTP_PHASE_END_OF_DATA, NULL},
	{"<\"ann+450@data\"@example.com>", 450, "", SMTP_PHASE_DATA, NULL},
	{"<\"450@dat\"@example.com>", 0, "", 0, NULL},
	{"<250-2.1.5-data@example.com>", 250, "", SMTP_PHASE_DATA, NULL},
	{"<ann+250-2.1.5@example.com>", 250, "", SMTP_PHASE_RCPT, NULL},
	/* MAIL is over when a recipient asks for it. */
	{"<550-5.7.1-mail@example.com>", 550, "5.7.1", SMTP_PHASE_RCPT, NULL},
	/* An enhanced code of another class is what was asked for; one that is none leaves NNN-anything. */
	{"<550-4.2.2@example.com>", 550, "4.2.2", SMTP_PHASE_RCPT, NULL},
	{"<550-9.2.2@example.com>", 550, "", SMTP_PHASE_RCPT, "550-9.2.2"},
	{"<550-5.1@example.com>", 550, "", SMTP_PHASE_RCPT, NULL},
	{"<550-5.1.1000@example.com>", 550, "", SMTP_PHASE_RCPT, NULL},
	{"<550-5.1.1.1@example.com>", 550, "", SMTP_PHASE_RCPT, NULL},
	{"<550-5.1.1-later@example.com>", 550, "", SMTP_PHASE_RCPT, "550-5.1.1-later"},
	{"<550-5.1.1-data_@example.com>", 550, "", SMTP_PHASE_RCPT, NULL},

	{"<success@example.com>", 250, "", SMTP_PHASE_RCPT, NULL},
	{"<ooto+7@example.com>", 250, "", SMTP_PHASE_RCPT, NULL},
	{"<Complaint@example.com>", 250, "", SMTP_PHASE_RCPT, NULL},
	{"<bounce@example.com>", 550, "5.1.1", SMTP_PHASE_RCPT,
		"No such mailbox, as the local part asks (bounce)"},
	{"<bounce+ann@example.com>", 550, "5.1.1", SMTP_PHASE_RCPT, NULL},
	{"<suppressionlist@example.com>", 550, "5.1.1", SMTP_PHASE_RCPT,
		"The address is on a suppression list, as the local part asks (suppressionlist)"},
	{"<bounces@example.com>", 0, "", 0, NULL},
	{"<bounce-1@example.com>", 0, "", 0, NULL},
	{"<ann+bounce@example.com>", 0, "", 0, NULL},
};

/* Reverse-paths: by a phase of mail alone. */
static const struct {
	const char *path;
	unsigned code;
	const char *enhanced;
} senders[] = {
	{"<550-5.7.1-mail@example.com>", 550, "5.7.1"},
	{"<ann+421-mail@example.com>", 421, ""},
	{"<\"451-4.7.0@mail\"@example.com>", 451, "4.7.0"},
	{"<250-mail@example.com>", 250, ""},
	{"<>", 0, ""},
	{"<550-5.7.1@example.com>", 0, ""},
	{"<550-5.7.1-rcpt@example.com>", 0, ""},
	{"<450-x@example.com>", 0, ""},
	{"<tempfail@example.com>", 0, ""},
	{"<bounce@example.com>", 0, ""},
	{"<bounce+452-4.2.2=example.com@example.com>", 0, ""},
};

static struct smtp_path path_of(const char *text)
{
	struct smtp_path path;
	struct span rest = span_of(text);
	ck_assert_msg(smtp_text_path(&rest, &path) == 0, "%s", text);
	return path;
}

static bool span_says(struct span s, const char *text)
{
	return span_equal(s, span_of(text));
}

START_TEST(recipients_ask)
{
	const char *text = recipients[_i].path;
	struct smtp_path path = path_of(text);
	struct forced forced;
	memset(&forced, 0x5a, sizeof(forced));
	struct forced untouched = forced;
	bool found = forced_find(&path, SMTP_PHASE_RCPT, FORCED_ALL, &forced);
	ck_assert_msg(found == (recipients[_i].code != 0), "%s", text);
	if (!found) {
		ck_assert_mem_eq(&forced, &untouched, sizeof(forced));
		return;
	}
	ck_assert_msg(forced.accept == (recipients[_i].code == 250), "%s", text);
	ck_assert_msg(forced.phase == recipients[_i].phase, "%s: phase %d", text, (int)forced.phase);
	if (forced.accept)
		return;
	ck_assert_msg(forced.reply.code == recipients[_i].code, "%s: %u", text, forced.reply.code);
	ck_assert_msg(span_says(forced.reply.enhanced, recipients[_i].enhanced), "%s", text);
	if (recipients[_i].text)
		ck_assert_msg(span_says(forced.reply.text, recipients[_i].text), "%s: %.*s", text,
			(int)forced.reply.text.len, forced.reply.text.data);
}
END_TEST

START_TEST(senders_ask_by_phase_alone)
{
	const char *text = senders[_i].path;
	struct smtp_path path = path_of(text);
	struct forced forced;
	bool found = forced_find(&path, SMTP_PHASE_MAIL, FORCED_ALL, &forced);
	ck_assert_msg(found == (senders[_i].code != 0), "%s", text);
	if (!found)
		return;
	ck_assert_int_eq(forced.phase, SMTP_PHASE_MAIL);
	ck_assert_msg(forced.accept == (senders[_i].code == 250), "%s", text);
	ck_assert_uint_eq(forced.reply.code, senders[_i].code);
	ck_assert_msg(span_says(forced.reply.enhanced, senders[_i].enhanced), "%s", text);
}
END_TEST

/* Every set of families: an address is heard where its own is in the set, and nowhere else. */
START_TEST(families_switch)
{
	static const struct {
		const char *path;
		unsigned family;
	} of[] = {
		{"<tempfail@example.com>", FORCED_WORDS},
		{"<permfail@example.com>", FORCED_WORDS},
		{"<450-x@example.com>", FORCED_CODES},
		{"<250-x@example.com>", FORCED_CODES},
		{"<ann+452-4.2.2@example.com>", FORCED_CODES},
		{"<success@example.com>", FORCED_SIMULATOR},
		{"<ooto@example.com>", FORCED_SIMULATOR},
		{"<complaint@example.com>", FORCED_SIMULATOR},
		{"<bounce@example.com>", FORCED_SIMULATOR},
		{"<suppressionlist@example.com>", FORCED_SIMULATOR},
	};
	for (unsigned families = 0; families <= FORCED_ALL; families++) {
		for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++) {
			struct smtp_path path = path_of(of[i].path);
			struct forced forced;
			ck_assert_msg(forced_find(&path, SMTP_PHASE_RCPT, families, &forced) ==
					      ((families & of[i].family) != 0),
				"%s with %u", of[i].path, families);
		}
	}
	/* With words off, the next family that knows the address speaks. */
	struct smtp_path path = path_of("<450-tempfail@example.com>");
	struct forced forced;
	ck_assert(forced_find(&path, SMTP_PHASE_RCPT, FORCED_ALL & ~(unsigned)FORCED_WORDS, &forced));
	ck_assert_uint_eq(forced.reply.code, 450);
}
END_TEST

/* What is asked for goes out as a reply on the wire. */
START_TEST(replies_are_whole)
{
	struct smtp_path path = path_of("<ann+452-4.2.2@example.com>");
	struct forced forced;
	ck_assert(forced_find(&path, SMTP_PHASE_RCPT, FORCED_ALL, &forced));
	char data[SMTP_REPLY_MAX];
	struct smtp_out out = {data, 0, sizeof(data)};
	smtp_text_reply(&forced.reply, &out);
	ck_assert(span_says((struct span){out.data, out.len}, "452 4.2.2 ann+452-4.2.2\r\n"));
	path = path_of("<450-x@example.com>");
	ck_assert(forced_find(&path, SMTP_PHASE_RCPT, FORCED_ALL, &forced));
	out.len = 0;
	smtp_text_reply(&forced.reply, &out);
	ck_assert(span_says((struct span){out.data, out.len}, "450 450-x\r\n"));
}
END_TEST

/* Every beginning of every local part, in memory that ends where it does: nothing is read past its end. */
START_TEST(reads_no_byte_too_many)
{
	for (size_t i = 0; i < sizeof(recipients) / sizeof(recipients[0]); i++) {
		struct span local = path_of(recipients[i].path).local;
		for (size_t len = 0; len <= local.len; len++) {
			char *copy = malloc(len ? len : 1);
			memcpy(copy, local.data, len);
			struct smtp_path path = {.local = {copy, len}};
			struct forced forced;
			if (forced_find(&path, SMTP_PHASE_RCPT, FORCED_ALL, &forced) && !forced.accept)
				ck_assert_uint_ge(forced.reply.code, 400);
			free(copy);
		}
	}
}
END_TEST

START_TEST(the_smart_sinks_codes)
{
	static const struct {
		const char *path;
		unsigned code;
	} cases[] = {{"<tempfail@example.com>", 400}, {"<x-PermFail-y@example.com>", 500}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct smtp_path path = path_of(cases[i].path);
		struct forced forced;
		ck_assert(forced_find(&path, SMTP_PHASE_RCPT, FORCED_ALL | FORCED_SMART_SINK, &forced));
		ck_assert_uint_eq(forced.reply.code, cases[i].code);
		ck_assert_uint_eq(forced.reply.enhanced.len, 0);
		ck_assert(!forced_find(&path, SMTP_PHASE_RCPT, FORCED_CODES | FORCED_SIMULATOR, &forced));
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("forced");
	TCase *tcase = tcase_create("forced");
	tcase_add_loop_test(tcase, recipients_ask, 0, sizeof(recipients) / sizeof(recipients[0]));
	tcase_add_loop_test(tcase, senders_ask_by_phase_alone, 0, sizeof(senders) / sizeof(senders[0]));
	tcase_add_test(tcase, families_switch);
	tcase_add_test(tcase, replies_are_whole);
	tcase_add_test(tcase, the_smart_sinks_codes);
	tcase_add_test(tcase, reads_no_byte_too_many);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
