/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * audit.h - what check and repair of a VMDK share, and nobody else has.
 *
 * The same walk finds a flaw for both: check tells it, repair asks whether it
 * may mend it.  The rules are written down a second time here, from the format:
 * nothing below calls header.c, sparse.c, stream.c, create.c or write.c.  The
 * lines of a descriptor are taken apart by text.c and desc.c, which only read.
 */
#ifndef VMDK_AUDIT_H
#define VMDK_AUDIT_H

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "vmdk.h"

#define VMDK_PART_HEAD	2048u	/* ESX's header; the hosted one has 512 */

/* One sparse file of a disk, as check and repair see it. */
struct vmdk_part {
	struct vd_audit *a;
	struct vd_file *f;
	const char     *name;		/* for messages */
	enum vmdk_kind	kind;		/* SPARSE, COWD, SESPARSE */
	bool		child;		/* what is not here is the parent's */
	bool		resizing;	/* VMDK_RESIZING: capacity may be more */
	bool		given_up;	/* something was lost for good */
	bool		copy_read;	/* programs read the redundant tables */
	bool		tangled;	/* what says where tables are overlaps */
	uint64_t	sectors;	/* in the descriptor; 0: not known */
	uint64_t	text_at, text_len; /* taken for it, in sectors; 0: none */

	uint8_t		head[VMDK_PART_HEAD];
	uint32_t	head_len;	/* what of it is written back */
	bool		changed;	/* head differs from the file */

	/* The header's fields as they stand in head; sectors, not bytes. */
	uint32_t	version, flags, gtes;
	uint64_t	capacity, grain;
	uint64_t	desc_at, desc_len;
	uint64_t	rgd_at, gd_at, overhead;
	uint32_t	compress;
	bool		unclean;
	/* What follows from them. */
	uint64_t	ntables, gt_len, dir_len;
	uint64_t	limit;		/* of the file, before it grew */

	/* tables */
	uint32_t       *gd, *rgd;	/* rgd: NULL without copies */
	struct vmdk_piece *late;	/* tables among the grains, sorted */
	size_t		nlate;
};

struct vmdk_piece {
	uint64_t	at, len;	/* sectors */
	uint32_t       *entry;		/* of the directory; NULL: not a table */
	uint32_t	index;
	uint8_t		rank;		/* the lower gives way */
	const char     *what;
};

/* A flaw in the file of a part. */
#define VMDK_FLAW(p, how, code, off, cure) \
	(&(struct vd_flaw){ (how), (code), (p)->name, (off), (cure) })

/* Of a disk with 255 heads and 63 sectors; no larger than a reader takes. */
static inline uint64_t
vmdk_cylinders(uint64_t sectors)
{
	uint64_t c = sectors / (255 * 63);

	return !c ? 1 : c < UINT32_MAX ? c : UINT32_MAX;
}

static inline uint32_t
vmdk_le32(const uint8_t *b)
{
	uint32_t v;

	memcpy(&v, b, 4);
	return le32toh(v);
}

static inline uint64_t
vmdk_le64(const uint8_t *b)
{
	uint64_t v;

	memcpy(&v, b, 8);
	return le64toh(v);
}

static inline void
vmdk_put32(uint8_t *b, uint32_t v)
{
	v = htole32(v);
	memcpy(b, &v, 4);
}

static inline void
vmdk_put64(uint8_t *b, uint64_t v)
{
	v = htole64(v);
	memcpy(b, &v, 8);
}

/* Of a file of so many sectors, which are asked for once where much is. */
static inline bool
vmdk_within(uint64_t most, uint64_t sector, uint64_t len)
{
	return sector && sector <= most && len <= most - sector;
}

/* audit-part.c: bytes */
uint64_t vmdk_part_sectors(const struct vmdk_part *p);	/* of the file */
/* Take the header's fields out of head. */
void	vmdk_part_fields(struct vmdk_part *p);
int	vmdk_part_load(struct vmdk_part *p, struct vd_err *err);
void	vmdk_part_free(struct vmdk_part *p);
void	vmdk_part_set32(struct vmdk_part *p, unsigned off, uint32_t v);
void	vmdk_part_set64(struct vmdk_part *p, unsigned off, uint64_t v);
/* Head to the file, in one write; durable on return. */
int	vmdk_part_put(struct vmdk_part *p, struct vd_err *err);
int	vmdk_part_read32(struct vmdk_part *p, uint64_t sector, uint32_t *e,
			 uint64_t n, struct vd_err *err);
int	vmdk_part_write32(struct vmdk_part *p, uint64_t off, uint32_t v,
			  struct vd_err *err);
