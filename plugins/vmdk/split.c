/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * split.c - a longer or a shorter disk of several files.
 *
 * Longer: new parts, whole and durable, and then a new descriptor that lists
 * them.  The parts that are there stay as they are.  Parts that a run made and
 * did not live to list are found by the next one, empty, and made again.
 *
 * Shorter: a new descriptor, then the rest.  A sparse part that is cut has a
 * header of its own; until it has followed, a line of the descriptor says that
 * its capacity may be more than is listed (VMDK_RESIZING).  Cut short there,
 * the next session that writes brings it to its end.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "vmdk.h"

#define LINE_ROOM	(VD_NAME_MAX + 64)

/* ------------------------------------------------------------ names of parts */

struct series {			/* NAME-s001.vmdk, NAME-s002.vmdk ... */
	char		base[VD_NAME_MAX];
	unsigned	next;
	char		kind;
};

static bool
digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The last part's name without its number; else the disk's own. */
static void
find_series(const struct vmdk *v, bool flat, struct series *s)
{
	const char *path = vd_file_name(v->file), *slash = strrchr(path, '/');
	size_t n;

	s->kind = flat ? 'f' : 's';
	s->next = v->nextents + 1;
	vmdk_str_copy(v->extents[v->nextents - 1].name, s->base,
		      sizeof(s->base));
	n = strlen(s->base);
	n = n > 5 && s->base[n - 5] == '.' ? n - 5 : 0;
	while (n && digit(s->base[n - 1]))
		n--;
	if (n > 2 && s->base[n - 1] == s->kind && s->base[n - 2] == '-') {
		s->base[n - 2] = '\0';
		return;
	}
	snprintf(s->base, sizeof(s->base), "%s", slash ? slash + 1 : path);
	n = strlen(s->base);
	if (n > 5 && vmdk_str_is((struct vmdk_str){ s->base + n - 5, 5 },
				 ".vmdk"))
		s->base[n - 5] = '\0';
}

static bool
is_listed(const struct vmdk *v, const char *name)
{
	for (unsigned i = 0; i < v->nextents; i++)
		if (v->extents[i].name.n == strlen(name) &&
		    !memcmp(v->extents[i].name.p, name, strlen(name)))
			return true;
	return false;
}

static int
next_name(const struct vmdk *v, struct series *s, char *name, size_t len,
	  struct vd_err *err)
{
	do {
		if ((size_t)snprintf(name, len, "%s-%c%03u.vmdk", s->base,
				     s->kind, s->next++) >= len)
			return vd_fail(err, ENAMETOOLONG, VD_NOWHERE,
				       "the name of a part is too long");
	} while (is_listed(v, name));
	return 0;
}

/* ----------------------------------------------------------------- longer */

static bool
all_hole(struct vd_file *f, uint64_t from)
{
	uint64_t size = vd_file_size(f), len;
	bool hole = true;

	for (; from < size && hole; from += len) {
		len = size - from;
		if (vd_file_run(f, from, &len, &hole, NULL))
			return false;
	}
	return hole;
}

/* A part that an earlier run did not live to list holds nothing. */
static bool
is_left_over(struct vd_file *f, bool flat, uint64_t bytes, uint64_t grain)
{
	uint8_t raw[VMDK_HEADER_LEN], none[VMDK_HEADER_LEN] = { 0 };
	struct vmdk_header h;

	if (flat)
		return all_hole(f, 0);
	vmdk_header_layout_part(&h, bytes / VMDK_SECTOR, grain / VMDK_SECTOR);
	if (vd_file_size(f) > h.overhead * VMDK_SECTOR ||
	    vd_file_read(f, raw, sizeof(raw), 0, NULL))
		return false;
	return !memcmp(raw, none, sizeof(raw)) || vmdk_header_decode(raw, &h);
}

static int
make_part(struct vmdk *v, const char *name, bool flat, uint64_t bytes,
	  struct vd_err *err)
{
	const char *path = vd_file_name(v->file), *slash = strrchr(path, '/');
	uint64_t grain = v->extents[0].grain;
	struct vd_err no = { 0 };
	char whole[2 * VD_NAME_MAX];
	struct vd_file *f;
	int ret;

