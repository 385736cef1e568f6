/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * adm-copy.c - move one disk's content: to another, into a stream, or only
 * to compare it.
 *
 * Runs that the source does not hold are skipped unread; what it holds is
 * read in pieces by all processors and looked through, because images are full
 * of zeros that were once written.  The grain of that search is the target's
 * own unit: a unit with one byte in it takes room for the whole anyway, and is
 * then written at once.  Pieces are small enough to be in the processor's cache
 * when they are written, and pass the meter in the order of the disk.  Where both
 * files can share blocks, nothing is read at all.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "adm.h"

#define PIECE		(1u << 20)	/* usually; never less than a unit */
#define PIECE_MAX	(16u << 20)
#define RAW_GRAIN	(16u << 10)	/* target without units: holes of 16 KiB */
#define ZERO_PIECE	(1ull << 30)	/* between two looks for ^C */

struct piece {
	uint64_t	off, len;
	bool		zero;
	char	       *buf, *buf2;
};

/* A disk read once, from its first byte to its last. */
struct cursor {
	struct vd_disk *disk;
	struct vd_run	run;
};

struct copy {
	struct cursor	in;
	struct cursor	other;		/* to compare with */
	struct vd_disk *out;
	bool		fresh;
	atomic_bool	share;		/* the file system may do it */
	atomic_bool	shares;		/* and has: no piece is too long */
	uint64_t	size, next;
	uint64_t	grain;		/* divides piece */
	uint64_t	piece;
	unsigned	npieces;
	struct piece   *pieces;
	struct adm_meter *meter;
};

/* ----------------------------------------------------------------- source */

/* How far from off are there only zeros, or only data? */
static int
look(struct cursor *c, uint64_t off, uint64_t len, uint64_t *run, bool *zero,
     struct vd_err *err)
{
	int ret = 0;

	if (off < c->run.off || off >= c->run.off + c->run.len)
		ret = vd_disk_extent(c->disk, off, len, &c->run, err);
	if (ret)
		return ret;
	*zero = c->run.kind == VD_EXT_ZERO;
	*run = c->run.off + c->run.len - off;
	if (*run > len)
		*run = len;
	return 0;
}

static uint64_t
to_border(const struct copy *c, uint64_t off)
{
	return c->piece - off % c->piece;
}

static int
take(void *ctx, unsigned slot, struct vd_err *err)
{
	struct copy *c = ctx;
	struct piece *p = &c->pieces[slot];
	uint64_t left = c->size - c->next;
	int ret;

	if (!left)
		return 0;
	p->off = c->next;
	ret = look(&c->in, p->off, left, &p->len, &p->zero, err);
	if (ret)
		return ret;
	if (!p->zero && !c->shares && p->len > to_border(c, p->off))
		p->len = to_border(c, p->off);
	if ((!p->zero || !c->fresh) && p->len > ZERO_PIECE)
		p->len = ZERO_PIECE;
	c->next += p->len;
	return 1;
}

static int
give(void *ctx, unsigned slot, struct vd_err *err)
{
	struct copy *c = ctx;
	struct piece *p = &c->pieces[slot];

	/* Without a hash nobody looks, and what is shared is not there. */
	return adm_meter_passed(c->meter, p->zero || !c->meter->hash ? NULL
				: p->buf, p->len, err);
}

static int
run_copy(struct copy *c, const char *step,
	 int (*take_it)(void *, unsigned, struct vd_err *),
	 int (*work)(void *, unsigned, struct vd_err *), struct vd_err *err)
{
	struct vd_lanes l = {
		.size = sizeof(l),
		.slots = c->npieces,
		.ctx = c,
		.take = take_it, .work = work, .give = give,
	};
	int ret;

	adm_meter_begin(c->meter, step, c->size);
	ret = vd_in_order(&l, err);
	adm_meter_end(c->meter);
	return ret;
}

