/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sandbox-calls.c - the system calls that are left.
 *
 * What serving a disk takes: moving bytes between files, rings and memory that
 * are there, threads, waiting.  Nothing that leads to something by its name,
 * to another process, or to code that was not there before.
 *
 * io_uring is a second way to make system calls, and a filter does not see
 * those: core/io_uring.c restricts its ring to reads and writes, and another
 * ring cannot be made from here.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "sandbox.h"

#define FDS_LOOKED_AT	4096

/* Nothing is opened any more: not even a number is left for it. */
static void
limit_fds(void)
{
	struct rlimit n = { 3, 3 };
	int fd;

	for (fd = 3; fd < FDS_LOOKED_AT; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			n.rlim_cur = n.rlim_max = (rlim_t)fd + 1;
	setrlimit(RLIMIT_NOFILE, &n);
}

#ifdef HAVE_SECCOMP
#include <linux/fs.h>
#include <linux/sched.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include "kmod/uapi/xpvtap.h"
#ifdef HAVE_XEN
#include <xen/xen.h>
#include <xen/grant_table.h>
#include <xen/event_channel.h>
#include <xen/sys/evtchn.h>
#include <xen/sys/gntdev.h>
#endif

/* Always, whatever the arguments. */
static const int plain[] = {
	/* bytes, to and from what is open */
	SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev),
	SCMP_SYS(pread64), SCMP_SYS(pwrite64), SCMP_SYS(preadv),
	SCMP_SYS(pwritev), SCMP_SYS(preadv2), SCMP_SYS(pwritev2),
	SCMP_SYS(lseek), SCMP_SYS(_llseek), SCMP_SYS(fdatasync),
	SCMP_SYS(fsync), SCMP_SYS(sync_file_range), SCMP_SYS(sync_file_range2),
	SCMP_SYS(ftruncate), SCMP_SYS(ftruncate64), SCMP_SYS(fallocate),
	SCMP_SYS(fadvise64), SCMP_SYS(fadvise64_64), SCMP_SYS(copy_file_range),
	SCMP_SYS(fstat), SCMP_SYS(fstat64), SCMP_SYS(close), SCMP_SYS(dup2),
	SCMP_SYS(dup3), SCMP_SYS(io_uring_enter),
	/* memory */
	SCMP_SYS(munmap), SCMP_SYS(madvise), SCMP_SYS(mremap), SCMP_SYS(brk),
	/* threads */
	SCMP_SYS(futex), SCMP_SYS(futex_time64), SCMP_SYS(rseq),
	SCMP_SYS(set_robust_list), SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getaffinity), SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigreturn), SCMP_SYS(getpid),
	SCMP_SYS(gettid), SCMP_SYS(exit), SCMP_SYS(exit_group),
	SCMP_SYS(membarrier),
	/* waiting, and the time */
	SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl),
	SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(ppoll_time64),
	SCMP_SYS(restart_syscall), SCMP_SYS(nanosleep),
	SCMP_SYS(clock_nanosleep), SCMP_SYS(clock_nanosleep_time64),
	SCMP_SYS(clock_gettime), SCMP_SYS(clock_gettime64),
	SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(getrandom),
};

/* With one argument as it says; several lines of a call: one of them. */
struct narrow {
	int		call;
	unsigned	arg;
	enum scmp_compare op;
	uint64_t	a, b;
	const char     *says;
	unsigned	uses;		/* only with one of these; 0: always */
};

#define EQ(arg, v)		arg, SCMP_CMP_EQ, v, 0
#define MASK(arg, mask, v)	arg, SCMP_CMP_MASKED_EQ, mask, v

#define THREAD		(CLONE_VM | CLONE_SIGHAND | CLONE_THREAD)
#define NAMESPACES	(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | \
			 CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | \
			 CLONE_NEWCGROUP)
#ifndef PR_SET_VMA
#define PR_SET_VMA	0x53564d41
#endif

