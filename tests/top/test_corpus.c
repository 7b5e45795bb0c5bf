#include "corpus.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suite.h"
#include "toml_reader.h"

#define PPM(percent) ((uint32_t)((percent)*10000 + 0.5))

static struct provider_set *corpus_of(const char *wordings)
{
	struct err err = {.text = ""};
	struct provider_set *set = provider_set_new(&err);
	ck_assert_ptr_nonnull(set);
	int rc = corpus_load(set, wordings, &err);
	ck_assert_msg(rc == 0, "%s", err.text);
	return set;
}

static const struct provider *named(const struct provider_set *set, const char *name)
{
	const struct provider *provider = provider_by_name(set, span_of(name));
	ck_assert_msg(provider != NULL, "no provider %s", name);
	return provider;
}

/* The binary holds what the source tree holds, under the name that errors give. */
START_TEST(files_are_built_in_as_they_are)
{
	size_t count = 0;
	for (const struct corpus_file *file = corpus_files; file->name; file++, count++) {
		char path[512], text[65536];
		snprintf(path, sizeof(path), SOURCE_DIR "/rules/%s", file->name);
		FILE *from = fopen(path, "r");
		ck_assert_msg(from != NULL, "%s is built in and not in the tree", path);
		size_t len = fread(text, 1, sizeof(text), from);
		fclose(from);
		ck_assert_uint_eq(len, file->len);
		ck_assert_mem_eq(text, file->text, len);
		if (count)
			ck_assert_str_gt(file->name, file[-1].name);
	}
	ck_assert_uint_ge(count, 25);
}
END_TEST

/* Each alone, so that one's mistakes do not hide another's, and with each choice of wordings. */
START_TEST(every_file_loads)
{
	static const char *const wordings[] = {"current", "old", "all"};
	for (const struct corpus_file *file = corpus_files; file->name; file++) {
		struct err err = {.text = ""};
		struct toml_node *root = toml_read(file->name, file->text, file->len, &err);
		ck_assert_msg(root != NULL, "%s", err.text);
		for (size_t i = 0; i < 3; i++) {
			struct provider_set *set = provider_set_new(&err);
			ck_assert_msg(provider_set_add(set, file->name, root, wordings[i], &err) == 0, "%s",
				err.text);
			provider_set_free(set);
		}
		toml_free(root);
	}
}
END_TEST

static const struct {
	const char *name;
	double bounce, defer;
	uint32_t site_connections, provider_connections, deliveries;
	struct rate message_rate;
	uint64_t size;
} limits[] = {
	{"default", 1, 2, 0, 0, 0, {0}, 0},
	{"google", 2, 5, 0, 5, 50, {0}, 157286400},
	{"yahoo", 2, 6, 0, 0, 20, {0}, 41943040},
	{"yahoo.co.jp", 2, 4, 2, 0, 20, {10, 1}, 0},
	{"outlook", 2, 5, 0, 5, 50, {0}, 49283072},
	{"office365", 2, 3, 0, 5, 50, {0}, 157286400},
	{"apple", 2, 4, 0, 10, 5, {0}, 28319744},
	{"comcast", 1, 4, 25, 0, 1000, {0}, 36700160},
	{"gmx.net_web.de", 2, 3, 4, 0, 20, {0}, 157286400},
	{"orange", 2, 5, 0, 2, 100, {0}, 0},
	{"laposte", 2, 3, 0, 0, 0, {0}, 0},
	{"mimecast", 1, 4, 10, 0, 100, {0}, 0},
	{"qq.com", 4, 1, 4, 0, 8, {0}, 0},
	{"163.com", 3, 4, 4, 0, 7, {0}, 0},
	{"cox", 2, 3, 5, 0, 100, {0}, 0},
	{"spectrum", 2, 3, 0, 0, 0, {0}, 20971520},
	{"barracuda", 2, 4, 0, 10, 15, {0}, 0},
	{"netvigator", 2, 2, 0, 5, 10, {0}, 0},
	{"kpn", 1, 2, 10, 0, 10, {0}, 0},
	{"proofpoint", 2, 2, 0, 0, 0, {0}, 0},
	{"symantec", 1, 3, 0, 0, 0, {0}, 0},
	{"mail.ru", 2, 2, 0, 0, 0, {0}, 0},
	{"yandex", 2, 3, 0, 0, 0, {0}, 0},
	{"zoho", 2, 1, 0, 0, 0, {0}, 0},
	{"free", 2, 2, 0, 0, 0, {0}, 0},
	{"docomo", 3, 1, 0, 0, 0, {0}, 0},
	{"kddi", 3, 1, 0, 0, 0, {0}, 0},
};

