/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * daemon.c - going to the background, saying "ready", the pid file.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vdisk/vdisk.h>
#include "cmd.h"
#include "daemon.h"
#include "log.h"

#define LOOKS		10	/* at a pid file, by others, at once */
#define LOOK_PAUSE	10000	/* microseconds */

static int parent_fd = -1;	/* the waiting parent reads the other end */
static bool kept;		/* .. of the process that keeps us */
static int pid_fd = -1;
static int null_fd = -1, notify_fd = -1;	/* opened ahead */
static bool prepared;
static char pid_path[4096];

/* ------------------------------------------------------------------- fork */

/* One byte: ready.  End of file: the child died, and told why itself. */
__attribute__((noreturn)) static void
wait_for_child(int fd, pid_t child)
{
	int status;
	char c;

	while (read(fd, &c, 1) < 0 && errno == EINTR)
		;
	if (c == '+')
		_exit(CMD_OK);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status))
		_exit(WEXITSTATUS(status));
	if (WIFSIGNALED(status))
		cmd_errorf("the server was killed by signal %d",
			   WTERMSIG(status));
	_exit(CMD_REFUSED);
}

int
daemon_fork(struct vd_err *err)
{
	int fd[2];
	pid_t pid;

	if (pipe2(fd, O_CLOEXEC))
		return vd_fail(err, errno, VD_NOWHERE, "cannot make a pipe: %s",
			       strerror(errno));
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return vd_fail(err, errno, VD_NOWHERE, "cannot fork: %s",
			       strerror(errno));
	if (pid) {
		close(fd[1]);
		wait_for_child(fd[0], pid);
	}
	close(fd[0]);
	parent_fd = fd[1];
	setsid();
	return 0;
}

void
daemon_kept(void)
{
	kept = true;
}

/* ------------------------------------------------------------------ ready */

/* sd_notify(3), all of it that is needed: a socket that is connected. */
static void
open_notify(void)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	size_t n;
	int fd;

	if (!path || (*path != '/' && *path != '@'))
		return;
	n = strlen(path);
	if (n >= sizeof(to.sun_path))
		return;
	memcpy(to.sun_path, path, n);
	if (*path == '@')
		to.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (connect(fd, (struct sockaddr *)&to,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)))
		close(fd);
	else
		notify_fd = fd;
}

static void
notify(const char *text)
{
	if (notify_fd >= 0)
		send(notify_fd, text, strlen(text), MSG_NOSIGNAL);
}

void
daemon_prepare(void)
{
	if (prepared)
		return;
	prepared = true;
	open_notify();
	if (parent_fd < 0 && !kept)
		return;
	if (chdir("/"))
		log_error("cannot change to /: %s", strerror(errno));
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	log_open_syslog();
}

static void
leave_terminal(void)
{
	log_to_syslog();
	if (null_fd < 0)
		return;
	dup2(null_fd, 0);
	dup2(null_fd, 1);
	dup2(null_fd, 2);
	if (null_fd > 2)
		close(null_fd);
	null_fd = -1;
}

static void
tell(int fd, const char *text)
{
	ssize_t n;

	do
		n = write(fd, text, strlen(text));
	while (n < 0 && errno == EINTR);
	close(fd);
}

void
daemon_ready(int fd)
{
	char text[64];

	daemon_prepare();
	snprintf(text, sizeof(text), "READY=1\nMAINPID=%d\n", (int)getpid());
	notify(text);
	if (fd >= 0)
		tell(fd, "\n");
	if (parent_fd < 0 && !kept)
		return;
	leave_terminal();
	if (parent_fd >= 0)
		tell(parent_fd, "+");
	parent_fd = -1;
}

void
daemon_stopping(void)
{
	notify("STOPPING=1\n");
}

/* --------------------------------------------------------------- pid file */

static int
pid_failed(struct vd_err *err, const char *path, const char *what)
{
	int code = errno;

	vd_fail(err, code, VD_NOWHERE, "cannot %s pid file: %s", what,
		strerror(code));
	vd_err_file(err, path);
	return -code;
}

static int
pid_taken(struct vd_err *err, const char *path, int fd)
{
	char pid[16] = "";
	ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);

	pid[n > 0 ? (size_t)n : 0] = '\0';
	pid[strspn(pid, "0123456789")] = '\0';
	vd_fail(err, EBUSY, VD_NOWHERE, "process %s holds this pid file",
		*pid ? pid : "?");
	vd_err_file(err, path);
	return -EBUSY;
}

/* Who only looks holds it for a moment, who cleans up takes its name away. */
static int
open_and_lock(const char *path, struct vd_err *err)
{
	struct stat st;
	int fd, ret, i;

	for (i = 0; ; i++) {
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
			  0644);
		if (fd < 0)
			return pid_failed(err, path, "open");
		if (!flock(fd, LOCK_EX | LOCK_NB)) {
			if (!fstat(fd, &st) && st.st_nlink)
				return fd;
			errno = EWOULDBLOCK;	/* its owner took it away */
		}
		if (errno != EWOULDBLOCK || i >= LOOKS) {
			ret = errno == EWOULDBLOCK ? pid_taken(err, path, fd) :
			      pid_failed(err, path, "lock");
			close(fd);
			return ret;
		}
		close(fd);
		usleep(LOOK_PAUSE);
	}
}

int
pidfile_open(const char *path, struct vd_err *err)
{
	char text[16];
	int fd, n, ret;

	/* The folder may change under us; remember the whole name. */
	if (*path != '/' && (!getcwd(pid_path, sizeof(pid_path)) ||
			     strlen(pid_path) + strlen(path) + 2 >
			     sizeof(pid_path)))
		return vd_fail(err, ENAMETOOLONG, VD_NOWHERE,
			       "the pid file's name is too long");
	if (*path == '/' && strlen(path) >= sizeof(pid_path))
		return vd_fail(err, ENAMETOOLONG, VD_NOWHERE,
			       "the pid file's name is too long");
	if (*path != '/')
		strcat(pid_path, "/");
	strcat(pid_path, path);
	fd = open_and_lock(path, err);
	if (fd < 0)
		return fd;
	n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) || write(fd, text, (size_t)n) != n) {
		ret = pid_failed(err, path, "write");
		unlink(path);
		close(fd);
		return ret;
	}
	pid_fd = fd;
	return 0;
}

bool
pidfile_held(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	bool held;

	if (fd < 0)
		return false;
	held = flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;
	close(fd);
	return held;
}

void
pidfile_remove(void)
{
	if (pid_fd < 0)
		return;
	/*
	 * In a sandbox it has no name any more.  Empty and not locked, it says
	 * that nobody is there; who starts or cleans up next takes it away.
	 */
	if (unlink(pid_path) < 0)
		(void)!ftruncate(pid_fd, 0);
	close(pid_fd);
	pid_fd = -1;
}
