/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdi.h - the VDI image format as this module knows it.
 *
 * doc/vdi.md tells the format; the numbers below are its byte offsets.  All
 * integers of a VDI are little-endian.
 */
#ifndef VDI_H
#define VDI_H

#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <vdisk/format.h>

#define VDI_SIGNATURE	0xbeda107fu

enum {				/* where a 1.1 header keeps its fields */
	VDI_OFF_TEXT		= 0,
	VDI_OFF_SIGNATURE	= 64,
	VDI_OFF_VERSION		= 68,
	VDI_OFF_HEADER_LEN	= 72,	/* counts from here on */
	VDI_OFF_TYPE		= 76,
	VDI_OFF_FLAGS		= 80,
	VDI_OFF_COMMENT		= 84,
	VDI_OFF_MAP		= 340,
	VDI_OFF_DATA		= 344,
	VDI_OFF_SECTOR		= 360,	/* last word of the old geometry */
	VDI_OFF_DISK		= 368,
	VDI_OFF_BLOCK		= 376,
	VDI_OFF_EXTRA		= 380,
	VDI_OFF_BLOCKS		= 384,
	VDI_OFF_ALLOCATED	= 388,
	VDI_OFF_CREATE		= 392,
	VDI_OFF_MODIFY		= 408,
	VDI_OFF_LINK		= 424,
	VDI_OFF_LINK_MODIFY	= 440,
	VDI_END_SHORT		= 456,	/* header of 384 bytes */
	VDI_OFF_LCHS_SECTOR	= 468,
	VDI_END_LONG		= 472,	/* header of 400 bytes */
};

enum {				/* the same of version 0; the map follows at once */
	VDI0_OFF_TYPE		= 72,
	VDI0_OFF_FLAGS		= 76,
	VDI0_OFF_COMMENT	= 80,
	VDI0_OFF_DISK		= 352,
	VDI0_OFF_BLOCK		= 360,
	VDI0_OFF_BLOCKS		= 364,
	VDI0_OFF_ALLOCATED	= 368,
	VDI0_OFF_CREATE		= 372,
	VDI0_OFF_MODIFY		= 388,
	VDI0_OFF_LINK		= 404,
	VDI0_END		= 420,
};

#define VDI_TEXT_LEN	64
#define VDI_TEXT_OURS	"<<< vdisk Disk Image >>>"
#define VDI_COMMENT_LEN	256
#define VDI_HEADER_SHORT 384u
#define VDI_HEADER_LONG	400u
#define VDI_HEAD_MAX	512u	/* what we read of the head, and rewrite */
#define VDI_ALIGN	0x100000u	/* where our own images put things */
#define VDI_BLOCK_USUAL	0x100000u
#define VDI_BLOCK_MIN	512u

/* A longer map is not opened for writing: the scan holds one bit an entry. */
#define VDI_MAP_MAX	(UINT64_C(1) << 30)

/* A resize that moves blocks out of the map's way may need more places than
 * there are blocks, until it is done. */
#define VDI_SPARE_MAX	(1u << 22)

#define VDI_PAGE_ENTRIES 1024u	/* entries that are loaded and written at once */

#define VDI_FREE	0xffffffffu	/* never written: zeros, or the parent */
#define VDI_ZERO	0xfffffffeu	/* known zeros */

enum vdi_type {
	VDI_DYNAMIC	= 1,
	VDI_FIXED	= 2,
	VDI_UNDO	= 3,
	VDI_DIFF	= 4,
};

/* The header with every field read, bounded and cross-checked. */
struct vdi_header {
	uint16_t	major;
	uint16_t	minor;
	uint32_t	header_len;
	uint32_t	type;
	uint32_t	flags;
	uint32_t	map_off;
	uint32_t	data_off;
	uint32_t	sector;
	uint32_t	lchs_sector;	/* 512 when the header has none */
	uint64_t	disk;		/* as stored */
	uint32_t	block;
	uint32_t	extra;
	uint32_t	blocks;
	uint32_t	allocated;
	uint8_t		create[16];
	uint8_t		modify[16];
	uint8_t		link[16];
	uint8_t		link_modify[16];
	char		text[VDI_TEXT_LEN + 1];
	char		comment[VDI_COMMENT_LEN + 1];
};

/* header.c: pure, shared by probe, open and create */

enum vd_verdict vdi_parse(const uint8_t *head, size_t len, uint64_t file_size,
			  struct vdi_header *h, struct vd_err *err);
/* 0, or refuse by name what this module recognises but cannot serve. */
int	vdi_supported(const struct vdi_header *h, struct vd_err *err);
void	vdi_variant(const struct vdi_header *h, char out[VD_VARIANT_MAX]);
uint64_t vdi_disk_size(const struct vdi_header *h);
bool	vdi_is_child(const struct vdi_header *h);
bool	vdi_flags_known(const struct vdi_header *h);
void	vdi_encode(const struct vdi_header *h, uint8_t head[VDI_HEAD_MAX]);
/* Undo images and version 0: old enough that nobody needs them written. */
bool	vdi_only_read(const struct vdi_header *h);
void	vdi_uuid_text(const uint8_t uuid[16], char out[37]);
bool	vdi_uuid_parse(const char *text, uint8_t uuid[16]);
bool	vdi_uuid_null(const uint8_t uuid[16]);
int	vdi_uuid_random(uint8_t uuid[16], struct vd_err *err);

static inline uint32_t
vdi_get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static inline uint64_t
vdi_get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