#define LIMIT_ROWS (sizeof(limits) / sizeof(limits[0]))

START_TEST(limits_and_odds_are_these)
{
	struct provider_set *set = corpus_of("current");
	ck_assert_uint_eq(provider_count(set), LIMIT_ROWS);
	for (size_t i = 0; i < LIMIT_ROWS; i++) {
		const struct provider *provider = named(set, limits[i].name);
		const struct provider_limits *has = &provider->limits;
		ck_assert_msg(provider->bounce_ppm == PPM(limits[i].bounce), "%s", provider->name);
		ck_assert_msg(provider->defer_ppm == PPM(limits[i].defer), "%s", provider->name);
		ck_assert_msg(has->site_connections == limits[i].site_connections, "%s", provider->name);
		ck_assert_msg(
			has->provider_connections == limits[i].provider_connections, "%s", provider->name);
		ck_assert_msg(has->deliveries_per_connection == limits[i].deliveries, "%s", provider->name);
		ck_assert_msg(has->message_rate.count == limits[i].message_rate.count, "%s", provider->name);
		ck_assert_msg(
			has->message_rate.period_s == limits[i].message_rate.period_s, "%s", provider->name);
		ck_assert_msg(has->message_size == limits[i].size, "%s", provider->name);
	}
	provider_set_free(set);
}
END_TEST

/* Every limit that a provider has is told in words of its own; default has words for all. */
START_TEST(limits_have_replies)
{
	struct provider_set *set = corpus_of("current");
	for (int kind = 0; kind < PROVIDER_KINDS; kind++)
		ck_assert_msg(provider_at(set, 0)->weight[kind] > 0, "%s", provider_kind_name(kind));
	for (size_t i = 1; i < provider_count(set); i++) {
		const struct provider *provider = provider_at(set, i);
		const struct provider_limits *has = &provider->limits;
		const struct {
			enum provider_kind kind;
			bool asked;
		} rows[] = {
			{PROVIDER_CONNECTIONS, has->site_connections || has->provider_connections},
			{PROVIDER_CONNECTION_RATE, has->connection_rate.count},
			{PROVIDER_MESSAGE_RATE, has->message_rate.count},
			{PROVIDER_DELIVERIES, has->deliveries_per_connection},
			{PROVIDER_RECIPIENTS, has->recipients_per_message},
			{PROVIDER_REPUTATION, provider->reputation_after},
		};
		for (size_t j = 0; j < sizeof(rows) / sizeof(rows[0]); j++)
			ck_assert_msg(!rows[j].asked || provider->weight[rows[j].kind] > 0, "%s: %s",
				provider->name, provider_kind_name(rows[j].kind));
	}
	provider_set_free(set);
}
END_TEST

/* Each reply says where it is known from and when that was so. */
START_TEST(replies_have_sources)
{
	static const char known[] = " KB KC KS G Yb Mt Mp F S RFC own ";
	struct provider_set *set = corpus_of("all");
	for (size_t i = 0; i < provider_count(set); i++) {
		const struct provider *provider = provider_at(set, i);
		for (size_t j = 0; j < provider->reply_count; j++) {
			const struct provider_reply *reply = &provider->replies[j];
			char tag[16];
			snprintf(tag, sizeof(tag), " %s ", reply->source);
			ck_assert_msg(strstr(known, tag) != NULL, "%s:%u: %s", reply->file, reply->line,
				reply->source);
			ck_assert_msg(strlen(reply->seen) >= 7, "%s:%u", reply->file, reply->line);
		}
	}
	provider_set_free(set);
}
END_TEST