static const struct narrow narrow[] = {
	{ SCMP_SYS(mmap), MASK(2, PROT_EXEC, 0), "never code", 0 },
	{ SCMP_SYS(mmap2), MASK(2, PROT_EXEC, 0), "never code", 0 },
	{ SCMP_SYS(mprotect), MASK(2, PROT_EXEC, 0), "never code", 0 },
	{ SCMP_SYS(clone), MASK(0, THREAD | NAMESPACES, THREAD),
	  "threads only", 0 },
	{ SCMP_SYS(newfstatat), EQ(3, AT_EMPTY_PATH), "of open files", 0 },
	{ SCMP_SYS(sendto), EQ(4, 0), "where it is connected to", 0 },
	{ SCMP_SYS(fcntl), EQ(1, F_GETFD), "F_GETFD", 0 },
	{ SCMP_SYS(fcntl), EQ(1, F_GETFL), "F_GETFL", 0 },
	{ SCMP_SYS(fcntl), EQ(1, F_OFD_SETLK), "F_OFD_SETLK", 0 },
	{ SCMP_SYS(fcntl), EQ(1, F_OFD_GETLK), "F_OFD_GETLK", 0 },
	{ SCMP_SYS(prctl), EQ(0, PR_SET_NAME), "PR_SET_NAME", 0 },
	{ SCMP_SYS(prctl), EQ(0, PR_SET_VMA), "PR_SET_VMA", 0 },
	/* An image that is a block device. */
	{ SCMP_SYS(ioctl), EQ(1, BLKGETSIZE64), "BLKGETSIZE64", 0 },
	{ SCMP_SYS(ioctl), EQ(1, XPVTAP_IOC_PUSH), "XPVTAP_IOC_PUSH",
	  SANDBOX_XPVTAP },
	{ SCMP_SYS(ioctl), EQ(1, XPVTAP_IOC_INFO), "XPVTAP_IOC_INFO",
	  SANDBOX_XPVTAP },
	{ SCMP_SYS(ioctl), EQ(1, XPVTAP_IOC_READY), "XPVTAP_IOC_READY",
	  SANDBOX_XPVTAP },
#ifdef HAVE_XEN
	{ SCMP_SYS(ioctl), EQ(1, IOCTL_GNTDEV_MAP_GRANT_REF),
	  "IOCTL_GNTDEV_MAP_GRANT_REF", SANDBOX_GNTTAB },
	{ SCMP_SYS(ioctl), EQ(1, IOCTL_GNTDEV_UNMAP_GRANT_REF),
	  "IOCTL_GNTDEV_UNMAP_GRANT_REF", SANDBOX_GNTTAB },
	{ SCMP_SYS(ioctl), EQ(1, IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR),
	  "IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR", SANDBOX_GNTTAB },
	{ SCMP_SYS(ioctl), EQ(1, IOCTL_GNTDEV_SET_UNMAP_NOTIFY),
	  "IOCTL_GNTDEV_SET_UNMAP_NOTIFY", SANDBOX_GNTTAB },
	{ SCMP_SYS(ioctl), EQ(1, IOCTL_GNTDEV_GRANT_COPY),
	  "IOCTL_GNTDEV_GRANT_COPY", SANDBOX_GNTTAB },
	{ SCMP_SYS(ioctl), EQ(1, IOCTL_EVTCHN_BIND_INTERDOMAIN),
	  "IOCTL_EVTCHN_BIND_INTERDOMAIN", SANDBOX_GNTTAB },
	{ SCMP_SYS(ioctl), EQ(1, IOCTL_EVTCHN_UNBIND),
	  "IOCTL_EVTCHN_UNBIND", SANDBOX_GNTTAB },
	{ SCMP_SYS(ioctl), EQ(1, IOCTL_EVTCHN_NOTIFY),
	  "IOCTL_EVTCHN_NOTIFY", SANDBOX_GNTTAB },
#endif
};

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

static bool
wanted(const struct narrow *n, const struct sandbox *s)
{
	return !n->uses || n->uses & s->uses;
}

/*
 * A call that this machine does not have is no error.  Numbers of arguments are
 * compared in all 64 bits, though the kernel looks at 32 of most: what differs
 * above fails, which is the safe side.
 */
