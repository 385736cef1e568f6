/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * servetap.h - a process that serves an xpvtap node, for serve-xpvtap.t.c and
 * serve-loss.t.c.
 *
 * The process is a child that calls serve(), as vdisk does; this one is the
 * driver and the guest, and the keeper if the child has one.
 */
#ifndef VD_T_SERVETAP_H
#define VD_T_SERVETAP_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <tap.h>
#include <unistd.h>

#include "core/cmd/cmd.h"
#include "core/cmd/daemon.h"
#include "core/cmd/serve.h"
#include "faketap.h"
#include "harsh.h"

#define SECTORS		2048u
#define SOON		20000	/* ms; a loaded machine, never used up */

static struct faketap f;
static char dir[64], image[96], pidfile[96], said[96];
static struct serve_options o;
static pid_t child;
static int keeper[2], keeper_pid;	/* what a keeper gives its server */

static inline void
setup(void)
{
	int fd = open(image, O_RDWR | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || ftruncate(fd, SECTORS * 512) || close(fd) ||
	    faketap_open(&f, 0, 64))
		ok(false, "an image and a driver");
	o = (struct serve_options){
		.path = image, .node = FAKETAP_NODE, .format = "raw",
		.pidfile = pidfile, .ready_fd = -1,
		.xpvtap = &faketap_system,
		/* A forbidden call is the end of it, all through this test. */
		.sandbox = { .mode = harsh_sandbox(), .uses = SANDBOX_XPVTAP,
			     .user = "nobody" },
	};
}

static inline void
start(void)
{
	int fd;

	fflush(NULL);
	child = fork();
	if (child)
		return;
	fd = open(said, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	dup2(fd, 2);
	cmd_init("vdisk");
	if (o.kept) {
		close(keeper[0]);
		daemon_keeper(keeper[1], keeper_pid);
	}
	_exit(serve(&o));
}

static inline bool has_said(const char *what);

/* Start, and wait for READY; without it there is nothing to test. */
static inline void
begin(void)
{
	start();
	if (faketap_again(&f, SOON))
		return;
	ok(has_said("nothing"), "the process says READY");
	kill(child, SIGKILL);
	exit(1);
}

/* The exit status, or 1000 and the signal. */
static inline int
ended(void)
{
	int status;

	waitpid(child, &status, 0);
	faketap_released(&f);
	return WIFEXITED(status) ? WEXITSTATUS(status) :
	       1000 + WTERMSIG(status);
}

static inline bool
has_said(const char *what)
{
	static char text[4096];
	int fd = open(said, O_RDONLY);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	close(fd);
	text[n > 0 ? n : 0] = '\0';
	if (strstr(text, what))
		return true;
	diag("%s", text);
	return false;
}

static inline void
put(uint8_t op, uint64_t id, uint64_t sector, uint32_t page)
{
	struct fe_req q = { .op = op, .id = id, .sector = sector };

	if (op == FE_READ || op == FE_WRITE) {
		q.nseg = 1;
		q.seg[0] = (struct fe_seg){ page, 0, 7 };
	} else if (op == FE_DISCARD) {
		q.nr_sectors = 8;
	}
	fe_put(&f.fe, &q);
}

/* Wait for one answer: its status, or 99. */
static inline int
answer(uint64_t *id)
{
	struct fe_rsp rsp;

	while (!fe_next(&f.fe, &rsp))
		if (!fe_rearm(&f.fe) && !fe_wait(&f.fe, SOON))
			return 99;
	if (id)
		*id = rsp.id;
	return rsp.status;
}

static inline int
one(uint8_t op, uint64_t sector, uint32_t page)
{
	put(op, 1, sector, page);
	fe_push(&f.fe);
	return answer(NULL);
}

static inline uint8_t
byte_at(off_t at)
{
	uint8_t b = 0;
	int fd = open(image, O_RDONLY);

	if (pread(fd, &b, 1, at) != 1)
		b = 0xff;
	close(fd);
	return b;
}

/* In the sandbox a pid file has no name: it cannot go, but says nothing. */
static inline bool
nobody_there(void)
{
	struct stat st;

	return stat(pidfile, &st) || !st.st_size;
}

/* The pid file is locked by what both have open, and says what it is told. */
static inline void
be_keeper(void)
{
	if (pipe2(keeper, O_CLOEXEC))
		ok(false, "a pipe");
	keeper_pid = open(pidfile, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC,
			  0600);
	if (flock(keeper_pid, LOCK_EX | LOCK_NB) ||
	    write(keeper_pid, "1234567\n", 8) != 8)
		ok(false, "a keeper's pid file");
	o.pidfile = NULL;
	o.kept = true;
}

static inline void
keeper_ends(void)
{
	close(keeper[0]);
	close(keeper[1]);
	close(keeper_pid);
}

static inline int
pid_told(void)
{
	char text[16] = "";
	int fd = open(pidfile, O_RDONLY);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	close(fd);
	return n > 0 ? atoi(text) : 0;
}

static inline bool
begin_tests(void)
{
	snprintf(dir, sizeof(dir), "/tmp/serve-xpvtap.XXXXXX");
	if (!mkdtemp(dir))
		return false;
	setenv("VDISK_RUN_DIR", dir, 1);
	snprintf(image, sizeof(image), "%s/disk.raw", dir);
	snprintf(pidfile, sizeof(pidfile), "%s/pid", dir);
	snprintf(said, sizeof(said), "%s/said", dir);
	return true;
}

static inline int
end_tests(void)
{
	unlink(image);
	unlink(said);
	unlink(pidfile);
	rmdir(dir);
	return done_testing();
}

#endif
