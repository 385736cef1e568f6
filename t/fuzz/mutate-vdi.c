/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * mutate-vdi.c - changes to a VDI: fields, map entries, identities.
 */
#include <string.h>
#include "fuzz.h"

#define MAGIC	0xbeda107fu
#define FREE	0xffffffffu
#define ZERO	0xfffffffeu

struct field {
	uint16_t	off;
	uint8_t		bytes;
};

static const struct field fields[] = {
	{ 68, 4 }, { 72, 4 }, { 76, 4 }, { 80, 4 }, { 340, 4 }, { 344, 4 },
	{ 360, 4 }, { 368, 8 }, { 376, 4 }, { 380, 4 }, { 384, 4 },
	{ 388, 4 }, { 392, 8 }, { 400, 8 }, { 408, 8 }, { 416, 8 }, { 424, 8 },
	{ 432, 8 }, { 440, 8 }, { 448, 8 }, { 456, 4 }, { 468, 4 },
};

/* Of version 0; the map is at 420. */
static const struct field old[] = {
	{ 68, 4 }, { 72, 4 }, { 76, 4 }, { 348, 4 }, { 352, 8 }, { 360, 4 },
	{ 364, 4 }, { 368, 4 }, { 372, 8 }, { 388, 8 }, { 404, 8 }, { 412, 8 },
};

static bool
is_old(const struct fz_file *f)
{
	return fz_get32(f, 68) >> 16 == 0;
}

static bool
change_field(struct fz_input *z, struct fz_file *f)
{
	const struct field *t = is_old(f) ? old : fields;
	size_t n = is_old(f) ? sizeof(old) / sizeof(old[0])
			     : sizeof(fields) / sizeof(fields[0]);
	const struct field *x = &t[fz_any((uint32_t)n)];
	uint64_t v = fz_nasty(f);

	if (!fz_any(3))
		v = (x->bytes == 8 ? fz_get64(f, x->off) : fz_get32(f, x->off)) +
		    fz_any(9) - 4;
	return fz_put(z, f, x->off, v, x->bytes);
}

static bool
change_entry(struct fz_input *z, struct fz_file *f)
{
	uint64_t map = is_old(f) ? 420 : fz_get32(f, 340);
	uint32_t blocks = fz_get32(f, is_old(f) ? 364 : 384);
	uint32_t few = blocks < 4096 ? blocks : 4096;
	uint32_t i = fz_any(4) ? fz_any(few) : blocks - 1 - fz_any(4), v;

	switch (fz_any(8)) {
	case 0: v = FREE; break;
	case 1: v = ZERO; break;
	case 2: v = fz_get32(f, map + 4ull * fz_any(few)); break;
	case 3: v = blocks + fz_any(5) - 2; break;
	case 4: v = (uint32_t)fz_nasty(f); break;
	case 5: v = fz_get32(f, is_old(f) ? 368 : 388) + fz_any(3) - 1; break;
	default: v = fz_any(few);
	}
	return fz_put(z, f, map + 4ull * i, v, 4);
}

/* Numbers that agree with each other, of another disk. */
static bool
change_shape(struct fz_input *z, struct fz_file *f)
{
	uint32_t block = 512u << fz_any(14), blocks = 1 + fz_any(300);
	uint64_t end;

	if (is_old(f))
		return false;
	fz_put(z, f, 376, block, 4);
	fz_put(z, f, 384, blocks, 4);
	fz_put(z, f, 368, (uint64_t)block * blocks - 512 * fz_any(2), 8);
	if (!fz_any(3))
		fz_put(z, f, 380, 512 * fz_any(4), 4);
	end = fz_get32(f, 340) + 4ull * blocks;
	if (fz_get32(f, 344) < end || !fz_any(4))
		fz_put(z, f, 344, (end + 511) / 512 * 512 + 512 * fz_any(3), 4);
	if (fz_any(2))
		f->size = fz_get32(f, 344) + (uint64_t)(block +
			  fz_get32(f, 380)) * fz_any(blocks + 2);
	return fz_put(z, f, 388, fz_any(blocks + 1), 4);
}

/* Make it the child of another file of the input, or of none. */
static bool
change_parent(struct fz_input *z, struct fz_file *f)
{
	const struct fz_file *up = &z->file[fz_any(z->nfiles)];
	unsigned to = is_old(f) ? 404 : 424;

	for (unsigned i = 0; i < 16; i += 8) {
		uint64_t id = fz_get64(up, 392 + i);
		uint64_t state = fz_get64(up, 408 + i);

		if (!fz_any(6))
			id = state = 0;
		fz_put(z, f, to + i, id, 8);
		if (!is_old(f))
			fz_put(z, f, 440 + i, state, 8);
	}
	if (!is_old(f))
		fz_put(z, f, 368, fz_get64(up, 368), 8);
	return fz_put(z, f, is_old(f) ? 72 : 76, fz_any(5), 4);
}

bool
fz_mutate_vdi(struct fz_input *z, struct fz_file *f)
{
	if (fz_get32(f, 64) != MAGIC)
		return false;
	switch (fz_any(8)) {
	case 0: case 1: case 2:
		return change_field(z, f);
	case 3:
		return change_shape(z, f);
	case 4:
		return change_parent(z, f);
	default:
		return change_entry(z, f);
	}
}