/* What senders know the providers by: a reply of this kind, phase and codes that holds these words. */
static const struct {
	const char *provider;
	enum provider_kind kind;
	enum smtp_phase phase;
	unsigned code;
	const char *enhanced;
	const char *words;
} replies[] = {
	{"google", PROVIDER_DEFER, SMTP_PHASE_END_OF_DATA, 421, "4.7.28",
		"Gmail has detected an unusual rate of unsolicited email"},
	{"google", PROVIDER_DEFER, SMTP_PHASE_END_OF_DATA, 421, "4.7.28", "IP netblock"},
	{"google", PROVIDER_DEFER, SMTP_PHASE_END_OF_DATA, 421, "4.7.28", "DKIM domain"},
	{"google", PROVIDER_DEFER, SMTP_PHASE_END_OF_DATA, 421, "4.7.28", "SPF domain"},
	{"google", PROVIDER_DEFER, SMTP_PHASE_END_OF_DATA, 421, "4.7.28", "URL domains"},
	{"google", PROVIDER_DEFER, SMTP_PHASE_END_OF_DATA, 421, "4.7.28",
		"Our system has detected an unusual rate"},
	{"google", PROVIDER_DEFER, SMTP_PHASE_RCPT, 450, "4.2.1", "receiving mail at a rate"},
	{"google", PROVIDER_DEFER, SMTP_PHASE_RCPT, 452, "4.2.2", "storage"},
	{"google", PROVIDER_RECIPIENTS, SMTP_PHASE_RCPT, 452, "4.5.3", "too many recipients"},
	{"google", PROVIDER_DEFER, SMTP_PHASE_RCPT, 451, "4.3.0", "Multiple destination domains"},
	{"google", PROVIDER_DEFER, SMTP_PHASE_RCPT, 421, "4.7.0", "TLS required for RCPT domain"},
	{"google", PROVIDER_DEFER, SMTP_PHASE_END_OF_DATA, 421, "4.7.26", "unauthenticated"},
	{"google", PROVIDER_DEFER, SMTP_PHASE_END_OF_DATA, 421, "4.7.27", "SPF"},
	{"google", PROVIDER_DEFER, SMTP_PHASE_END_OF_DATA, 421, "4.7.29", "TLS"},
	{"google", PROVIDER_DEFER, SMTP_PHASE_END_OF_DATA, 421, "4.7.30", "DKIM"},
	{"google", PROVIDER_DEFER, SMTP_PHASE_END_OF_DATA, 421, "4.7.32", "From:"},
	{"google", PROVIDER_DEFER, SMTP_PHASE_END_OF_DATA, 421, "4.7.40", "DMARC"},
	{"google", PROVIDER_DEFER, SMTP_PHASE_END_OF_DATA, 451, "4.7.23", "PTR"},
	{"google", PROVIDER_BOUNCE, SMTP_PHASE_RCPT, 550, "5.1.1", "NoSuchUser"},
	{"google", PROVIDER_BOUNCE, SMTP_PHASE_RCPT, 550, "5.2.1", "inactive"},
	{"google", PROVIDER_BOUNCE, SMTP_PHASE_RCPT, 552, "5.2.2", "storage"},
	{"google", PROVIDER_BOUNCE, SMTP_PHASE_END_OF_DATA, 550, "5.7.1", "likely unsolicited"},
	{"yahoo", PROVIDER_DEFER, SMTP_PHASE_MAIL, 421, "4.7.0",
		"[TSS04] Messages from {ip} temporarily deferred"},
	{"yahoo", PROVIDER_DEFER, SMTP_PHASE_MAIL, 421, "4.7.0", "[TSS05]"},
	{"yahoo", PROVIDER_DEFER, SMTP_PHASE_MAIL, 421, "", "[IPTS04]"},
	{"yahoo", PROVIDER_DEFER, SMTP_PHASE_MAIL, 421, "4.7.1", "[TS02]"},
	{"yahoo", PROVIDER_DEFER, SMTP_PHASE_MAIL, 421, "4.7.1", "[TS03]"},
	{"yahoo", PROVIDER_DELIVERIES, SMTP_PHASE_MAIL, 421, "",
		"Max message per connection reached, closing"},
	{"yahoo", PROVIDER_DELIVERIES, SMTP_PHASE_MAIL, 0, "", ""},
	{"yahoo", PROVIDER_DEFER, SMTP_PHASE_RCPT, 450, "", "User is receiving mail too quickly"},
	{"yahoo", PROVIDER_DEFER, SMTP_PHASE_END_OF_DATA, 451, "", "[#4.16.1]"},
	{"yahoo", PROVIDER_BOUNCE, SMTP_PHASE_MAIL, 553, "5.7.1", "[BL21] Connections will not be accepted"},
	{"yahoo", PROVIDER_BOUNCE, SMTP_PHASE_MAIL, 553, "5.7.2", "[TSS09]"},
	{"yahoo", PROVIDER_BOUNCE, SMTP_PHASE_END_OF_DATA, 554, "5.7.9", "policy"},
	{"yahoo", PROVIDER_BOUNCE, SMTP_PHASE_END_OF_DATA, 554, "", "Message not allowed - [PH01]"},
	{"yahoo", PROVIDER_BOUNCE, SMTP_PHASE_END_OF_DATA, 554, "",
		"delivery error: dd This user doesn't have a {domain} account"},
	{"yahoo", PROVIDER_BOUNCE, SMTP_PHASE_END_OF_DATA, 552, "", "mailbox not found"},
	{"yahoo.co.jp", PROVIDER_BOUNCE, SMTP_PHASE_MAIL, 553, "", "not allowed - VS98-IP0 deferred"},
	{"yahoo.co.jp", PROVIDER_DEFER, SMTP_PHASE_MAIL, 421, "", "[TSS04]"},
	{"yahoo.co.jp", PROVIDER_DEFER, SMTP_PHASE_MAIL, 421, "", "[IPTS04]"},
	{"outlook", PROVIDER_DEFER, SMTP_PHASE_MAIL, 451, "4.7.650", "due to IP reputation"},
	{"outlook", PROVIDER_DEFER, SMTP_PHASE_MAIL, 451, "4.7.651", "(S3114)"},
	{"outlook", PROVIDER_CONNECTIONS, SMTP_PHASE_MAIL, 451, "4.7.652",
		"exceeded the maximum number of connections"},
	{"outlook", PROVIDER_DEFER, SMTP_PHASE_MAIL, 421, "", "RP-001"},
	{"outlook", PROVIDER_DEFER, SMTP_PHASE_MAIL, 421, "", "RP-002"},
	{"outlook", PROVIDER_CONNECTIONS, SMTP_PHASE_CONNECT, 421, "", "RP-003"},
	{"outlook", PROVIDER_BOUNCE, SMTP_PHASE_MAIL, 550, "5.7.1", "(S3150)"},
	{"outlook", PROVIDER_BOUNCE, SMTP_PHASE_END_OF_DATA, 550, "5.7.515", "Access denied"},
	{"outlook", PROVIDER_BOUNCE, SMTP_PHASE_MAIL, 550, "", "SC-001"},
	{"outlook", PROVIDER_BOUNCE, SMTP_PHASE_MAIL, 550, "", "SC-004"},
	{"outlook", PROVIDER_BOUNCE, SMTP_PHASE_MAIL, 550, "", "DY-002"},
	{"outlook", PROVIDER_BOUNCE, SMTP_PHASE_END_OF_DATA, 550, "", "OU-002"},
	{"outlook", PROVIDER_BOUNCE, SMTP_PHASE_RCPT, 550, "5.5.0", ".prod.protection.outlook.com]"},
	{"office365", PROVIDER_DEFER, SMTP_PHASE_RCPT, 451, "4.7.500", "(AS77712344)"},
	{"office365", PROVIDER_CONNECTIONS, SMTP_PHASE_CONNECT, 421, "4.3.2",
		"maximum number of concurrent connections"},
	{"office365", PROVIDER_DEFER, SMTP_PHASE_END_OF_DATA, 451, "4.7.0", "PRX4 NextHop:"},
	{"office365", PROVIDER_BOUNCE, SMTP_PHASE_RCPT, 550, "5.4.1",
		"Recipient address rejected: Access denied"},
	{"office365", PROVIDER_BOUNCE, SMTP_PHASE_RCPT, 550, "5.7.606", "banned sending IP"},
	{"office365", PROVIDER_BOUNCE, SMTP_PHASE_RCPT, 554, "5.2.121", "per hour"},
	{"office365", PROVIDER_BOUNCE, SMTP_PHASE_RCPT, 554, "5.2.122", "per hour"},
	{"office365", PROVIDER_DEFER, SMTP_PHASE_RCPT, 450, "4.7.3", "Organization queue quota exceeded"},
	{"apple", PROVIDER_DEFER, SMTP_PHASE_RCPT, 421, "4.7.1",
		"Messages to {rcpt} deferred due to excessive"},
	{"apple", PROVIDER_DEFER, SMTP_PHASE_RCPT, 451, "4.7.1", "Service unavailable - try again later"},
	{"apple", PROVIDER_DEFER, SMTP_PHASE_END_OF_DATA, 451, "", "[BS02] Temporary server error."},
	{"apple", PROVIDER_DEFER, SMTP_PHASE_RCPT, 421, "", "[HCM1] Your mail from {ip} was deferred"},
	{"apple", PROVIDER_BOUNCE, SMTP_PHASE_RCPT, 550, "5.1.1", "<{rcpt}>: inactive email address"},
	{"apple", PROVIDER_BOUNCE, SMTP_PHASE_RCPT, 552, "5.2.2", "over quota"},
	{"apple", PROVIDER_BOUNCE, SMTP_PHASE_END_OF_DATA, 550, "5.7.1", "Spamhaus DBL"},
	{"apple", PROVIDER_BOUNCE, SMTP_PHASE_END_OF_DATA, 554, "5.7.1", "[CS01]"},
	{"apple", PROVIDER_BOUNCE, SMTP_PHASE_END_OF_DATA, 550, "5.7.1", "[HME1]"},
	{"comcast", PROVIDER_DEFER, SMTP_PHASE_MAIL, 421, "4.1.0", "RL000010"},
	{"comcast", PROVIDER_BOUNCE, SMTP_PHASE_MAIL, 554, "5.1.0", "BL000000"},
	{"comcast", PROVIDER_BOUNCE, SMTP_PHASE_END_OF_DATA, 550, "5.2.0", "DM000001"},
	{"comcast", PROVIDER_DEFER, SMTP_PHASE_RCPT, 452, "4.1.1", "<{rcpt}> too many recent messages"},
	{"comcast", PROVIDER_DEFER, SMTP_PHASE_RCPT, 450, "4.2.0", "temporarily unavailable"},
	{"comcast", PROVIDER_BOUNCE, SMTP_PHASE_RCPT, 550, "5.1.1", "Not our Customer"},
	{"comcast", PROVIDER_BOUNCE, SMTP_PHASE_CONNECT, 554, "", "must have a PTR record"},
	{"gmx.net_web.de", PROVIDER_CONNECTIONS, SMTP_PHASE_CONNECT, 421, "", "Too many connections"},
	{"gmx.net_web.de", PROVIDER_BOUNCE, SMTP_PHASE_MAIL, 554, "", "Reject due to policy restrictions."},
	{"gmx.net_web.de", PROVIDER_BOUNCE, SMTP_PHASE_END_OF_DATA, 554, "",
		"Reject due to policy violations."},
	{"gmx.net_web.de", PROVIDER_BOUNCE, SMTP_PHASE_RCPT, 550, "",
		"Requested action not taken: mailbox unavailable"},
	{"gmx.net_web.de", PROVIDER_BOUNCE, SMTP_PHASE_RCPT, 552, "", "Quota exceeded"},
	{"orange", PROVIDER_CONNECTIONS, SMTP_PHASE_CONNECT, 421, "", "OFR005_104 [104]"},
	{"orange", PROVIDER_BOUNCE, SMTP_PHASE_MAIL, 550, "", "Service refuse."},
	{"orange", PROVIDER_BOUNCE, SMTP_PHASE_MAIL, 550, "", "blocked for spamming issues. OFR006_102"},
	{"orange", PROVIDER_BOUNCE, SMTP_PHASE_RCPT, 550, "5.1.1", "OFR_416 [416]"},
	{"orange", PROVIDER_BOUNCE, SMTP_PHASE_RCPT, 552, "5.1.1", "OFR_417"},
	{"orange", PROVIDER_DEFER, SMTP_PHASE_END_OF_DATA, 421, "4.2.0", "OFR005_505"},
	{"laposte", PROVIDER_BOUNCE, SMTP_PHASE_MAIL, 550, "5.5.0", "LPN"},
	{"mimecast", PROVIDER_GREYLIST, SMTP_PHASE_RCPT, 451, "",
		"Internal resource temporarily unavailable - "
		"https://community.mimecast.com/docs/DOC-1369#451"},
	{"mimecast", PROVIDER_DEFER, SMTP_PHASE_RCPT, 451, "", "Internal resource temporarily unavailable"},
	{"mimecast", PROVIDER_DEFER, SMTP_PHASE_RCPT, 451, "", "Recipient temporarily unavailable"},
	{"mimecast", PROVIDER_BOUNCE, SMTP_PHASE_RCPT, 550, "",
		"Administrative prohibition - envelope blocked"},
	{"qq.com", PROVIDER_REPUTATION, SMTP_PHASE_MAIL, 550, "", "Ip frequency limited."},
	{"qq.com", PROVIDER_CONNECTIONS, SMTP_PHASE_CONNECT, 550, "", "Connection frequency limited."},
	{"qq.com", PROVIDER_BOUNCE, SMTP_PHASE_RCPT, 550, "", "Domain frequency limited."},
	{"qq.com", PROVIDER_BOUNCE, SMTP_PHASE_MAIL, 550, "", "Sender frequency limited."},
	{"qq.com", PROVIDER_BOUNCE, SMTP_PHASE_END_OF_DATA, 550, "", "Mail content denied."},
	{"qq.com", PROVIDER_BOUNCE, SMTP_PHASE_RCPT, 550, "", "Mailbox not found."},
	{"163.com", PROVIDER_CONNECTIONS, SMTP_PHASE_CONNECT, 421, "", "Too many connections"},
	{"163.com", PROVIDER_DEFER, SMTP_PHASE_END_OF_DATA, 451, "", "DT:SPM"},
	{"163.com", PROVIDER_BOUNCE, SMTP_PHASE_END_OF_DATA, 554, "", "DT:SPM"},
	{"163.com", PROVIDER_BOUNCE, SMTP_PHASE_RCPT, 550, "", "RP:ORQ"},
	{"163.com", PROVIDER_BOUNCE, SMTP_PHASE_MAIL, 554, "", "HL:ITC"},
	{"cox", PROVIDER_CONNECTIONS, SMTP_PHASE_CONNECT, 421, "", "Too many sessions from"},
	{"cox", PROVIDER_DELIVERIES, SMTP_PHASE_MAIL, 421, "", "message threshold exceeded"},
	{"cox", PROVIDER_BOUNCE, SMTP_PHASE_MAIL, 554, "", "IPBL"},
	{"cox", PROVIDER_BOUNCE, SMTP_PHASE_END_OF_DATA, 552, "5.2.0", "URLBL"},
	{"spectrum", PROVIDER_DEFER, SMTP_PHASE_CONNECT, 421, "", "AUP#I-13"},
	{"spectrum", PROVIDER_DEFER, SMTP_PHASE_MAIL, 421, "", "AUP#I-1540"},
	{"spectrum", PROVIDER_BOUNCE, SMTP_PHASE_CONNECT, 554, "", "AUP#I-1260"},
	{"barracuda", PROVIDER_GREYLIST, SMTP_PHASE_RCPT, 451, "", "Greylisted for 5 minutes"},
	{"barracuda", PROVIDER_BOUNCE, SMTP_PHASE_RCPT, 550, "", "cuda_nsu 5.1.1"},
	{"barracuda", PROVIDER_DEFER, SMTP_PHASE_RCPT, 421, "", "Temporary failure"},
	{"netvigator", PROVIDER_DELIVERIES, SMTP_PHASE_MAIL, 421, "", "Too many messages for this session"},
	{"kpn", PROVIDER_DELIVERIES, SMTP_PHASE_MAIL, 421, "", "Too many messages for this session"},
	{"proofpoint", PROVIDER_BOUNCE, SMTP_PHASE_MAIL, 550, "5.7.1", "blocked using prs.proofpoint.com"},
	{"symantec", PROVIDER_DEFER, SMTP_PHASE_MAIL, 421, "", "Service Temporarily Unavailable"},
	{"yandex", PROVIDER_DEFER, SMTP_PHASE_RCPT, 450, "4.2.1", "message rate limit"},
	{"docomo", PROVIDER_BOUNCE, SMTP_PHASE_RCPT, 550, "", "Unknown user"},
	{"kddi", PROVIDER_BOUNCE, SMTP_PHASE_RCPT, 550, "", ": User unknown"},
	{"zoho", PROVIDER_BOUNCE, SMTP_PHASE_RCPT, 552, "5.1.1", ""},
	{"zoho", PROVIDER_BOUNCE, SMTP_PHASE_END_OF_DATA, 541, "5.4.1", ""},
	{"free", PROVIDER_BOUNCE, SMTP_PHASE_RCPT, 550, "5.2.2", ""},
};

