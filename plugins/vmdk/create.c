/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * create.c - new images: sparse and flat, in one file or split, and children.
 *
 * All grain tables exist from the start, in both copies: VMware cannot use
 * images without, and QEMU destroys them.  They are holes of the host file and
 * cost nothing.  What makes the files an image is written last: the header of
 * a single one, the descriptor of several.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "vmdk.h"

#define EMBEDDED_ROOM	10240u		/* 20 sectors, as everybody has it */
#define COMMENT_MAX	1024u
#define GRAIN_USUAL	65536u
#define GRAIN_LEAST	VMDK_SECTOR
#define GRAIN_MOST	(1u << 20)

static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* The descriptor knows no way to quote a quote. */
int
vmdk_check_name(const char *path, const struct vd_create *c,
		struct vd_err *err)
{
	const char *p;

	if (c->comment && strlen(c->comment) > COMMENT_MAX)
		return vd_fail(err, EINVAL, VD_NOWHERE, "the comment is longer "
			       "than %u bytes", COMMENT_MAX);

	for (p = base_name(path); *p; p++)
		if (*p == '"' || (unsigned char)*p < ' ')
			return vd_fail(err, EINVAL, VD_NOWHERE, "the name of "
				       "a VMDK cannot hold quotes or control "
				       "characters");
	return 0;
}

/* Entry i of a directory: its tables follow it. */
static int
write_directory(struct vd_file *f, const struct vmdk_header *h,
		uint64_t sector, struct vd_err *err)
{
	uint32_t n = (uint32_t)vmdk_header_tables(h), i;
	uint64_t first = sector + ((uint64_t)n * 4 + VMDK_SECTOR - 1) /
			 VMDK_SECTOR;
	uint32_t *d = calloc(n, sizeof(*d));
	int ret;

	if (!d)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	for (i = 0; i < n; i++)
		d[i] = htole32((uint32_t)(first + (uint64_t)i *
					  vmdk_gt_sectors(h)));
	ret = vd_file_write(f, d, (size_t)n * 4, sector * VMDK_SECTOR, err);
	free(d);
	return ret;
}

/* text: NULL for a part of a split disk. */
static int
write_sparse(struct vd_file *f, const struct vmdk_header *h,
	     const struct vmdk_text *text, struct vd_err *err)
{
	uint8_t raw[VMDK_HEADER_LEN];
	int ret = vd_file_truncate(f, h->overhead * VMDK_SECTOR, err);

	if (!ret && text)
		ret = vd_file_write(f, text->buf, text->len,
				    h->desc_sector * VMDK_SECTOR, err);
	if (!ret)
		ret = write_directory(f, h, h->rgd_sector, err);
	if (!ret)
		ret = write_directory(f, h, h->gd_sector, err);
	if (!ret)
		ret = vd_file_sync(f, err);
	vmdk_header_encode(h, raw);
	return ret ? ret : vd_file_write(f, raw, sizeof(raw), 0, err);
}

static int
check_sparse(uint64_t size, bool split, uint64_t grain, struct vd_err *err)
{
	int ret;

	if (grain < GRAIN_LEAST || grain > GRAIN_MOST || (grain & (grain - 1)))
		return vd_fail(err, EINVAL, VD_NOWHERE, "a grain of %" PRIu64
			       " bytes is not a power of two from 512 to "
			       "1 MiB", grain);
	if (!split && size / grain / VMDK_GTES_MAX >= VMDK_GD_MAX)
		return vd_fail(err, EFBIG, VD_NOWHERE, "so large a disk needs "
			       "larger grains than %" PRIu64 " bytes", grain);
	if (split || size <= VMDK_FILE_SECTORS_MAX * VMDK_SECTOR)
		return 0;
	ret = vd_fail(err, EFBIG, VD_NOWHERE, "a sparse VMDK cannot hold more "
		      "than 2 TiB");
	vd_err_help(err, "vmdk:fixed or vdi can");
	return ret;
}

/* Of a disk in parts, none of which is too large. */
int
vmdk_check_grain(const struct vd_create *c, struct vd_err *err)
{
	return check_sparse(c->virtual_size, true, c->unit ? c->unit
			    : GRAIN_USUAL, err);
}

static int
create_sparse(struct vd_host *host, const char *path,
	      const struct vd_create *c, const struct vmdk_link *up,
	      struct vd_err *err)
{
	uint64_t grain = c->unit ? c->unit : GRAIN_USUAL;
	char line[VD_NAME_MAX + 64];
	struct vmdk_header h;
	struct vmdk_text t;
	struct vd_file *f;
	int ret = check_sparse(c->virtual_size, false, grain, err);

