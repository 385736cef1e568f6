/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * resize.c - a longer or a shorter disk in one sparse or one flat file.
 *
 * What the new disk needs is prepared where the old one does not look; then
 * one write makes the old disk the new one, and what is left of the old is
 * cleared away.  Cut short before that write nothing has happened but a leak,
 * behind it all that matters has.
 *
 * Sparse: the header, one sector, names capacity, directories and the place
 * of the text, so one write of it changes all of them (rewrite.c).  New tables,
 * and directories that have outgrown their sectors, lie at the end of the file.
 * Flat: the file is longer before the descriptor says so, and shorter after.
 *
 * A child may grow over its parent, which keeps its size: a line of the child's
 * text says what that is, so that a parent of another size is still noticed.
 * One that was made shorter than its parent cannot grow: what the parent has
 * there would come back.
 *
 * What would be is read before it is written, and where a write fails the old
 * disk is put back: an open image is the old one or the new one, too.
 *
 * Nothing else may be under way on the image.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "vmdk.h"

#define ENTRIES	(VMDK_SECTOR / 4)	/* of a directory, in a sector */

/* ------------------------------------------------------------------ text */

/* As compose.c has it; whoever set heads and sectors wants them kept. */
static int
set_cylinders(const struct vmdk *v, char *text, size_t *len, size_t room,
	      uint64_t sectors, struct vd_err *err)
{
	const struct vmdk_desc *d = &v->desc;
	uint64_t heads, spt, n, most;
	char word[24];

	if (!d->cylinders.n || !vmdk_take_decimal(d->heads, &heads) ||
	    !vmdk_take_decimal(d->spt, &spt) || !heads || !spt ||
	    heads > 255 || spt > 63)
		return 0;
	most = heads == 16 && spt == 63 ? 16383 : 65535;
	n = sectors / (heads * spt);
	n = n > most ? most : n ? n : 1;
	snprintf(word, sizeof(word), "%" PRIu64, n);
	return vmdk_desc_set(text, len, room, "ddb.geometry.cylinders", word,
			     true, err);
}

/* A child remembers how large its parent is. */
static int
set_parent_size(const struct vmdk *v, char *text, size_t *len, size_t room,
		struct vd_err *err)
{
	char word[24];

	if (!vmdk_desc_is_child(&v->desc) || v->desc.parent_sectors)
		return 0;
	snprintf(word, sizeof(word), "%" PRIu64, v->size / VMDK_SECTOR);
	return vmdk_desc_set(text, len, room, VMDK_PARENT_SECTORS, word, true,
			     err);
}

/* The text of the disk as it is going to be, its extents still the old ones. */
int
vmdk_resize_text(const struct vmdk *v, size_t room, uint64_t sectors,
		 char **out, size_t *len, struct vd_err *err)
{
	char *text = calloc(1, room + 1);
	int ret;

	if (!text)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	memcpy(text, v->text, v->text_len);
	*len = v->text_len;
	ret = set_cylinders(v, text, len, room, sectors, err);
	if (!ret)
		ret = set_parent_size(v, text, len, room, err);
	if (ret)
		free(text);
	else
		*out = text;
	return ret;
}

int
vmdk_rehearse_text(const struct vmdk *v, const char *text, size_t len,
		   struct vd_err *err)
{
	struct vmdk_desc d;
	int ret = vmdk_desc_parse(text, len, v->text_off, &d, err);

	return ret ? ret : vmdk_desc_supported(&d, v->embedded, v->text_off,
					       err);
}

/* The only extent gets another length. */
static int
new_text(const struct vmdk *v, uint64_t sectors, char **text, size_t *len,
	 struct vd_err *err)
{
	int ret = vmdk_resize_text(v, v->text_room, sectors, text, len, err);

	if (ret)
		return ret;
	ret = vmdk_desc_set_extent(*text, len, v->text_room, 0, sectors, err);
	if (!ret)
		ret = vmdk_rehearse_text(v, *text, *len, err);
	if (ret)
		free(*text);
	return ret;
}

/* --------------------------------------------------------- sparse: longer */

struct plan {
	struct vmdk_header h;		/* as it is going to be */
	uint32_t	tables;		/* in all */
	uint64_t	end;		/* sector: where the next thing goes */
};

