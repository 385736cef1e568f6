/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * image.c - open and close: where the descriptor is, and what it allows.
 *
 * Nothing is written here, also not by an open for writing: an image that no
 * guest wrote to stays as it was, byte by byte.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "vmdk.h"

#define GROWTH	256u	/* what a new identity may add to the text */

void
vmdk_forget_open(struct vmdk *v, bool remove)
{
	while (v->nopen) {
		struct vmdk_open *o = &v->open[--v->nopen];

		if (remove)
			vd_file_remove(o->file, NULL);
		free(o->name);
	}
	free(v->open);
	v->open = NULL;
}

static void
vmdk_free(struct vmdk *v)
{
	if (!v)
		return;
	vmdk_extents_free(v);
	vmdk_forget_open(v, false);
	pthread_mutex_destroy(&v->text_lock);
	pthread_mutex_destroy(&v->mark_lock);
	free(v->text);
	free(v->found);
	free(v->spare);
	free(v);
}

/* Where is the text, and how long may it be? */
static int
find_text(struct vmdk *v, uint64_t *len, struct vd_err *err)
{
	uint8_t raw[VMDK_HEADER_LEN];
	struct vmdk_header h;
	uint64_t size = vd_file_size(v->file);
	int ret = vd_file_read(v->file, raw, sizeof(raw), 0, err);

	if (ret)
		return ret;
	v->embedded = vmdk_header_decode(raw, &h);
	if (!v->embedded) {
		*len = size <= VMDK_DESC_MAX ? size : VMDK_DESC_MAX + 1;
		v->text_room = *len + GROWTH;
		return 0;
	}
	ret = vmdk_header_check(&h, size, err);
	if (!ret)
		ret = vmdk_header_supported(&h, err);
	v->text_off = h.desc_sector * VMDK_SECTOR;
	*len = h.desc_sector ? h.desc_sectors * VMDK_SECTOR : 0;
	if (*len > VMDK_DESC_MAX)
		*len = VMDK_DESC_MAX;
	v->text_room = *len;
	return ret;
}

static int
refuse_magic(const char *text, size_t len, const char *name,
	     struct vd_err *err)
{
	static const char sesparse[8] = "\xbe\xba\xfe\xca";

	if (len >= 4 && !memcmp(text, "COWD", 4))
		return vd_fail(err, ENOTSUP, 0, "this is one ESX sparse "
			       "(COWD) extent and holds no descriptor: open "
			       "the disk's descriptor file instead");
	if (len >= 8 && !memcmp(text, sesparse, 8))
		return vd_fail(err, ENOTSUP, 0, "this is one space-efficient "
			       "sparse extent and holds no descriptor: open "
			       "the disk's descriptor file instead");
	if (len >= 2 && !memcmp(text, "\x1f\x8b", 2)) {
		vd_fail(err, ENOTSUP, 0, "is packed by gzip: its bytes cannot "
			"be reached in any order");
		vd_err_help(err, "unpack it: vdiskadm translate -I %s -x vmdk "
			    "-d NEW.vmdk, or gzip -dc", name);
		return -ENOTSUP;
	}
	return vd_fail(err, EINVAL, 0, "neither a sparse extent nor a VMDK "
		       "descriptor");
}

static int
load_text(struct vmdk *v, struct vd_err *err)
{
	uint64_t len;
	int ret = find_text(v, &len, err);

	if (ret)
		return ret;
	v->text = calloc(1, v->text_room + 1);
	if (!v->text)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory for the "
			       "descriptor");
	ret = vd_file_read(v->file, v->text, len, v->text_off, err);
	if (ret)
		return ret;
	v->text_len = strnlen(v->text, len);
	if (!v->embedded && !vmdk_desc_looks(v->text, v->text_len))
		return refuse_magic(v->text, len, vd_file_name(v->file), err);
	if (v->text_len > VMDK_DESC_MAX)
		return vd_fail(err, EFBIG, VMDK_DESC_MAX, "descriptor is "
			       "longer than %u bytes", VMDK_DESC_MAX);
	ret = vmdk_desc_parse(v->text, v->text_len, v->text_off, &v->desc,
			      err);
	if (!ret)
		ret = vmdk_desc_supported(&v->desc, v->embedded, v->text_off,
					  err);
	return ret;
}

