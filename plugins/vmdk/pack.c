/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pack.c - write a streamOptimized image, from the first byte to the last.
 *
 * Nothing is written twice and nothing out of order.  The shape is the one that
 * VMware's own tools make and every reader takes: header version 3, grains in
 * the order of the disk, each table behind its grains, directory, footer, end
 * marker.  Grains of zeros are left out; the last grain is packed as a whole
 * one, for VirtualBox inflates no less.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "vmdk.h"

#define LEVEL		6
#define MARKER_LEN	12u
#define TEXT_ROOM	10240u	/* 20 sectors */
#define GRAIN_USUAL	65536u

enum { MARK_EOS, MARK_GT, MARK_GD, MARK_FOOTER };

struct pack {
	struct vd_file *file;
	uint64_t	at;		/* bytes written, in whole sectors */
	struct vmdk_header h;
	uint64_t	grain;		/* bytes */
	uint32_t	ntables;
	uint32_t       *gd;
	uint32_t	gt[VMDK_GTES_MAX];
	uint8_t	       *in, *out;
	size_t		room;
	struct libdeflate_compressor *deflate;
};

/* Whole sectors, the next ones. */
static int
put(struct pack *p, const void *buf, size_t len, struct vd_err *err)
{
	int ret = vd_file_write(p->file, buf, len, p->at, err);

	p->at += len;
	if (!ret && p->at > VMDK_FILE_SECTORS_MAX * VMDK_SECTOR)
		ret = vd_fail(err, ENOSPC, VD_NOWHERE, "the file has reached "
			      "2 TiB: a VMDK cannot point further");
	return ret;
}

static int
put_marker(struct pack *p, uint64_t val, uint32_t type, struct vd_err *err)
{
	uint8_t raw[VMDK_SECTOR] = { 0 };

	val = htole64(val);
	type = htole32(type);
	memcpy(raw, &val, 8);
	memcpy(raw + 12, &type, 4);
	return put(p, raw, sizeof(raw), err);
}

/* Entries of 32 bits, to the end of the sector. */
static int
put_entries(struct pack *p, const uint32_t *e, uint32_t n, struct vd_err *err)
{
	size_t len = ((size_t)n * 4 + VMDK_SECTOR - 1) / VMDK_SECTOR *
		     VMDK_SECTOR;
	uint32_t *le = calloc(1, len);
	int ret;

	if (!le)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	for (uint32_t i = 0; i < n; i++)
		le[i] = htole32(e[i]);
	ret = put(p, le, len, err);
	free(le);
	return ret;
}

static int
put_header(struct pack *p, struct vd_err *err)
{
	uint8_t raw[VMDK_HEADER_LEN];

	vmdk_header_encode(&p->h, raw);
	return put(p, raw, sizeof(raw), err);
}

/* Header, text, and nothing up to the first grain. */
static int
put_front(struct pack *p, const char *path, const struct vd_create *c,
	  struct vd_err *err)
{
	const char *slash = strrchr(path, '/');
	char line[VD_NAME_MAX + 64];
	struct vmdk_text t;
	uint8_t *front;
	size_t len = p->h.overhead * VMDK_SECTOR;
	int ret = vmdk_text_new(&t, TEXT_ROOM, err);

	if (ret)
		return ret;
	snprintf(line, sizeof(line), "RDONLY %" PRIu64 " SPARSE \"%s\"\n",
		 p->h.capacity, slash ? slash + 1 : path);
	ret = vmdk_compose(&t, "streamOptimized", line, NULL, c, err);
	front = calloc(1, len);
	if (!ret && !front)
		ret = vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	if (!ret) {
		vmdk_header_encode(&p->h, front);
		memcpy(front + VMDK_SECTOR, t.buf, t.len);
		ret = put(p, front, len, err);
	}
	free(front);
	free(t.buf);
	return ret;
}

static bool
all_zero(const uint8_t *b, size_t len)
{
	return !b[0] && !memcmp(b, b + 1, len - 1);
}

static int
put_grain(struct pack *p, uint64_t n, struct vd_err *err)
{
	uint64_t lba = htole64(n * p->h.grain_sectors);
	uint32_t size;
	size_t got, whole;

	got = libdeflate_zlib_compress(p->deflate, p->in, p->grain,
				       p->out + MARKER_LEN, p->room);
	if (!got)
		return vd_fail(err, EIO, VD_NOWHERE, "a grain does not fit "
			       "its bound");
	whole = (MARKER_LEN + got + VMDK_SECTOR - 1) / VMDK_SECTOR *
		VMDK_SECTOR;
	size = htole32((uint32_t)got);
	memcpy(p->out, &lba, 8);
	memcpy(p->out + 8, &size, 4);
	memset(p->out + MARKER_LEN + got, 0, whole - MARKER_LEN - got);
	p->gt[n % VMDK_GTES_MAX] = (uint32_t)(p->at / VMDK_SECTOR);
	return put(p, p->out, whole, err);
}