	if (!ret)
		ret = vmdk_text_new(&t, EMBEDDED_ROOM, err);
	if (ret)
		return ret;
	vmdk_header_layout(&h, c->virtual_size / VMDK_SECTOR,
			   grain / VMDK_SECTOR);
	snprintf(line, sizeof(line), "RW %" PRIu64 " SPARSE \"%s\"\n",
		 h.capacity, base_name(path));
	ret = vmdk_compose(&t, "monolithicSparse", line, up, c, err);
	if (!ret)
		ret = vd_host_create(host, path, &f, err);
	if (!ret)
		ret = write_sparse(f, &h, &t, err);
	free(t.buf);
	return ret;
}

/* X.vmdk keeps its data in X-flat.vmdk, or in X-s001.vmdk and so on. */
int
vmdk_part_path(const char *path, const char *tail, char *buf, size_t len,
	       struct vd_err *err)
{
	size_t n = strlen(path);

	if (strlen(base_name(path)) > 5 && !strcasecmp(path + n - 5, ".vmdk"))
		n -= 5;
	if ((size_t)snprintf(buf, len, "%.*s-%s.vmdk", (int)n, path, tail) >=
	    len)
		return vd_fail(err, ENAMETOOLONG, VD_NOWHERE,
			       "the path is too long");
	return 0;
}

static int
create_flat_part(struct vd_host *host, const char *path, uint64_t bytes,
		 bool fixed, struct vd_err *err)
{
	struct vd_file *f;
	int ret = vd_host_create(host, path, &f, err);

	if (!ret)
		ret = vd_file_truncate(f, bytes, err);
	if (!ret && fixed)
		ret = vd_file_reserve(f, 0, bytes, err);
	return ret;
}

int
vmdk_write_part(struct vd_file *f, uint64_t bytes, uint64_t grain,
		struct vd_err *err)
{
	struct vmdk_header h;

	vmdk_header_layout_part(&h, bytes / VMDK_SECTOR, grain / VMDK_SECTOR);
	return write_sparse(f, &h, NULL, err);
}

static int
create_sparse_part(struct vd_host *host, const char *path, uint64_t bytes,
		   uint64_t grain, struct vd_err *err)
{
	struct vd_file *f;
	int ret = vd_host_create(host, path, &f, err);

	return ret ? ret : vmdk_write_part(f, bytes, grain, err);
}

/* Part i of n (from 0), and its line. */
int
vmdk_create_part(struct vd_host *host, const char *path,
		 const struct vd_create *c, bool flat, unsigned i,
		 uint64_t bytes, struct vmdk_text *lines, struct vd_err *err)
{
	char part[VD_NAME_MAX], tail[16];
	int ret;

	snprintf(tail, sizeof(tail), "%c%03u", flat ? 'f' : 's', i + 1);
	ret = vmdk_part_path(path, tail, part, sizeof(part), err);
	if (ret)
		return ret;
	vmdk_say(lines, "RW %" PRIu64 " %s \"%s\"%s\n", bytes / VMDK_SECTOR,
		 flat ? "FLAT" : "SPARSE", base_name(part), flat ? " 0" : "");
	return flat ? create_flat_part(host, part, bytes, c->flags &
				       VD_CREATE_FIXED, err)
		    : create_sparse_part(host, part, bytes, c->unit ? c->unit
					 : GRAIN_USUAL, err);
}

int
vmdk_create_text(struct vd_host *host, const char *path, const char *type,
		 const char *lines, const struct vd_create *c,
		 const struct vmdk_link *up, struct vd_err *err)
{
	struct vmdk_text t;
	struct vd_file *f;
	int ret = vmdk_text_new(&t, VMDK_DESC_MAX, err);

	if (ret)
		return ret;
	ret = vmdk_compose(&t, type, lines, up, c, err);
	if (!ret)
		ret = vd_host_create(host, path, &f, err);
	if (!ret)
		ret = vd_file_write(f, t.buf, t.len, 0, err);
	free(t.buf);
	return ret;
}

static int
create_split(struct vd_host *host, const char *path,
	     const struct vd_create *c, bool flat, const struct vmdk_link *up,
	     struct vd_err *err)
{
	uint64_t part = (uint64_t)VMDK_PART * VMDK_SECTOR, left = c->virtual_size;
	struct vmdk_text lines;
	int ret = flat ? 0 : vmdk_check_grain(c, err);

