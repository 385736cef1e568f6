/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sandbox-show.c - what a serving process holds, seen from outside.
 *
 * A child goes into the very same sandbox and tries what it must not do; the
 * parent reads the kernel's own account of it.  Nothing here is said because
 * the source means it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cmd.h"
#include "log.h"
#include "sandbox.h"

/* ----------------------------------------------------------- in the child */

static int
try_open(void)
{
	return open("/proc/self/status", O_RDONLY | O_CLOEXEC) < 0;
}

static int
try_create(void)
{
	return open("/tmp/vdisk-sandbox", O_RDWR | O_CREAT | O_EXCL, 0600) < 0;
}

static int
try_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0) < 0;
}

static int
try_fork(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	return pid < 0;
}

static int
try_program(void)
{
	pid_t pid = fork();
	int status;

	/* No child to try it: ourselves, then. */
	if (pid <= 0) {
		execl("/bin/true", "true", NULL);
		if (!pid)
			_exit(1);
		return 1;
	}
	return waitpid(pid, &status, 0) != pid || status;
}

static int
try_kill(void)
{
	return kill(getppid(), 0) < 0;
}

static int
try_code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}

static const struct attempt {
	const char     *what;
	int	      (*fn)(void);	/* 0: it works */
} attempts[] = {
	{ "open a file", try_open },
	{ "make a file", try_create },
	{ "make a socket", try_socket },
	{ "start a process", try_fork },
	{ "signal another process", try_kill },
	{ "map memory as code", try_code },
	{ "run a program", try_program },
};

#define ATTEMPTS	(sizeof(attempts) / sizeof(attempts[0]))

struct told {
	struct vd_err	err;
	int		ret;
	int		name[2];	/* before the filter: read, make a file */
	int		code[ATTEMPTS];	/* 0: it works */
};

/* Namespaces and Landlock by themselves: the filter would hide what they do. */
static void
try_names(struct told *t)
{
	errno = 0;
	if (open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0)
		t->name[0] = errno;
	errno = 0;
	if (open("/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600) < 0)
		t->name[1] = errno;
}

__attribute__((noreturn)) static void
child(const struct sandbox *s, int tell, int wait)
{
	struct told t = { 0 };
	unsigned i;
	char c;

	t.ret = sandbox_enter(s, &t.err);
	if (!t.ret)
		try_names(&t);
	if (!t.ret)
		t.ret = sandbox_seal(s, &t.err);
	for (i = 0; !t.ret && s->mode != SANDBOX_OFF && i < ATTEMPTS; i++) {
		errno = 0;
		if (attempts[i].fn())
			t.code[i] = errno ? errno : EPERM;
	}
	if (write(tell, &t, sizeof(t)) == sizeof(t))
		while (read(wait, &c, 1) > 0)
			;
	_exit(0);
}

/* ---------------------------------------------------------- in the parent */

static bool
status_line(const char *status, const char *key, char *buf, size_t len)
{
	const char *p = strstr(status, key);

	snprintf(buf, len, "?");
	if (!p)
		return false;
	p += strlen(key);
	p += strspn(p, ": \t");
	snprintf(buf, len, "%.*s", (int)strcspn(p, "\n"), p);
	return true;
}

static void
read_status(pid_t pid, char *buf, size_t len)
{
	char path[64];
	ssize_t n = 0;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, buf, len - 1);
		close(fd);
	}
	buf[n > 0 ? n : 0] = '\0';
}

static void
show_caps(const char *status)
{
	static const char *const sets[] = {
		"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb",
	};
	static const char *const names[] = {
		"inheritable", "permitted", "effective", "bounding", "ambient",
	};
	char v[32];
	unsigned i;

	printf("capabilities:");
	for (i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		status_line(status, sets[i], v, sizeof(v));
		printf(" %s %s%s", names[i], strspn(v, "0") == strlen(v) ?
		       "none" : v, i < 4 ? "," : "\n");
	}
}

