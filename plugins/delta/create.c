/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * create.c - a new, empty delta over an image of any format.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "delta.h"

static int
new_header(struct delta_header *h, const char *parent_format,
	   const struct vd_parent *parent, const struct vd_create *c,
	   struct vd_err *err)
{
	uint64_t bitmap;
	int ret;

	h->virtual_size = c->virtual_size;
	h->unit = c->unit ? (uint32_t)c->unit : DELTA_UNIT;
	h->parent = *parent;
	h->parent.expected.virtual_size = c->virtual_size;
	snprintf(h->parent.format, sizeof(h->parent.format), "%s",
		 parent_format);
	if (c->unit > DELTA_UNIT_MAX || h->unit < DELTA_UNIT_MIN ||
	    (h->unit & (h->unit - 1)))
		return vd_fail(err, EINVAL, VD_NOWHERE, "a unit of %" PRIu64
			       " bytes; a delta has a power of two from 4 KiB "
			       "to 64 MiB", c->unit);
	bitmap = (delta_units(h) + DELTA_WORD - 1) / DELTA_WORD * 8;
	h->data_off = (DELTA_BITMAP + bitmap + h->unit - 1) / h->unit *
		      h->unit;
	ret = vd_random(h->id, sizeof(h->id), err);
	return ret ? ret : vd_random(h->content, sizeof(h->content), err);
}

int
delta_create_child(struct vd_host *host, const char *path,
		   const char *parent_format, const struct vd_parent *parent,
		   const struct vd_create *c, struct vd_err *err)
{
	struct delta d = { .h.sequence = 1 };	/* the first goes to slot 0 */
	int ret;

	if (!parent->hint[0])
		return vd_fail(err, EINVAL, VD_NOWHERE,
			       "a delta needs the name of its parent");
	ret = new_header(&d.h, parent_format, parent, c, err);
	if (!ret)
		ret = vd_host_create(host, path, &d.file, err);
	/* The bitmap reads as zeros: nothing is here yet. */
	if (!ret)
		ret = vd_file_truncate(d.file, d.h.data_off, err);
	return ret ? ret : delta_put_header(&d, err);
}
