#include "guard_scene.h"

#include "kernel.h"
#include "netns.h"

static void (*const *suite_bodies)(void);

START_TEST(test_in_fresh_netns)
{
	netns_fresh();
	kernel_needs_devices("eth0 br-lan tun_0 eth1 wg0 a b c d e f g h");
	suite_bodies[_i]();
}
END_TEST

Suite *guard_suite(const char *name, void (*const *bodies)(void), int count)
{
	Suite *suite = suite_create(name);
	TCase *cases = tcase_create(name);
	suite_bodies = bodies;
	tcase_set_timeout(cases, 30);
	tcase_add_loop_test(cases, test_in_fresh_netns, 0, count);
	suite_add_tcase(suite, cases);
	return suite;
}
