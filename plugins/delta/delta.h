/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * delta.h - the raw delta: what a raw disk, or any other, has changed since.
 *
 * The format is told in doc/raw-delta.md.  In short: two header slots, a
 * bitmap with one bit for each unit, and the units at the places they would
 * have in a raw file.  A set bit: the unit is here.  A clear one: ask the
 * parent.  All numbers are little-endian.
 */
#ifndef DELTA_H
#define DELTA_H

#include <pthread.h>
#include <vdisk/format.h>

#define DELTA_MAGIC	"vdDELTA\x1a"
#define DELTA_VERSION	1u
#define DELTA_SLOT	8192u		/* bytes of a header slot; there are two */
#define DELTA_BITMAP	65536u		/* where the bitmap begins */
#define DELTA_UNIT	65536u		/* usual unit */
#define DELTA_UNIT_MIN	4096u
#define DELTA_UNIT_MAX	(64u << 20)
#define DELTA_WORD	64u		/* units of one table entry */
#define DELTA_PAGE	512u		/* entries of one table page */

struct delta_header {
	uint64_t	sequence;	/* the valid slot with the higher one counts */
	uint64_t	virtual_size;
	uint64_t	data_off;	/* byte of unit 0 */
	uint32_t	unit;
	uint32_t	unclean;	/* open for writing, or died so */
	uint8_t		id[16];		/* who this image is */
	uint8_t		content[16];	/* new before the first write of an open */
	struct vd_parent parent;
};

struct delta {
	struct vd_file *file;
	struct vd_table *table;
	struct delta_header h;
	uint64_t	units;
	bool		rdonly;
	bool		begun;
	pthread_mutex_t	lock;		/* words are changed bit by bit */
};

/* header.c: pure */
enum delta_slot { DELTA_NONE, DELTA_BROKEN, DELTA_GOOD };
enum delta_slot delta_decode(const uint8_t *slot, struct delta_header *h);
void	delta_encode(const struct delta_header *h, uint8_t *slot);
/* NULL if the numbers agree with each other and with the file's size. */
const char *delta_wrong(const struct delta_header *h, uint64_t file_size);
/* The better of both slots; buf has 2 * DELTA_SLOT bytes of the file's start. */
enum delta_slot delta_choose(const uint8_t *buf, size_t len,
			     struct delta_header *h);
void	delta_text(const uint8_t id[16], char out[VD_ID_MAX]);
uint64_t delta_units(const struct delta_header *h);
void	delta_content(const struct delta_header *h, uint8_t out[32]);

/* image.c */
int	delta_open(struct vd_host *host, struct vd_file *file, unsigned flags,
		   struct vd_image_info *info, void **img, struct vd_err *err);
int	delta_close(void *img, struct vd_err *err);
int	delta_map(void *img, uint64_t off, uint64_t len,
		  struct vd_extent *ext, struct vd_err *err);
int	delta_identity(void *img, struct vd_identity *id, struct vd_err *err);
int	delta_parent(void *img, struct vd_parent *p, struct vd_err *err);
int	delta_match(void *img, const char *format,
		    const struct vd_identity *id, struct vd_err *err);
int	delta_info(void *img, struct vd_info_out *out, struct vd_err *err);

/* write.c */
int	delta_put_header(struct delta *d, struct vd_err *err);
int	delta_begin_write(void *img, struct vd_err *err);
int	delta_allocate(void *img, uint64_t off, struct vd_alloc *a,
		       struct vd_err *err);
int	delta_commit(void *img, const struct vd_alloc *a, struct vd_err *err);
int	delta_zero(void *img, uint64_t off, uint64_t len, struct vd_err *err);
int	delta_discard(void *img, uint64_t off, uint64_t len,
		      struct vd_err *err);
int	delta_sync(void *img, struct vd_err *err);
int	delta_relink(void *img, const struct vd_parent *p,
		     struct vd_err *err);

/* audit.c: knows nothing of the files above */
int	delta_check(void *img, struct vd_report *r, struct vd_err *err);
int	delta_repair(void *img, struct vd_report *r, struct vd_err *err);

/* create.c */
int	delta_create_child(struct vd_host *host, const char *path,
			   const char *parent_format,
			   const struct vd_parent *parent,
			   const struct vd_create *c, struct vd_err *err);

#endif
