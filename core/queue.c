/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * queue.c - many requests in flight.
 *
 * A request whose pieces are all mapped needs no decision.  If the page cache
 * has it, it is moved here and now: two system calls less than a ring, and no
 * thread but this one.  (Buffered writes through io_uring were seen at a
 * fifteenth of pwritev one at a time, cached reads at three quarters.)  What
 * would wait for a disk goes to the driver.  Everything else - an allocation, a
 * flush, a table page that must be read first - goes to a worker, which makes
 * the ordinary, blocking calls.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "queue.h"

#define WORKERS		16
#define SPARE_MAX	256u	/* requests kept for the next ones */
#define SPARE_SLOTS	40u	/* a ring's segments, and cuts between pieces */
#define INLINE_MAX	(128u << 10)	/* longer copies are done in parallel */
#define PAGE		4096u

static void
queue_free(struct vd_queue *q)
{
	vd_pool_close(q->pool);
	while (q->spare) {
		struct vd_io *io = q->spare;

		q->spare = io->next;
		free(io);
	}
	if (q->ops && q->ops->close && q->driver)
		q->ops->close(q);
	if (q->efd >= 0)
		close(q->efd);
	pthread_mutex_destroy(&q->done_lock);
	free(q);
}

static int
driver_open(struct vd_queue *q, enum vd_driver driver, unsigned depth)
{
	int ret = -ENOSYS;

	if (driver != VD_DRIVER_SYNC) {
		ret = vd_driver_uring.open(q, depth);
		if (!ret)
			q->ops = &vd_driver_uring;
	}
	if (ret && driver != VD_DRIVER_URING) {
		q->ops = &vd_driver_sync;
		ret = 0;
	}
	return ret;
}

int
vd_queue_open(struct vd_disk *disk, enum vd_driver driver, unsigned depth,
	      struct vd_queue **out, struct vd_err *err)
{
	struct vd_queue *q = calloc(1, sizeof(*q));
	int ret;

	if (!q)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	q->disk = disk;
	q->done_end = &q->done;
	q->ready_end = &q->ready;
	pthread_mutex_init(&q->done_lock, NULL);
	q->efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ret = q->efd < 0 ? -errno : driver_open(q, driver, depth ? depth : 1);
	if (!ret)
		ret = vd_pool_open(WORKERS, &q->pool);
	if (ret) {
		queue_free(q);
		return vd_fail(err, -ret, VD_NOWHERE, "cannot set up %s: %s",
			       driver == VD_DRIVER_URING ? "io_uring"
							 : "a queue",
			       strerror(-ret));
	}
	*out = q;
	return 0;
}

const char *
vd_queue_driver(struct vd_queue *q)
{
	return q->ops->name;
}

int
vd_queue_fd(struct vd_queue *q)
{
	return q->efd;
}

unsigned
vd_queue_inflight(struct vd_queue *q)
{
	return q->inflight;
}

