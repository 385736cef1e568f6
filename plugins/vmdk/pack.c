/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pack.c - write a streamOptimized image, from the first byte to the last.
 *
 * Nothing is written twice and nothing out of order.  The shape is the one that
 * VMware's own tools make and every reader takes: header version 3, grains in
 * the order of the disk, each table behind its grains, directory, footer, end
 * marker.  Grains of zeros are left out; the last grain is packed as a whole
 * one, for VirtualBox inflates no less.
 *
 * Grains are deflated on all processors, a piece of them at a time, and put in
 * the order of the disk: the file is the same however many there are.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "vmdk.h"

#define LEVEL		5	/* smaller and faster than what zlib does at its 6 */
#define MARKER_LEN	12u
#define TEXT_ROOM	10240u	/* 20 sectors */
#define GRAIN_USUAL	65536u
#define PIECE		(1u << 20)	/* deflated at once; no table is longer */
#define PIECE_GRAINS	256u
#define NO_GRAIN	UINT32_MAX

enum { MARK_EOS, MARK_GT, MARK_GD, MARK_FOOTER };

/* A piece of the disk on its way: zeros, or grains packed one after another. */
struct piece {
	uint64_t	off, len;
	bool		zero;
	uint8_t	       *in, *out;
	size_t		used;		/* of out */
	uint32_t	at[PIECE_GRAINS];	/* sector in out */
	struct libdeflate_compressor *deflate;
};

struct pack {
	const struct vd_source *src;
	const struct vd_sink *to;
	uint64_t	size;
	uint64_t	at;		/* bytes written, in whole sectors */
	struct vmdk_header h;
	uint64_t	grain;		/* bytes */
	uint64_t	cover;		/* what a table stands for */
	uint64_t	next;		/* where the next piece begins */
	uint32_t	ntables;
	uint32_t       *gd;
	uint32_t	gt[VMDK_GTES_MAX];
	unsigned	npieces;
	struct piece   *pieces;
};

