/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sandbox.t.c - a process in the sandbox tries whatever it must not do, and
 * does what it must be able to do.
 *
 * Each attempt has a process of its own: in the sandbox that refuses it gets an
 * error, in the one that kills it dies of it.
 */
/* objects: core/cmd/libcmd.a core/io_uring.o */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <tap.h>
#include <unistd.h>
#include "core/cmd/cmd.h"
#include "core/cmd/sandbox.h"
#include "core/queue.h"

static int file = -1, pair[2], epoll_fd, event_fd;
static char path[] = "/tmp/vdisk-sandbox.XXXXXX";
static pid_t tester;

/* ------------------------------------------------------------- must not be */

static int
x_open(void)
{
	return open(path, O_RDONLY);
}

static int
x_create(void)
{
	return open("/tmp/vdisk-sandbox-new", O_RDWR | O_CREAT, 0600);
}

static int
x_memory(void)
{
	return open("/proc/self/mem", O_RDWR);
}

static int
x_socket(void)
{
	return socket(AF_INET, SOCK_STREAM, 0);
}

static int
x_unix(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0);
}

static int
x_pair(void)
{
	int fd[2];

	return socketpair(AF_UNIX, SOCK_STREAM, 0, fd);
}

static const struct sockaddr_un somewhere = {
	.sun_family = AF_UNIX, .sun_path = "/run/systemd/notify",
};

static int
x_connect(void)
{
	return connect(pair[0], (const struct sockaddr *)&somewhere,
		       sizeof(somewhere));
}

/* ENOENT or EISCONN would be the kernel's answer, EPERM is the filter's. */
static int
x_send_elsewhere(void)
{
	return sendto(pair[0], "x", 1, 0, (const struct sockaddr *)&somewhere,
		      sizeof(somewhere)) < 0 && errno == EPERM ? -1 : 0;
}

static int
x_fork(void)
{
	long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (!pid)
		_exit(0);
	return (int)pid;
}

static int
x_libc_fork(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	return pid;
}

static int
x_exec(void)
{
	return execl("/bin/true", "true", NULL);
}

static int
x_exec_fd(void)
{
	static char *const argv[] = { (char *)"x", NULL };

	return fexecve(file, argv, argv + 1);
}

static int
x_ptrace(void)
{
	return (int)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static int
x_vm_read(void)
{
	char c;
	struct iovec us = { &c, 1 }, they = { &c, 1 };

	return (int)syscall(SYS_process_vm_readv, tester, &us, 1L, &they, 1L,
			    0L);
}

static int
x_kill(void)
{
	return kill(tester, 0);
}

static int
x_tgkill(void)
{
	return (int)syscall(SYS_tgkill, tester, tester, 0);
}

static int
x_mount(void)
{
	return mount("x", "/", "tmpfs", 0, NULL);
}

static int
x_unshare(void)
{
	return unshare(CLONE_NEWUSER);
}

static int
x_setuid(void)
{
	return setuid(0);
}

static int
x_same_user(void)
{
	return setresuid(getuid(), getuid(), getuid());
}

static int
x_map_code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE |
		    MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0;
}

static int
x_make_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE |
		       MAP_ANONYMOUS, -1, 0);

	return mprotect(p, 4096, PROT_READ | PROT_EXEC);
}

static int
x_personality(void)
{
	return personality(READ_IMPLIES_EXEC);
}

static int
x_another_ring(void)
{
	struct io_uring_params p = { 0 };

	return (int)syscall(SYS_io_uring_setup, 8, &p);
}

static int
x_dumpable(void)
{
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static int
x_ioctl(void)
{
	int n;

	return ioctl(pair[0], FIONREAD, &n);
}

static int
x_owner(void)
{
	return fcntl(pair[0], F_SETOWN, tester);
}

static int
x_dupfd(void)
{
	return fcntl(file, F_DUPFD, 0);
}

static int
x_dup_up(void)
{
	return dup2(file, 900);
}

static int
x_memfd(void)
{
	return memfd_create("x", 0);
}

static int
x_limit(void)
{
	struct rlimit r = { 0, 0 };

	return setrlimit(RLIMIT_NOFILE, &r);
}

static int
x_chmod(void)
{
	return fchmod(file, 0777);
}

static int
x_rename(void)
{
	return rename(path, "/tmp/vdisk-sandbox-other");
}

static int
x_unlink(void)
{
	return unlink(path);
}

static int
x_pidfd(void)
{
	return (int)syscall(SYS_pidfd_open, tester, 0);
}

static int
x_keyring(void)
{
	return (int)syscall(SYS_keyctl, 0, -1, 1);
}

static int
x_listen(void)
{
	return listen(pair[0], 1);
}

/* --------------------------------------------------------------- must work */

static int
y_write(void)
{
	return pwrite(file, "abc", 3, 4096) == 3 ? 0 : -1;
}

static int
y_read(void)
{
	char c;

	return pread(file, &c, 1, 0) == 1 ? 0 : -1;
}

static int
y_grow(void)
{
	struct stat st;

	return fallocate(file, 0, 8192, 4096) || ftruncate(file, 65536) ||
	       fdatasync(file) || fstat(file, &st) || st.st_size != 65536 ?
	       -1 : 0;
}

static int
y_punch(void)
{
	return fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			 4096);
}

