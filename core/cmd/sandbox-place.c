/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sandbox-place.c - a place where nothing has a name.
 *
 * With the right to do so: namespaces of our own, whose one file system is an
 * empty folder that cannot be written, whose network has no interface.  What
 * is open goes on being open, the mounts of the host are not held.  In any
 * case Landlock, where the kernel has it: no name leads to anything.
 */
#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "sandbox.h"

/* linux/landlock.h as of version 6; headers may be older than the kernel. */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset	444
#define SYS_landlock_restrict_self	446
#endif
#define LANDLOCK_VERSION	(1u << 0)
#define FS_RIGHTS_1		((1ull << 13) - 1)	/* execute .. make symlink */
#define FS_REFER		(1ull << 13)		/* 2 */
#define FS_TRUNCATE		(1ull << 14)		/* 3 */
#define NET_TCP			3ull			/* 4: bind, connect */
#define FS_IOCTL_DEV		(1ull << 15)		/* 5 */
#define SCOPES			3ull			/* 6: sockets, signals */

struct ruleset {
	uint64_t	fs, net, scoped;
};

/* The root of an initramfs cannot be changed for another: hide it then. */
static int
change_root(struct vd_err *err)
{
	if (!syscall(SYS_pivot_root, ".", "."))
		return umount2(".", MNT_DETACH) || chdir("/") ?
		       sandbox_failed(err, "leave the old root") : 0;
	if (mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"))
		return sandbox_failed(err, "change the root");
	return 0;
}

/* Somewhere to put an empty file system for a moment. */
static const char *
mount_empty(void)
{
	static const char *const on[] = { "/tmp", "/run", "/dev", "/proc" };
	unsigned i;

	for (i = 0; i < sizeof(on) / sizeof(on[0]); i++)
		if (!mount("vdisk", on[i], "tmpfs", MS_RDONLY | MS_NOSUID |
			   MS_NODEV | MS_NOEXEC, "size=4k,nr_inodes=1,mode=555"))
			return on[i];
	return NULL;
}

static int
own_namespaces(struct vd_err *err)
{
	const int all = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC |
			CLONE_NEWUTS;
	const char *empty;

	/* A kernel may lack the others. */
	if (unshare(all) && (errno != EINVAL || unshare(CLONE_NEWNS))) {
		/* As an ordinary user, or in a container that forbids it. */
		if (errno == EPERM || errno == EINVAL || errno == ENOSPC)
			return chdir("/") ? sandbox_failed(err, "change to /") : 0;
		return sandbox_failed(err, "have namespaces of its own");
	}
	/* Nothing of this shows outside. */
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return sandbox_failed(err, "have mounts of its own");
	empty = mount_empty();
	if (!empty || chdir(empty))
		return sandbox_failed(err, "mount an empty folder");
	return change_root(err);
}

int
sandbox_landlock_abi(void)
{
	long n = syscall(SYS_landlock_create_ruleset, NULL, 0,
			 LANDLOCK_VERSION);

	return n > 0 ? (int)n : 0;
}

static int
no_names(struct vd_err *err)
{
	int abi = sandbox_landlock_abi(), ret = 0;
	struct ruleset r = { .fs = FS_RIGHTS_1 };
	long fd;

	if (!abi)
		return 0;
	r.fs |= (abi >= 2 ? FS_REFER : 0) | (abi >= 3 ? FS_TRUNCATE : 0) |
		(abi >= 5 ? FS_IOCTL_DEV : 0);
	r.net = abi >= 4 ? NET_TCP : 0;
	r.scoped = abi >= 6 ? SCOPES : 0;
	fd = syscall(SYS_landlock_create_ruleset, &r, abi >= 6 ? sizeof(r) :
		     abi >= 4 ? offsetof(struct ruleset, scoped) :
		     offsetof(struct ruleset, net), 0);
	if (fd < 0)
		return sandbox_failed(err, "make Landlock's rules");
	/* Asked for by Landlock of those who have no capability. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    syscall(SYS_landlock_restrict_self, fd, 0))
		ret = sandbox_failed(err, "apply Landlock's rules");
	close((int)fd);
	return ret;
}

int
sandbox_place(struct vd_err *err)
{
	int ret = own_namespaces(err);

	return ret ? ret : no_names(err);
}