/* The next whole grain's room behind all that is there, at least len sectors. */
int	vmdk_part_room(struct vmdk_part *p, uint64_t len, uint32_t *sector,
		       struct vd_err *err);
bool	vmdk_inside(const struct vmdk_part *p, uint64_t sector, uint64_t len);
/* The last sector of a directory may be cut. */
bool	vmdk_directory_inside(const struct vmdk_part *p, uint64_t sector);
bool	vmdk_is_stream(const struct vmdk_part *p);

/* audit-head.c: *usable: its tables can be looked at */
int	vmdk_audit_head(struct vmdk_part *p, bool *usable, struct vd_err *err);
/* audit-lost.c: a header whose first bytes are gone, from what follows it */
int	vmdk_audit_lost(struct vmdk_part *p, bool *usable, struct vd_err *err);
/* audit-directory.c: *usable: it may be read, or readers can do without it */
int	vmdk_audit_directory(struct vmdk_part *p, bool redundant, bool *usable,
			     struct vd_err *err);
/* Is the text said to go on over the directory at this sector? */
bool	vmdk_over_directory(struct vmdk_part *p, uint64_t first);
/* Are the tables of the directory at this sector apart from it and the text? */
int	vmdk_tables_apart(struct vmdk_part *p, uint64_t at, uint64_t found,
			  bool *good, struct vd_err *err);
/* Is there a grain directory with n tables of 512 entries at this sector? */
int	vmdk_directory_fits(struct vmdk_part *p, uint64_t sector, uint64_t n,
			    bool *fits, struct vd_err *err);
/* audit-overhead.c: once the tables are known; *usable: so are the grains */
int	vmdk_audit_overhead(struct vmdk_part *p, bool *usable,
			    struct vd_err *err);
/* audit-cowd.c */
int	vmdk_audit_cowd(struct vmdk_part *p, bool *usable, struct vd_err *err);
/* Which sector is the first that no one uses, when all else is known? */
void	vmdk_audit_free_sector(struct vmdk_part *p, uint64_t end);
int	vmdk_lower_free_sector(struct vmdk_part *p, uint64_t end,
			       struct vd_err *err);
/* audit-tables.c, audit-grains.c */
int	vmdk_audit_tables(struct vmdk_part *p, struct vd_err *err);
int	vmdk_audit_grains(struct vmdk_part *p, struct vd_err *err);
/* audit-stream.c */
int	vmdk_audit_stream(struct vmdk_part *p, struct vd_err *err);
/* audit-footer.c: of so many sectors at text_at, nothing else has the first len */
int	vmdk_stream_room(struct vmdk_part *p, uint64_t *len,
			 struct vd_err *err);
/* audit-sesparse.c */
int	vmdk_audit_sesparse(struct vmdk_part *p, struct vd_err *err);

/* audit-desc.c: the text */
struct vmdk_audit_text {
	struct vd_audit *a;
	struct vmdk    *v;
	const char     *name;		/* of the file it is in */
	uint64_t	off;		/* where it begins there */
	size_t		room;		/* bytes it may take */
	bool		embedded;
	bool		fixed;		/* a table or an extent lies on it */
	size_t		had;		/* bytes of it in the file */
	char	       *text;		/* room + 2 bytes */
	size_t		len;
	bool		changed;
	struct vmdk_desc desc;
	bool		readable;	/* desc is what it says */
	bool		headless;	/* but for its beginning, it would be */
	size_t	       *shared;		/* extent lines in one place with others */
	size_t		nshared;
};
int	vmdk_text_load(struct vmdk_audit_text *t, struct vd_err *err);
void	vmdk_text_parse(struct vmdk_audit_text *t, struct vd_err *why);
int	vmdk_text_audit(struct vmdk_audit_text *t, struct vd_err *err);
/* One that is headless, and so not readable, may become so. */
void	vmdk_text_begin(struct vmdk_audit_text *t);
/* To the file; durable on return. */
int	vmdk_text_put(struct vmdk_audit_text *t, struct vd_err *err);
/* audit-rebuild.c: a new one, from the extents; part: of an embedded one */
int	vmdk_text_rebuild(struct vmdk_audit_text *t, struct vmdk_part *p,
			  struct vd_err *err);
/* A file of the disk, by its name in a descriptor. */
int	vmdk_audit_open(struct vmdk *v, const char *name, struct vd_file **out,
			struct vd_err *err);

/* audit.c */
/* Does a descriptor begin at this sector? */
bool	vmdk_is_text(struct vmdk_part *p, uint64_t sector);
/* all of it */
int	vmdk_audit(struct vmdk *v, struct vd_audit *a, struct vd_err *err);

#endif