/* second: for what they are compared with. */
static int
make_pieces(struct copy *c, bool second, struct vd_err *err)
{
	bool whole;

	c->npieces = 4 * vd_lanes_threads(0) + 8;
	c->pieces = calloc(c->npieces, sizeof(*c->pieces));
	whole = c->pieces;
	for (unsigned i = 0; whole && i < c->npieces; i++) {
		struct piece *p = &c->pieces[i];

		whole = !posix_memalign((void **)&p->buf, 4096, c->piece) &&
			(!second ||
			 !posix_memalign((void **)&p->buf2, 4096, c->piece));
	}
	return whole ? 0 : vd_fail(err, ENOMEM, VD_NOWHERE,
				   "no memory to copy with");
}

static void
free_pieces(struct copy *c)
{
	for (unsigned i = 0; c->pieces && i < c->npieces; i++) {
		free(c->pieces[i].buf);
		free(c->pieces[i].buf2);
	}
	free(c->pieces);
}

/* ------------------------------------------------------------------- copy */

/* Zeros: nothing to do in a new image, but a device holds old bytes. */
static int
put(struct copy *c, const char *buf, size_t len, uint64_t off, bool zero,
    struct vd_err *err)
{
	if (!len || (zero && c->fresh))
		return 0;
	if (zero)
		return vd_disk_write_zeroes(c->out, off, len, VD_MAY_UNMAP,
					    err);
	return vd_disk_write(c->out, buf, len, off, 0, err);
}

/* Write what is in buf as runs of grains that are all zero or all not. */
static int
put_grains(struct copy *c, const char *buf, uint64_t off, uint64_t len,
	   struct vd_err *err)
{
	uint64_t start = 0, at = 0, n;
	bool zero = false, z;
	int ret = 0;

	while (at < len && !ret) {
		/* Grains are aligned on the disk; the first may be cut. */
		n = c->grain - (off + at) % c->grain;
		if (n > len - at)
			n = len - at;
		z = vd_is_zero(buf + at, n);
		if (z != zero) {
			ret = put(c, buf + start, at - start, off + start,
				  zero, err);
			start = at;
			zero = z;
		}
		at += n;
	}
	return ret ? ret : put(c, buf + start, at - start, off + start, zero,
			       err);
}

static int
copy_bytes(struct copy *c, char *buf, uint64_t off, uint64_t len,
	   struct vd_err *err)
{
	int ret = vd_disk_read(c->in.disk, buf, len, off, err);

	return ret ? ret : put_grains(c, buf, off, len, err);
}

/*
 * The files on both sides may share blocks: that takes neither room nor time.
 * What cannot, up to the next place that begins a block, is copied.
 */
static int
copy_piece(void *ctx, unsigned slot, struct vd_err *err)
{
	struct copy *c = ctx;
	struct piece *p = &c->pieces[slot];
	uint64_t off = p->off, len = p->len, n;
	int ret = 0;

	if (p->zero)
		return put(c, NULL, len, off, true, err);
	for (; len && !ret; off += n, len -= n) {
		n = 0;
		if (c->share)
			ret = vd_disk_share(c->in.disk, c->out, off, len, &n,
					    err);
		if (n)
			c->shares = true;
		if (ret || n)
			continue;
		n = to_border(c, off) < len ? to_border(c, off) : len;
		if (n == c->piece)
			c->share = false;
		ret = copy_bytes(c, p->buf, off, n, err);
		if (!ret)
			ret = adm_interrupted(err);
	}
	return ret;
}

int
adm_copy(struct vd_disk *in, struct vd_disk *out, bool fresh,
	 struct adm_meter *m, struct vd_err *err)
{
	uint64_t unit = vd_disk_image(out, 0)->unit;
	struct copy c = {
		.in.disk = in, .out = out, .fresh = fresh,
		.size = vd_disk_size(in),
		.piece = PIECE, .grain = RAW_GRAIN, .meter = m,
		.share = !m->hash,	/* which sees every byte */
	};
	int ret;