	snprintf(whole, sizeof(whole), "%.*s%s", slash
		 ? (int)(slash + 1 - path) : 0, path, name);
	ret = vd_host_create(v->host, whole, &f, &no);
	if (ret == -EEXIST) {
		ret = vd_host_open(v->host, name, 0, &f, err);
		if (!ret && !is_left_over(f, flat, bytes, grain))
			ret = vd_fail(err, EEXIST, VD_NOWHERE, "exists, holds "
				      "something and is no part of the disk");
		if (!ret)
			ret = vd_file_truncate(f, 0, err);
	} else if (ret && err && !err->code) {
		*err = no;
	}
	if (!ret)
		ret = flat ? vd_file_truncate(f, bytes, err)
			   : vmdk_write_part(f, bytes, grain, err);
	if (!ret)
		ret = vd_file_sync(f, err);
	if (!ret)
		ret = vmdk_keep_open(v, (struct vmdk_str){ name, strlen(name) },
				     f, err);
	if (ret)
		vd_err_file(err, whole);
	return ret;
}

/* Parts for what is behind the old end, and their lines. */
static int
longer(struct vmdk *v, uint64_t sectors, bool flat, char *text, size_t *len,
       size_t room, struct vd_err *err)
{
	uint64_t left = sectors - v->size / VMDK_SECTOR, n;
	unsigned parts = v->nextents;
	char name[VD_NAME_MAX], line[LINE_ROOM];
	struct series s;
	int ret = 0;

	for (find_series(v, flat, &s); left && !ret; left -= n) {
		n = left < VMDK_PART ? left : VMDK_PART;
		if (++parts > VMDK_EXTENTS_MAX)
			return vd_fail(err, EFBIG, VD_NOWHERE, "a split VMDK "
				       "cannot have more than %u parts",
				       VMDK_EXTENTS_MAX);
		ret = next_name(v, &s, name, sizeof(name), err);
		if (!ret)
			ret = make_part(v, name, flat, n * VMDK_SECTOR, err);
		snprintf(line, sizeof(line), "RW %" PRIu64 " %s \"%s\"%s\n", n,
			 flat ? "FLAT" : "SPARSE", name, flat ? " 0" : "");
		if (!ret)
			ret = vmdk_desc_add_extent(text, len, room, line, err);
	}
	if (!ret)
		ret = vmdk_rehearse_text(v, text, *len, err);
	return ret ? ret : vd_file_rewrite(v->file, text, *len, err);
}

/* ---------------------------------------------------------------- shorter */

/* The number of parts that stay; *rest: sectors of the last of them. */
static unsigned
parts_left(const struct vmdk *v, uint64_t sectors, uint64_t *rest)
{
	unsigned i = 0;

	for (*rest = sectors; *rest * VMDK_SECTOR > v->extents[i].len; i++)
		*rest -= v->extents[i].len / VMDK_SECTOR;
	return i + 1;
}

static int
shorter_text(struct vmdk *v, unsigned parts, uint64_t rest, char *text,
	     size_t *len, size_t room, struct vd_err *err)
{
	int ret = 0;

	for (unsigned i = v->nextents; i-- > parts && !ret; )
		ret = vmdk_desc_set_extent(text, len, room, i, 0, err);
	if (!ret)
		ret = vmdk_desc_set_extent(text, len, room, parts - 1, rest,
					   err);
	return ret;
}

/* The descriptor has been told: the last part follows, the others go. */
static int
cut_parts(struct vmdk *v, unsigned parts, uint64_t rest, bool flat,
	  struct vd_err *err)
{
	struct vmdk_extent *x = &v->extents[parts - 1];
	struct vmdk_header h = x->h;
	uint64_t len = rest * VMDK_SECTOR;
	int ret = 0;

