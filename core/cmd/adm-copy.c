/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * adm-copy.c - copy one disk's content to another, leaving out zeros.
 *
 * Runs that the source does not hold are skipped unread; what it holds is
 * read in large pieces and looked through, because images are full of zeros
 * that were once written.  The grain of that search is the target's own unit:
 * a unit with one byte in it takes room for the whole anyway, and is then
 * written at once.  Where both files can share blocks, nothing is read at all.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "adm.h"
#include "cmd.h"

#define PIECE		(4u << 20)	/* read at once */
#define RAW_GRAIN	(16u << 10)	/* target without units: holes of 16 KiB */
#define ZERO_PIECE	(1ull << 30)	/* between two looks for ^C */

struct copy {
	struct vd_disk *in;
	struct vd_disk *out;
	bool		fresh;
	bool		share;		/* the file system may do it */
	uint64_t	size;
	uint64_t	grain;		/* divides PIECE */
	char	       *buf;		/* PIECE bytes */
	bool		show;		/* progress */
	int64_t		shown;		/* when, in ms */
};

/* --------------------------------------------------------------- progress */

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void
show_progress(struct copy *c, uint64_t done)
{
	char a[32], b[32];
	int64_t now;

	if (!c->show)
		return;
	now = now_ms();
	if (now - c->shown < 200)
		return;
	c->shown = now;
	fprintf(stderr, "\r%3u %%  %s of %s \033[K",
		(unsigned)(done / (double)c->size * 100),
		cmd_size_text(done, a, sizeof(a)),
		cmd_size_text(c->size, b, sizeof(b)));
}

static void
end_progress(struct copy *c)
{
	if (c->show)
		fputs("\r\033[K", stderr);
}

/* ------------------------------------------------------------------- copy */

static bool
is_zero(const char *buf, size_t len)
{
	return !buf[0] && !memcmp(buf, buf + 1, len - 1);
}

static int
look_up(struct copy *c, uint64_t done, struct vd_err *err)
{
	show_progress(c, done);
	return adm_interrupted(err);
}

/* Zeros: nothing to do in a new image, but a device holds old bytes. */
static int
put_zeros(struct copy *c, uint64_t off, uint64_t len, struct vd_err *err)
{
	int ret = look_up(c, off, err);

	while (!ret && len && !c->fresh) {
		uint64_t n = len < ZERO_PIECE ? len : ZERO_PIECE;

		ret = vd_disk_write_zeroes(c->out, off, n, VD_MAY_UNMAP, err);
		off += n;
		len -= n;
		if (!ret)
			ret = look_up(c, off, err);
	}
	return ret;
}

static int
put(struct copy *c, const char *buf, size_t len, uint64_t off, bool zero,
    struct vd_err *err)
{
	if (!len)
		return 0;
	if (zero)
		return put_zeros(c, off, len, err);
	return vd_disk_write(c->out, buf, len, off, 0, err);
}

/* Write a piece as runs of grains that are all zero or all not. */
static int
put_piece(struct copy *c, size_t len, uint64_t off, struct vd_err *err)
{
	size_t start = 0, at = 0, n;
	bool zero = false, z;
	int ret = 0;

	while (at < len && !ret) {
		/* Grains are aligned on the disk; the first may be cut. */
		n = c->grain - (off + at) % c->grain;
		if (n > len - at)
			n = len - at;
		z = is_zero(c->buf + at, n);
		if (z != zero) {
			ret = put(c, c->buf + start, at - start, off + start,
				  zero, err);
			start = at;
			zero = z;
		}
		at += n;
	}
	return ret ? ret : put(c, c->buf + start, at - start, off + start,
			       zero, err);
}

static int
copy_data(struct copy *c, uint64_t off, uint64_t len, struct vd_err *err)
{
	int ret = 0;

	while (len && !ret) {
		size_t n = PIECE - off % PIECE;

		if (n > len)
			n = len;
		ret = vd_disk_read(c->in, c->buf, n, off, err);
		if (!ret)
			ret = put_piece(c, n, off, err);
		off += n;
		len -= n;
		if (!ret)
			ret = look_up(c, off, err);
	}
	return ret;
}

/*
 * The files on both sides may share blocks: that takes neither room nor time.
 * What cannot, up to the next place that begins a block, is copied.
 */
static int
share_data(struct copy *c, uint64_t off, uint64_t len, struct vd_err *err)
{
	uint64_t n;
	int ret = 0;

	for (; len && !ret && c->share; off += n, len -= n) {
		ret = vd_disk_share(c->in, c->out, off, len, &n, err);
		if (!ret && !n) {
			c->share = off % PIECE != 0 || len < PIECE;
			n = PIECE - off % PIECE < len ? PIECE - off % PIECE
						      : len;
			ret = copy_data(c, off, n, err);
		}
		if (!ret)
			ret = look_up(c, off + n, err);
	}
	return ret ? ret : copy_data(c, off, len, err);
}

static int
copy_runs(struct copy *c, struct vd_err *err)
{
	struct vd_run run;
	uint64_t off = 0;
	int ret = 0;

	while (off < c->size && !ret) {
		ret = vd_disk_extent(c->in, off, c->size - off, &run, err);
		if (ret)
			break;
		if (run.kind == VD_EXT_ZERO)
			ret = put_zeros(c, off, run.len, err);
		else
			ret = share_data(c, off, run.len, err);
		off += run.len;
	}
	return ret;
}

int
adm_copy(struct vd_disk *in, struct vd_disk *out, bool fresh,
	 struct vd_err *err)
{
	uint64_t unit = vd_disk_image(out, 0)->unit;
	struct copy c = {
		.in = in, .out = out, .fresh = fresh, .share = true,
		.size = vd_disk_size(in),
		.grain = unit && PIECE % unit == 0 ? unit : RAW_GRAIN,
		.show = isatty(STDERR_FILENO),
		.shown = now_ms(),
	};
	int ret;

	if (posix_memalign((void **)&c.buf, 4096, PIECE))
		return vd_fail(err, ENOMEM, VD_NOWHERE,
			       "no memory to copy with");
	ret = copy_runs(&c, err);
	end_progress(&c);
	free(c.buf);
	return ret;
}
