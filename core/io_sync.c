/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * io_sync.c - the driver that works everywhere: preadv and pwritev on workers.
 */
#include "queue.h"

static void
run_pieces(struct vd_job *job)
{
	struct vd_io *io = (struct vd_io *)job;
	bool write = io->req->op == VD_OP_WRITE;
	const struct iovec *iov = io->iov;
	int ret = 0;

	for (int i = 0; i < io->nsegs && !ret; i++) {
		struct vd_seg *s = &io->segs[i];
		int n;

		if (!s->file)
			continue;
		n = vd_io_slices(s, iov);
		ret = write ? vd_file_writev(s->file, iov, n, s->host_off,
					     NULL)
			    : vd_file_readv(s->file, iov, n, s->host_off,
					    NULL);
		iov += n;
	}
	vd_io_done(io, ret);
}

static void
sync_submit(struct vd_queue *q, struct vd_io *io)
{
	io->job.run = run_pieces;
	vd_pool_submit(q->pool, &io->job);
}

const struct vd_driver_ops vd_driver_sync = {
	.name = "sync",
	.submit = sync_submit,
};
