/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * io_uring.c - the driver for many requests in flight: one ring per queue.
 *
 * A piece that comes back short or failed is not patched up here: the whole
 * request is done again by the calls that may block, which know how to go on
 * past the end of a file and how to word an error.
 *
 * The ring takes reads and writes and nothing else, for good.  A program may
 * have given up system calls by a filter; a ring is a way around it, and must
 * not be one for whoever gets hold of the program.
 *
 * Neither files nor buffers are registered with it.  That was measured to save
 * 0.1 and 0.2 us of the processor per 4 KiB in the page cache, which does not
 * come here (queue.c); what does waits for a disk a hundred times as long.  It
 * would hold images open, and their locks, after the core closed them, count
 * against RLIMIT_MEMLOCK, and is not to be had for pages that a guest granted.
 */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "queue.h"

#define PAUSE_US	1000	/* before the kernel is asked again */

struct uring {
	struct io_uring	ring;
	unsigned	unsubmitted;
};

/* Not all libraries that declare calls for these two have them. */
static int
ring_register(struct io_uring *ring, unsigned what, void *arg, unsigned n)
{
	return syscall(SYS_io_uring_register, ring->ring_fd, what, arg, n) < 0 ?
	       -errno : 0;
}

/* In this order: nothing can be submitted before the ring is enabled. */
static int
restrict_ring(struct io_uring *ring)
{
	struct io_uring_restriction only[] = {
		{ .opcode = IORING_RESTRICTION_SQE_OP,
		  .sqe_op = IORING_OP_READV },
		{ .opcode = IORING_RESTRICTION_SQE_OP,
		  .sqe_op = IORING_OP_WRITEV },
	};
	int ret;

	ret = ring_register(ring, IORING_REGISTER_RESTRICTIONS, only,
			    sizeof(only) / sizeof(only[0]));
	return ret ? ret : ring_register(ring, IORING_REGISTER_ENABLE_RINGS,
					 NULL, 0);
}

static int
uring_open(struct vd_queue *q, unsigned depth)
{
	struct uring *u = calloc(1, sizeof(*u));
	int ret;

	if (!u)
		return -ENOMEM;
	ret = io_uring_queue_init(depth < 4096 ? depth : 4096, &u->ring,
				  IORING_SETUP_CLAMP |
				  IORING_SETUP_R_DISABLED);
	if (!ret && !(u->ring.features & IORING_FEAT_NODROP)) {
		io_uring_queue_exit(&u->ring);
		ret = -ENOSYS;
	}
	if (!ret) {
		ret = io_uring_register_eventfd(&u->ring, q->efd);
		if (!ret)
			ret = restrict_ring(&u->ring);
		if (ret)
			io_uring_queue_exit(&u->ring);
	}
	if (ret)
		free(u);
	else
		q->driver = u;
	return ret;
}

static void
uring_close(struct vd_queue *q)
{
	struct uring *u = q->driver;

	io_uring_queue_exit(&u->ring);
	free(u);
}

static void
uring_kick(struct vd_queue *q)
{
	struct uring *u = q->driver;

	/* Not all may be taken at once; what is left goes with the next. */
	for (int tries = 0; u->unsubmitted && tries < 8; tries++) {
		int n = io_uring_submit(&u->ring);

		if (n < 0)
			break;
		u->unsubmitted -= (unsigned)n < u->unsubmitted
				  ? (unsigned)n : u->unsubmitted;
	}
	/* Short of memory?  There may be no answer under way that wakes us. */
	if (u->unsubmitted) {
		usleep(PAUSE_US);
		vd_queue_wake(q);
	}
}

static struct io_uring_sqe *
get_sqe(struct vd_queue *q)
{
	struct uring *u = q->driver;
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	if (!sqe) {
		uring_kick(q);
		sqe = io_uring_get_sqe(&u->ring);
	}
	return sqe;
}

static void
piece_done(struct vd_io *io)
{
	if (--io->pending)
		return;
	if (io->again)
		vd_io_slow(io);
	else
		vd_io_done(io, 0);
}

static void
uring_submit(struct vd_queue *q, struct vd_io *io)
{
	struct uring *u = q->driver;
	bool write = io->req->op == VD_OP_WRITE;
	struct iovec *iov = io->iov;

	io->pending = 1;	/* ours, until all pieces are on their way */
	for (int i = 0; i < io->nsegs && !io->again; i++) {
		struct vd_seg *s = &io->segs[i];
		struct io_uring_sqe *sqe;
		struct vd_piece *p = &io->pieces[i];
		unsigned n;

		if (!s->file)
			continue;
		n = (unsigned)vd_io_slices(s, iov);
		sqe = n <= 1024 ? get_sqe(q) : NULL;
		if (!sqe) {
			io->again = true;
			break;
		}
		*p = (struct vd_piece){ io, write ? s->file : NULL, s->len };
		if (write)
			io_uring_prep_writev(sqe, s->file->fd, iov, n,
					     s->host_off);
		else
			io_uring_prep_readv(sqe, s->file->fd, iov, n,
					    s->host_off);
		io_uring_sqe_set_data(sqe, p);
		u->unsubmitted++;
		io->pending++;
		iov += n;
	}
	piece_done(io);
}

static void
uring_reap(struct vd_queue *q)
{
	struct uring *u = q->driver;
	struct io_uring_cqe *cqe;

	/* Also fetches what overflowed the completion queue. */
	while (io_uring_peek_cqe(&u->ring, &cqe) == 0) {
		struct vd_piece *p = io_uring_cqe_get_data(cqe);

		if (cqe->res < 0 || (uint64_t)cqe->res != p->len)
			p->io->again = true;
		io_uring_cqe_seen(&u->ring, cqe);
		/* W2: dirty before the write is acknowledged. */
		if (p->wrote)
			vd_file_wrote(p->wrote);
		piece_done(p->io);
	}
	if (u->unsubmitted)
		uring_kick(q);
}

const struct vd_driver_ops vd_driver_uring = {
	.name = "io_uring",
	.open = uring_open,
	.close = uring_close,
	.submit = uring_submit,
	.kick = uring_kick,
	.reap = uring_reap,
};