	h.capacity = rest;
	if (flat && len < x->len)
		vd_file_truncate(x->file, x->file_off + len, NULL);
	if (!flat && len < x->len) {
		ret = vmdk_write_header(x, &h, err);
		if (!ret)
			ret = vmdk_forget_behind(x, len, err);
	}
	/* One that stays is in nobody's way, but for a disk that grows again. */
	for (unsigned i = parts; i < v->nextents && !ret; i++)
		vd_file_remove(v->extents[i].file, NULL);
	return ret;
}

/* It has failed before a part was gone: the old disk again. */
static void
put_back(struct vmdk *v, struct vmdk_extent *x, const struct vmdk_header *old)
{
	int ret = 0;

	if (vmdk_has_tables(x) && memcmp(&x->h, old, sizeof(*old)))
		ret = vmdk_write_header(x, old, NULL);
	if (!ret)
		ret = vd_file_rewrite(v->file, v->text, v->text_len, NULL);
	if (ret)
		vmdk_shut(v, v->size);
}

/* The text that bears with what cut_parts() has not come to. */
static int
write_meanwhile(struct vmdk *v, const char *final, size_t len,
		struct vd_err *err)
{
	size_t room = len + 64;
	char *text = calloc(1, room + 1);
	int ret;

	if (!text)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	memcpy(text, final, len);
	ret = vmdk_desc_set(text, &len, room, VMDK_RESIZING, "1", true, err);
	if (!ret)
		ret = vd_file_rewrite(v->file, text, len, err);
	free(text);
	return ret;
}

static int
rehearse_cut(const struct vmdk *v, const struct vmdk_extent *x, uint64_t rest,
	     bool flat, const char *text, size_t len, struct vd_err *err)
{
	struct vmdk_header h = x->h;
	int ret = vmdk_rehearse_text(v, text, len, err);

	h.capacity = rest;
	if (!ret && !flat && rest * VMDK_SECTOR < x->len)
		ret = vmdk_sparse_rehearse(v, x, &h, rest, err);
	return ret;
}

static int
shorter(struct vmdk *v, uint64_t sectors, bool flat, char *text, size_t *len,
	size_t room, struct vd_err *err)
{
	uint64_t rest;
	unsigned parts = parts_left(v, sectors, &rest);
	struct vmdk_extent *last = &v->extents[parts - 1];
	struct vmdk_header old = last->h;
	int ret = shorter_text(v, parts, rest, text, len, room, err);

	if (!ret)
		ret = rehearse_cut(v, last, rest, flat, text, *len, err);
	if (ret)
		return ret;
	ret = flat ? vd_file_rewrite(v->file, text, *len, err)
		   : write_meanwhile(v, text, *len, err);
	if (!ret)
		ret = cut_parts(v, parts, rest, flat, err);
	if (ret)
		put_back(v, last, &old);
	else if (!flat)		/* or the next session does */
		vd_file_rewrite(v->file, text, *len, NULL);
	return ret;
}

/* ------------------------------------------------------------------- both */

int
vmdk_resize_split(struct vmdk *v, uint64_t sectors, bool flat,
		  struct vd_err *err)
{
	size_t room = VMDK_DESC_MAX, len;
	char *text;
	int ret = vmdk_resize_text(v, room, sectors, &text, &len, err);

	if (ret)
		return ret;
	ret = sectors * VMDK_SECTOR > v->size
		? longer(v, sectors, flat, text, &len, room, err)
		: shorter(v, sectors, flat, text, &len, room, err);
	if (ret)
		vmdk_forget_open(v, true);
	free(text);
	return ret;
}

/* Headers that a run did not live to cut; the text follows in begin_write. */
int
vmdk_resize_finish(struct vmdk *v, struct vd_err *err)
{
	int ret = 0;

	for (unsigned i = 0; i < v->nextents && v->desc.resizing && !ret; i++) {
		struct vmdk_extent *x = &v->extents[i];
		struct vmdk_header h = x->h;

		h.capacity = x->len / VMDK_SECTOR;
		if (vmdk_has_tables(x) && x->kind == VMDK_SPARSE &&
		    x->h.capacity > h.capacity)
			ret = vmdk_write_header(x, &h, err);
	}
	return ret;
}