START_TEST(replies_are_known)
{
	struct provider_set *set = corpus_of("all");
	for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
		const struct provider *provider = named(set, replies[i].provider);
		bool found = false;
		for (size_t j = 0; j < provider->reply_count && !found; j++) {
			const struct provider_reply *reply = &provider->replies[j];
			found = reply->kind == replies[i].kind && reply->phase == replies[i].phase &&
				reply->code == replies[i].code &&
				strcmp(reply->enhanced, replies[i].enhanced) == 0 &&
				strstr(reply->text, replies[i].words) != NULL;
		}
		ck_assert_msg(found, "row %zu: %s %u %s %s", i, replies[i].provider, replies[i].code,
			replies[i].enhanced, replies[i].words);
	}
	provider_set_free(set);
}
END_TEST

static bool says(const struct provider *provider, const char *words)
{
	for (size_t i = 0; i < provider->reply_count; i++)
		if (strstr(provider->replies[i].text, words))
			return true;
	return false;
}

START_TEST(wordings_are_chosen)
{
	static const struct {
		const char *wordings;
		bool gmail, our_system;
	} rows[] = {{"current", true, false}, {"old", false, true}, {"all", true, true}};
	for (size_t i = 0; i < 3; i++) {
		struct provider_set *set = corpus_of(rows[i].wordings);
		const struct provider *google = named(set, "google");
		ck_assert_int_eq(says(google, "Gmail has detected that"), rows[i].gmail);
		ck_assert_int_eq(says(google, "Our system has detected"), rows[i].our_system);
		ck_assert(says(google, "TLS required for RCPT domain"));
		provider_set_free(set);
	}
}
END_TEST

