/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * keeper.c - a small process that starts the server again when it is killed.
 *
 * What a server leaves behind - requests in flight - waits in the kernel driver
 * or in the log of requests, and the guest waits with it.  So a server that was
 * killed is replaced at once; several that did not live long are replaced after
 * longer and longer pauses, and some time not any more.  An exit status is the
 * server's own decision, and becomes the keeper's.
 *
 * A keeper can be killed as well.  Its server goes on, learns of it by the pipe
 * that it said "ready" into, and has the pid file then: whoever looks for the
 * disk's process finds one for as long as there is one.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vdisk/error.h>
#include "cmd.h"
#include "daemon.h"
#include "keeper.h"
#include "log.h"
#include "serve-part.h"

#define ARGS_MAX	64
#define NO_PROGRAM	127	/* the child's status if it cannot be executed */
#define PAUSE_MAX_MS	5000

struct keeping {
	const struct keeper *k;
	char		program[4096];
	sigset_t	before;		/* the mask that a server gets */
	int		folder;		/* .. and where it runs */
	int		signals;
	int		ready;		/* this server's; -1: it was */
	int		alive;		/* .. then: it sees when we are not */
	pid_t		pid;		/* 0: none runs */
	uint64_t	started, again_at;
	unsigned	bad;		/* in a row */
	bool		was_ready;	/* one of them */
	bool		stop;		/* a signal said so */
	bool		over;
	int		status;
};

/* ------------------------------------------------------------------- start */

/* Only what a process may do between fork() and execve(). */
__attribute__((noreturn)) static void
become_server(const struct keeping *g, char *const *argv)
{
	/* Ctrl-C is for the keeper, which tells us. */
	setpgid(0, 0);
	if (fchdir(g->folder))
		_exit(NO_PROGRAM);
	sigprocmask(SIG_SETMASK, &g->before, NULL);
	execv(g->program, argv);
	_exit(NO_PROGRAM);
}

/* The first one speaks to the terminal, the others to the log. */
static bool
start(struct keeping *g)
{
	char *argv[ARGS_MAX], kept[48], pid[24] = "";
	int fd[2], pid_fd = pidfile_fd();
	unsigned n;

	if (pipe2(fd, O_CLOEXEC)) {
		log_error("cannot make a pipe: %s", strerror(errno));
		return false;
	}
	for (n = 0; g->k->argv[n] && n < ARGS_MAX - 2; n++)
		argv[n] = g->k->argv[n];
	if (pid_fd >= 0)
		snprintf(pid, sizeof(pid), ",pid=%d", pid_fd);
	snprintf(kept, sizeof(kept), "--kept=%d%s%s", fd[1],
		 g->was_ready && g->k->background ? ",log" : "", pid);
	argv[n++] = kept;
	argv[n] = NULL;
	fflush(NULL);
	g->pid = fork();
	if (g->pid == 0) {
		fcntl(fd[1], F_SETFD, 0);
		fcntl(pid_fd, F_SETFD, 0);
		become_server(g, argv);
	}
	close(fd[1]);
	if (g->pid < 0) {
		log_error("cannot fork: %s", strerror(errno));
		close(fd[0]);
		g->pid = 0;
		return false;
	}
	g->ready = fd[0];
	g->started = serve_now();
	g->again_at = 0;
	return true;
}

/* ------------------------------------------------------------------ events */

static void
heard_ready(struct keeping *g)
{
	char c;
	ssize_t n;

	do
		n = read(g->ready, &c, 1);
	while (n < 0 && errno == EINTR);
	g->alive = g->ready;
	g->ready = -1;
	if (n != 1)
		return;		/* it ends; SIGCHLD will tell how */
	if (!g->was_ready)
		daemon_ready(g->k->ready_fd);
	g->was_ready = true;
}

static void
finish(struct keeping *g, int status)
{
	g->over = true;
	g->status = status;
}

/* The first is replaced at once, the others later and later. */
static void
again(struct keeping *g, const char *how, int n)
{
	uint64_t now = serve_now(), pause = 0;
	unsigned i;

	g->bad = now - g->started >= g->k->lived_ms ? 1 : g->bad + 1;
	if (g->bad > g->k->most) {
		log_error("the server %s %d; %u of them did not live long: "
			  "given up", how, n, g->k->most);
		finish(g, CMD_REFUSED);
		return;
	}
	for (i = 1; i < g->bad && pause < PAUSE_MAX_MS; i++)
		pause = pause ? 2 * pause : g->k->pause_ms;
	if (pause > PAUSE_MAX_MS)
		pause = PAUSE_MAX_MS;
	g->again_at = now + pause;
	log_error("the server %s %d; starting it again%s", how, n,
		  pause ? " after a pause" : "");
}

