/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * audit.h - what the files about check and repair share: the rules once more,
 * from doc/raw-delta.md and not from header.c and write.c.
 */
#ifndef DELTA_AUDIT_H
#define DELTA_AUDIT_H

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "delta.h"

enum {	/* bytes of a slot */
	AT_VERSION = 8, AT_UNIT = 12, AT_SEQUENCE = 16, AT_SIZE = 24,
	AT_DATA = 32, AT_UNCLEAN = 40, AT_ID = 48, AT_CONTENT = 64,
	AT_HINT = 232, AT_SUM = 8184, SLOT = 8192, AT_BITMAP = 65536,
};

struct audit {
	struct vd_audit *a;
	struct vd_file *f;
	const char     *name;
	uint8_t	       *slots;		/* both */
	uint8_t	       *h;		/* the one that counts */
	unsigned	which;
	bool		changed;	/* h differs from the file */
	bool		unused;		/* what a dead writer may want was left */
	uint64_t	size;		/* of the file */
	/* as h says */
	uint64_t	unit, disk, data, words;
};

#define FLAW(t, how, code, off, cure) \
	(&(struct vd_flaw){ (how), (code), (t)->name, (off), (cure) })

static inline uint32_t
get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return le32toh(v);
}

static inline uint64_t
get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return le64toh(v);
}

static inline void
set64(struct audit *t, unsigned at, uint64_t v)
{
	v = htole64(v);
	memcpy(t->h + at, &v, 8);
	t->changed = true;
}

static inline void
set32(struct audit *t, unsigned at, uint32_t v)
{
	v = htole32(v);
	memcpy(t->h + at, &v, 4);
	t->changed = true;
}

static inline bool
unit_good(uint64_t u)
{
	return u >= 4096 && u <= 64 << 20 && !(u & (u - 1));
}

static inline uint64_t
words_of(uint64_t disk, uint64_t unit)
{
	return (disk / unit + !!(disk % unit) + 63) / 64;
}

/* audit-slots.c: which header counts?  *usable: the rest can be looked at. */
int	slots_find(struct audit *t, bool *usable, struct vd_err *err);
/* To the slot that is not in use; then to the other, durably. */
int	slots_put(struct audit *t, struct vd_err *err);

#endif