/* A large piece, and small ones that leave much behind when they are free. */
static void *
busy(void *arg)
{
	void *p = malloc(3 << 20), *small[8];
	int i;

	memset(p, 1, 3 << 20);
	free(p);
	for (i = 0; i < 8; i++) {
		small[i] = malloc(100000);
		memset(small[i], 1, 100000);
	}
	while (i--)
		free(small[i]);
	return arg;
}

static int
y_thread(void)
{
	pthread_t t[4];
	void *ret;
	int i, bad = 0;

	for (i = 0; i < 4; i++)
		if (pthread_create(&t[i], NULL, busy, path))
			return -1;
	for (i = 0; i < 4; i++)
		bad |= pthread_join(t[i], &ret) || ret != path;
	return bad ? -1 : 0;
}

static void *
for_ever(void *arg)
{
	for (;;)
		sleep(1000);
	return arg;
}

/* As libxenstore ends its thread. */
static int
y_cancel(void)
{
	pthread_t t;
	void *ret;

	return pthread_create(&t, NULL, for_ever, NULL) || pthread_cancel(t) ||
	       pthread_join(t, &ret) || ret != PTHREAD_CANCELED ? -1 : 0;
}

static int
y_wait(void)
{
	struct epoll_event ev;
	struct pollfd p = { .fd = event_fd, .events = POLLIN };
	uint64_t one = 1;

	return write(event_fd, &one, 8) != 8 || poll(&p, 1, -1) != 1 ||
	       epoll_wait(epoll_fd, &ev, 1, -1) != 1 ? -1 : 0;
}

static int
y_send(void)
{
	return send(pair[0], "x", 1, MSG_NOSIGNAL) == 1 ? 0 : -1;
}

static int
y_memory(void)
{
	char *p = malloc(64 << 20);

	p = realloc(p, 128 << 20);
	if (p)
		p[100 << 20] = 1;
	free(p);
	return p ? 0 : -1;
}

static int
y_lock(void)
{
	struct flock fl = { .l_type = F_RDLCK, .l_len = 1 };

	return fcntl(file, F_OFD_SETLK, &fl);
}

static int
y_null(void)
{
	return dup2(file, 0);
}

struct attempt {
	const char     *what;
	int	      (*fn)(void);
	bool		polite;		/* refused, never deadly */
};

static const struct attempt forbidden[] = {
	{ "open a file", x_open, 0 }, { "make a file", x_create, 0 },
	{ "open its own memory", x_memory, 0 },
	{ "make an internet socket", x_socket, 0 },
	{ "make a unix socket", x_unix, 0 },
	{ "make a pair of sockets", x_pair, 0 },
	{ "connect a socket it has", x_connect, 0 },
	{ "send elsewhere", x_send_elsewhere, 0 },
	{ "listen", x_listen, 0 }, { "clone a process", x_fork, 0 },
	{ "fork", x_libc_fork, 0 }, { "run a program", x_exec, 0 },
	{ "run what is open", x_exec_fd, 0 }, { "ptrace", x_ptrace, 0 },
	{ "read another's memory", x_vm_read, 0 }, { "kill", x_kill, 0 },
	{ "signal another's thread", x_tgkill, 0 },
	{ "hold another process", x_pidfd, 0 }, { "mount", x_mount, 0 },
	{ "have a user namespace", x_unshare, 0 },
	{ "become root", x_setuid, 0 }, { "stay who it is", x_same_user, 0 },
	{ "map code", x_map_code, 0 }, { "turn memory into code", x_make_code, 0 },
	{ "have READ_IMPLIES_EXEC", x_personality, 0 },
	{ "make another io_uring", x_another_ring, 0 },
	{ "be debugged", x_dumpable, 0 }, { "any ioctl", x_ioctl, 0 },
	{ "F_SETOWN", x_owner, 0 }, { "F_DUPFD", x_dupfd, 0 },
	{ "have more descriptors", x_dup_up, 1 },
	{ "memfd_create", x_memfd, 0 }, { "setrlimit", x_limit, 0 },
	{ "fchmod", x_chmod, 0 }, { "rename", x_rename, 0 },
	{ "unlink", x_unlink, 1 }, { "use a keyring", x_keyring, 0 },
};

static const struct attempt needed[] = {
	{ "write what is open", y_write, 0 }, { "read it", y_read, 0 },
	{ "let it grow, and sync it", y_grow, 0 }, { "punch a hole", y_punch, 0 },
	{ "start threads that use memory", y_thread, 0 },
	{ "cancel a thread", y_cancel, 0 }, { "wait", y_wait, 0 },
	{ "send where it is connected", y_send, 0 },
	{ "have a lot of memory", y_memory, 0 }, { "lock", y_lock, 0 },
	{ "exchange a standard descriptor", y_null, 0 },
};

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))
#define ENTERED		77	/* it did not even get in */

