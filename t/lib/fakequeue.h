/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fakequeue.h - a disk in memory behind vd_queue_*, whose timing and failures
 * the test decides, and which remembers what a power cut would leave.
 *
 * Linked in front of the library, it takes the place of its vd_queue_* and
 * vd_disk_size().
 */
#ifndef VD_T_FAKEQUEUE_H
#define VD_T_FAKEQUEUE_H

#include <vdisk/vdisk.h>

enum fq_mode {
	FQ_AUTO,	/* all is done at the next reap, in order */
	FQ_HOLD,	/* nothing is, until fq_finish() */
	FQ_RANDOM,	/* some, in any order */
};

struct fq_event {
	enum { FQ_SUBMIT = 1, FQ_DONE } what;
	uint32_t	op;
	uint64_t	off, len;
	int		result;		/* FQ_DONE */
};

#define FQ_EVENTS	8192

struct vd_disk {
	uint64_t	size;		/* as told; may be more than there is */
	uint64_t	room;
	uint8_t	       *data;		/* what a read sees */
	uint8_t	       *durable;	/* what a power cut leaves */
};

struct vd_queue {
	struct vd_disk *disk;
	enum fq_mode	mode;
	int		fd;
	struct vd_req  *pending[1024];
	unsigned	npending;
	unsigned	ready;		/* how many were kicked */
	unsigned	release;	/* FQ_HOLD: how many the next reap ends */
	unsigned	release_at;	/* .. from this position on */
	unsigned	lazy;		/* so many reaps find nothing yet */
	bool		direct;		/* buffers may begin at any sector */
	uint64_t	seed;
	uint64_t	seq;
	struct fq_write *writes;	/* done, but not durable; oldest first */
	struct fq_event	events[FQ_EVENTS];
	unsigned	nevents;
	uint64_t	submitted[8];	/* by op */
	/* A negative return makes the request fail; may be NULL. */
	int	      (*fault)(void *ctx, const struct vd_req *req);
	void	       *ctx;
};

struct vd_disk *fq_disk(uint64_t size);
void	fq_disk_free(struct vd_disk *d);
struct vd_queue *fq_open(struct vd_disk *d, enum fq_mode mode);
/* FQ_HOLD: let n requests from position at on end at the next reap. */
void	fq_finish(struct vd_queue *q, unsigned at, unsigned n);
void	fq_forget(struct vd_queue *q);	/* the events */

#endif