/* Whole sectors, the next ones. */
static int
put(struct pack *p, const void *buf, size_t len, struct vd_err *err)
{
	int ret = p->to->put(p->to->ctx, buf, len, err);

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
put_front(struct pack *p, const char *name, const struct vd_create *c,
	  struct vd_err *err)
{
	char line[VD_NAME_MAX + 64];
	struct vmdk_text t;
	uint8_t *front;
	size_t len = p->h.overhead * VMDK_SECTOR;
	int ret = vmdk_text_new(&t, TEXT_ROOM, err);

	if (ret)
		return ret;
	snprintf(line, sizeof(line), "RDONLY %" PRIu64 " SPARSE \"%s\"\n",
		 p->h.capacity, name);
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

/* The table of the grains so far, unless it has nothing to say. */
static int
put_table(struct pack *p, uint32_t i, struct vd_err *err)
{
	int ret;

	if (vd_is_zero(p->gt, sizeof(p->gt)))
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

/* ----------------------------------------------------------------- pieces */

/* A run of zeros, of any length in whole grains; or what ends in this piece. */
static int
take_piece(void *ctx, unsigned slot, struct vd_err *err)
{
	struct pack *p = ctx;
	struct piece *i = &p->pieces[slot];
	uint64_t left = p->size - p->next, most = PIECE - p->next % PIECE, run;
	int ret;

	if (!left)
		return 0;
	i->off = p->next;
	ret = p->src->run(p->src->ctx, i->off, left, &run, &i->zero, err);
	if (ret)
		return ret;
	if (run < left && i->zero)
		run = run / p->grain * p->grain;
	else if (run < left)
		run = (run + p->grain - 1) / p->grain * p->grain;
	if (!run) {			/* zeros, but not a grain of them */
		i->zero = false;
		run = p->grain;
	}
	i->len = run < left ? run : left;
	if (!i->zero && i->len > most)
		i->len = most;
	p->next += i->len;
	return 1;
}

/* Marker, data, and zeros to the end of the sector. */
static int
pack_grain(struct pack *p, struct piece *i, const uint8_t *in, uint64_t off,
	   struct vd_err *err)
{
	uint64_t lba = htole64(off / VMDK_SECTOR);
	uint8_t *out = i->out + i->used;
	uint32_t size;
	size_t got, whole;

	got = libdeflate_zlib_compress(i->deflate, in, p->grain,
				       out + MARKER_LEN,
				       libdeflate_zlib_compress_bound(
						i->deflate, p->grain));
	if (!got)
		return vd_fail(err, EIO, VD_NOWHERE, "a grain does not fit "
			       "its bound");
	whole = (MARKER_LEN + got + VMDK_SECTOR - 1) / VMDK_SECTOR *
		VMDK_SECTOR;
	size = htole32((uint32_t)got);
	memcpy(out, &lba, 8);
	memcpy(out + 8, &size, 4);
	memset(out + MARKER_LEN + got, 0, whole - MARKER_LEN - got);
	i->used += whole;
	return 0;
}

static int
work_piece(void *ctx, unsigned slot, struct vd_err *err)
{
	struct pack *p = ctx;
	struct piece *i = &p->pieces[slot];
	uint64_t cut = i->len % p->grain;
	unsigned n = 0;
	int ret;

	i->used = 0;
	if (i->zero)
		return 0;
	ret = p->src->read(p->src->ctx, i->in, i->off, i->len, err);
	if (cut)
		memset(i->in + i->len, 0, p->grain - cut);
	for (uint64_t at = 0; at < i->len && !ret; at += p->grain, n++) {
		bool zero = vd_is_zero(i->in + at, p->grain);

		i->at[n] = zero ? NO_GRAIN : (uint32_t)(i->used / VMDK_SECTOR);
		if (!zero)
			ret = pack_grain(p, i, i->in + at, i->off + at, err);
	}
	return ret;
}

static int
give_piece(void *ctx, unsigned slot, struct vd_err *err)
{
	struct pack *p = ctx;
	struct piece *i = &p->pieces[slot];
	uint64_t end = i->off + i->len;
	uint32_t sector = (uint32_t)(p->at / VMDK_SECTOR);
	int ret = i->used ? put(p, i->out, i->used, err) : 0;

	for (uint64_t at = 0; !i->zero && at < i->len && !ret; at += p->grain)
		if (i->at[at / p->grain] != NO_GRAIN)
			p->gt[(i->off + at) / p->grain % VMDK_GTES_MAX] =
				sector + i->at[at / p->grain];
	/* Zeros may go over many tables; all but the first are empty. */
	if (!ret && (end / p->cover != i->off / p->cover || end == p->size))
		ret = put_table(p, (uint32_t)(i->off / p->cover), err);
	return ret ? ret : p->src->passed(p->src->ctx, i->zero ? NULL : i->in,
					  i->off, i->len, err);
}

static int
put_pieces(struct pack *p, struct vd_err *err)
{
	struct vd_lanes l = {
		.size = sizeof(l),
		.slots = p->npieces,
		.ctx = p,
		.take = take_piece, .work = work_piece, .give = give_piece,
	};

	return vd_in_order(&l, err);
}

/* ------------------------------------------------------------------- pack */

static int
prepare_header(struct pack *p, const struct vd_create *c, struct vd_err *err)
{
	p->size = c->virtual_size;
	p->grain = c->unit ? c->unit : GRAIN_USUAL;
	if (p->grain < 4096 || p->grain > PIECE || (p->grain & (p->grain - 1)))
		return vd_fail(err, EINVAL, VD_NOWHERE, "a grain of %" PRIu64
			       " bytes is not a power of two from 4 KiB to "
			       "1 MiB", p->grain);
	p->cover = p->grain * VMDK_GTES_MAX;
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
	return 0;
}

static int
prepare(struct pack *p, const struct vd_create *c, struct vd_err *err)
{
	int ret = prepare_header(p, c, err);
	size_t room;

	if (ret)
		return ret;
	p->gd = calloc(p->ntables, sizeof(*p->gd));
	p->npieces = 4 * vd_lanes_threads(0) + 8;
	p->pieces = calloc(p->npieces, sizeof(*p->pieces));
	for (unsigned n = 0; p->gd && p->pieces && n < p->npieces; n++) {
		struct piece *i = &p->pieces[n];

		i->deflate = libdeflate_alloc_compressor(LEVEL);
		if (!i->deflate)
			break;
		room = libdeflate_zlib_compress_bound(i->deflate, p->grain) +
		       MARKER_LEN + VMDK_SECTOR;
		i->in = malloc(PIECE);
		i->out = malloc(PIECE / p->grain * room);
		if (!i->in || !i->out)
			break;
		if (n + 1 == p->npieces)
			return 0;
	}
	return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
}

static void
unprepare(struct pack *p)
{
	for (unsigned n = 0; p->pieces && n < p->npieces; n++) {
		if (p->pieces[n].deflate)
			libdeflate_free_compressor(p->pieces[n].deflate);
		free(p->pieces[n].in);
		free(p->pieces[n].out);
	}
	free(p->pieces);
	free(p->gd);
}

int
vmdk_pack(const char *name, const struct vd_create *c,
	  const struct vd_source *src, const struct vd_sink *to,
	  struct vd_err *err)
{
	struct pack p = { .src = src, .to = to };
	int ret = vmdk_check_name(name, c, err);

	if (!ret && c->variant && strcmp(c->variant, "streamOptimized"))
		ret = vd_fail(err, ENOTSUP, VD_NOWHERE, "a %s image cannot be "
			      "written in one pass: only streamOptimized can",
			      c->variant);
	if (!ret)
		ret = prepare(&p, c, err);
	if (!ret)
		ret = put_front(&p, name, c, err);
	if (!ret)
		ret = put_pieces(&p, err);
	if (!ret)
		ret = put_end(&p, err);
	unprepare(&p);
	return ret;
}
