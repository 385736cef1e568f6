/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * life-io.c - what a guest does to its disk.
 *
 * A request is planned from random numbers alone, so that a second process can
 * make it and the model follow.  Where the library may choose what a range
 * holds after (a discard, a write that was refused half-way), it is looked at
 * once, has to be the old or the new, and has to stay what it was.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "life.h"

#define THREADS		4

struct request {
	enum { WRITE, ZERO, UNMAP, DISCARD } kind;
	unsigned	flags;
	uint64_t	off, len, seed;
};

static uint64_t
next(uint64_t *rnd)
{
	*rnd ^= *rnd << 13;
	*rnd ^= *rnd >> 7;
	*rnd ^= *rnd << 17;
	return *rnd;
}

uint64_t
life_random(struct life *f)
{
	return next(&f->rnd) >> 11;
}

/* Bytes, sectors, or whole units; small ones more often than large ones. */
static void
choose_range(struct life *f, uint64_t *off, uint64_t *len)
{
	uint64_t size = md_size(f->top), grid, r = life_random(f);

	grid = r % 8 < 2 ? 1 : r % 8 < 6 || !f->unit ? 512 : f->unit;
	if (grid >= size || grid > LIFE_IO_MAX)
		grid = 512;
	*len = life_random(f) % LIFE_IO_MAX >> life_random(f) % 12;
	*len = (*len / grid + 1) * grid;
	if (*len > LIFE_IO_MAX)
		*len = LIFE_IO_MAX / grid * grid;
	if (*len > size)
		*len = size / grid * grid;
	*off = life_random(f) % ((size - *len) / grid + 1) * grid;
	/* The end of the disk is a border, too. */
	if (grid != 1 && !(r >> 8 & 15))
		*off = size - *len;
}

static struct request
plan(struct life *f, int kind)
{
	struct request q = { .kind = kind };
	uint64_t r = life_random(f);

	choose_range(f, &q.off, &q.len);
	q.seed = life_random(f) | 1;
	if (kind != DISCARD && r % 32 == 0)
		q.flags |= VD_FUA;
	if (kind == UNMAP)
		q.flags |= VD_MAY_UNMAP;
	snprintf(f->what, sizeof(f->what), "%s %llu at %llu%s",
		 kind == WRITE ? "write" : kind == ZERO ? "zero" :
		 kind == UNMAP ? "zero (unmap)" : "discard",
		 (unsigned long long)q.len, (unsigned long long)q.off,
		 q.flags & VD_FUA ? ", FUA" : "");
	return q;
}

static void
fill(char *buf, uint64_t len, uint64_t seed)
{
	uint64_t i, v;

	if (seed % 16 == 1) {	/* data that is zeros */
		memset(buf, 0, len);
		return;
	}
	for (i = 0; i < len; i += 8) {
		v = next(&seed);
		memcpy(buf + i, &v, len - i < 8 ? len - i : 8);
	}
}

/* buf: LIFE_IO_MAX bytes, holds what was written after. */
static int
submit(struct vd_disk *d, const struct request *q, char *buf,
       struct vd_err *err)
{
	struct iovec iov[2];
	uint64_t cut = q->seed % q->len;

	switch (q->kind) {
	case DISCARD:
		memset(buf, 0, q->len);
		return vd_disk_discard(d, q->off, q->len, err);
	case WRITE:
		fill(buf, q->len, q->seed);
		iov[0] = (struct iovec){ buf, cut };
		iov[1] = (struct iovec){ buf + cut, q->len - cut };
		return vd_disk_writev(d, iov, 2, q->off, q->flags, err);
	default:
		memset(buf, 0, q->len);
		return vd_disk_write_zeroes(d, q->off, q->len, q->flags, err);
	}
}

/* The model follows. */
static void
follow(struct life *f, const struct request *q, const char *buf)
{
	if (q->kind == WRITE)
		md_put(f->top, buf, q->off, q->len);
	else
		md_zero(f->top, q->off, q->len);
}

