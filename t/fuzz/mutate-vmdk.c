/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * mutate-vmdk.c - changes to the sparse extents of VMware: hosted ones and
 * their streams, ESX's, the space-efficient.
 */
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>
#include "fuzz.h"

struct field {
	uint16_t	off;
	uint8_t		bytes;
};

static bool
change_field(struct fz_input *z, struct fz_file *f, const struct field *t,
	     size_t n)
{
	const struct field *x = &t[fz_any((uint32_t)n)];
	uint64_t v = fz_nasty(f);

	if (!fz_any(3))
		v = fz_get64(f, x->off) + fz_any(9) - 4;
	return fz_put(z, f, x->off, v, x->bytes);
}
#define CHANGE(z, f, t)	change_field(z, f, t, sizeof(t) / sizeof((t)[0]))

/* A pointer, in sectors: into the file, at its end, another's, or nowhere. */
static uint64_t
pointer(const struct fz_file *f, uint64_t other)
{
	uint64_t sectors = f->size / 512;

	switch (fz_any(8)) {
	case 0: return 0;
	case 1: return 1;
	case 2: case 3: return other;
	case 4: return sectors + fz_any(3) - 1;
	case 5: return fz_nasty(f);
	default: return fz_any(sectors < UINT32_MAX ? (uint32_t)sectors + 1
						     : UINT32_MAX);
	}
}

/* ------------------------------------------------------------------ hosted */

static const struct field hosted[] = {
	{ 4, 4 }, { 8, 4 }, { 12, 8 }, { 20, 8 }, { 28, 8 }, { 36, 8 },
	{ 44, 4 }, { 48, 8 }, { 56, 8 }, { 64, 8 }, { 72, 1 }, { 73, 4 },
	{ 77, 2 }, { 79, 4 },
};

struct tables {
	uint64_t	gd[2];		/* bytes: the directory, its copy */
	uint64_t	grains;
	uint32_t	gtes, n;
};

static bool
find_tables(const struct fz_file *f, struct tables *t)
{
	uint64_t grain = fz_get64(f, 20), capacity = fz_get64(f, 12), n;

	t->gd[0] = fz_get64(f, 56) * 512;
	t->gd[1] = fz_get64(f, 48) * 512;
	if (fz_get64(f, 56) == UINT64_MAX)	/* as the footer says */
		t->gd[0] = fz_get64(f, f->size - 1024 + 56) * 512;
	t->gtes = fz_get32(f, 44);
	if (!grain || !t->gtes || !capacity || t->gd[0] > f->size)
		return false;
	t->grains = (capacity - 1) / grain + 1;
	n = (t->grains - 1) / t->gtes + 1;
	t->n = n < 64 ? (uint32_t)n : 64;
	return true;
}

static bool
change_directory(struct fz_input *z, struct fz_file *f, const struct tables *t)
{
	unsigned copy = fz_any(2);
	uint32_t other = fz_get32(f, t->gd[fz_any(2)] + 4ull * fz_any(t->n));

	return fz_put(z, f, t->gd[copy] + 4ull * fz_any(t->n),
		      pointer(f, other), 4);
}

/* Set an entry of a table, of its copy, or of both alike. */
static void
set_entry(struct fz_input *z, struct fz_file *f, const struct tables *t,
	  uint64_t grain, uint64_t v)
{
	unsigned which = fz_any(3) ? 3 : 1 + fz_any(2);

	for (unsigned c = 0; c < 2; c++) {
		uint64_t gt = fz_get32(f, t->gd[c] + grain / t->gtes * 4);

		if ((which >> c & 1) && gt)
			fz_put(z, f, gt * 512 + grain % t->gtes * 4, v, 4);
	}
}

static uint64_t
any_grain(const struct tables *t)
{
	uint64_t most = (uint64_t)t->n * t->gtes;

	if (most > t->grains)
		most = t->grains;
	return fz_any(4) ? fz_any(most < 64 ? (uint32_t)most : 64)
			 : most - 1 - fz_any(most < 4 ? (uint32_t)most : 4);
}

static uint64_t
get_entry(const struct fz_file *f, const struct tables *t, uint64_t grain)
{
	uint64_t gt = fz_get32(f, t->gd[0] + grain / t->gtes * 4);

	return gt ? fz_get32(f, gt * 512 + grain % t->gtes * 4) : 0;
}

static bool
change_entry(struct fz_input *z, struct fz_file *f, const struct tables *t)
{
	set_entry(z, f, t, any_grain(t),
		  pointer(f, get_entry(f, t, any_grain(t))));
	return true;
}

/* A new grain at the end of the file. */
static bool
add_grain(struct fz_input *z, struct fz_file *f, const struct tables *t)
{
	uint64_t len = fz_get64(f, 20) * 512, at = f->size / 512 * 512;
	struct fz_region *r;

	if (!len || len > FZ_FILL_MAX || at > 1ull << 40)
		return false;
	at = (at + len - 1) / len * len;
	r = fz_add(z, f, at, (uint32_t)len, 1);
	if (!r)
		return false;
	r->data[0] = (uint8_t)(1 + fz_any(255));
	f->size = at + len;
	set_entry(z, f, t, any_grain(t), at / 512);
	return true;
}

