/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sandbox.c - a user without rights, for good.
 *
 * The order is forced: what needs a capability comes before the capabilities
 * go, and the files that are open stay usable, because rights are asked for at
 * open() and never again.
 *
 * Not root, and without capabilities: the same, as far as anybody may.
 */
#include <dlfcn.h>
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <limits.h>
#include <malloc.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "log.h"
#include "sandbox.h"

#define NOBODY		65534
#define LAST_CAP_MAX	63

/* All but the bits of "keep", which says nothing once it is locked. */
#define SECUREBITS	(SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | \
			 SECBIT_NO_SETUID_FIXUP | \
			 SECBIT_NO_SETUID_FIXUP_LOCKED | \
			 SECBIT_KEEP_CAPS_LOCKED | \
			 SECBIT_NO_CAP_AMBIENT_RAISE | \
			 SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED)

int
sandbox_parse(const char *word, enum sandbox_mode *mode)
{
	static const char *const words[] = { "on", "kill", "off" };
	unsigned i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcmp(word, words[i])) {
			*mode = (enum sandbox_mode)i;
			return 0;
		}
	return -EINVAL;
}

int
sandbox_failed(struct vd_err *err, const char *what)
{
	int code = errno ? errno : EPERM;

	return vd_fail(err, code, VD_NOWHERE, "sandbox: cannot %s: %s", what,
		       strerror(code));
}

/* ------------------------------------------------------------------- user */

struct who {
	bool		change;
	uid_t		uid;
	gid_t		gid;
};

static int
find_user(const struct sandbox *s, struct who *w, struct vd_err *err)
{
	const char *name = s->user ? s->user : SANDBOX_USER;
	struct passwd *p;

	*w = (struct who){ .change = geteuid() == 0 };
	if (!w->change)
		return 0;
	errno = 0;
	p = getpwnam(name);
	if (!p && s->user) {
		vd_fail(err, ENOENT, VD_NOWHERE, "there is no user %.100s",
			name);
		vd_err_help(err, "useradd -r -s /usr/sbin/nologin %.100s", name);
		return -ENOENT;
	}
	if (!p)
		log_info("there is no user " SANDBOX_USER " (systemd-sysusers "
			 "makes it); going on as %d, nobody", NOBODY);
	w->uid = p ? p->pw_uid : NOBODY;
	w->gid = p ? p->pw_gid : NOBODY;
	return !w->uid ? vd_fail(err, EPERM, VD_NOWHERE, "user %.100s is root "
				 "by another name", name) : 0;
}

static int
become(const struct who *w, struct vd_err *err)
{
	if (!w->change)
		return 0;
	if (setgroups(0, NULL))
		return sandbox_failed(err, "leave all groups");
	if (setresgid(w->gid, w->gid, w->gid))
		return sandbox_failed(err, "change the group");
	if (setresuid(w->uid, w->uid, w->uid))
		return sandbox_failed(err, "change the user");
	return 0;
}

/* ----------------------------------------------------------- capabilities */

static bool
have_cap(unsigned cap)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2];

	return !syscall(SYS_capget, &h, d) &&
	       d[cap / 32].effective & 1u << cap % 32;
}

/* What could be had again through a program with file capabilities. */
static int
drop_bounds(struct vd_err *err)
{
	unsigned long cap;

	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (!have_cap(CAP_SETPCAP))
		return 0;	/* nobody gains anything: no_new_privs */
	for (cap = 0; cap <= LAST_CAP_MAX; cap++)
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1 &&
		    prctl(PR_CAPBSET_DROP, cap, 0, 0, 0))
			return sandbox_failed(err, "drop a capability");
	return prctl(PR_SET_SECUREBITS, SECUREBITS, 0, 0, 0) ?
	       sandbox_failed(err, "lock the secure bits") : 0;
}

static int
drop_caps(struct vd_err *err)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct none[2] = { { 0 } };

	return syscall(SYS_capset, &h, none) ?
	       sandbox_failed(err, "give up all capabilities") : 0;
}

/* ----------------------------------------------------------------- limits */

static void
limit(int what, rlim_t n)
{
	struct rlimit both = { n, n }, now;

	/* Without the right to raise it: as high as it goes. */
	if (setrlimit(what, &both) && !getrlimit(what, &now)) {
		now.rlim_cur = now.rlim_max;
		setrlimit(what, &now);
	}
}

/*
 * NPROC counts all processes of the user, so all disks of the host: a limit
 * there would let one take the threads of another.  That none makes a process
 * is the seal's business.  Images may grow, and memory of a disk of this very
 * domain is locked: no limit either.
 */
static void
set_limits(void)
{
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_NPROC, RLIM_INFINITY);
	limit(RLIMIT_FSIZE, RLIM_INFINITY);
	limit(RLIMIT_MEMLOCK, RLIM_INFINITY);
	signal(SIGXFSZ, SIG_IGN);
}

/*
 * Whatever is found by its name when it is first used: a library that ends
 * threads, the time zone that syslog() writes, the number of processors that
 * malloc() reads when several threads are at it.  free() would ask /proc whether
 * the system overcommits, before it gives back what a thread has left; it is told
 * to keep that, and to have large pieces by themselves.
 */
static void
load_early(const struct sandbox *s)
{
#ifdef M_ARENA_MAX
	mallopt(M_ARENA_MAX, 8 * (int)sysconf(_SC_NPROCESSORS_ONLN));
#endif
#ifdef M_TRIM_THRESHOLD
	mallopt(M_TRIM_THRESHOLD, INT_MAX);
	mallopt(M_MMAP_THRESHOLD, 1 << 20);
#endif
	tzset();
	if (s->uses & SANDBOX_GNTTAB && !dlopen("libgcc_s.so.1", RTLD_NOW))
		log_info("libgcc_s.so.1 is missing; closing may end badly");
}

int
sandbox_enter(const struct sandbox *s, struct vd_err *err)
{
	struct who who;
	int ret;

	if (s->mode == SANDBOX_OFF)
		return 0;
	load_early(s);
	ret = find_user(s, &who, err);
	if (ret)
		return ret;
	set_limits();
	ret = sandbox_place(err);
	if (!ret)
		ret = drop_bounds(err);
	if (!ret)
		ret = become(&who, err);
	if (!ret)
		ret = drop_caps(err);
	if (!ret && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
		ret = sandbox_failed(err, "hide from debuggers");
	if (!ret && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		ret = sandbox_failed(err, "give up new privileges");
	return ret;
}