static bool
frozen(const struct life *f, uint64_t off, uint64_t len)
{
	for (unsigned i = 0; i < f->nfrozen; i++)
		if (off < f->frozen[i].off + f->frozen[i].len &&
		    f->frozen[i].off < off + len)
			return true;
	return false;
}

/* Each sector is the old one or the new; part of a sector is the old one. */
static void
settle(struct life *f, const struct request *q, const char *new)
{
	char *got = malloc(q->len);
	uint64_t n;

	if (!got || vd_disk_read(f->disk, got, q->len, q->off, &f->err)) {
		free(got);
		life_failed(f, "read what was settled");
		return;
	}
	for (uint64_t at = 0; at < q->len; at += n) {
		uint64_t off = q->off + at;
		bool whole;

		n = 512 - off % 512 < q->len - at ? 512 - off % 512
						  : q->len - at;
		whole = n == 512 || q->kind != DISCARD;
		if (md_diff(f->top, got + at, off, n) == MD_SAME)
			continue;
		if (!whole || frozen(f, off, n) || memcmp(got + at, new + at, n))
			life_bad(f, "byte %llu is neither the old nor the new",
				 (unsigned long long)off);
		md_put(f->top, got + at, off, n);
	}
	free(got);
}

static int
run(struct life *f, int kind)
{
	struct request q = plan(f, kind);
	bool refuse = kind != DISCARD && frozen(f, q.off, q.len);
	char *buf = malloc(LIFE_IO_MAX + 8);
	int ret = buf ? submit(f->disk, &q, buf, &f->err) : -ENOMEM;

	if (refuse || kind == DISCARD) {
		/* Zeros where there are zeros already change nothing. */
		if (refuse && !ret && kind == WRITE)
			life_bad(f, "a part that is read-only was written");
		else if (refuse && ret && !f->err.msg[0])
			life_bad(f, "refused without a word");
		settle(f, &q, buf);
		if (refuse)
			ret = 0;
	} else if (!ret) {
		follow(f, &q, buf);
	}
	free(buf);
	return ret;
}

int
life_write(struct life *f)
{
	return run(f, WRITE);
}

int
life_zero(struct life *f)
{
	return run(f, ZERO);
}

int
life_unmap(struct life *f)
{
	return run(f, UNMAP);
}

int
life_discard(struct life *f)
{
	return run(f, DISCARD);
}

int
life_flush(struct life *f)
{
	snprintf(f->what, sizeof(f->what), "flush");
	return vd_disk_flush(f->disk, &f->err);
}

int
life_read(struct life *f)
{
	char *buf = malloc(LIFE_IO_MAX + 8);
	uint64_t off, len, at;
	int ret;

	choose_range(f, &off, &len);
	snprintf(f->what, sizeof(f->what), "read %llu at %llu",
		 (unsigned long long)len, (unsigned long long)off);
	ret = buf ? vd_disk_read(f->disk, buf, len, off, &f->err) : -ENOMEM;
	if (!ret && (at = md_diff(f->top, buf, off, len)) != MD_SAME)
		life_bad(f, "byte %llu differs", (unsigned long long)at);
	free(buf);
	return ret;
}

/* What is told to be zeros is; the runs follow one another to the end. */
int
life_extents(struct life *f)
{
	uint64_t size = md_size(f->top);
	struct vd_run r;
	int ret;

	snprintf(f->what, sizeof(f->what), "extents");
	for (uint64_t off = 0; off < size; off += r.len) {
		ret = vd_disk_extent(f->disk, off, size - off, &r, &f->err);
		if (ret)
			return ret;
		if (r.off != off || !r.len || r.len > size - off ||
		    r.layer >= vd_disk_depth(f->disk)) {
			life_bad(f, "a run that cannot be at %llu",
				 (unsigned long long)off);
			return 0;
		}
		if (r.kind == VD_EXT_ZERO && !md_is_zero(f->top, off, r.len))
			life_bad(f, "%llu bytes at %llu are told to be zeros",
				 (unsigned long long)r.len,
				 (unsigned long long)off);
	}
	return 0;
}