static void
tell(const struct vmdk *v, struct vd_image_info *info)
{
	const struct vmdk_extent *x = v->extents;

	info->virtual_size = v->size;
	if (!v->checking)
		info->flags |= VD_IMG_RDONLY;
	if (vmdk_desc_is_child(&v->desc))
		info->flags |= VD_IMG_CHILD;
	for (unsigned i = 0; i < v->nextents && !v->checking; i++) {
		if (!x[i].frozen)
			info->flags &= ~(unsigned)VD_IMG_RDONLY;
		if (x[i].h.unclean && !x[i].stream)
			info->flags |= VD_IMG_UNCLEAN;
		if (!info->unit && vmdk_has_tables(&x[i]))
			info->unit = x[i].grain;
	}
	snprintf(info->variant, sizeof(info->variant), "%s",
		 vmdk_variant(v->embedded && !v->checking ? &x->h : NULL, &v->desc));
}

/*
 * To be checked, be it a VMDK or not: what is wrong is kept.  Whose files the
 * text names is known also where it has a flaw: a repair is put back into them.
 */
static int
load_damaged(struct vmdk *v, struct vd_err *err)
{
	int ret = load_text(v, &v->flaw);
	bool named = !v->flaw.code || (v->text && !v->embedded &&
				       v->flaw.code != ENOTSUP);

	if (ret == -ENOMEM)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	v->size = v->desc.sectors * VMDK_SECTOR;
	return named ? vmdk_extents_files(v, err) : 0;
}

int
vmdk_open(struct vd_host *host, struct vd_file *file, unsigned flags,
	  struct vd_image_info *info, void **img, struct vd_err *err)
{
	struct vmdk *v = calloc(1, sizeof(*v));
	int ret;

	if (!v)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	pthread_mutex_init(&v->text_lock, NULL);
	pthread_mutex_init(&v->mark_lock, NULL);
	v->host = host;
	v->file = file;
	v->rdonly = flags & VD_OPEN_RDONLY;
	v->checking = flags & VD_OPEN_CHECK;
	ret = v->checking ? load_damaged(v, err) : load_text(v, err);
	if (!ret && !v->checking)
		ret = vmdk_extents_open(v, err);
	if (ret) {
		vd_err_file(err, vd_file_name(file));
		vmdk_free(v);
		return ret;
	}
	tell(v, info);
	*img = v;
	return 0;
}

/* What it is cannot be told any more: better no access than a wrong one. */
void
vmdk_shut(struct vmdk *v, uint64_t size)
{
	struct vmdk_extent *x = v->spare;

	v->spare = NULL;
	vmdk_extents_free(v);
	v->extents = x;
	v->nextents = 1;
	v->size = size;
	*x = (struct vmdk_extent){ .kind = VMDK_OTHER, .frozen = true,
				   .access = VMDK_NOACCESS, .len = size };
}

int
vmdk_keep_open(struct vmdk *v, struct vmdk_str name, struct vd_file *file,
	       struct vd_err *err)
{
	struct vmdk_open *more = realloc(v->open, (v->nopen + 1) *
					 sizeof(*more));
	char *copy = strndup(name.p ? name.p : "", name.n);

	if (more)
		v->open = more;
	if (!more || !copy) {
		free(copy);
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	}
	more[v->nopen++] = (struct vmdk_open){ copy, file };
	return 0;
}

int
vmdk_reload(struct vmdk *v, struct vd_err *err)
{
	uint64_t size = v->size;
	int ret = 0;

	for (unsigned i = 0; i < v->nextents && !ret; i++)
		if (v->extents[i].file)
			ret = vmdk_keep_open(v, v->extents[i].name,
					     v->extents[i].file, err);
	vmdk_extents_free(v);
	v->extents = NULL;
	v->nextents = 0;
	v->size = 0;
	if (!ret) {
		free(v->text);
		v->text = NULL;
		ret = load_text(v, err);
	}
	if (!ret)
		ret = vmdk_extents_open(v, err);
	vmdk_forget_open(v, false);
	if (ret)
		vmdk_shut(v, size);
	return ret;
}

int
vmdk_close(void *img, struct vd_err *err)
{
	struct vmdk *v = img;
	int ret = v->marked ? vmdk_mark_clean(v, err) : 0;

	vmdk_free(v);
	return ret;
}
