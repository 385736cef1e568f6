/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * look.c - a few places of a disk: read, remembered, compared.
 */
#include <stdarg.h>
#include "oper.h"

#define RUN_MAX		(16u << 20)	/* asked of one extent call */

struct fz_window fz_windows[4];
unsigned fz_nwindows;
bool fz_loose, fz_zeros_may_go;

static uint32_t
chunk_len(const struct fz_window *w, unsigned i)
{
	uint32_t left = w->len - i * FZ_CHUNK;

	return left < FZ_CHUNK ? left : FZ_CHUNK;
}

static unsigned
chunks(const struct fz_window *w)
{
	return (w->len + FZ_CHUNK - 1) / FZ_CHUNK;
}

/* Head, tail, and two places between, none over another. */
void
fz_choose_windows(const struct fz_input *z, uint64_t size)
{
	const uint64_t room = FZ_CHUNK * FZ_CHUNKS;
	uint64_t at[4] = { 0, size > room ? size - room : 0 };

	for (unsigned i = 2; i < 4; i++) {
		uint64_t w = z->nrequests ? z->request[i % z->nrequests].where
					  : 0x10001u * i;

		at[i] = (uint64_t)((unsigned __int128)size * w >> 32);
		at[i] = at[i] / 512 * 512;
	}
	fz_nwindows = 0;
	for (unsigned i = 0; i < 4; i++) {
		uint64_t end = at[i] + room < size ? at[i] + room : size;

		for (unsigned k = 0; k < fz_nwindows; k++)
			if (at[i] < fz_windows[k].off + fz_windows[k].len &&
			    fz_windows[k].off < end)
				end = at[i];	/* give it up */
		if (end <= at[i])
			continue;
		fz_windows[fz_nwindows++] = (struct fz_window){
			.off = at[i], .len = (uint32_t)(end - at[i]) };
	}
}

void
fz_look(struct vd_disk *d, struct fz_window *w, unsigned i)
{
	struct vd_err err = { 0 };
	int ret = vd_disk_read(d, w->want + i * FZ_CHUNK, chunk_len(w, i),
			       w->off + i * FZ_CHUNK, &err);

	fz_must_tell("read", ret, &err);
	if (!ret)
		w->known |= 1u << i;
	else
		w->known &= ~(1u << i);
}

void
fz_look_all(struct vd_disk *d)
{
	for (unsigned k = 0; k < fz_nwindows; k++)
		for (unsigned i = 0; i < chunks(&fz_windows[k]); i++)
			fz_look(d, &fz_windows[k], i);
}

__attribute__((format(printf, 1, 2))) static void
differs(const char *fmt, ...)
{
	char text[400];
	va_list ap;

	if (fz_loose || fz_full)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fz_die("%s", text);
}

static bool
any_byte(const uint8_t *p, const uint8_t *end)
{
	while (p < end && !*p)
		p++;
	return p < end;
}

/* Zeros for the lack of a directory: what is found may be anything. */
void
fz_forget_zeros(void)
{
	for (unsigned i = 0; i < fz_nwindows * FZ_CHUNKS; i++) {
		struct fz_window *w = &fz_windows[i / FZ_CHUNKS];
		const uint8_t *want = w->want + i % FZ_CHUNKS * FZ_CHUNK;

		if (!any_byte(want, want + chunk_len(w, i % FZ_CHUNKS)))
			w->known &= ~(1u << i % FZ_CHUNKS);
	}
}

static void
compare_chunk(struct vd_disk *d, struct fz_window *w, unsigned i,
	      const char *when)
{
	uint32_t len = chunk_len(w, i), k = 0, end;
	uint64_t off = w->off + i * FZ_CHUNK;
	const uint8_t *want = w->want + i * FZ_CHUNK;
	struct vd_err err = { 0 };
	uint8_t got[FZ_CHUNK];

	if (vd_disk_read(d, got, len, off, &err)) {
		differs("%s: what could be read cannot be read any more: %s",
			when, err.msg);
		return;
	}
	for (; k < len; k++) {
		if (got[k] == want[k])
			continue;
		end = k / 512 * 512 + 512 < len ? k / 512 * 512 + 512 : len;
		if (!fz_zeros_may_go || any_byte(want + k / 512 * 512,
						 want + end))
			break;
		k = end - 1;
	}
	if (k < len)
		differs("%s: byte %" PRIu64 " is 0x%02x, not 0x%02x", when,
			off + k, got[k], want[k]);
}

/* In one piece where all of it can be read, else chunk by chunk. */
static void
compare(struct vd_disk *d, struct fz_window *w, const char *when)
{
	unsigned all = (1u << chunks(w)) - 1;
	uint8_t got[FZ_CHUNK * FZ_CHUNKS];

	if ((w->known & all) == all &&
	    !vd_disk_read(d, got, w->len, w->off, NULL) &&
	    !memcmp(got, w->want, w->len))
		return;
	for (unsigned i = 0; i < chunks(w); i++)
		if (w->known >> i & 1)
			compare_chunk(d, w, i, when);
}

void
fz_compare_all(struct vd_disk *d, const char *when)
{
	for (unsigned k = 0; k < fz_nwindows; k++)
		compare(d, &fz_windows[k], when);
}

static void
ignore_info(struct vd_info_out *o, const char *key, const char *value)
{
	(void)o;
	if (!key || !value)
		fz_die("info without a key or a value");
}

static void
walk_extents(struct vd_disk *d)
{
	uint64_t size = vd_disk_size(d), off = 0;
	struct vd_err err = { 0 };
	struct vd_run run;

	for (unsigned n = 0; n < 32 && off < size; n++, off = run.off +
	     run.len) {
		uint64_t len = size - off < RUN_MAX ? size - off : RUN_MAX;
		int ret = vd_disk_extent(d, off, len, &run, &err);

		fz_must_tell("extent", ret, &err);
		if (ret)
			return;
		if (run.off != off || !run.len || run.len > len ||
		    (run.kind != VD_EXT_DATA && run.kind != VD_EXT_ZERO &&
		     run.kind != VD_EXT_TRANSFORM))
			fz_die("extent at %" PRIu64 ": %" PRIu64 "+%" PRIu64
			       ", kind %u", off, run.off, run.len, run.kind);
	}
}

void
fz_look_around(struct vd_disk *d)
{
	struct vd_info_out o = { .size = sizeof(o), .add = ignore_info };
	struct vd_err err = { 0 };

	for (unsigned i = 0; i < vd_disk_depth(d); i++)
		fz_must_tell("info", vd_disk_info(d, i, &o, &err), &err);
	walk_extents(d);
}