/* A grain that deflate made, with its marker, where the end was. */
static bool
add_packed(struct fz_input *z, struct fz_file *f, const struct tables *t)
{
	uint64_t len = fz_get64(f, 20) * 512, at = (f->size + 511) / 512 * 512;
	uint64_t grain = any_grain(t), size;
	struct libdeflate_compressor *c;
	static uint8_t packed[4096];
	uint8_t *buf;

	if (len > FZ_FILL_MAX || at > 1ull << 40)
		return false;
	if (fz_any(3) && f->size > 2048)
		at = f->size / 512 * 512 - 512 * fz_any(4);
	if (!fz_any(4))
		len = fz_any(2) ? 512 * (1 + fz_any(8)) : len + 512;
	buf = malloc(len ? len : 1);
	c = libdeflate_alloc_compressor(1);
	memset(buf, (int)fz_any(256), len);
	size = libdeflate_zlib_compress(c, buf, len, packed, sizeof(packed));
	libdeflate_free_compressor(c);
	free(buf);
	if (!size)
		return false;
	fz_put(z, f, at, fz_any(6) ? grain * fz_get64(f, 20) : fz_nasty(f), 8);
	fz_put(z, f, at + 8, fz_any(6) ? size : fz_nasty(f), 4);
	fz_poke(z, f, at + 12, packed, size);
	set_entry(z, f, t, grain, at / 512);
	at += (12 + size + 511) / 512 * 512;
	if (fz_any(2)) {	/* end of stream, or footer and what goes with it */
		fz_put(z, f, at, fz_any(8) ? 0 : fz_nasty(f), 8);
		fz_put(z, f, at + 8, (uint64_t)fz_any(6) << 32, 8);
		at += 512;
	}
	if (f->size < at)
		f->size = at;
	return true;
}

/* A marker somewhere on the way. */
static bool
change_marker(struct fz_input *z, struct fz_file *f)
{
	uint64_t at = fz_get64(f, 64) * 512 + 512ull * fz_any(40);

	if (fz_any(2))
		at = f->size - 512ull * fz_any(8);
	if (fz_any(2))
		return fz_put(z, f, at, fz_nasty(f), 8);
	return fz_put(z, f, at + 8, fz_any(2) ? fz_nasty(f)
		      : (uint64_t)fz_any(6) << 32, 8);
}

static bool
mutate_hosted(struct fz_input *z, struct fz_file *f)
{
	bool packed = fz_get32(f, 8) >> 16 & 1;
	struct tables t;

	if (!fz_any(4) || !find_tables(f, &t))
		return CHANGE(z, f, hosted);
	switch (fz_any(packed ? 8 : 6)) {
	case 0:
		return change_directory(z, f, &t);
	case 1:
		return packed ? add_packed(z, f, &t) : add_grain(z, f, &t);
	case 2:
		return fz_mutate_text(z, f);
	case 6:
		return add_packed(z, f, &t);
	case 7:
		return change_marker(z, f);
	default:
		return change_entry(z, f, &t);
	}
}

/* -------------------------------------------------------------------- ESX */

static const struct field cowd[] = {
	{ 4, 4 }, { 8, 4 }, { 12, 4 }, { 16, 4 }, { 20, 4 }, { 24, 4 },
	{ 28, 4 }, { 1648, 4 }, { 1652, 4 },
};

static bool
mutate_cowd(struct fz_input *z, struct fz_file *f)
{
	uint64_t gd = fz_get32(f, 20) * 512ull, gt, other;
	uint32_t n = fz_get32(f, 24);

	n = n < 16 ? n : 16;
	gt = fz_get32(f, gd + 4ull * fz_any(n)) * 512ull;
	other = fz_get32(f, gt + 4ull * fz_any(64));
	switch (fz_any(4)) {
	case 0:
		return CHANGE(z, f, cowd);
	case 1:
		return fz_put(z, f, gd + 4ull * fz_any(n),
			      pointer(f, gt / 512), 4);
	default:
		return gt && fz_put(z, f, gt + 4ull * fz_any(fz_any(2) ? 64
				    : 4096), pointer(f, other), 4);
	}
}

static const struct field se[] = {
	{ 8, 8 }, { 16, 8 }, { 24, 8 }, { 32, 8 }, { 40, 8 }, { 80, 8 },
	{ 88, 8 }, { 96, 8 }, { 104, 8 }, { 112, 8 }, { 120, 8 }, { 128, 8 },
	{ 136, 8 }, { 144, 8 }, { 152, 8 }, { 160, 8 }, { 168, 8 },
	{ 176, 8 }, { 184, 8 }, { 192, 8 }, { 200, 8 }, { 512, 8 }, { 536, 8 },
};

static bool
mutate_se(struct fz_input *z, struct fz_file *f)
{
	uint64_t gd = fz_get64(f, 128) * 512, gts = fz_get64(f, 144) * 512;
	uint64_t e, number = fz_any(4);

	switch (fz_any(4)) {
	case 0:
		return CHANGE(z, f, se);
	case 1:
		e = fz_any(4) ? 0x1000000000000000 | fz_any(6) : fz_nasty(f);
		return fz_put(z, f, gd + 8ull * fz_any(8), e, 8);
	default:
		e = (uint64_t)fz_any(16) << 60 | (uint64_t)fz_any(fz_any(2) ? 8
			: 4096) << 48 | (fz_any(3) ? 0 : fz_nasty(f) >> 16);
		return fz_put(z, f, gts + number * 32768 + 8ull *
			      fz_any(fz_any(2) ? 64 : 4096), e, 8);
	}
}

bool
fz_mutate_vmdk(struct fz_input *z, struct fz_file *f)
{
	switch (fz_get32(f, 0)) {
	case 0x564d444b:
		return mutate_hosted(z, f);
	case 0x44574f43:
		return mutate_cowd(z, f);
	case 0xcafebabe:
		return mutate_se(z, f);
	}
	return false;
}
