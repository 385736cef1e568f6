/* tapmap.c - taprogue, where the window shows the guest's own pages (map=1). */
#define _GNU_SOURCE
#include "taprogue.h"
#include <pthread.h>
#include <sys/uio.h>
#include <sys/wait.h>

/* What may be done with a window that shows the guest's own pages: little. */
void
map_without(void)
{
	const int rw = PROT_READ | PROT_WRITE;
	int fds[2], child;
	struct tapdev t;
	size_t bytes;
	pid_t pid;

	fresh(&t, true);
	bytes = t.info.window_bytes;
	fails((long)mmap(NULL, bytes, rw, MAP_SHARED, t.fd, XPVTAP_WINDOW_OFFSET),
	      EBUSY, "map: a second window is EBUSY");
	ok(!can_touch(t.window, false) && !can_touch(t.window + 4096, true),
	   "map: a page that was not given is SIGBUS");
	if (pipe(fds))
		exit(3);
	fails(write(fds[1], t.window, 4096), EFAULT, "map: and EFAULT for the kernel");
	close(fds[0]);
	close(fds[1]);
	fails(munmap(t.window + 8192, 4096), EINVAL, "map: munmap of a part");
	fails(mprotect(t.window, 4096, PROT_READ), EINVAL, "map: mprotect of a part");
	ok(mremap(t.window, 8192, 4096, 0) == MAP_FAILED &&
	   mremap(t.window, bytes, bytes + 4096, MREMAP_MAYMOVE) == MAP_FAILED &&
	   mremap(t.window, 0, bytes, MREMAP_MAYMOVE) == MAP_FAILED,
	   "map: mremap to less, to more, to another one");
	fails(madvise(t.window, bytes, MADV_DOFORK), EINVAL, "map: no child gets it");
	fails(madvise(t.window, bytes, MADV_DONTNEED), EINVAL, "map: MADV_DONTNEED");
	pid = fork();
	if (!pid) {
		struct tapdev own = t;

		/* Whose window it is can not be changed by another. */
		_exit(!tapdev_ready(&own, sectors * 2, FLAGS) ||
		      mmap(NULL, bytes, rw, MAP_SHARED, t.fd,
			   XPVTAP_WINDOW_OFFSET) != MAP_FAILED);
	}
	waitpid(pid, &child, 0);
	ok(WIFEXITED(child) && !WEXITSTATUS(child), "map: nor makes one its own");
	munmap(t.window, bytes);
	t.window = mmap(NULL, bytes, rw, MAP_SHARED, t.fd, XPVTAP_WINDOW_OFFSET);
	ok(t.window != MAP_FAILED, "map: when it is unmapped it can be mapped again");
	tapdev_close(&t);
}

static const struct segment *
segments(struct tapdev *t, const struct request *q)
{
	if (q->op != OP_INDIRECT)
		return q->seg;
	return (const struct segment *)(t->window + q->list[0] * 4096ULL);
}

/* Where its first segment lies. */
static uint8_t *
page_of(struct tapdev *t, const struct request *q)
{
	const struct segment *seg = segments(t, q);

	return t->window + seg->page * 4096ULL + seg->first * 512;
}

/* A barrier may come with data, a flush never does. */
static int
inner_op(const struct request *q)
{
	if (q->op == OP_BARRIER && q->n)
		return OP_WRITE;
	return q->op == OP_INDIRECT ? q->n : q->op;
}

/* The next request that reads, or writes; both come all the time. */
static struct request
one_that(struct tapdev *t, int op)
{
	struct request q;
	int i;

	for (i = 0; i < 2000; i++) {
		q = one(t);
		if (inner_op(&q) == op)
			return q;
		tapdev_answer(t, q.id, q.op, 0);
		if (push(t))
			ok(false, "answering the others");
	}
	printf("Bail out! rogue: no request of the right kind\n");
	exit(3);
}