static void
start_now(struct keeping *g)
{
	log_info("starting the server again");
	g->bad = 0;
	g->again_at = serve_now();
}

static void
server_ended(struct keeping *g, int status)
{
	g->pid = 0;
	if (g->ready >= 0)
		heard_ready(g);
	close(g->alive);
	g->alive = -1;
	if (WIFEXITED(status) && WEXITSTATUS(status) == SERVE_AGAIN) {
		if (g->stop)
			finish(g, CMD_OK);
		else
			start_now(g);
		return;
	}
	if (WIFSIGNALED(status) && !g->stop) {
		again(g, "was killed by signal", WTERMSIG(status));
	} else if (WIFSIGNALED(status)) {
		finish(g, CMD_REFUSED);
	} else if (WEXITSTATUS(status) != NO_PROGRAM) {
		finish(g, WEXITSTATUS(status));
	} else if (g->was_ready && !g->stop) {
		/* While a package is replaced there may be no program. */
		again(g, "cannot be executed: status", NO_PROGRAM);
	} else {
		log_error("%s cannot be executed", g->program);
		finish(g, CMD_REFUSED);
	}
}

static void
reap(struct keeping *g)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == g->pid)
			server_ended(g, status);
}

static void
stop(struct keeping *g)
{
	g->stop = true;
	daemon_stopping();
	if (g->pid)
		kill(g->pid, SIGTERM);
	else
		finish(g, CMD_OK);
}

/* The server hands over and ends; one that is not ready yet is new enough. */
static void
replace(struct keeping *g)
{
	if (g->stop)
		return;
	log_info("SIGHUP: replacing the server");
	if (!g->pid)
		start_now(g);
	else if (g->ready < 0)
		kill(g->pid, SIGUSR1);
}

static void
signal_came(struct keeping *g)
{
	struct signalfd_siginfo si;

	while (read(g->signals, &si, sizeof(si)) == sizeof(si)) {
		switch (si.ssi_signo) {
		case SIGCHLD:
			reap(g);
			break;
		case SIGHUP:
			replace(g);
			break;
		default:
			log_info("signal %u: closing", si.ssi_signo);
			stop(g);
		}
	}
}

static int
timeout(const struct keeping *g)
{
	uint64_t now = serve_now();

	if (!g->again_at)
		return -1;
	return g->again_at > now ? (int)(g->again_at - now) : 0;
}

static void
one_turn(struct keeping *g)
{
	struct pollfd p[2] = {
		{ .fd = g->signals, .events = POLLIN },
		{ .fd = g->ready, .events = POLLIN },
	};

	if (poll(p, 2, timeout(g)) > 0) {
		if (p[1].revents)
			heard_ready(g);
		if (p[0].revents)
			signal_came(g);
	}
	if (!g->over && g->again_at && serve_now() >= g->again_at &&
	    !start(g)) {
		g->started = serve_now();
		again(g, "cannot be started: error", errno);
	}
}

/* -------------------------------------------------------------------- main */

static int
open_keeper(struct keeping *g, struct vd_err *err)
{
	sigset_t set;
	ssize_t n;
	int ret;

	n = readlink("/proc/self/exe", g->program, sizeof(g->program) - 1);
	g->program[n > 0 ? (size_t)n : 0] = '\0';
	if (g->k->program)
		snprintf(g->program, sizeof(g->program), "%s", g->k->program);
	g->folder = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (g->folder < 0)
		return vd_fail(err, errno, VD_NOWHERE, "cannot open the "
			       "current folder: %s", strerror(errno));
	ret = g->k->pidfile ? pidfile_open(g->k->pidfile, err) : 0;
	if (ret)
		return ret;
	/* A supervisor's socket is ours alone.  It changes to /. */
	daemon_prepare();
	unsetenv("NOTIFY_SOCKET");
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, &g->before);
	g->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (g->signals < 0)
		return vd_fail(err, errno, VD_NOWHERE,
			       "cannot wait for signals: %s", strerror(errno));
	if (g->k->ready_fd >= 0)
		fcntl(g->k->ready_fd, F_SETFD, FD_CLOEXEC);
	return 0;
}

int
keep(const struct keeper *k)
{
	struct keeping g = { .k = k, .signals = -1, .ready = -1,
			     .alive = -1, .folder = -1 };
	struct vd_err err = { 0 };
	char name[128];

	snprintf(name, sizeof(name), "vdisk keeper of %s", k->what);
	if (k->background && daemon_fork(&err))
		goto refused;
	log_name(name);
	if (open_keeper(&g, &err))
		goto refused;
	if (!start(&g))
		finish(&g, CMD_REFUSED);
	while (!g.over)
		one_turn(&g);
	pidfile_remove();
	close(g.signals);
	return g.status;
refused:
	log_name("");
	log_err(&err);
	return CMD_REFUSED;
}
