/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * use.c - read an image, and write to it.
 *
 * Who only reads writes nothing.  What was written reads back, also after a
 * reopen, and its neighbours stay as they were.
 */
#include "oper.h"

/* A piece of a window; at, len: within it. */
static struct fz_window *
piece(const struct fz_request *q, uint32_t *at, uint32_t *len)
{
	struct fz_window *w = &fz_windows[q->where % fz_nwindows];

	*at = q->where / fz_nwindows % w->len;
	*len = 1 + q->len % (2 * FZ_CHUNK);
	if (q->what & 0x80) {		/* as a guest's disk asks */
		*at = *at / 512 * 512;
		*len = (*len + 511) / 512 * 512;
	}
	if (*len > w->len - *at)
		*len = w->len - *at;
	return w;
}

static void
forget(struct fz_window *w, uint32_t at, uint32_t len)
{
	for (unsigned i = at / FZ_CHUNK; i <= (at + len - 1) / FZ_CHUNK; i++)
		w->known &= ~(1u << i);
}

/* A larger disk: what was there stays, what is new is zeros. */
static void
grow(struct vd_disk *d, const struct fz_request *q)
{
	uint64_t old = vd_disk_size(d), more = 512 * (1 + q->len / 8);
	struct vd_err err = { 0 };
	uint8_t got[512];
	int ret = vd_disk_resize(d, old + more, &err);

	fz_must_tell("resize", ret, &err);
	fz_tell("resize", &err);
	if (ret)
		return;
	if (vd_disk_size(d) != old + more)
		fz_die("resized to %" PRIu64 ", not %" PRIu64,
		       vd_disk_size(d), old + more);
	if (vd_disk_read(d, got, sizeof(got), old, &err))
		return;
	for (unsigned i = 0; i < sizeof(got) && !fz_loose; i++)
		if (got[i])
			fz_die("byte %u of what is new is 0x%02x", i, got[i]);
}

static void
write_some(struct vd_disk *d, const struct fz_request *q)
{
	uint32_t at, len;
	struct fz_window *w = piece(q, &at, &len);
	struct vd_err err = { 0 };
	uint8_t buf[FZ_CHUNK * FZ_CHUNKS];
	int ret;

	if (q->what % 8 == 3 && (q->what & 0x40)) {
		at = 0;
		len = w->len;		/* whole units are another way */
	}
	for (uint32_t i = 0; i < len; i++)
		buf[i] = (uint8_t)(q->value + i / 64);
	if (q->what % 8 == 3) {
		memset(buf, 0, len);
		ret = vd_disk_write_zeroes(d, w->off + at, len,
					   q->value & VD_MAY_UNMAP, &err);
	} else {
		ret = vd_disk_write(d, buf, len, w->off + at,
				    q->value & VD_FUA, &err);
	}
	fz_must_tell("write", ret, &err);
	fz_tell("write", &err);
	if (ret)
		forget(w, at, len);
	else
		memcpy(w->want + at, buf, len);
}

/* What a discarded range reads as is the format's affair; its neighbours. */
static void
discard_some(struct vd_disk *d, const struct fz_request *q)
{
	uint32_t at, len;
	struct fz_window *w = piece(q, &at, &len);
	struct vd_err err = { 0 };
	int ret;

	if (!vd_disk_can_discard(d))
		return;
	ret = vd_disk_discard(d, w->off + at, len, &err);
	fz_must_tell("discard", ret, &err);
	for (unsigned i = at / FZ_CHUNK; i <= (at + len - 1) / FZ_CHUNK; i++)
		fz_look(d, w, i);
}

static struct vd_disk *
reopen(struct vd_library *lib, const struct fz_input *z, const char *format,
       struct vd_disk *d, unsigned flags)
{
	if (fz_stop(d) && !fz_full)
		fz_die("close failed");
	d = fz_full ? NULL : fz_start(lib, z, format, flags);
	if (!d && !fz_full && !fz_loose)
		fz_die("it does not open any more");
	return d;
}

static void
use(struct vd_library *lib, const struct fz_input *z, const char *format,
    struct vd_disk *d)
{
	struct vd_err err = { 0 };

	for (unsigned i = 0; i < z->nrequests && d; i++) {
		const struct fz_request *q = &z->request[i];
		int ret = 0;

		switch (q->what % 8) {
		case 4:
			discard_some(d, q);
			break;
		case 7:
			if (q->value % 8 == 0)
				grow(d, q);
			else
				write_some(d, q);
			break;
		case 5:
			ret = vd_disk_flush(d, &err);
			fz_must_tell("flush", ret, &err);
			break;
		case 6:
			fz_compare_all(d, "before a reopen");
			d = reopen(lib, z, format, d, 0);
			break;
		default:
			write_some(d, q);
		}
		if (ret)
			break;
	}
	if (!d)
		return;
	fz_compare_all(d, "after the writes");
	if (vd_disk_flush(d, &err) && !fz_full)
		fz_die("flush failed: %s", err.msg);
	d = reopen(lib, z, format, d, VD_DISK_RDONLY);
	if (!d)
		return;
	fz_compare_all(d, "after the last reopen");
	fz_stop(d);
}

/* What verify calls sound must keep what is written to it. */
static bool
is_sound(struct vd_library *lib, const struct fz_input *z, const char *format)
{
	struct vd_disk *d = fz_start(lib, z, format, VD_DISK_RDONLY |
				  VD_DISK_CHECK);
	struct fz_sink s;
	int ret;

	if (!d)
		return false;
	ret = fz_check(d, &s);
	fz_stop(d);
	return ret == -ENOTSUP || (!ret && !s.damage && !s.passed);
}

void
fz_read(struct vd_library *lib, const struct fz_input *z, const char *format)
{
	struct vd_disk *d;
	uint64_t print;

	fz_loose = false;

	fz_place(z);
	print = fz_print(z);
	d = fz_start(lib, z, format, VD_DISK_RDONLY);
	if (d) {
		fz_choose_windows(z, vd_disk_size(d));
		fz_look_around(d);
		fz_look_all(d);
		fz_compare_all(d, "the second time");
		fz_stop(d);
	}
	if (fz_print(z) != print)
		fz_die("reading it has changed it");
	if (!d || !fz_nwindows)
		return;
	fz_loose = !is_sound(lib, z, format);
	d = fz_start(lib, z, format, 0);
	if (!d)
		return;
	fz_compare_all(d, "opened for writing");
	use(lib, z, format, d);
}