/*
 * What the disk did not reach of its last grain, and of its last table, becomes
 * visible: whatever other writers left there, it must be zeros.
 */
static int
clear_grain(struct vmdk_extent *x, struct vd_err *err)
{
	uint64_t used = x->len % x->grain;
	struct vd_extent e;
	int ret;

	if (!used)
		return 0;
	ret = vmdk_sparse_map(x, x->len - used, used, &e, err);
	if (ret || e.kind != VD_EXT_DATA)
		return ret;
	if (vd_file_size(x->file) < e.host_off + x->grain)
		ret = vd_file_truncate(x->file, e.host_off + x->grain, err);
	return ret ? ret : vd_file_punch(x->file, e.host_off + used, x->grain -
					 used, err);
}

static int
clear_entries(struct vmdk_extent *x, struct vd_err *err)
{
	uint64_t used = (x->len + x->grain - 1) / x->grain -
			(uint64_t)(x->ntables - 1) * x->h.gtes;
	uint32_t last[2] = { x->gd[x->ntables - 1],
			     x->rgd ? x->rgd[x->ntables - 1] : 0 };
	uint8_t zeros[VMDK_GTES_MAX * 4] = { 0 };
	int ret = 0;

	for (int i = 0; i < 2 && !ret && used < x->h.gtes; i++)
		if (last[i])
			ret = vd_file_write(x->file, zeros, (x->h.gtes - used) *
					    4, (uint64_t)last[i] * VMDK_SECTOR +
					    used * 4, err);
	return ret;
}

/* Its entries from the old disk's end on, or all of them in a new place. */
static int
write_directory(struct vmdk_extent *x, struct plan *p, uint64_t *where,
		const uint32_t *old, uint64_t tables, struct vd_err *err)
{
	uint32_t gt = vmdk_gt_sectors(&x->h), from = x->ntables, i;
	uint64_t had = (x->ntables + ENTRIES - 1) / ENTRIES * ENTRIES;
	uint32_t *d = calloc(p->tables, sizeof(*d));
	int ret;

	if (!d)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	if (p->tables > had) {
		from = 0;
		*where = p->end;
		p->end += (p->tables + ENTRIES - 1) / ENTRIES;
	}
	for (i = 0; i < p->tables; i++)
		d[i] = htole32(i < x->ntables ? old[i] : (uint32_t)(tables +
			       (uint64_t)(i - x->ntables) * gt));
	ret = vd_file_write(x->file, d + from, (size_t)(p->tables - from) * 4,
			    *where * VMDK_SECTOR + (uint64_t)from * 4, err);
	free(d);
	return ret;
}

/* Both copies of the tables that are missing, as holes, and who names them. */
static int
add_tables(struct vmdk_extent *x, struct plan *p, struct vd_err *err)
{
	uint64_t n = (uint64_t)(p->tables - x->ntables) *
		     vmdk_gt_sectors(&x->h);
	uint64_t first = (vd_file_size(x->file) + VMDK_SECTOR - 1) /
			 VMDK_SECTOR;
	int ret;

	if (!n)
		return 0;
	p->end = first + n * (x->rgd ? 2 : 1);
	if (p->end + 2 * (p->tables / ENTRIES + 1) >= VMDK_FILE_SECTORS_MAX)
		return vd_fail(err, ENOSPC, VD_NOWHERE, "the extent file is "
			       "too long for the tables of so large a disk");
	ret = vd_file_truncate(x->file, p->end * VMDK_SECTOR, err);
	if (!ret)
		ret = write_directory(x, p, &p->h.gd_sector, x->gd, first,
				      err);
	if (!ret && x->rgd)
		ret = write_directory(x, p, &p->h.rgd_sector, x->rgd,
				      first + n, err);
	return ret;
}

static int
prepare_longer(struct vmdk_extent *x, struct plan *p, struct vd_err *err)
{
	int ret = clear_grain(x, err);

	if (!ret)
		ret = clear_entries(x, err);
	if (!ret)
		ret = add_tables(x, p, err);
	return ret ? ret : vd_file_sync(x->file, err);
}

/* -------------------------------------------------------- sparse: shorter */

/*
 * The header says that the disk ends before them: entries that nobody looks at
 * any more.  A power cut leaves them, as some writers always do.
 */