/* The table of the grains so far, unless it has nothing to say. */
static int
put_table(struct pack *p, uint32_t i, struct vd_err *err)
{
	int ret;

	if (all_zero((uint8_t *)p->gt, sizeof(p->gt)))
		return 0;
	ret = put_marker(p, vmdk_gt_sectors(&p->h), MARK_GT, err);
	p->gd[i] = (uint32_t)(p->at / VMDK_SECTOR);
	if (!ret)
		ret = put_entries(p, p->gt, VMDK_GTES_MAX, err);
	memset(p->gt, 0, sizeof(p->gt));
	return ret;
}

static int
put_end(struct pack *p, struct vd_err *err)
{
	uint64_t sectors = ((uint64_t)p->ntables * 4 + VMDK_SECTOR - 1) /
			   VMDK_SECTOR;
	int ret = put_marker(p, sectors, MARK_GD, err);

	p->h.gd_sector = p->at / VMDK_SECTOR;
	if (!ret)
		ret = put_entries(p, p->gd, p->ntables, err);
	if (!ret)
		ret = put_marker(p, 1, MARK_FOOTER, err);
	if (!ret)
		ret = put_header(p, err);
	return ret ? ret : put_marker(p, 0, MARK_EOS, err);
}

static int
put_grains(struct pack *p, uint64_t size,
	   int (*next)(void *ctx, void *buf, uint64_t off, uint64_t len,
		       struct vd_err *err), void *ctx, struct vd_err *err)
{
	int ret = 0;

	for (uint64_t n = 0; n * p->grain < size && !ret; n++) {
		uint64_t off = n * p->grain;
		uint64_t len = size - off < p->grain ? size - off : p->grain;

		ret = next(ctx, p->in, off, len, err);
		memset(p->in + len, 0, p->grain - len);
		if (!ret && !all_zero(p->in, p->grain))
			ret = put_grain(p, n, err);
		if (!ret && (n % VMDK_GTES_MAX == VMDK_GTES_MAX - 1 ||
			     off + len == size))
			ret = put_table(p, (uint32_t)(n / VMDK_GTES_MAX), err);
	}
	return ret;
}

static int
prepare(struct pack *p, const struct vd_create *c, struct vd_err *err)
{
	p->grain = c->unit ? c->unit : GRAIN_USUAL;
	if (p->grain < 4096 || p->grain > (1u << 20) ||
	    (p->grain & (p->grain - 1)))
		return vd_fail(err, EINVAL, VD_NOWHERE, "a grain of %" PRIu64
			       " bytes is not a power of two from 4 KiB to "
			       "1 MiB", p->grain);
	vmdk_header_layout(&p->h, c->virtual_size / VMDK_SECTOR,
			   p->grain / VMDK_SECTOR);
	p->h.version = 3;
	p->h.flags = VMDK_F_NEWLINE | VMDK_F_COMPRESSED | VMDK_F_MARKERS;
	p->h.compress = 1;
	p->h.rgd_sector = 0;
	p->h.gd_sector = VMDK_GD_AT_END;
	p->h.overhead = 128;
	if (p->h.overhead < p->h.grain_sectors)
		p->h.overhead = p->h.grain_sectors;
	if (vmdk_header_tables(&p->h) > VMDK_GD_MAX)
		return vd_fail(err, EFBIG, VD_NOWHERE, "so large a disk needs "
			       "larger grains");
	p->ntables = (uint32_t)vmdk_header_tables(&p->h);
	p->deflate = libdeflate_alloc_compressor(LEVEL);
	if (p->deflate)
		p->room = libdeflate_zlib_compress_bound(p->deflate, p->grain);
	p->gd = calloc(p->ntables, sizeof(*p->gd));
	p->in = malloc(p->grain);
	p->out = malloc(MARKER_LEN + p->room + VMDK_SECTOR);
	return p->deflate && p->gd && p->in && p->out ? 0
		: vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
}

int
vmdk_write_stream(struct vd_host *host, const char *path,
		  const struct vd_create *c,
		  int (*next)(void *ctx, void *buf, uint64_t off,
			      uint64_t len, struct vd_err *err),
		  void *ctx, struct vd_err *err)
{
	struct pack p = { 0 };
	int ret = vmdk_check_name(path, c, err);

	if (!ret)
		ret = prepare(&p, c, err);
	if (!ret)
		ret = vd_host_create(host, path, &p.file, err);
	if (!ret)
		ret = put_front(&p, path, c, err);
	if (!ret)
		ret = put_grains(&p, c->virtual_size, next, ctx, err);
	if (!ret)
		ret = put_end(&p, err);
	if (p.deflate)
		libdeflate_free_compressor(p.deflate);
	free(p.gd);
	free(p.in);
	free(p.out);
	return ret;
}
