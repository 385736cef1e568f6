/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rewrite.c - another descriptor, or another header: all of it or nothing.
 *
 * A power cut leaves each sector as it was or as it was to be.  So what fits
 * one sector is written in place.  A longer change of a text file makes a new
 * file.  Inside a sparse file the header, which is one sector, says where the
 * text is:
 *
 *   1. the new text behind the end of the file; sync
 *   2. the header points to it - with other numbers of its own, if the
 *      change is a resize; sync.  This is the moment.
 *   3. the new text where the old one was; sync
 *   4. the header points there again; sync; the file is cut back.
 *
 * Cut short between 2 and 4, the text lies behind the grains.  Then the old
 * place is the free one, and the next change brings it home in one step.
 * QEMU looks nowhere but in the old place: until then it sees the old text, or
 * what step 3 left of it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "vmdk.h"

#define HOME	1u		/* the sector where everybody keeps the text */

/* The names of the extents are pieces of the text. */
static void
name_extents(struct vmdk *v)
{
	struct vmdk_cursor c = { v->text, v->text_len, 0 };
	struct vmdk_extline x;
	struct vmdk_line l;
	unsigned i = 0;

	while (i < v->nextents && vmdk_line_next(&c, &l))
		if (l.kind == VMDK_LINE_EXTENT) {
			vmdk_extline_parse(&l, 0, &x, NULL);
			v->extents[i++].name = x.name;
		}
}

void
vmdk_take_text(struct vmdk *v, char *text, size_t len)
{
	pthread_mutex_lock(&v->text_lock);
	free(v->text);
	v->text = text;
	v->text_len = len;
	vmdk_desc_parse(text, len, v->text_off, &v->desc, NULL);
	name_extents(v);
	pthread_mutex_unlock(&v->text_lock);
}

/* Where the texts differ; where the old one was longer, NULs take its place. */
static void
difference(const struct vmdk *v, const char *text, size_t len, size_t *from,
	   size_t *end)
{
	*end = len > v->text_len ? len : v->text_len;
	*from = 0;
	while (*from < *end && text[*from] == v->text[*from])
		++*from;
	while (*end > *from && text[*end - 1] == v->text[*end - 1])
		--*end;
	/* What lay behind the old end must not become a part of the text. */
	if (v->embedded && len > v->text_len && len < v->text_room)
		*end = len + 1;
}

int
vmdk_write_digits(struct vmdk *v, const char *text, struct vd_err *err)
{
	size_t from, end;

	difference(v, text, v->text_len, &from, &end);
	return vd_file_write(v->file, text + from, end - from,
			     v->text_off + from, err);
}

int
vmdk_write_header(struct vmdk_extent *x, const struct vmdk_header *h,
		  struct vd_err *err)
{
	uint8_t old[VMDK_HEADER_LEN], new[VMDK_HEADER_LEN];
	int ret = vd_file_read(x->file, old, sizeof(old), 0, err);

	if (ret)
		return ret;
	vmdk_header_encode(h, new);
	/* What others keep behind the last field stays. */
	memcpy(new + VMDK_HEADER_PAD, old + VMDK_HEADER_PAD,
	       sizeof(new) - VMDK_HEADER_PAD);
	ret = vd_file_write(x->file, new, sizeof(new), 0, err);
	if (!ret)
		ret = vd_file_sync(x->file, err);
	if (!ret)
		x->h = *h;
	return ret;
}

static int
put_text(struct vmdk *v, const char *text, uint64_t sector, struct vd_err *err)
{
	int ret = vd_file_write(v->file, text, v->text_room, sector *
				VMDK_SECTOR, err);

	return ret ? ret : vd_file_sync(v->file, err);
}

static bool
apart(uint64_t a, uint64_t n, uint64_t b, uint64_t m)
{
	return a + n <= b || b + m <= a;
}

/* May the text of an image that was left with it elsewhere go home? */
static bool
home_is_free(const struct vmdk_extent *x, uint64_t sectors)
{
	uint64_t dir = ((uint64_t)x->ntables * 4 + VMDK_SECTOR - 1) /
		       VMDK_SECTOR;
	uint32_t gt = vmdk_gt_sectors(&x->h);
	bool free = HOME + sectors <= x->h.overhead &&
		    apart(HOME, sectors, x->h.gd_sector, dir) &&
		    (!x->rgd || apart(HOME, sectors, x->h.rgd_sector, dir));

	for (uint32_t i = 0; i < x->ntables && free; i++)
		free = apart(HOME, sectors, x->gd[i], gt) &&
		       (!x->rgd || apart(HOME, sectors, x->rgd[i], gt));
	return free;
}

/* Left behind the grains by a change that was cut short? */
bool
vmdk_text_is_away(const struct vmdk *v)
{
	return v->embedded && v->extents[0].h.desc_sector >
			      v->extents[0].h.overhead;
}

/* The text goes to a place that is not in use, and the header follows. */
static int
move_text(struct vmdk *v, const char *text, struct vmdk_header *h,
	  uint64_t sector, struct vd_err *err)
{
	int ret = put_text(v, text, sector, err);

	h->desc_sector = sector;
	if (!ret)
		ret = vmdk_write_header(&v->extents[0], h, err);
	if (!ret)
		v->text_off = sector * VMDK_SECTOR;
	return ret;
}

int
vmdk_write_both(struct vmdk *v, const char *text, const struct vmdk_header *h,
		struct vd_err *err)
{
	struct vmdk_extent *x = &v->extents[0];
	uint64_t sectors = (v->text_room + VMDK_SECTOR - 1) / VMDK_SECTOR;
	uint64_t size = vd_file_size(v->file);
	uint64_t tail = (size + VMDK_SECTOR - 1) / VMDK_SECTOR;
	uint64_t home = x->h.desc_sector;
	bool away = vmdk_text_is_away(v);
	struct vmdk_header next = *h;
	int ret;

	if (away && home_is_free(x, sectors))
		return move_text(v, text, &next, HOME, err);
	ret = move_text(v, text, &next, tail, err);
	if (ret || away)
		return ret;
	ret = move_text(v, text, &next, home, err);
	return ret ? ret : vd_file_truncate(v->file, size, err);
}

int
vmdk_write_text(struct vmdk *v, const char *text, size_t len,
		struct vd_err *err)
{
	size_t from, end;
	int ret;

	if (len > v->text_room)
		return vd_fail(err, ENOSPC, VD_NOWHERE, "the descriptor has "
			       "no room for the change");
	if (vmdk_text_is_away(v))
		return vmdk_write_both(v, text, &v->extents[0].h, err);
	difference(v, text, len, &from, &end);
	if (from == end)
		return 0;
	if ((v->text_off + from) / VMDK_SECTOR ==
	    (v->text_off + end - 1) / VMDK_SECTOR) {
		ret = vd_file_write(v->file, text + from, end - from,
				    v->text_off + from, err);
		return ret ? ret : vd_file_sync(v->file, err);
	}
	return v->embedded ? vmdk_write_both(v, text, &v->extents[0].h, err)
			   : vd_file_rewrite(v->file, text, len, err);
}