static void
test_pages(void)
{
	struct iovec to, from = { .iov_len = 512 };
	struct tapdev t;
	struct request q;
	uint8_t buf[512], *p;

	fresh(&t, true);
	q = one_that(&t, OP_READ);
	p = page_of(&t, &q);
	ok(can_touch(p, true), "map: what is read can be written to");
	from.iov_base = p;
	to = (struct iovec){ buf, sizeof(buf) };
	fails(process_vm_readv(getpid(), &to, 1, &from, 1, 0), EFAULT,
	      "map: nobody gets hold of the page");
	tapdev_answer(&t, q.id, q.op, 0);
	ok(!push(&t) && !can_touch(p, false), "map: it has gone with the answer");

	q = one_that(&t, OP_WRITE);
	p = page_of(&t, &q);
	ok(can_touch(p, false), "map: what is written can be read");
	ok(!can_touch(p, true), "map: and not be changed");
	ok(can_touch(p, false), "map: after which it is still there");
	ok(!mprotect(t.window, t.info.window_bytes, PROT_READ) &&
	   !can_touch(p, false), "map: mprotect loses it");
	mprotect(t.window, t.info.window_bytes, PROT_READ | PROT_WRITE);
	tapdev_answer(&t, q.id, q.op, 0);
	ok(!push(&t), "map: the answer is taken all the same");

	q = one_that(&t, OP_WRITE);
	p = page_of(&t, &q);
	ok(mremap(t.window, t.info.window_bytes, t.info.window_bytes,
		  MREMAP_MAYMOVE | MREMAP_FIXED, t.window - (1ULL << 34)) == MAP_FAILED &&
	   !can_touch(p, false), "map: it does not move, and loses its pages");
	tapdev_answer(&t, q.id, q.op, 0);
	ok(!push(&t), "map: the answer is taken all the same");

	q = one(&t);
	munmap(t.window, t.info.window_bytes);
	tapdev_answer(&t, q.id, q.op, 0);
	ok(!push(&t), "map: nor does an answer need the window");
	t.window = mmap(NULL, t.info.window_bytes, PROT_READ | PROT_WRITE,
			MAP_SHARED, t.fd, XPVTAP_WINDOW_OFFSET);
	while (tapdev_pending(&t)) {	/* those had theirs in the old one */
		q = one(&t);
		tapdev_answer(&t, q.id, q.op, 0);
	}
	ok(!push(&t), "map: nor do those that were on the ring");
	q = one_that(&t, OP_READ);
	ok(can_touch(page_of(&t, &q), true), "map: in a new window the next one has its pages");
	tapdev_close(&t);
}

/* From each side, with a request in hand. */
static void
test_ends(void)
{
	struct tapdev t;
	int i;

	for (i = 0; i < 24; i++) {
		fresh(&t, true);
		one(&t);
		switch (i % 4) {
		case 0:	munmap(t.window, t.info.window_bytes); break;
		case 1:	close(t.fd); break;
		case 2: mmap(t.window, t.info.window_bytes, PROT_READ,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0); break;
		case 3: mmap(t.window + 4096, 4096, PROT_READ,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0); break;
		}
		tapdev_close(&t);
	}
	ok(true, "map: each end, six times");
}

/* One thread maps and unmaps, protects and moves; the other is at work. */
static void *
juggle(void *arg)
{
	struct tapdev *t = arg;
	size_t bytes = t->info.window_bytes;
	unsigned i;

	for (i = 0; scribbling; i++) {
		switch (i % 4) {
		case 0:	mprotect(t->window, bytes, PROT_READ); break;
		case 1:	mprotect(t->window, bytes, PROT_READ | PROT_WRITE); break;
		case 2:	mremap(t->window, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED,
			       t->window - (1ULL << 34));
			break;
		case 3:	munmap(t->window, bytes);
			mmap(t->window, bytes, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_FIXED, t->fd, XPVTAP_WINDOW_OFFSET);
			break;
		}
	}
	return NULL;
}

static void
test_juggling(void)
{
	struct tapdev t;
	struct request q;
	pthread_t thread;
	int i, done = 0;

	fresh(&t, true);
	scribbling = true;
	if (pthread_create(&thread, NULL, juggle, &t))
		exit(3);
	for (i = 0; i < 600; i++) {
		if (!tapdev_next(&t, &q, 50))
			continue;
		if (q.op == OP_INDIRECT)
			can_touch(t.window + q.list[0] * 4096ULL, false);
		else if (inner_op(&q) <= OP_WRITE)
			can_touch(page_of(&t, &q), q.op == OP_READ);
		tapdev_answer(&t, q.id, q.op, 0);
		done += !push(&t);
	}
	scribbling = false;
	pthread_join(thread, NULL);
	printf("# %d requests while the window came and went\n", done);
	ok(done > 100, "map: a window that comes and goes");
	tapdev_close(&t);
}

/* Killed at work, in the middle of the above. */
static void
test_killed(void)
{
	struct tapdev t;
	struct request q;
	pthread_t thread;
	int i, status;
	pid_t pid;

	for (i = 0; i < 20; i++) {
		pid = fork();
		if (!pid) {
			fresh(&t, true);
			scribbling = true;
			if (pthread_create(&thread, NULL, juggle, &t))
				_exit(3);
			while (tapdev_next(&t, &q, 1000)) {
				tapdev_answer(&t, q.id, q.op, 0);
				push(&t);
			}
			_exit(0);
		}
		usleep(30000 + i * 7000);
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
	}
	ok(true, "map: killed amid that, twenty times");
}

void
map_amid(void)
{
	test_pages();
	test_ends();
	test_juggling();
	test_killed();
}
