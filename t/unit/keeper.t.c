/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * keeper.t.c - what vdisk --respawn does when its server ends, in each way.
 *
 * The server is a script that a test writes: it finds the descriptor to say
 * "ready" on in $fd, and how many came before it in $n.
 */
/* objects: core/cmd/libcmd.a core/ring/libvdring.a */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <tap.h>
#include <unistd.h>

#include "core/cmd/cmd.h"
#include "core/cmd/daemon.h"
#include "core/cmd/keeper.h"
#include "core/cmd/serve.h"

static char dir[] = "/tmp/keeper.XXXXXX", script[64], fresh[64], starts[64];
static char said[64], pidfile[64], said_text[8192];
static struct keeper k;
static char *argv[] = { script, "--some", "option", NULL };
static int ready[2];
static pid_t keeper;

/* Under another name first: a new program appears at once. */
static void
server_is(const char *body)
{
	FILE *f = fopen(fresh, "w");

	fprintf(f, "#!/bin/sh\n"
		"for a; do case $a in --kept=*) fd=${a#--kept=};; esac; done\n"
		"log=${fd#*,} fd=${fd%%,*}\n"
		"n=0; while read x; do n=$((n + 1)); done <%s\n"
		"echo \"$$ $*\" >>%s\n"
		"ready() { echo >/proc/self/fd/$fd; }\n"
		"%s\n", starts, starts, body);
	fchmod(fileno(f), 0755);
	fclose(f);
	rename(fresh, script);
}