static const struct {
	const char *hosts[2];
	const char *provider; /* NULL: none */
} mxs[] = {
	{{"aspmx.l.google.com", "alt1.aspmx.l.google.com"}, "google"},
	{{"aspmx.l.google.com", "aspmx2.googlemail.com"}, "google"},
	{{"mta5.am0.yahoodns.net"}, "yahoo"},
	{{"mx1.mail.yahoo.co.jp"}, "yahoo.co.jp"},
	{{"outlook-com.olc.protection.outlook.com"}, "outlook"},
	{{"example-com.mail.protection.outlook.com"}, "office365"},
	{{"example-com.a-v1.mx.microsoft"}, "office365"},
	{{"mx01.mail.icloud.com"}, "apple"},
	{{"eu-smtp-inbound-1.mimecast.com"}, "mimecast"},
	{{"mx00.gmx.net", "mx-ha02.web.de"}, "gmx.net_web.de"},
	{{"smtp-in.orange.fr"}, "orange"},
	{{"mx3.qq.com"}, "qq.com"},
	{{"163mx01.mxmail.netease.com"}, "163.com"},
	{{"d1.ess.barracudanetworks.com"}, "barracuda"},
	/* One host elsewhere, and it is somebody else's domain. */
	{{"aspmx.l.google.com", "mx.example.org"}, NULL},
	{{"google.com"}, NULL},
	{{"mx.notgoogle.com"}, NULL},
};

