/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vd-kill - run a program and kill it right before its Nth change of a file.
 *
 *	vd-kill N PROGRAM [ARGUMENT...]
 *
 * Counted are the system calls that change what a file system holds or promises:
 * between two of them nothing a later process could see is different.  Killed:
 * exit 77.  It ended before its Nth: its own status.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define KILLED	77

static const long changing[] = {
#ifdef SYS_rename
	SYS_rename, SYS_link, SYS_unlink, SYS_mkdir, SYS_rmdir, SYS_chmod,
	SYS_chown,
#endif
	SYS_renameat, SYS_renameat2, SYS_linkat, SYS_unlinkat, SYS_mkdirat,
	SYS_fchmod, SYS_fchmodat, SYS_fchown, SYS_fchownat, SYS_ftruncate,
	SYS_fallocate, SYS_write, SYS_writev, SYS_pwrite64, SYS_pwritev,
	SYS_pwritev2, SYS_fsync, SYS_fdatasync, SYS_sync_file_range,
	SYS_setxattr, SYS_fsetxattr,
};

static int
counts(pid_t pid)
{
	struct __ptrace_syscall_info i = { 0 };

	if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(i), &i) <= 0 ||
	    i.op != PTRACE_SYSCALL_INFO_ENTRY)
		return 0;
	if ((long)i.entry.nr == SYS_openat)
		return (i.entry.args[2] & (O_CREAT | O_TRUNC)) != 0;
	if ((long)i.entry.nr == SYS_ioctl)
		return i.entry.args[1] == FICLONERANGE;
	for (size_t k = 0; k < sizeof(changing) / sizeof(*changing); k++)
		if ((long)i.entry.nr == changing[k])
			return 1;
	return 0;
}

static void
child(char **argv)
{
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
	execvp(argv[0], argv);
	_exit(127);
}

int
main(int argc, char **argv)
{
	long left = argc > 2 ? atol(argv[1]) : 0;
	int status, sig = 0;
	pid_t pid;

	if (left < 1) {
		fputs("usage: vd-kill N PROGRAM [ARGUMENT...]\n", stderr);
		return 2;
	}
	pid = fork();
	if (!pid)
		child(argv + 2);
	if (pid < 0 || waitpid(pid, &status, 0) != pid ||
	    ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD |
		   PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC)) {
		fprintf(stderr, "vd-kill: cannot trace: %s\n",
			strerror(errno));
		return 3;
	}
	while (!ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(long)sig) &&
	       waitpid(pid, &status, 0) == pid) {
		sig = 0;
		if (WIFEXITED(status))
			return WEXITSTATUS(status);
		if (WIFSIGNALED(status))
			return 128 + WTERMSIG(status);
		if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
			if (!counts(pid) || --left)
				continue;
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			return KILLED;
		}
		if (status >> 8 != (SIGTRAP | PTRACE_EVENT_EXEC << 8))
			sig = WSTOPSIG(status);
	}
	return 3;
}