/* The exit status of a child that tried, or 256 + the signal it died of. */
static int
try(int (*fn)(void), enum sandbox_mode mode)
{
	struct sandbox s = { .mode = mode, .uses = SANDBOX_GNTTAB,
			     .user = "nobody" };
	struct vd_err err = { 0 };
	int status;
	pid_t pid = fork();

	if (!pid) {
		if (sandbox_enter(&s, &err) || sandbox_seal(&s, &err)) {
			fprintf(stderr, "# %s\n", err.msg);
			_exit(ENTERED);
		}
		_exit(fn() < 0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) :
	       256 + WTERMSIG(status);
}

static void
test_attempts(void)
{
	const struct attempt *a;

	for (a = needed; a < needed + COUNT(needed); a++) {
		is_int(try(a->fn, SANDBOX_ON), 0, "it can %s", a->what);
		is_int(try(a->fn, SANDBOX_KILL), 0, "%s: and lives", a->what);
	}
	for (a = forbidden; a < forbidden + COUNT(forbidden); a++) {
		is_int(try(a->fn, SANDBOX_ON), 1, "it cannot %s", a->what);
		is_int(try(a->fn, SANDBOX_KILL), a->polite ? 1 : 256 + SIGSYS,
		       a->polite ? "%s: nor where others kill" :
		       "%s: or dies of it", a->what);
	}
}

/* ---------------------------------------------------------------- io_uring */

/* What the driver would call; it has no request here. */
void
vd_io_slow(struct vd_io *io)
{
	(void)io;
}

void
vd_io_done(struct vd_io *io, int result)
{
	(void)io;
	(void)result;
}

void
vd_queue_wake(struct vd_queue *q)
{
	(void)q;
}

void
vd_file_wrote(struct vd_file *f)
{
	(void)f;
}

/* A ring as the queue makes it takes no other orders. */
static void
test_ring(void)
{
	static struct vd_queue q = { .efd = -1 };
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	struct io_uring *ring;
	struct iovec v = { path, 1 };

	q.efd = event_fd;
	if (vd_driver_uring.open(&q, 8)) {
		skip(2, "no io_uring here");
		return;
	}
	ring = q.driver;	/* the first of what is there */
	sqe = io_uring_get_sqe(ring);
	io_uring_prep_openat(sqe, AT_FDCWD, path, O_RDONLY, 0);
	io_uring_submit(ring);
	is_int(io_uring_wait_cqe(ring, &cqe) ? -1 : cqe->res, -EACCES,
	       "the queue's ring opens no file");
	io_uring_cqe_seen(ring, cqe);
	sqe = io_uring_get_sqe(ring);
	io_uring_prep_readv(sqe, file, &v, 1, 0);
	io_uring_submit(ring);
	is_int(io_uring_wait_cqe(ring, &cqe) ? -1 : cqe->res, 1,
	       "but reads what is open");
	vd_driver_uring.close(&q);
}

/* ------------------------------------------------------------- its threads */

static int from_thread[2], to_thread[2];

static void *
thread_that_was_there(void *arg)
{
	char c;

	if (read(to_thread[0], &c, 1) == 1)
		c = open(path, O_RDONLY) < 0 && errno == EPERM ? 'n' : 'y';
	if (write(from_thread[1], &c, 1) != 1)
		_exit(3);
	return arg;
}

/* Sealed are also threads that were there before (libxenstore's). */
static int
old_thread(void)
{
	struct sandbox s = { .user = "nobody" };
	struct vd_err err = { 0 };
	pthread_t t;
	char c = 'y';

	if (pthread_create(&t, NULL, thread_that_was_there, NULL) ||
	    sandbox_seal(&s, &err) || write(to_thread[1], "x", 1) != 1 ||
	    read(from_thread[0], &c, 1) != 1)
		return 2;
	return c != 'n';
}

static void
test_thread(void)
{
	int status = -1;
	pid_t pid;

	if (pipe(from_thread) || pipe(to_thread))
		plan_skip_all("no pipes");
	/* A filter without the right to set one needs this. */
	pid = fork();
	if (!pid) {
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		_exit(old_thread());
	}
	waitpid(pid, &status, 0);
	is_int(status, 0, "a thread that was there before is held, too");
}

int
main(void)
{
	struct epoll_event ev = { .events = EPOLLIN };

	cmd_init("sandbox.t");
#ifndef HAVE_SECCOMP
	plan_skip_all("built without libseccomp");
#endif
	tester = getpid();
	file = mkstemp(path);
	event_fd = eventfd(0, EFD_CLOEXEC);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (file < 0 || write(file, "hello", 5) != 5 ||
	    socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) ||
	    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, event_fd, &ev))
		plan_skip_all("no files to try with");
	test_attempts();
	test_ring();
	test_thread();
	unlink(path);
	return done_testing();
}