static inline void
vdi_put32(uint8_t *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

static inline void
vdi_put64(uint8_t *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, sizeof(v));
}

static inline bool
vdi_present(uint64_t entry)
{
	return entry < VDI_ZERO;
}

/* An open image. */
struct vdi {
	struct vd_host *host;
	struct vd_file *file;
	struct vd_table *map;		/* NULL: opened for a check only */
	struct vdi_header h;		/* the header when it was opened */
	uint64_t	disk;		/* what the guest sees */
	bool		rdonly;
	bool		looking;	/* asked to: VD_OPEN_RDONLY */
	bool		child;		/* free blocks are the parent's */

	pthread_mutex_t	lock;		/* all below; never held in map() */
	uint8_t		head[VDI_HEAD_MAX];	/* the file's first bytes */
	uint32_t	head_len;
	uint64_t	eof;
	uint64_t	written;	/* behind it nothing was, by anyone */
	uint64_t	keep;		/* the file is never cut shorter than this */
	uint32_t	slots;		/* places for blocks: usually h.blocks */
	uint32_t	hint;		/* no free slot below */
	uint32_t	top;		/* 1 + highest slot in the map */
	uint32_t	counted;	/* cBlocksAllocated in the file */
	bool		ahead;		/* more than top */
	bool		began;		/* begin_write is done */
	bool		renewed;	/* head has the new uuidModify */
	uint64_t       *used;		/* one bit a slot; writable only */
};

/* Without a map there is none to ask: a resize could not open its new one. */
static inline int
vdi_entry(struct vdi *v, uint64_t i, uint64_t *entry, struct vd_err *err)
{
	if (!v->map)
		return vd_fail(err, EIO, VD_NOWHERE, "the block map is not open");
	return vd_table_get(v->map, i, entry, err);
}

/* First byte of slot n on the host, its extra part included; may be past off_t. */
static inline uint64_t
vdi_slot(const struct vdi *v, uint32_t n)
{
	unsigned __int128 at = (unsigned __int128)n *
		((uint64_t)v->h.extra + v->h.block) + v->h.data_off;

	return at > INT64_MAX ? UINT64_MAX : (uint64_t)at;
}

/* Disk bytes of block i: all but the last are whole. */
static inline uint64_t
vdi_block_len(const struct vdi *v, uint64_t i)
{
	uint64_t left = v->disk - i * v->h.block;

	return left < v->h.block ? left : v->h.block;
}

/* The blocks the guest can reach; a map may be longer than the disk. */
static inline uint64_t
vdi_reach(const struct vdi *v)
{
	return (v->disk + v->h.block - 1) / v->h.block;
}

/* image.c */
int	vdi_open(struct vd_host *host, struct vd_file *file, unsigned flags,
		 struct vd_image_info *info, void **img, struct vd_err *err);
int	vdi_close(void *img, struct vd_err *err);
int	vdi_map(void *img, uint64_t off, uint64_t len, struct vd_extent *ext,
		struct vd_err *err);
/* Read header and map; what resize() does again when it is done. */
int	vdi_load(struct vdi *v, struct vd_err *err);
/* Forget what vdi_load() made. */
void	vdi_unload(struct vdi *v);
int	vdi_identity(void *img, struct vd_identity *id, struct vd_err *err);
int	vdi_info(void *img, struct vd_info_out *out, struct vd_err *err);

/* scan.c */
int	vdi_scan(struct vdi *v, struct vd_err *err);

/* write.c */
void	vdi_content(const uint8_t *head, uint8_t content[32]);
int	vdi_begin_write(void *img, struct vd_err *err);
int	vdi_allocate(void *img, uint64_t off, struct vd_alloc *a,
		     struct vd_err *err);
int	vdi_commit(void *img, const struct vd_alloc *a, struct vd_err *err);
void	vdi_abandon(void *img, const struct vd_alloc *a);
int	vdi_zero(void *img, uint64_t off, uint64_t len, struct vd_err *err);
int	vdi_discard(void *img, uint64_t off, uint64_t len, struct vd_err *err);
int	vdi_sync(void *img, struct vd_err *err);
/* Cut off what the file grew by and no block uses. */
int	vdi_give_back(struct vdi *v, struct vd_err *err);
/* For resize.c; under the lock. */
int	vdi_write_header(struct vdi *v, struct vd_err *err);
int	vdi_grow(struct vdi *v, uint32_t slot, bool *fresh, struct vd_err *err);

/* create.c */
int	vdi_create(struct vd_host *host, const char *path,
		   const struct vd_create *c, struct vd_err *err);
int	vdi_create_child(struct vd_host *host, const char *path,
			 const char *parent_format,
			 const struct vd_parent *parent,
			 const struct vd_create *c, struct vd_err *err);

/* child.c */
void	vdi_content_id(const char *text, uint8_t id[16]);
int	vdi_parent(void *img, struct vd_parent *p, struct vd_err *err);
int	vdi_match_parent(void *img, const char *parent_format,
			 const struct vd_identity *id, struct vd_err *err);
int	vdi_relink(void *img, const struct vd_parent *p, struct vd_err *err);

/* resize.c */
int	vdi_resize(void *img, uint64_t virtual_size, struct vd_err *err);

/* check.c, repair.c: know nothing of the files above */
int	vdi_check(void *img, struct vd_report *r, struct vd_err *err);
int	vdi_repair(void *img, struct vd_report *r, struct vd_err *err);

/* probe.c */
enum vd_verdict vdi_probe(const struct vd_probe_in *in,
			  struct vd_probe_out *out);

#endif
