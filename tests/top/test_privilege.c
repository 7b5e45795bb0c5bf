/* What the warden keeps and what a responder gets, seen in /proc of a process made for it. */
#include <check.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "privilege.h"
#include "suite.h"

#define NOBODY          65534
#define BIT(capability) (1u << (capability))

static struct err err;

static unsigned long long status_hex(const char *key)
{
	char line[256];
	unsigned long long value = ~0ull;
	FILE *file = fopen("/proc/self/status", "r");
	while (file && fgets(line, sizeof(line), file))
		if (strncmp(line, key, strlen(key)) == 0)
			value = strtoull(line + strlen(key) + 1, NULL, 16);
	if (file)
		fclose(file);
	return value;
}

/* As systemd starts the service: another user, with these capabilities as ambient ones. */
static int become_service(unsigned capabilities)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2] = {{capabilities, capabilities, capabilities}};
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0 ||
		syscall(SYS_capset, &header, data) < 0)
		return -1;
	for (unsigned capability = 0; capability < 32; capability++)
		if (capabilities & BIT(capability) &&
			prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) < 0)
			return -1;
	return 0;
}

/* In a child: 0 or the number of the statement that is false. */
static int confined(unsigned capabilities, bool responder)
{
	if (become_service(capabilities) < 0)
		return 1;
	if (privilege_confine(&err) < 0)
		return 2;
	unsigned long long kept = responder ? 0 : capabilities & BIT(CAP_NET_ADMIN);
	const struct privilege_user user = {NOBODY, NOBODY, false};
	if (responder && privilege_drop(&user, getppid(), &err) < 0)
		return 3;
	if (status_hex("CapEff:") != kept || status_hex("CapPrm:") != kept)
		return 4;
	if (status_hex("CapInh:") != 0 || status_hex("CapAmb:") != 0)
		return 5;
	if (capabilities & BIT(CAP_SETPCAP) && status_hex("CapBnd:") != 0)
		return 6;
	if (responder && status_hex("NoNewPrivs:") != 1)
		return 7;
	if (kept && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
		return 8;
	return 0;
}

static const struct {
	unsigned capabilities;
	bool responder;
} services[] = {
	{BIT(CAP_NET_ADMIN) | BIT(CAP_SETPCAP), false},
	{BIT(CAP_NET_ADMIN) | BIT(CAP_SETPCAP), true},
	{BIT(CAP_NET_ADMIN), false},
	{BIT(CAP_NET_ADMIN), true},
	{0, false},
	{0, true},
};

START_TEST(a_service_keeps_one_capability_and_its_responder_none)
{
	pid_t pid = suite_fork();
	if (pid == 0)
		_exit(confined(services[_i].capabilities, services[_i].responder));
	int status;
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

/* In a child: 0 or the number of the statement that is false. */
static int precedes(bool already_said)
{
	/* Real time is a matter of the kernel and the control group. */
	const struct sched_param least = {.sched_priority = 1}, none = {0};
	bool in_real_time = sched_setscheduler(0, SCHED_RR, &least) == 0;
	if (sched_setscheduler(0, SCHED_OTHER, &none) < 0)
		return 1;
	if (already_said && setpriority(PRIO_PROCESS, 0, 1) < 0)
		return 2;
	privilege_precede();
	int policy =
		already_said ? SCHED_OTHER : (in_real_time ? SCHED_RR : SCHED_OTHER) | SCHED_RESET_ON_FORK;
	if (sched_getscheduler(0) != policy)
		return 3;
	if (getpriority(PRIO_PROCESS, 0) != (already_said ? 1 : in_real_time ? 0 : -15))
		return 4;
	pid_t pid = fork();
	if (pid == 0) {
		/* As a responder of another user is. */
		bool is_plain = sched_getscheduler(0) == SCHED_OTHER &&
				getpriority(PRIO_PROCESS, 0) == (already_said ? 1 : 0);
		_exit(is_plain && setuid(NOBODY) == 0 && sched_setscheduler(0, SCHED_RR, &least) < 0 &&
					setpriority(PRIO_PROCESS, 0, -1) < 0
				? 0
				: 5);
	}
	int status = -1;
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 6;
}

START_TEST(the_warden_alone_precedes_unless_something_was_said)
{
	pid_t pid = suite_fork();
	if (pid == 0)
		_exit(precedes(_i == 1));
	int status;
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(root_stays_root_to_start_a_responder_of_another_user)
{
	unsigned long long before = status_hex("CapEff:");
	ck_assert_int_eq(privilege_confine(&err), 0);
	ck_assert(status_hex("CapEff:") == before);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("privilege");
	TCase *tcase = tcase_create("privilege");
	tcase_add_loop_test(tcase, a_service_keeps_one_capability_and_its_responder_none, 0,
		(int)(sizeof(services) / sizeof(services[0])));
	tcase_add_loop_test(tcase, the_warden_alone_precedes_unless_something_was_said, 0, 2);
	tcase_add_test(tcase, root_stays_root_to_start_a_responder_of_another_user);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