START_TEST(hosts_tell_the_provider)
{
	struct provider_set *set = corpus_of("current");
	struct span hosts[2];
	size_t count = 0;
	for (; count < 2 && mxs[_i].hosts[count]; count++)
		hosts[count] = span_of(mxs[_i].hosts[count]);
	const struct provider *found = provider_by_mx(set, hosts, count);
	if (mxs[_i].provider)
		ck_assert_str_eq(found ? found->name : "none", mxs[_i].provider);
	else
		ck_assert_ptr_null(found);
	provider_set_free(set);
}
END_TEST

START_TEST(domains_tell_the_provider)
{
	static const char *const rows[][2] = {{"gmail.com", "google"}, {"GoogleMail.com", "google"},
		{"hotmail.com", "outlook"}, {"live.com", "outlook"}, {"msn.com", "outlook"},
		{"yahoo.com", "yahoo"}, {"aol.com", "yahoo"}, {"sbcglobal.net", "yahoo"},
		{"bellsouth.net", "yahoo"}, {"icloud.com", "apple"}, {"me.com", "apple"},
		{"comcast.net", "comcast"}, {"orange.fr", "orange"}, {"cox.net", "cox"}};
	struct provider_set *set = corpus_of("current");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct provider *found = provider_by_domain(set, span_of(rows[i][0]));
		ck_assert_str_eq(found ? found->name : "none", rows[i][1]);
	}
	ck_assert_ptr_null(provider_by_domain(set, span_of("example.com")));
	provider_set_free(set);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("corpus");
	TCase *tcase = tcase_create("corpus");
	tcase_add_test(tcase, files_are_built_in_as_they_are);
	tcase_add_test(tcase, every_file_loads);
	tcase_add_test(tcase, limits_and_odds_are_these);
	tcase_add_test(tcase, limits_have_replies);
	tcase_add_test(tcase, replies_have_sources);
	tcase_add_test(tcase, replies_are_known);
	tcase_add_test(tcase, wordings_are_chosen);
	tcase_add_loop_test(tcase, hosts_tell_the_provider, 0, sizeof(mxs) / sizeof(mxs[0]));
	tcase_add_test(tcase, domains_tell_the_provider);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