	if (!ret && left > part * VMDK_EXTENTS_MAX)
		ret = vd_fail(err, EFBIG, VD_NOWHERE, "a split VMDK cannot "
			      "have more than %u parts", VMDK_EXTENTS_MAX);
	if (!ret)
		ret = vmdk_text_new(&lines, VMDK_DESC_MAX / 2, err);
	if (ret)
		return ret;
	for (unsigned i = 0; left && !ret; i++) {
		uint64_t bytes = left < part ? left : part;

		ret = vmdk_create_part(host, path, c, flat, i, bytes, &lines,
				       err);
		left -= bytes;
	}
	if (!ret && lines.full)
		ret = vd_fail(err, EFBIG, VD_NOWHERE, "so many names do not "
			      "fit a descriptor");
	if (!ret)
		ret = vmdk_create_text(host, path, flat ? "twoGbMaxExtentFlat"
				       : "twoGbMaxExtentSparse", lines.buf, c,
				       up, err);
	free(lines.buf);
	return ret;
}

static int
create_flat(struct vd_host *host, const char *path, const struct vd_create *c,
	    struct vd_err *err)
{
	char data[VD_NAME_MAX], line[VD_NAME_MAX + 64];
	int ret = vmdk_part_path(path, "flat", data, sizeof(data), err);
	bool esx = c->variant && !strcasecmp(c->variant, "vmfs");

	if (ret)
		return ret;
	snprintf(line, sizeof(line), "RW %" PRIu64 " %s \"%s\"%s\n",
		 c->virtual_size / VMDK_SECTOR, esx ? "VMFS" : "FLAT",
		 base_name(data), esx ? "" : " 0");
	ret = create_flat_part(host, data, c->virtual_size, c->flags &
			       VD_CREATE_FIXED, err);
	return ret ? ret : vmdk_create_text(host, path, esx ? "vmfs"
					    : "monolithicFlat", line, c, NULL,
					    err);
}

/* NULL, and what people write after "vmdk:", are as good as the real names. */
static int
choose(const struct vd_create *c, bool *flat, bool *split, struct vd_err *err)
{
	const char *v = c->variant;
	bool fixed = c->flags & VD_CREATE_FIXED;
	struct vmdk_str s = { v, v ? strlen(v) : 0 };
	const struct vmdk_type *t = v ? vmdk_type_find(s) : NULL;

	*flat = fixed;
	*split = false;
	if (!v)
		return 0;
	if (t && !strcmp(t->name, "streamOptimized"))
		return vd_fail(err, ENOTSUP, VD_NOWHERE, "a streamOptimized "
			       "image is written once, with all its data: it "
			       "cannot be created empty");
	*split = t && !strncmp(t->name, "twoGbMaxExtent", 14);
	*flat = !strcasecmp(v, "fixed") || (t && t->kind == VMDK_FLAT);
	if (!*split && strcasecmp(v, "fixed") && strcasecmp(v, "sparse") &&
	    strcasecmp(v, "monolithicSparse") &&
	    strcasecmp(v, "monolithicFlat") && strcasecmp(v, "vmfs"))
		return vd_fail(err, ENOTSUP, VD_NOWHERE, "cannot create a "
			       "VMDK of type %s: only monolithicSparse, "
			       "monolithicFlat, twoGbMaxExtentSparse, "
			       "twoGbMaxExtentFlat, vmfs and custom:EXTENTS",
			       v);
	if (fixed && !*flat)
		return vd_fail(err, EINVAL, VD_NOWHERE, "%s cannot take all "
			       "its space at creation: that is "
			       "monolithicFlat", v);
	return 0;
}

static int
check_request(const char *path, const struct vd_create *c, bool *flat,
	      bool *split, struct vd_err *err)
{
	int ret = choose(c, flat, split, err);

	return ret ? ret : vmdk_check_name(path, c, err);
}

int
vmdk_create(struct vd_host *host, const char *path, const struct vd_create *c,
	    struct vd_err *err)
{
	bool flat, split;
	int ret;

	if (c->variant && !strncasecmp(c->variant, VMDK_CUSTOM,
				       strlen(VMDK_CUSTOM)))
		return vmdk_create_custom(host, path, c, err);
	ret = check_request(path, c, &flat, &split, err);
	if (ret)
		return ret;
	if (split)
		return create_split(host, path, c, flat, NULL, err);
	return flat ? create_flat(host, path, c, err)
		    : create_sparse(host, path, c, NULL, err);
}

int
vmdk_create_child(struct vd_host *host, const char *path,
		  const char *parent_format, const struct vd_parent *parent,
		  const struct vd_create *c, struct vd_err *err)
{
	struct vmdk_link up;
	bool flat, split;
	int ret = check_request(path, c, &flat, &split, err);

	if (!ret && flat)
		ret = vd_fail(err, EINVAL, VD_NOWHERE, "a child is sparse: it "
			      "cannot be %s", c->variant ? c->variant
			      : "of fixed size");
	if (!ret)
		ret = vmdk_link_to(&up, parent_format, parent, err);
	if (ret)
		return ret;
	return split ? create_split(host, path, c, false, &up, err)
		     : create_sparse(host, path, c, &up, err);
}
