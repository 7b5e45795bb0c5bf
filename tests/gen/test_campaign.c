#include "campaign.h"

#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>

#include "suite.h"

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

static struct gen_options options;
static struct campaign campaign;

static int init(int argc, char **argv, struct err *err)
{
	ck_assert_int_eq(gen_options_read(&options, argc, argv, err), 0);
	return campaign_init(&campaign, &options, err);
}

#define INIT(err, ...) init((int)ROWS(((char *[]){"gen", __VA_ARGS__})), (char *[]){"gen", __VA_ARGS__}, err)

static void done(void)
{
	campaign_done(&campaign);
	gen_options_done(&options);
}

static const struct {
	const char *target;
	sa_family_t family;
	uint16_t port;
} targets[] = {
	{"192.0.2.1:25", AF_INET, 25},
	{"[2001:db8::1]:2025", AF_INET6, 2025},
	{"2001:db8::1:2025", AF_INET6, 2025},
};

START_TEST(targets_are_found)
{
	struct err err = {""};
	ck_assert_msg(INIT(&err, "--target", (char *)targets[_i].target) == 0, "%s", err.text);
	ck_assert_uint_eq(campaign.target_count, 1);
	const struct sockaddr_in6 *address = (const struct sockaddr_in6 *)&campaign.targets[0].address;
	ck_assert_uint_eq(campaign.targets[0].address.ss_family, targets[_i].family);
	ck_assert_uint_eq(ntohs(address->sin6_port), targets[_i].port); /* where IPv4 has it, too */
	done();
}
END_TEST

static const struct {
	const char *target, *source, *says;
} mistakes[] = {
	{"192.0.2.1", NULL, "HOST:PORT is wanted"},
	{":25", NULL, "HOST:PORT is wanted"},
	{"192.0.2.1:", NULL, "HOST:PORT is wanted"},
	{"192.0.2.1:smtp", NULL, "--target 192.0.2.1:smtp: "},
	{"192.0.2.1:65561", NULL, "--target 192.0.2.1:65561: a port from 1 to 65535 is wanted"},
	{"192.0.2.1:0", NULL, "--target 192.0.2.1:0: a port"},
	{"192.0.2.1:25", "eth0", "--source eth0: an IP address is wanted"},
	{"192.0.2.1:25", "2001:db8::1", "none is of the same family"},
};

START_TEST(mistakes_are_named)
{
	struct err err = {""};
	int code = mistakes[_i].source ? INIT(&err, "--target", (char *)mistakes[_i].target, "--source",
						 (char *)mistakes[_i].source)
				       : INIT(&err, "--target", (char *)mistakes[_i].target);
	ck_assert_int_eq(code, -EINVAL);
	ck_assert_msg(strstr(err.text, mistakes[_i].says) != NULL, "%s", err.text);
	gen_options_done(&options);
}
END_TEST

START_TEST(a_count_is_shared_out)
{
	struct err err = {""};
	uint64_t number;
	ck_assert_int_eq(INIT(&err, "--target", "192.0.2.1:25", "--message-count", "10"), 0);
	ck_assert_uint_eq(campaign_take(&campaign, 1, &number), 1);
	ck_assert_uint_eq(number, 0);
	ck_assert_uint_eq(campaign_take(&campaign, 6, &number), 6);
	ck_assert_uint_eq(number, 1);
	ck_assert_uint_eq(campaign_take(&campaign, 6, &number), 3);
	ck_assert_uint_eq(campaign_take(&campaign, 1, &number), 0);
	campaign_give_back(&campaign, 2);
	ck_assert(!campaign_sent(&campaign, 8) && !campaign_is_complete(&campaign));
	ck_assert_uint_eq(campaign_take(&campaign, 6, &number), 2);
	ck_assert_uint_ge(number, 10); /* a number of its own */
	ck_assert(campaign_sent(&campaign, 2) && campaign_is_complete(&campaign));
	done();
}
END_TEST

START_TEST(without_a_count_there_is_no_end_but_the_stop)
{
	struct err err = {""};
	uint64_t number;
	ck_assert_int_eq(INIT(&err, "--target", "192.0.2.1:25"), 0);
	for (uint64_t i = 0; i < 1000; i++) {
		ck_assert_uint_eq(campaign_take(&campaign, 1, &number), 1);
		ck_assert_uint_eq(number, i);
		ck_assert(!campaign_sent(&campaign, 1));
	}
	ck_assert(!campaign_is_complete(&campaign));
	atomic_store(&campaign.stopping, true);
	ck_assert_uint_eq(campaign_take(&campaign, 1, &number), 0);
	done();
}
END_TEST

enum {
	COUNT = 100000,
	THREADS = 4
};

/* Sends all it gets, every third at the second attempt. Returns how many. */
static void *take_all(void *arg)
{
	uint64_t number, sent = 0, turn = 0;
	(void)arg;
	while (campaign_take(&campaign, 1, &number)) {
		if (turn++ % 3 == 0) {
			campaign_give_back(&campaign, 1);
			continue;
		}
		sent++;
		campaign_sent(&campaign, 1);
	}
	return (void *)sent;
}

/* Those that gave one back go on: between them not one is lost and none is sent twice. */
START_TEST(threads_send_the_count_exactly)
{
	struct err err = {""};
	pthread_t threads[THREADS];
	uint64_t total = 0;
	ck_assert_int_eq(INIT(&err, "--target", "192.0.2.1:25", "--message-count", "100000"), 0);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, take_all, NULL), 0);
	for (int i = 0; i < THREADS; i++) {
		void *sent;
		pthread_join(threads[i], &sent);
		total += (uint64_t)sent;
	}
	ck_assert_uint_eq(total, COUNT);
	ck_assert(campaign_is_complete(&campaign));
	done();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("campaign");
	TCase *tcase = tcase_create("campaign");
	tcase_add_loop_test(tcase, targets_are_found, 0, ROWS(targets));
	tcase_add_loop_test(tcase, mistakes_are_named, 0, ROWS(mistakes));
	tcase_add_test(tcase, a_count_is_shared_out);
	tcase_add_test(tcase, without_a_count_there_is_no_end_but_the_stop);
	tcase_add_test(tcase, threads_send_the_count_exactly);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
