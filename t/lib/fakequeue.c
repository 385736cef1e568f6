/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fakequeue.c - see fakequeue.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fakequeue.h"

struct fq_write {
	struct fq_write *next;
	uint64_t	seq, off, len;
	uint8_t		data[];
};

struct vd_disk *
fq_disk(uint64_t size)
{
	struct vd_disk *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->size = d->room = size;
	d->data = calloc(1, size);
	d->durable = calloc(1, size);
	return d;
}

void
fq_disk_free(struct vd_disk *d)
{
	free(d->data);
	free(d->durable);
	free(d);
}

uint64_t
vd_disk_size(struct vd_disk *d)
{
	return d->size;
}

static uint64_t
random64(struct vd_queue *q)
{
	q->seed ^= q->seed << 13;
	q->seed ^= q->seed >> 7;
	q->seed ^= q->seed << 17;
	return q->seed;
}

struct vd_queue *
fq_open(struct vd_disk *d, enum fq_mode mode)
{
	struct vd_queue *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->disk = d;
	q->mode = mode;
	q->seed = 0x9e3779b97f4a7c15ull;
	q->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return q;
}

void
fq_forget(struct vd_queue *q)
{
	q->nevents = 0;
	memset(q->submitted, 0, sizeof(q->submitted));
}

static void
event(struct vd_queue *q, int what, const struct vd_req *req)
{
	if (q->nevents < FQ_EVENTS)
		q->events[q->nevents++] = (struct fq_event){
			.what = what, .op = req->op, .off = req->off,
			.len = req->len, .result = req->result,
		};
}

static void
set_ready(struct vd_queue *q)
{
	uint64_t n = 1;
	ssize_t ret;

	if (q->ready && (q->mode != FQ_HOLD || q->release))
		ret = write(q->fd, &n, sizeof(n));
	else
		ret = read(q->fd, &n, sizeof(n));
	(void)ret;
}

void
fq_finish(struct vd_queue *q, unsigned at, unsigned n)
{
	q->release_at = at;
	q->release = n;
	set_ready(q);
}

/* What the rules of the interface and of the disk forbid. */
static bool
is_broken(struct vd_queue *q, const struct vd_req *r)
{
	uint64_t sum = 0;
	unsigned i;

	for (i = 0; i < q->npending; i++)
		if (q->pending[i] == r)
			return true;
	if (!r->done || (r->off | r->len) % 512)
		return true;
	if (r->op == VD_OP_FLUSH)
		return r->off || r->len;
	if (r->op == VD_OP_DISCARD)
		return r->len == 0 || r->off > q->disk->size ||
		       r->len > q->disk->size - r->off;
	if (r->off > q->disk->room || r->len > q->disk->room - r->off)
		return true;
	for (i = 0; i < (unsigned)r->niov; i++) {
		if ((uintptr_t)r->iov[i].iov_base % (q->direct ? 512 : 4096))
			return true;
		sum += r->iov[i].iov_len;
	}
	return sum != r->len || r->len == 0;
}

void
vd_queue_submit(struct vd_queue *q, struct vd_req *r)
{
	if (is_broken(q, r) || q->npending == 1024)
		abort();	/* no caller may make such a request */
	r->priv[0] = (void *)(uintptr_t)q->seq++;
	q->submitted[r->op]++;
	event(q, FQ_SUBMIT, r);
	q->pending[q->npending++] = r;
}

void
vd_queue_kick(struct vd_queue *q)
{
	q->ready = q->npending;
	set_ready(q);
}

static void
do_write(struct vd_queue *q, const struct vd_req *r)
{
	struct fq_write *w = malloc(sizeof(*w) + r->len), **end;
	uint64_t pos = 0;
	int i;

	for (i = 0; i < r->niov; i++) {
		memcpy(w->data + pos, r->iov[i].iov_base, r->iov[i].iov_len);
		pos += r->iov[i].iov_len;
	}
	memcpy(q->disk->data + r->off, w->data, r->len);
	*w = (struct fq_write){ .seq = q->seq++, .off = r->off, .len = r->len };
	for (end = &q->writes; *end; end = &(*end)->next)
		;
	*end = w;
}

static void
do_discard(struct vd_disk *d, const struct vd_req *r)
{
	if (r->off < d->room)
		memset(d->data + r->off, 0, r->len < d->room - r->off ?
		       r->len : d->room - r->off);
}

/* Only what was done before the flush was submitted becomes durable. */
static void
do_flush(struct vd_queue *q, const struct vd_req *r)
{
	uint64_t began = (uintptr_t)r->priv[0];
	struct fq_write *w;

	while ((w = q->writes) && w->seq < began) {
		memcpy(q->disk->durable + w->off, w->data, w->len);
		q->writes = w->next;
		free(w);
	}
}

static void
finish(struct vd_queue *q, unsigned i)
{
	struct vd_req *r = q->pending[i];
	uint64_t pos = 0;
	int n;

	memmove(q->pending + i, q->pending + i + 1,
		(--q->npending - i) * sizeof(*q->pending));
	q->ready--;
	r->result = q->fault ? q->fault(q->ctx, r) : 0;
	if (r->result == 0) {
		switch (r->op) {
		case VD_OP_READ:
			for (n = 0; n < r->niov; n++) {
				memcpy(r->iov[n].iov_base,
				       q->disk->data + r->off + pos,
				       r->iov[n].iov_len);
				pos += r->iov[n].iov_len;
			}
			break;
		case VD_OP_WRITE:
			do_write(q, r);
			break;
		case VD_OP_FLUSH:
			do_flush(q, r);
			break;
		case VD_OP_DISCARD:
			do_discard(q->disk, r);
			break;
		}
	}
	event(q, FQ_DONE, r);
	r->done(r);
}

unsigned
vd_queue_reap(struct vd_queue *q)
{
	unsigned n = 0, todo;

	if (q->lazy) {
		q->lazy--;
		return 0;
	}
	switch (q->mode) {
	case FQ_AUTO:
		while (q->ready) {
			finish(q, 0);
			n++;
		}
		break;
	case FQ_HOLD:
		for (; q->release && q->release_at < q->ready; q->release--) {
			finish(q, q->release_at);
			n++;
		}
		break;
	case FQ_RANDOM:
		for (todo = q->ready ? random64(q) % q->ready + 1 : 0; n < todo;
		     n++)
			finish(q, random64(q) % q->ready);
		break;
	}
	set_ready(q);
	return n;
}

unsigned
vd_queue_inflight(struct vd_queue *q)
{
	return q->npending;
}

int
vd_queue_fd(struct vd_queue *q)
{
	return q->fd;
}

void
vd_queue_close(struct vd_queue *q)
{
	struct fq_write *w;

	while ((w = q->writes)) {
		q->writes = w->next;
		free(w);
	}
	close(q->fd);
	free(q);
}