int
vmdk_forget_behind(struct vmdk_extent *x, uint64_t len, struct vd_err *err)
{
	uint64_t grains = (x->len + x->grain - 1) / x->grain, value;
	uint64_t g = (len + x->grain - 1) / x->grain;
	bool sane;
	int ret = 0;

	for (; g < grains && !ret; g++) {
		if (!x->gd[g / x->h.gtes])
			continue;
		ret = vd_table_get(x->table, g, &value, err);
		if (ret || !value)
			continue;
		sane = value > 1 && !vmdk_pointer_wrong(x, value, 1);
		ret = vd_table_set(x->table, g, 0, err);
		pthread_mutex_lock(&x->lock);
		if (!ret && sane)
			vmdk_room_hold(x, g, (uint32_t)value);
		pthread_mutex_unlock(&x->lock);
		if (!ret && vd_table_dirty(x->table) >= 8192)
			ret = vmdk_room_sync(x, err);
	}
	if (!ret)
		ret = vmdk_room_sync(x, err);
	return ret ? ret : vmdk_room_trim(x, err);
}

static int
check_size(const struct vmdk_extent *x, uint64_t sectors, struct vd_err *err)
{
	struct vmdk_header h = x->h;
	int ret;

	h.capacity = sectors;
	if (sectors <= VMDK_FILE_SECTORS_MAX &&
	    vmdk_header_tables(&h) <= VMDK_GD_MAX)
		return 0;
	ret = vd_fail(err, EFBIG, VD_NOWHERE, "a sparse VMDK cannot hold so "
		      "much");
	vd_err_help(err, "translate the disk into vmdk:fixed or vdi");
	return ret;
}

/* It has failed: what was written is the old disk's again, if that can be. */
static void
put_back(struct vmdk *v, const struct vmdk_header *old, uint64_t file_size)
{
	struct vmdk_extent *x = &v->extents[0];

	if (memcmp(&x->h, old, sizeof(*old)) &&
	    vmdk_write_both(v, v->text, old, NULL)) {
		vmdk_shut(v, v->size);
		return;
	}
	if (vd_file_size(x->file) > file_size && !vmdk_text_is_away(v))
		vd_file_truncate(x->file, file_size, NULL);
}

static int
resize_sparse(struct vmdk *v, uint64_t sectors, struct vd_err *err)
{
	struct vmdk_extent *x = &v->extents[0];
	struct vmdk_header old = x->h;
	uint64_t size = vd_file_size(x->file);
	bool longer = sectors * VMDK_SECTOR > x->len;
	struct plan p = { .h = x->h };
	char *text = NULL;
	size_t len;
	int ret = check_size(x, sectors, err);

	if (!ret)
		ret = new_text(v, sectors, &text, &len, err);
	if (ret)
		return ret;
	p.h.capacity = sectors;
	p.tables = (uint32_t)vmdk_header_tables(&p.h);
	if (longer)
		ret = prepare_longer(x, &p, err);
	if (!ret)
		ret = vmdk_sparse_rehearse(v, x, &p.h, sectors, err);
	if (!ret)
		ret = vmdk_write_both(v, text, &p.h, err);	/* the moment */
	if (!ret && !longer)
		ret = vmdk_forget_behind(x, sectors * VMDK_SECTOR, err);
	if (ret)
		put_back(v, &old, size);
	free(text);
	return ret;
}

/* ------------------------------------------------------------------ flat */

static int
flat_longer(struct vmdk_extent *x, uint64_t len, struct vd_err *err)
{
	uint64_t from = x->file_off + x->len, to = x->file_off + len;
	int ret;

	if (to > INT64_MAX)
		return vd_fail(err, EFBIG, VD_NOWHERE, "too long for a file");
	if (vd_file_is_block(x->file))
		return vd_fail(err, ENOTSUP, VD_NOWHERE, "a device has the "
			       "size it has");
	/* Left by a run that was cut short, or by another program. */
	ret = vd_file_punch(x->file, from, len - x->len, err);
	if (!ret && vd_file_size(x->file) < to)
		ret = vd_file_truncate(x->file, to, err);
	return ret ? ret : vd_file_sync(x->file, err);
}

