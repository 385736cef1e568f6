/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * audit.h - what check and repair share, and nobody else has.
 *
 * The same walk finds a flaw for both: check tells it, repair asks whether it
 * may mend it.  The rules are written down a second time here, from the format
 * and not from the code that reads and writes images.
 */
#ifndef VDI_AUDIT_H
#define VDI_AUDIT_H

#include "vdi.h"

#define VDI_BAD_MAX	1000u	/* impossible entries: then it is no map */

struct vdi_audit {
	struct vd_file *file;
	struct vd_report *report;
	bool		mend;		/* repair: ask, then change head */

	uint8_t		head[VDI_HEAD_MAX];
	uint64_t	size;		/* of the file */
	bool		block_device;
	bool		changed;	/* head differs from the file */
	bool		usable;		/* the map can be walked */

	/* The header's fields, as they stand in head. */
	uint32_t	version;
	uint32_t	header_len;
	uint32_t	type;
	uint32_t	flags;
	uint64_t	map_off;
	uint64_t	data_off;
	uint64_t	disk;
	uint64_t	block;
	uint64_t	extra;
	uint64_t	blocks;
	uint64_t	counted;

	struct vd_audit	telling;	/* what has been said */
};

/* One flaw; code is a literal, off a byte of the file or VD_NOWHERE. */
struct vdi_flaw {
	uint32_t	severity;
	const char     *code;
	uint64_t	off;
	const char     *cure;		/* what repair would do; NULL: nothing */
};

/*
 * Tell the flaw, or ask for leave to mend it: true means mend it now.  Without
 * a cure it is told in either case.
 */
bool	vdi_flaw(struct vdi_audit *a, const struct vdi_flaw *f,
		 const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Those of each code that were too many to be told. */
void	vdi_flaw_end(struct vdi_audit *a);

/* Read the head and look at every field; 0 also when it is a ruin. */
int	vdi_audit_head(struct vdi_audit *a, struct vd_err *err);
/* Take the fields out of head; change one there. */
void	vdi_audit_read(struct vdi_audit *a);
void	vdi_mend32(struct vdi_audit *a, unsigned off, uint64_t value);
/* audit-layout.c: where is what?  Then the map can be walked: usable. */
int	vdi_audit_layout(struct vdi_audit *a, struct vd_err *err);

/* Walk the map and tell; *garbage when too much of it makes no sense. */
int	vdi_audit_map(struct vdi_audit *a, bool *garbage, struct vd_err *err);

/* Byte of the file where a slot begins; UINT64_MAX: past what a file has. */
static inline uint64_t
vdi_audit_slot(const struct vdi_audit *a, uint64_t slot)
{
	uint64_t stride = a->block + a->extra;

	if (slot > (INT64_MAX - a->data_off) / stride)
		return UINT64_MAX;
	return a->data_off + slot * stride;
}

/* Bytes of block i that a guest can reach; 0 behind the end of the disk. */
static inline uint64_t
vdi_audit_visible(const struct vdi_audit *a, uint64_t i)
{
	uint64_t disk = a->disk & ~511ull, from = i * a->block;

	if (from >= disk)
		return 0;
	return disk - from < a->block ? disk - from : a->block;
}

/* What the file has of block i when it is in this slot. */
static inline uint64_t
vdi_audit_there(const struct vdi_audit *a, uint64_t i, uint64_t slot)
{
	uint64_t at = vdi_audit_slot(a, slot), want = vdi_audit_visible(a, i);

	if (at == UINT64_MAX || at + a->extra >= a->size)
		return 0;
	at += a->extra;
	return a->size - at < want ? a->size - at : want;
}

#endif