static void
setup(const char *body)
{
	int fd = open(starts, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	close(fd);
	server_is(body);
	if (pipe2(ready, O_CLOEXEC))
		ok(false, "pipe");
	k = (struct keeper){
		.program = script, .argv = argv, .what = "a disk",
		.pidfile = pidfile, .ready_fd = ready[1], .lived_ms = 100000,
		.pause_ms = 1, .most = 5,
	};
}

static void
start(void)
{
	int fd;

	fflush(NULL);
	keeper = fork();
	if (keeper)
		return;
	fd = open(said, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	dup2(fd, 2);
	cmd_init("vdisk");
	_exit(keep(&k));
}

/* The keeper's exit status; then nothing of it is left. */
static int
ended(void)
{
	int status;
	ssize_t n;
	int fd;

	waitpid(keeper, &status, 0);
	close(ready[0]);
	close(ready[1]);
	fd = open(said, O_RDONLY);
	n = read(fd, said_text, sizeof(said_text) - 1);
	said_text[n > 0 ? n : 0] = '\0';
	close(fd);
	if (!access(pidfile, F_OK))
		ok(false, "the pid file stays");
	return WIFEXITED(status) ? WEXITSTATUS(status) :
	       1000 + WTERMSIG(status);
}

static unsigned
started(void)
{
	FILE *f = fopen(starts, "r");
	unsigned n = 0;
	int c;

	while ((c = getc(f)) != EOF)
		n += c == '\n';
	fclose(f);
	return n;
}

static void
wait_for_starts(unsigned n)
{
	while (started() < n)
		usleep(2000);
}

/* How often was it said that the disk is ready? */
static unsigned
readies(void)
{
	struct pollfd p = { .fd = ready[0], .events = POLLIN };
	char text[16];

	return poll(&p, 1, 0) > 0 ? (unsigned)read(ready[0], text, 16) : 0;
}

static void
wait_for_ready(void)
{
	struct pollfd p = { .fd = ready[0], .events = POLLIN };

	poll(&p, 1, -1);
}

static void
test_killed(void)
{
	int was;

	setup("ready; [ $n -lt 3 ] && kill -9 $$; exit 0");
	start();
	wait_for_ready();
	is_int(readies(), 1, "ready is said");
	was = ended();
	is_int(was, 0, "an exit in order is the keeper's");
	is_int(started(), 4, "after three that were killed");
	ok(strstr(said_text, "killed by signal 9"), "each told");

	setup("ready; [ $n = 0 ] && kill -SEGV $$; exit 3");
	start();
	is_int(ended(), 3, "so is an exit with an error");
	is_int(started(), 2, "which is not tried again");
}

static void
test_refused(void)
{
	setup("exit 3");
	start();
	wait_for_starts(1);
	is_int(readies(), 0, "one that does not become ready");
	is_int(ended(), 3, "is an error");
	is_int(started(), 1, "and not tried again");

	setup("exit 0");
	unlink(script);
	start();
	is_int(ended(), CMD_REFUSED, "one that is not there");
	ok(strstr(said_text, "cannot be executed"), "is told");
}

static void
test_gives_up(void)
{
	setup("kill -9 $$");
	start();
	is_int(ended(), CMD_REFUSED, "one that is killed all the time");
	is_int(started(), 6, "is tried five times again");
	ok(strstr(said_text, "given up"), "and told");

	setup("ready; [ $n -lt 20 ] && kill -9 $$; exit 0");
	k.lived_ms = 0;		/* whatever it lived was long enough */
	start();
	is_int(ended(), 0, "one that lives a while");
	is_int(started(), 21, "is replaced as often as it takes");
}

static void
test_stops(void)
{
	int was;

	setup("trap 'echo x >>" "$0.mark; exit 0' TERM; ready;"
	      "while :; do sleep 0.01; done");
	start();
	wait_for_ready();
	kill(keeper, SIGTERM);
	is_int(ended(), 0, "SIGTERM is handed on");
	snprintf(said_text, sizeof(said_text), "%s.mark", script);
	is_int(unlink(said_text), 0, "to the server");

	setup("trap 'exit 3' TERM; ready; while :; do sleep 0.01; done");
	start();
	wait_for_ready();
	kill(keeper, SIGINT);
	is_int(ended(), 3, "whose status is the keeper's");

	setup("ready; kill -9 $$");
	k.pause_ms = 4000;
	start();
	wait_for_starts(2);
	kill(keeper, SIGTERM);
	was = ended();
	ok(was == 0 || was == CMD_REFUSED, "also in a pause");
	ok(started() <= 3, "and none is started any more");
}

static void
test_upgrade(void)
{
	setup("trap 'exit 10' USR1; ready; while :; do sleep 0.01; done");
	start();
	wait_for_ready();
	server_is("trap 'exit 0' TERM; ready; echo new >>" "$0.mark;"
		  "while :; do sleep 0.01; done");
	kill(keeper, SIGHUP);
	wait_for_starts(2);
	snprintf(said_text, sizeof(said_text), "%s.mark", script);
	while (access(said_text, F_OK))
		usleep(1000);
	ok(!unlink(said_text), "SIGHUP: the program that is there now");
	is_int(readies(), 1, "and ready is said once");
	kill(keeper, SIGTERM);
	is_int(ended(), 0, "which ends in order");
	is_int(started(), 2, "two servers");

	/* In the middle of an upgrade there may be none. */
	setup("trap 'exit 10' USR1; ready; while :; do sleep 0.01; done");
	k.pause_ms = 30;
	k.most = 1000;
	start();
	wait_for_ready();
	unlink(script);
	kill(keeper, SIGHUP);
	usleep(20000);
	server_is("ready; exit 0");
	is_int(ended(), 0, "a program that is missing for a moment");
}

static void
test_pidfile(void)
{
	char text[32] = "";
	int fd;

	setup("trap 'exit 0' TERM; ready; while :; do sleep 0.01; done");
	start();
	wait_for_ready();
	fd = open(pidfile, O_RDONLY);
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	is_int(atoi(text), keeper, "the pid file names the keeper");
	ok(pidfile_held(pidfile), "who holds it");
	kill(keeper, SIGTERM);
	is_int(ended(), 0, "until the end");
	ok(!pidfile_held(pidfile), "then nobody does");

	setup("ready; exit 0");
	fd = open(pidfile, O_WRONLY | O_CREAT, 0600);
	unlink(pidfile);
	close(fd);
	k.pidfile = "/nonexistent/pid";
	start();
	is_int(ended(), CMD_REFUSED, "a pid file that cannot be");
	is_int(started(), 0, "begins nothing");
}

/* What a server is given: the arguments, and nothing that is the keeper's. */
static void
test_given(void)
{
	char text[256] = "", here[200], mark[80];
	int fd;

	setup("ready; echo \"$NOTIFY_SOCKET|$*|$(ls /proc/$$/fd | wc -l)|$(pwd)\""
	      " >$0.mark; [ $n = 0 ] && kill -9 $$; exit 0");
	setenv("NOTIFY_SOCKET", "/nonexistent", 1);
	k.background = false;
	start();
	is_int(ended(), 0, "a server and its arguments");
	unsetenv("NOTIFY_SOCKET");
	snprintf(mark, sizeof(mark), "%s.mark", script);
	fd = open(mark, O_RDONLY);
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	unlink(mark);
	ok(!strncmp(text, "|--some option --kept=", 22),
	   "are what the keeper was given, and --kept: %s", text);
	ok(getcwd(here, sizeof(here)) && strstr(text, here),
	   "in the same folder");
}

/* A keeper that is killed: its server holds the pid file, and can write it. */
static void
test_killed_itself(void)
{
	char mark[80], text[256] = "", want[160];
	int fd, status;

	snprintf(mark, sizeof(mark), "%s.mark", script);
	setup("pid=${log#*pid=}; readlink /proc/$$/fd/$pid >$0.mark; ready;"
	      "while [ -e $0.mark ]; do sleep 0.01; done");
	start();
	wait_for_ready();
	kill(keeper, SIGKILL);
	waitpid(keeper, &status, 0);
	ok(pidfile_held(pidfile), "a keeper that is killed: the server holds "
	   "its pid file");
	fd = open(mark, O_RDONLY);
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	snprintf(want, sizeof(want), "%s\n", pidfile);
	is_str(text, want, "and can write into it");
	unlink(mark);
	while (pidfile_held(pidfile))
		usleep(1000);
	ok(!unlink(pidfile), "until it ends");
	close(ready[0]);
	close(ready[1]);
}

int
main(void)
{
	if (!mkdtemp(dir))
		return 1;
	snprintf(script, sizeof(script), "%s/server", dir);
	snprintf(fresh, sizeof(fresh), "%s/fresh", dir);
	snprintf(starts, sizeof(starts), "%s/starts", dir);
	snprintf(said, sizeof(said), "%s/said", dir);
	snprintf(pidfile, sizeof(pidfile), "%s/pid", dir);
	test_killed();
	test_refused();
	test_gives_up();
	test_stops();
	test_upgrade();
	test_pidfile();
	test_given();
	test_killed_itself();
	unlink(script);
	unlink(starts);
	unlink(said);
	ok(!rmdir(dir), "nothing is left");
	return done_testing();
}
