#include "privilege.h"

#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "log.h"

/* fs.nr_open's usual value: the most that a process may have. */
#define FILES_MAX 1048576
/* Of the warden, as in systemd/mxmirage.service. */
#define WARDEN_NICE (-15)

int privilege_find_user(const char *name, struct privilege_user *user, struct err *err)
{
	*user = (struct privilege_user){geteuid(), getegid(), false};
	if (geteuid() != 0)
		return 0;
	const struct passwd *found = getpwnam(name[0] ? name : "mxmirage");
	bool stands_in = !found && !name[0];
	if (stands_in)
		found = getpwnam("nobody");
	if (!found)
		return err_set(err, -ENOENT,
			"responder.user: there is no user %s: make it with `adduser "
			"--system --group %s`",
			name[0] ? name : "mxmirage", name[0] ? name : "mxmirage");
	if (found->pw_uid == 0)
		return err_set(err, -EINVAL,
			"responder.user: %s is root: the responder talks to the network "
			"and must have a user of its own",
			name);
	*user = (struct privilege_user){found->pw_uid, found->pw_gid, stands_in};
	return 0;
}

int privilege_drop(const struct privilege_user *user, pid_t parent, struct err *err)
{
	if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(user->gid, user->gid, user->gid) < 0))
		return err_set(err, -errno, "responder: cannot change its group: %s", strerror(errno));
	/* The bounding set needs a capability to be emptied: before the user is changed. */
	capng_clear(CAPNG_SELECT_BOTH);
	if (geteuid() == 0 && capng_apply(CAPNG_SELECT_BOUNDS) != 0)
		return err_set(err, -EPERM, "responder: cannot drop the capability bounding set");
	if (geteuid() == 0 && setresuid(user->uid, user->uid, user->uid) < 0)
		return err_set(err, -errno, "responder: cannot change its user: %s", strerror(errno));
	capng_clear(CAPNG_SELECT_BOTH);
	if (capng_apply(CAPNG_SELECT_CAPS) != 0)
		return err_set(err, -EPERM, "responder: cannot drop its capabilities");
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_set(err, -errno, "responder: no_new_privs: %s", strerror(errno));
	/* Set after the change of user, which clears it. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		return err_set(err, -ESRCH, "responder: its warden is gone");
	return 0;
}

int privilege_confine(struct err *err)
{
	if (geteuid() == 0)
		return 0;
	bool admin = capng_have_capability(CAPNG_PERMITTED, CAP_NET_ADMIN);
	bool bounds = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);
	capng_clear(CAPNG_SELECT_BOTH);
	if (bounds && capng_apply(CAPNG_SELECT_BOUNDS) != 0)
		return err_set(err, -EPERM, "warden: cannot empty the capability bounding set");
	if (admin)
		capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_NET_ADMIN);
	if (capng_apply(CAPNG_SELECT_CAPS) != 0)
		return err_set(err, -EPERM, "warden: cannot drop its capabilities");
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
		(admin && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0))
		return err_set(
			err, -errno, "warden: cannot close itself to its own user: %s", strerror(errno));
	return 0;
}

void privilege_precede(void)
{
	errno = 0;
	if (sched_getscheduler(0) != SCHED_OTHER || getpriority(PRIO_PROCESS, 0) != 0 || errno != 0)
		return;
	/* The least of them precedes all the rest the moment it wakes, which the best nice value does not. */
	struct sched_param least = {.sched_priority = sched_get_priority_min(SCHED_RR)};
	struct sched_param none = {0};
	if (sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &least) < 0 &&
		sched_setscheduler(0, SCHED_OTHER | SCHED_RESET_ON_FORK, &none) == 0)
		setpriority(PRIO_PROCESS, 0, WARDEN_NICE);
}

void privilege_raise_files(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	struct rlimit most = {FILES_MAX, FILES_MAX};
	if (limit.rlim_max >= FILES_MAX)
		most.rlim_max = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &most) == 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		log_warning("open-files limit not raised: %s", strerror(errno));
}