static void
show_namespaces(pid_t pid)
{
	static const char *const kinds[] = {
		"mnt", "net", "ipc", "uts", "pid", "user",
	};
	char path[64];
	struct stat theirs, ours;
	bool any = false;
	unsigned i;

	printf("namespaces of its own:");
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid,
			 kinds[i]);
		if (stat(path, &theirs))
			continue;
		snprintf(path, sizeof(path), "/proc/self/ns/%s", kinds[i]);
		if (stat(path, &ours) || theirs.st_ino == ours.st_ino)
			continue;
		printf(" %s", kinds[i]);
		any = true;
	}
	puts(any ? "" : " none that can be seen (root has mnt, net, ipc, uts)");
}

static void
show_kernel(pid_t pid)
{
	char status[8192], v[256];

	read_status(pid, status, sizeof(status));
	status_line(status, "\nUid", v, sizeof(v));
	printf("user: %s (real, effective, saved, files)\n", v);
	status_line(status, "\nGid", v, sizeof(v));
	printf("group: %s\n", v);
	status_line(status, "\nGroups", v, sizeof(v));
	printf("other groups: %s\n", *v ? v : "none");
	show_caps(status);
	status_line(status, "NoNewPrivs", v, sizeof(v));
	printf("no new privileges: %s\n", *v == '1' ? "yes" : "no");
	show_namespaces(pid);
}

static void
show_calls(const struct sandbox *s, pid_t pid)
{
	char status[8192], v[32];

	read_status(pid, status, sizeof(status));
	status_line(status, "Seccomp", v, sizeof(v));
	if (*v != '2') {
		puts("system calls: all, no filter is in force");
		return;
	}
	puts("system calls, filter in force; these are left:");
	fflush(stdout);
	sandbox_list_calls(s, stdout);
}

static const char *
outcome(int code)
{
	return code ? strerror(code) : "it can";
}

static void
show_attempts(const struct told *t)
{
	unsigned i;

	puts("tried:");
	for (i = 0; i < ATTEMPTS; i++)
		printf("  %s: %s\n", attempts[i].what, outcome(t->code[i]));
}

/* What was found to work that must not: the answer is no. */
static int
show_all(const struct sandbox *s, pid_t pid, const struct told *t)
{
	int abi = sandbox_landlock_abi(), bad = CMD_OK;
	unsigned i;

	show_kernel(pid);
	if (s->mode == SANDBOX_OFF) {
		puts("sandbox: off");
		show_calls(s, pid);
		return cmd_finish(CMD_NO);
	}
	if (abi)
		printf("Landlock: version %d\n", abi);
	else
		puts("Landlock: this kernel has none");
	printf("names, were there no filter: reading /etc/passwd: %s, making a "
	       "file in /tmp: %s\n", outcome(t->name[0]), outcome(t->name[1]));
	show_attempts(t);
	show_calls(s, pid);
	for (i = 0; i < ATTEMPTS; i++)
		if (!t->code[i])
			bad = CMD_NO;
	return cmd_finish(bad);
}

int
sandbox_show(const struct sandbox *s)
{
	struct sandbox quiet = *s;
	struct told t = { 0 };
	int up[2], down[2], ret;
	pid_t pid;

	/* Attempts are made to be refused, not to die of. */
	if (quiet.mode == SANDBOX_KILL)
		quiet.mode = SANDBOX_ON;
	if (pipe2(up, O_CLOEXEC) || pipe2(down, O_CLOEXEC))
		cmd_dief("cannot make a pipe: %s", strerror(errno));
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		cmd_dief("cannot fork: %s", strerror(errno));
	if (!pid) {
		close(up[0]);
		close(down[1]);
		child(&quiet, up[1], down[0]);
	}
	close(up[1]);
	close(down[0]);
	if (read(up[0], &t, sizeof(t)) != sizeof(t))
		cmd_dief("the sandbox did not let its process speak");
	if (t.ret)
		cmd_die(&t.err);
	ret = show_all(&quiet, pid, &t);
	close(down[1]);
	waitpid(pid, NULL, 0);
	return ret;
}