static int
allow(scmp_filter_ctx f, const struct narrow *n)
{
	int ret = seccomp_rule_add(f, SCMP_ACT_ALLOW, n->call, 1,
				   SCMP_CMP64(n->arg, n->op, n->a, n->b));

	return ret == -EDOM ? 0 : ret;
}

/* To one of our own threads: how libraries end one, and how abort() ends us. */
static int
allow_self(scmp_filter_ctx f)
{
	return seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
				SCMP_A0(SCMP_CMP_EQ, (uint64_t)getpid(), 0));
}

/* Refused without a word, also where others are deadly: they are tried. */
static const struct refused {
	int		call, code;
} refused[] = {
	/* Its flags are in memory, out of sight; libraries try clone() then. */
	{ SCMP_SYS(clone3), ENOSYS },
	/* Journal and pid file, at the end: they are emptied instead. */
	{ SCMP_SYS(unlink), EPERM },
	{ SCMP_SYS(unlinkat), EPERM },
};

static int
fill(scmp_filter_ctx f, const struct sandbox *s)
{
	unsigned i;
	int ret = 0;

	for (i = 0; !ret && i < COUNT(refused); i++)
		/* The same as the default is an error of its own. */
		if (s->mode == SANDBOX_KILL || refused[i].code != EPERM)
			ret = seccomp_rule_add(f, SCMP_ACT_ERRNO((uint32_t)
					       refused[i].code),
					       refused[i].call, 0);
	for (i = 0; !ret && i < COUNT(plain); i++)
		ret = seccomp_rule_add(f, SCMP_ACT_ALLOW, plain[i], 0);
	for (i = 0; !ret && i < COUNT(narrow); i++)
		if (wanted(&narrow[i], s))
			ret = allow(f, &narrow[i]);
	return ret ? ret : allow_self(f);
}

static int
load(scmp_filter_ctx f, const struct sandbox *s)
{
	int ret;

	/* All threads, and those that a library has started. */
	ret = seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);
	if (!ret)
		ret = seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH,
				       SCMP_ACT_KILL_PROCESS);
	/* A tree instead of a list; older libraries have none. */
	seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (!ret)
		ret = fill(f, s);
	return ret ? ret : seccomp_load(f);
}

static int
seal(const struct sandbox *s, struct vd_err *err)
{
	scmp_filter_ctx f = seccomp_init(s->mode == SANDBOX_KILL ?
					 SCMP_ACT_KILL_PROCESS :
					 SCMP_ACT_ERRNO(EPERM));
	int ret = f ? load(f, s) : -ENOMEM;

	seccomp_release(f);
	return ret ? vd_fail(err, -ret, VD_NOWHERE, "sandbox: cannot limit the "
			     "system calls: %s", strerror(-ret)) : 0;
}

/* The arguments that are allowed behind the name, all of a call in one line. */
static void
list_call(FILE *out, int call, const char *says)
{
	char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, call);
	static int last = -1;

	/* Below zero: of other machines only. */
	if (call >= 0 && call == last && *says)
		fprintf(out, ", %s", says);
	else if (call >= 0 && name)
		fprintf(out, "%s  %s%s%s", last < 0 ? "" : "\n", name,
			*says ? ": " : "", says);
	if (call >= 0)
		last = call;
	free(name);
}

void
sandbox_list_calls(const struct sandbox *s, FILE *out)
{
	unsigned i;

	for (i = 0; i < COUNT(plain); i++)
		list_call(out, plain[i], "");
	for (i = 0; i < COUNT(narrow); i++)
		if (wanted(&narrow[i], s))
			list_call(out, narrow[i].call, narrow[i].says);
	list_call(out, SCMP_SYS(tgkill), "its own threads");
	putc('\n', out);
}

#else	/* without libseccomp */

static int
seal(const struct sandbox *s, struct vd_err *err)
{
	(void)s;
	(void)err;
	return 0;
}

void
sandbox_list_calls(const struct sandbox *s, FILE *out)
{
	(void)s;
	fputs("  all of them: this program was built without libseccomp\n",
	      out);
}
#endif

int
sandbox_seal(const struct sandbox *s, struct vd_err *err)
{
	if (s->mode == SANDBOX_OFF)
		return 0;
	limit_fds();
	return seal(s, err);
}