void
vd_queue_wake(struct vd_queue *q)
{
	uint64_t one = 1;

	while (write(q->efd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

void
vd_io_done(struct vd_io *io, int result)
{
	struct vd_queue *q = io->q;
	bool first;

	io->result = result;
	io->next = NULL;
	pthread_mutex_lock(&q->done_lock);
	first = !q->done;
	*q->done_end = io;
	q->done_end = &io->next;
	/*
	 * One call for all that come before the owner looks.  Under the lock:
	 * it may close the queue once it has this.
	 */
	if (first)
		vd_queue_wake(q);
	pthread_mutex_unlock(&q->done_lock);
}

/* The same, in the owner's own thread. */
static void
io_ready(struct vd_io *io, int result)
{
	struct vd_queue *q = io->q;

	io->result = result;
	io->next = NULL;
	if (!q->ready)
		vd_queue_wake(q);
	*q->ready_end = io;
	q->ready_end = &io->next;
}

static void
run_slow(struct vd_job *job)
{
	struct vd_io *io = (struct vd_io *)job;
	struct vd_disk *d = io->q->disk;
	struct vd_req *r = io->req;
	int ret = -EINVAL;

	switch (r->op) {
	case VD_OP_READ:
		ret = vd_disk_readv(d, r->iov, r->niov, r->off, NULL);
		break;
	case VD_OP_WRITE:
		ret = vd_disk_writev(d, r->iov, r->niov, r->off, r->flags,
				     NULL);
		break;
	case VD_OP_FLUSH:
		ret = vd_disk_flush(d, NULL);
		break;
	case VD_OP_DISCARD:
		ret = vd_disk_discard(d, r->off, r->len, NULL);
		break;
	case VD_OP_WRITE_ZEROES:
		ret = vd_disk_write_zeroes(d, r->off, r->len, r->flags, NULL);
		break;
	}
	vd_io_done(io, ret);
}

void
vd_io_slow(struct vd_io *io)
{
	io->job.run = run_slow;
	vd_pool_submit(io->q->pool, &io->job);
}

/* Slice the caller's vectors along the pieces; zeros are filled in here. */
static bool
slice(struct vd_io *io)
{
	struct vd_iter it = { io->req->iov, io->req->niov, 0 };
	struct iovec *iov = io->iov;
	bool any = false;

	for (int i = 0; i < io->nsegs; i++) {
		uint64_t took;

		if (!io->segs[i].file) {
			vd_iter_zero(&it, io->segs[i].len);
			continue;
		}
		iov += vd_iter_take(&it, io->segs[i].len, iov,
				    io->req->niov + 1, &took);
		any = true;
	}
	return any;
}

/* Would it wait for nothing but a copy?  Pages written whole are not read. */
static bool
goes_inline(const struct vd_io *io)
{
	if (io->req->len > INLINE_MAX)
		return false;
	for (int i = 0; i < io->nsegs && io->req->op == VD_OP_WRITE; i++)
		if ((io->segs[i].host_off | io->segs[i].len) % PAGE)
			return false;
	return true;
}

/* True: all of it was moved.  False: not all, and no harm done. */
static bool
move_now(struct vd_io *io)
{
	bool write = io->req->op == VD_OP_WRITE;
	const struct iovec *iov = io->iov;

	if (!goes_inline(io))
		return false;
	for (int i = 0; i < io->nsegs; i++) {
		struct vd_seg *s = &io->segs[i];
		int n;

		if (!s->file)
			continue;
		n = vd_io_slices(s, iov);
		if (write ? vd_file_writev(s->file, iov, n, s->host_off, NULL)
			  : vd_file_readv_now(s->file, iov, n, s->host_off,
					      s->len))
			return false;
		iov += n;
	}
	return true;
}

/* One that was used before, if it is large enough. */
static struct vd_io *
io_get(struct vd_queue *q, unsigned slots)
{
	struct vd_io *io = slots <= SPARE_SLOTS ? q->spare : NULL;

	if (io) {
		q->spare = io->next;
		q->nspare--;
		return io;
	}
	if (slots < SPARE_SLOTS)
		slots = SPARE_SLOTS;
	/* Every request gets its answer. */
	while (!(io = malloc(sizeof(*io) + slots * sizeof(struct iovec))))
		usleep(1000);
	io->slots = slots;
	return io;
}

static void
io_put(struct vd_queue *q, struct vd_io *io)
{
	if (io->slots != SPARE_SLOTS || q->nspare == SPARE_MAX) {
		free(io);
		return;
	}
	io->next = q->spare;
	q->spare = io;
	q->nspare++;
}

void
vd_queue_submit(struct vd_queue *q, struct vd_req *req)
{
	bool data = req->op == VD_OP_READ || req->op == VD_OP_WRITE;
	unsigned slots = data && req->niov > 0 ? (unsigned)req->niov + IO_SEGS
					       : 0;
	struct vd_io *io = io_get(q, slots);

	q->inflight++;
	io->q = q;
	io->req = req;
	io->nsegs = -EAGAIN;
	io->again = false;
	if (data && (req->niov < 0 ||
		     vd_iov_len(req->iov, req->niov) != req->len)) {
		io_ready(io, -EINVAL);
		return;
	}
	if (data && !(req->flags & VD_FUA))
		io->nsegs = vd_engine_map(q->disk, req->op == VD_OP_WRITE,
					  req->off, req->len, io->segs,
					  IO_SEGS);
	if (io->nsegs < 0)
		vd_io_slow(io);
	else if (!slice(io) || move_now(io))
		io_ready(io, 0);
	else
		q->ops->submit(q, io);
}

void
vd_queue_kick(struct vd_queue *q)
{
	if (q->ops->kick)
		q->ops->kick(q);
}

static unsigned
answer(struct vd_queue *q, struct vd_io *io)
{
	struct vd_io *next;
	unsigned n = 0;

	for (; io; io = next, n++) {
		struct vd_req *req = io->req;

		next = io->next;
		req->result = io->result;
		io_put(q, io);
		q->inflight--;
		req->done(req);
	}
	return n;
}

unsigned
vd_queue_reap(struct vd_queue *q)
{
	struct vd_io *ready, *done;
	uint64_t count;

	/* Before the lists are taken: what comes later wakes anew. */
	if (read(q->efd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return 0;
	if (q->ops->reap)
		q->ops->reap(q);
	ready = q->ready;
	q->ready = NULL;
	q->ready_end = &q->ready;
	pthread_mutex_lock(&q->done_lock);
	done = q->done;
	q->done = NULL;
	q->done_end = &q->done;
	pthread_mutex_unlock(&q->done_lock);
	return answer(q, ready) + answer(q, done);
}

void
vd_queue_close(struct vd_queue *q)
{
	struct pollfd pfd;

	if (!q)
		return;
	pfd = (struct pollfd){ .fd = q->efd, .events = POLLIN };
	vd_queue_kick(q);
	while (q->inflight) {
		poll(&pfd, 1, 100);
		vd_queue_reap(q);
		vd_queue_kick(q);
	}
	queue_free(q);
}
