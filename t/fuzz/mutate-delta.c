/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * mutate-delta.c - changes to a raw delta: its two slots, checksum and all.
 */
#include <stdio.h>
#include <string.h>
#include "fuzz.h"

#define SLOT	8192u
#define BITMAP	65536u

enum { UNIT = 12, SEQUENCE = 16, SIZE = 24, DATA = 32, UNCLEAN = 40, ID = 48,
       CONTENT = 64, PARENT_SIZE = 80, FORMAT = 88, PARENT_ID = 104,
       PARENT_CONTENT = 168, HINT = 232, SUM = SLOT - 8 };

static void
sum_up(struct fz_input *z, struct fz_file *f, uint64_t at)
{
	static uint8_t slot[SLOT];
	uint64_t h = 0xcbf29ce484222325u;

	fz_peek(f, at, slot, SLOT);
	for (unsigned i = 0; i < SUM; i++)
		h = (h ^ slot[i]) * 0x100000001b3u;
	fz_put(z, f, at + SUM, h, 8);
}

static void
change_field(struct fz_input *z, struct fz_file *f, uint64_t at)
{
	static const struct { uint16_t off; uint8_t bytes; } t[] = {
		{ 8, 4 }, { UNIT, 4 }, { SEQUENCE, 8 }, { SIZE, 8 },
		{ DATA, 8 }, { UNCLEAN, 4 }, { ID, 8 }, { CONTENT, 8 },
		{ PARENT_SIZE, 8 }, { FORMAT, 8 }, { PARENT_ID, 8 },
		{ PARENT_CONTENT, 8 }, { HINT, 8 },
	};
	unsigned i = fz_any(sizeof(t) / sizeof(t[0]));
	uint64_t v = fz_nasty(f);

	if (!fz_any(3))
		v = fz_get64(f, at + t[i].off) + fz_any(9) - 4;
	fz_put(z, f, at + t[i].off, v, t[i].bytes);
}

/* Numbers that agree, of another disk and its parent. */
static void
change_shape(struct fz_input *z, struct fz_file *f, uint64_t at)
{
	uint64_t unit = 4096u << fz_any(6), units = 1 + fz_any(200);
	uint64_t size = unit * units - 512 * fz_any(3);

	fz_put(z, f, at + UNIT, unit, 4);
	fz_put(z, f, at + SIZE, size, 8);
	if (fz_any(4))
		fz_put(z, f, at + PARENT_SIZE, size, 8);
	fz_put(z, f, at + DATA, (BITMAP + (units + 63) / 64 * 8 + unit - 1) /
	       unit * unit, 8);
	if (z->nfiles > 1 && fz_any(4))
		z->file[1].size = size;
}

static void
change_parent(struct fz_input *z, struct fz_file *f, uint64_t at)
{
	static const char *const formats[] = { "raw", "vdi", "vmdk", "delta",
					       "" };
	const char *format = formats[fz_any(5)];
	const struct fz_file *up = &z->file[fz_any(z->nfiles)];
	char text[64] = "";

	strcpy(text, format);
	fz_poke(z, f, at + FORMAT, text, 16);
	memset(text, 0, sizeof(text));
	strcpy(text, up->name);
	fz_poke(z, f, at + HINT, text, sizeof(text));
	memset(text, 0, sizeof(text));
	snprintf(text, sizeof(text), "%llu@0.000000000",
		 (unsigned long long)up->size);	/* see place.c */
	fz_poke(z, f, at + PARENT_CONTENT, text, sizeof(text));
}

static void
change_bits(struct fz_input *z, struct fz_file *f, uint64_t at)
{
	uint64_t unit = fz_get32(f, at + UNIT), size = fz_get64(f, at + SIZE);
	uint32_t words = unit ? (uint32_t)(size / unit / 64 + 1) : 1;

	fz_put(z, f, BITMAP + 8ull * fz_any(words < 512 ? words : 512),
	       fz_any(2) ? fz_nasty(f) : 1ull << fz_any(64), 8);
}

bool
fz_mutate_delta(struct fz_input *z, struct fz_file *f)
{
	uint64_t at = fz_any(2) * SLOT;
	char magic[8];

	fz_peek(f, 0, magic, 8);
	if (memcmp(magic, "vdDELTA", 7))
		return false;
	switch (fz_any(6)) {
	case 0: change_shape(z, f, at); break;
	case 1: change_parent(z, f, at); break;
	case 2: change_bits(z, f, at); break;
	default: change_field(z, f, at);
	}
	if (fz_any(8))
		sum_up(z, f, at);
	return true;
}
