/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * queue.h - the parts of a queue: the front, two I/O drivers, the workers.
 */
#ifndef VD_QUEUE_H
#define VD_QUEUE_H

#include "internal.h"

#define IO_SEGS		8	/* more pieces than that take the slow way */

/* ---- pool.c: threads for what may block */

struct vd_job {
	struct vd_job  *next;
	void	      (*run)(struct vd_job *job);
};

struct vd_pool;

int	vd_pool_open(unsigned threads, struct vd_pool **out);
void	vd_pool_submit(struct vd_pool *p, struct vd_job *job);
void	vd_pool_close(struct vd_pool *p);	/* runs what was submitted */

/* ---- one request under way */

struct vd_piece {			/* one of its segs, in a driver's hands */
	struct vd_io   *io;
	struct vd_file *wrote;		/* mark it when the write is done */
	uint64_t	len;
};

struct vd_io {
	struct vd_job	job;		/* first: the pool knows only this */
	struct vd_queue *q;
	struct vd_req  *req;
	struct vd_io   *next;		/* done, or spare */
	int		result;
	int		nsegs;
	unsigned	pending;	/* pieces the driver has not finished */
	bool		again;		/* a piece came short: do it all slowly */
	unsigned	slots;		/* of iov */
	struct vd_seg	segs[IO_SEGS];
	struct vd_piece	pieces[IO_SEGS];
	struct iovec	iov[];		/* slices, in order of segs */
};

/* How many of the slices, from *iov on, make up a seg. */
static inline int
vd_io_slices(const struct vd_seg *s, const struct iovec *iov)
{
	uint64_t len = 0;
	int n = 0;

	while (len < s->len)
		len += iov[n++].iov_len;
	return n;
}

/* ---- a driver moves mapped pieces; the queue decided everything else */

struct vd_driver_ops {
	const char *name;
	int	(*open)(struct vd_queue *q, unsigned depth);
	void	(*close)(struct vd_queue *q);
	/* Calls io_piece_done() or, for the whole, io_done() later. */
	void	(*submit)(struct vd_queue *q, struct vd_io *io);
	void	(*kick)(struct vd_queue *q);
	void	(*reap)(struct vd_queue *q);
};

extern const struct vd_driver_ops vd_driver_uring, vd_driver_sync;

struct vd_queue {
	struct vd_disk *disk;
	const struct vd_driver_ops *ops;
	void	       *driver;
	struct vd_pool *pool;
	int		efd;
	/* The owner's, without a lock: */
	unsigned	inflight;
	struct vd_io   *ready, **ready_end;	/* done as they came */
	struct vd_io   *spare;
	unsigned	nspare;
	pthread_mutex_t	done_lock;
	struct vd_io   *done, **done_end;
};

/* Any thread: the owner comes and reaps. */
void	vd_queue_wake(struct vd_queue *q);
/* Any thread: finished, the owner reaps it. */
void	vd_io_done(struct vd_io *io, int result);
/* Any thread: do it with the calls that may block. */
void	vd_io_slow(struct vd_io *io);

#endif