/* ------------------------------------------------- several at once, dead */

struct hand {
	struct vd_disk *disk;
	struct request	q[6];
	unsigned	n;
	char	       *buf;
	int		ret;
	struct vd_err	err;
};

static void *
work(void *arg)
{
	struct hand *h = arg;

	for (unsigned i = 0; i < h->n && !h->ret; i++)
		h->ret = submit(h->disk, &h->q[i], h->buf, &h->err);
	if (!h->ret && h->q[0].seed % 8 == 1)
		h->ret = vd_disk_flush(h->disk, &h->err);
	return NULL;
}

/* Requests that touch nothing that another one does; their units are shared. */
static void
share_out(struct life *f, struct hand *h)
{
	uint64_t begin = UINT64_MAX, size = md_size(f->top), r;
	struct request q;

	choose_range(f, &begin, &r);
	for (unsigned i = 0; i < THREADS * 6; i++) {
		r = life_random(f);
		q = (struct request){
			.kind = r % 4 ? WRITE : ZERO, .off = begin,
			.len = 1 + (r >> 8) % 20000, .seed = life_random(f) | 1,
		};
		begin = q.off + q.len;
		if (begin > size)
			break;
		if (!frozen(f, q.off, q.len))
			h[i % THREADS].q[h[i % THREADS].n++] = q;
	}
}

int
life_burst(struct life *f)
{
	struct hand h[THREADS] = { 0 };
	pthread_t t[THREADS];
	char *all = malloc(THREADS * LIFE_IO_MAX);
	int ret = 0;

	snprintf(f->what, sizeof(f->what), "%u threads", THREADS);
	share_out(f, h);
	for (unsigned i = 0; i < THREADS; i++) {
		h[i].disk = f->disk;
		h[i].buf = all + i * LIFE_IO_MAX;
		if (pthread_create(&t[i], NULL, work, &h[i]))
			abort();
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(t[i], NULL);
		if (h[i].ret && !ret) {
			ret = h[i].ret;
			f->err = h[i].err;
		}
		for (unsigned k = 0; k < h[i].n; k++) {
			if (h[i].q[k].kind == WRITE)
				fill(all, h[i].q[k].len, h[i].q[k].seed);
			follow(f, &h[i].q[k], all);
		}
	}
	free(all);
	return ret;
}

/* In the process that is to die: exit 0 when all was acknowledged. */
static void
die_writing(struct life *f, const struct hand *h)
{
	struct vd_disk *d;
	char *buf = malloc(LIFE_IO_MAX + 8);
	int ret = vd_disk_open(f->lib, f->path, &f->open, &d, &f->err);

	for (unsigned i = 0; i < h->n && !ret; i++) {
		ret = submit(d, &h->q[i], buf, &f->err);
		if (!ret && i == h->n / 2 && h->q[0].seed % 4 == 1)
			ret = vd_disk_flush(d, &f->err);
	}
	if (ret)
		life_failed(f, "write before the death");
	_exit(ret ? 3 : 0);
}

/* W6: another process writes, is not asked to close, and nothing is lost. */
int
life_die(struct life *f)
{
	struct hand h = { .buf = malloc(LIFE_IO_MAX + 8) };
	struct request q;
	int status = 0;
	pid_t pid;

	while (h.n < 6) {
		q = plan(f, life_random(f) % 3 ? WRITE : ZERO);
		if (!frozen(f, q.off, q.len))
			h.q[h.n++] = q;
	}
	snprintf(f->what, sizeof(f->what), "die");
	if (!life_close(f))
		return 0;
	fflush(NULL);
	pid = fork();
	if (!pid)
		die_writing(f, &h);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		life_bad(f, "the process ended with status 0x%x", status);
	for (unsigned i = 0; i < h.n; i++) {
		if (h.q[i].kind == WRITE)
			fill(h.buf, h.q[i].len, h.q[i].seed);
		follow(f, &h.q[i], h.buf);
	}
	free(h.buf);
	f->killed = true;
	if (life_open(f))
		life_compare(f, f->disk, f->top);
	return 0;
}