static int
resize_flat(struct vmdk *v, uint64_t sectors, struct vd_err *err)
{
	struct vmdk_extent *x = &v->extents[0];
	uint64_t len = sectors * VMDK_SECTOR, n;
	bool longer = len > x->len;
	char *text = NULL;
	int ret = new_text(v, sectors, &text, &n, err);

	if (ret)
		return ret;
	if (longer)
		ret = flat_longer(x, len, err);
	if (!ret)
		ret = vmdk_write_text(v, text, n, err);		/* the moment */
	/* What is left of it then is room that no one uses. */
	if (!ret && !longer && !vd_file_is_block(x->file))
		vd_file_truncate(x->file, x->file_off + len, NULL);
	free(text);
	return ret;
}

/* ------------------------------------------------------------- all of them */

static int
refuse(const struct vmdk *v, struct vd_err *err)
{
	const struct vmdk_extent *x = v->extents;
	const char *name = vmdk_variant(v->embedded ? &x->h : NULL, &v->desc);
	int ret = vd_fail(err, ENOTSUP, VD_NOWHERE, "%s images cannot be "
			  "resized", name);

	vd_err_help(err, "translate it: `vdiskadm translate -I %s -x vmdk -d "
		    "NEW.vmdk`", vd_file_name(v->file));
	return ret;
}

static int
check_child(const struct vmdk *v, uint64_t sectors, struct vd_err *err)
{
	uint64_t now = v->size / VMDK_SECTOR;
	int ret;

	if (!vmdk_desc_is_child(&v->desc) || sectors <= now ||
	    v->desc.parent_sectors <= now)
		return 0;
	ret = vd_fail(err, ENOTSUP, VD_NOWHERE, "is shorter than its parent: "
		      "what the parent has behind its end would come back");
	vd_err_help(err, "`vdiskadm clone %s NEW.vmdk` makes a disk that can "
		    "grow", vd_file_name(v->file));
	return ret;
}

static bool
is_split(const struct vmdk *v)
{
	const struct vmdk_type *t = vmdk_type_find(v->desc.create_type);

	return !v->embedded && t && !strncmp(t->name, "twoGbMaxExtent", 14);
}

/* Before anything is changed: nothing is given up for a resize that is not. */
static int
check_kind(const struct vmdk *v, struct vd_err *err)
{
	const struct vmdk_type *t = vmdk_type_find(v->desc.create_type);
	enum vmdk_kind kind = t && !v->embedded ? t->kind : VMDK_SPARSE;
	bool whole = !t || t->kind != VMDK_COWD;

	for (unsigned i = 0; i < v->nextents; i++)
		whole = whole && !v->extents[i].frozen &&
			v->extents[i].kind == kind;
	if (!v->embedded && !is_split(v))
		whole = whole && v->nextents == 1 && kind == VMDK_FLAT;
	return whole ? 0 : refuse(v, err);
}

static int
resize(struct vmdk *v, uint64_t sectors, struct vd_err *err)
{
	bool flat = v->extents[0].kind == VMDK_FLAT;

	if (v->embedded)
		return resize_sparse(v, sectors, err);
	return is_split(v) ? vmdk_resize_split(v, sectors, flat, err)
			   : resize_flat(v, sectors, err);
}

int
vmdk_resize(void *img, uint64_t virtual_size, struct vd_err *err)
{
	struct vmdk *v = img;
	int ret;

	if (v->rdonly)
		return vd_fail(err, EROFS, VD_NOWHERE, "is open to be read "
			       "only");
	ret = check_kind(v, err);
	if (ret || virtual_size == v->size)
		return ret;
	if (!virtual_size || virtual_size % VMDK_SECTOR ||
	    virtual_size / VMDK_SECTOR > VMDK_SECTORS_MAX)
		return vd_fail(err, EINVAL, VD_NOWHERE, "%" PRIu64 " bytes is "
			       "not a size for a disk", virtual_size);
	ret = check_child(v, virtual_size / VMDK_SECTOR, err);
	if (!ret && !v->spare && !(v->spare = calloc(1, sizeof(*v->spare))))
		ret = vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	if (!ret)
		ret = vmdk_mark(v, err);
	if (!ret)
		ret = vmdk_sync(v, err);
	for (unsigned i = 0; i < v->nextents && !ret; i++)
		if (vmdk_has_tables(&v->extents[i]))
			ret = vmdk_give_back(&v->extents[i], err);
	if (!ret)
		ret = resize(v, virtual_size / VMDK_SECTOR, err);
	return ret ? ret : vmdk_reload(v, err);
}