	if (unit && unit <= PIECE_MAX && !(unit & (unit - 1)))
		c.grain = unit;
	if (c.piece < c.grain)
		c.piece = c.grain;
	ret = make_pieces(&c, false, err);
	if (!ret)
		ret = run_copy(&c, "copy", take, copy_piece, err);
	free_pieces(&c);
	return ret;
}

/* ------------------------------------------------------------------- pack */

static int
pack_run(void *ctx, uint64_t off, uint64_t len, uint64_t *run, bool *zero,
	 struct vd_err *err)
{
	struct copy *c = ctx;

	return look(&c->in, off, len, run, zero, err);
}

static int
pack_read(void *ctx, void *buf, uint64_t off, uint64_t len, struct vd_err *err)
{
	struct copy *c = ctx;

	return vd_disk_read(c->in.disk, buf, len, off, err);
}

static int
pack_passed(void *ctx, const void *buf, uint64_t off, uint64_t len,
	    struct vd_err *err)
{
	struct copy *c = ctx;

	(void)off;
	return adm_meter_passed(c->meter, buf, len, err);
}

int
adm_pack(struct vd_library *lib, const struct adm_job *job, int fd,
	 struct adm_meter *m, struct vd_err *err)
{
	struct copy c = { .in.disk = job->in, .meter = m };
	struct vd_source src = {
		.size = sizeof(src),
		.ctx = &c,
		.run = pack_run, .read = pack_read, .passed = pack_passed,
	};
	struct vd_create how = {
		.size = sizeof(how),
		.virtual_size = vd_disk_size(job->in),
		.unit = job->unit,
		.variant = job->to.variant,
		.comment = job->comment,
	};
	int ret;

	adm_meter_begin(m, "copy", how.virtual_size);
	ret = vd_pack_image(lib, job->to.format->name, fd,
			    strcmp(job->out, "-") ? job->out : "disk",
			    &how, &src, err);
	adm_meter_end(m);
	return ret;
}

/* ---------------------------------------------------------------- compare */

/* What both know to be zeros is not read. */
static int
take_two(void *ctx, unsigned slot, struct vd_err *err)
{
	struct copy *c = ctx;
	struct piece *p = &c->pieces[slot];
	uint64_t left = c->size - c->next, len = 0;
	bool zero = false;
	int ret;

	if (!left)
		return 0;
	p->off = c->next;
	ret = look(&c->in, p->off, left, &p->len, &p->zero, err);
	if (!ret)
		ret = look(&c->other, p->off, left, &len, &zero, err);
	if (ret)
		return ret;
	p->zero = p->zero && zero;
	if (!p->zero)
		p->len = left < to_border(c, p->off) ? left
						     : to_border(c, p->off);
	else if (p->len > len)
		p->len = len;
	c->next += p->len;
	return 1;
}

static int
compare_piece(void *ctx, unsigned slot, struct vd_err *err)
{
	struct copy *c = ctx;
	struct piece *p = &c->pieces[slot];
	uint64_t at = 0;
	int ret = 0;

	if (!p->zero)
		ret = vd_disk_read(c->in.disk, p->buf, p->len, p->off, err);
	if (!p->zero && !ret)
		ret = vd_disk_read(c->other.disk, p->buf2, p->len, p->off,
				   err);
	if (ret || p->zero || !memcmp(p->buf, p->buf2, p->len))
		return ret;
	while (p->buf[at] == p->buf2[at])
		at++;
	return vd_fail(err, EIO, VD_NOWHERE, "does not hold what was written: "
		       "byte %" PRIu64 " of the disk differs", p->off + at);
}

int
adm_compare(struct vd_disk *a, struct vd_disk *b, uint64_t size,
	    struct adm_meter *m, struct vd_err *err)
{
	struct copy c = {
		.in.disk = a, .other.disk = b, .size = size, .piece = PIECE,
		.meter = m,
	};
	int ret = make_pieces(&c, true, err);

	if (!ret)
		ret = run_copy(&c, "verify", take_two, compare_piece, err);
	free_pieces(&c);
	return ret;
}
