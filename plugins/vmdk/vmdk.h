/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmdk.h - what the files of the VMware module share.
 *
 * A disk is a descriptor (text) and a list of extents (files); from the first
 * day on, also where the list has one member.  Offsets are bytes unless the
 * name says sectors; a sector is always 512 bytes.
 */
#ifndef VMDK_H
#define VMDK_H

#include <pthread.h>
#include <vdisk/format.h>

#define VMDK_SECTOR		512u

/* Bounds of what we believe a stranger's file may ask of us. */
#define VMDK_DESC_MAX		(1u << 20)	/* descriptor text, bytes */
#define VMDK_LINE_MAX		8192u		/* one line of it */
#define VMDK_EXTENTS_MAX	4096u
#define VMDK_GD_MAX		(1u << 20)	/* grain tables: 2 TiB of 4 KiB grains */
#define VMDK_GTES_MAX		512u		/* entries of a grain table */
#define VMDK_COWD_GTES		4096u		/* of an ESX one, always */
#define VMDK_GRAIN_MAX		0x200000u	/* sectors: 1 GiB */
#define VMDK_PACKED_MAX		0x8000u		/* a compressed one: 16 MiB */
#define VMDK_SECTORS_MAX	((1ull << 54) - 4096)	/* positive offsets, and room to add */
#define VMDK_FILE_SECTORS_MAX	(1ull << 32)	/* grain pointers are 32 bits */

#define VMDK_PART		4192256u	/* sectors: 2047 MiB, as VMware cuts */

/* Lines of our own in the disk database. */
#define VMDK_PARENT_SECTORS	"ddb.vdisk.parentSectors"
#define VMDK_RESIZING		"ddb.vdisk.resizing"

#define VMDK_NO_PARENT		0xffffffffu
#define VMDK_NEVER_WRITTEN	0xfffffffeu

/* -------------------------------------------------------- descriptor text */

struct vmdk_str {		/* a piece of somebody's text; no NUL at its end */
	const char     *p;
	size_t		n;
};

enum vmdk_line_kind {
	VMDK_LINE_BLANK,	/* blank or comment */
	VMDK_LINE_KEY,		/* key = value */
	VMDK_LINE_EXTENT,	/* RW 2048 SPARSE "x.vmdk" */
	VMDK_LINE_UNKNOWN,
};

struct vmdk_line {
	enum vmdk_line_kind kind;
	size_t		pos;	/* of the line in the text */
	struct vmdk_str	text;	/* the line, without blanks around it */
	struct vmdk_str	key;
	struct vmdk_str	value;	/* without its quotes */
};

enum vmdk_access { VMDK_RW, VMDK_RDONLY, VMDK_NOACCESS };

enum vmdk_kind {
	VMDK_FLAT = 1,		/* raw bytes: FLAT, VMFS */
	VMDK_SPARSE,		/* "KDMV": grain directory and tables */
	VMDK_ZERO,
	VMDK_COWD,		/* VMFSSPARSE */
	VMDK_SESPARSE,
	VMDK_DEVICE,		/* VMFSRDM, VMFSRAW */
	VMDK_OTHER,
	VMDK_ANY,		/* createType custom: no kind of its own */
};

struct vmdk_extline {		/* one extent line, understood */
	enum vmdk_access access;
	enum vmdk_kind	kind;
	uint64_t	sectors;
	uint64_t	offset;		/* sectors into the file, FLAT only */
	struct vmdk_str	type;		/* as written */
	struct vmdk_str	name;		/* n == 0: none given */
	size_t		pos;
};

struct vmdk_desc {		/* what the lines say together; points into the text */
	bool		has_cid, has_parent_cid;
	uint32_t	cid, parent_cid;
	unsigned	version;	/* 0: not given */
	struct vmdk_str	create_type;
	struct vmdk_str	parent_hint;
	struct vmdk_str	change_track;
	struct vmdk_str	long_content_id;
	struct vmdk_str	uuid;		/* the disk's, as SCSI sees it */
	/* VirtualBox's */
	struct vmdk_str	uuid_image, uuid_modified;
	struct vmdk_str	uuid_parent, uuid_parent_modified;
	struct vmdk_str	parent_format;	/* ours: "" is vmdk */
	uint64_t	parent_sectors;	/* ours: 0: as large as this image */
	bool		resizing;	/* ours: headers may say more than lines */
	struct vmdk_str	adapter, hw_version, cylinders, heads, spt, comment;
	bool		native_snapshot;	/* isNativeSnapshot="yes" */
	bool		encrypted;
	bool		vbox_child;	/* ddb.uuid.parent names a parent */
	unsigned	nextents;
	unsigned	unknown;	/* lines we could not read */
	uint64_t	sectors;	/* of all extents */
};

struct vmdk_cursor {
	const char     *text;
	size_t		len;
	size_t		next;
};

/* The next line; false at the end of the text (a NUL ends it, too). */
bool	vmdk_line_next(struct vmdk_cursor *c, struct vmdk_line *line);
/* Does this look like a descriptor that stands alone in a text file? */
bool	vmdk_desc_looks(const char *text, size_t len);
/* Read all of it; at: where in its file the text begins, for errors. */
int	vmdk_desc_parse(const char *text, size_t len, uint64_t at,
			struct vmdk_desc *d, struct vd_err *err);
int	vmdk_extline_parse(const struct vmdk_line *line, uint64_t at,
			   struct vmdk_extline *x, struct vd_err *err);

/* text.c; upper and lower case are the same to all of them */
bool	vmdk_str_is(struct vmdk_str s, const char *word);
bool	vmdk_str_begins(struct vmdk_str s, const char *word);
/* A word up to a blank, or what stands between quotes; the rest stays in s. */
struct vmdk_str vmdk_take_word(struct vmdk_str *s);
bool	vmdk_take_decimal(struct vmdk_str w, uint64_t *out);
bool	vmdk_take_hex32(struct vmdk_str w, uint32_t *out);
/* Copy what fits, with a NUL; returns buf. */
char   *vmdk_str_copy(struct vmdk_str s, char *buf, size_t len);

/*
 * Put a value in place of an old one, or add the line when there is none:
 * everything else in the text stays as it is.  room: bytes the text may take.
 */
int	vmdk_desc_set(char *text, size_t *len, size_t room, const char *key,
		      const char *value, bool quoted, struct vd_err *err);

/* Extent line i, from 0 on, gets another length; 0: it goes. */
int	vmdk_desc_set_extent(char *text, size_t *len, size_t room, unsigned i,
			     uint64_t sectors, struct vd_err *err);
int	vmdk_desc_add_extent(char *text, size_t *len, size_t room,
			     const char *line, struct vd_err *err);

/* Make comments of all lines with this key, in place. */
void	vmdk_desc_drop(char *text, size_t len, const char *key);

/* Has it a parent, as far as any of its lines says? */
bool	vmdk_desc_is_child(const struct vmdk_desc *d);

/* What is known of a createType; NULL if nothing is. */
struct vmdk_type {
	const char     *name;
	const char     *alias;		/* as old papers print it, or NULL */
	enum vmdk_kind	kind;		/* of its extents */
	bool		device;		/* FLAT is a device of the host, too */
};
const struct vmdk_type *vmdk_type_find(struct vmdk_str create_type);
/* Not a file's name makes it a device, but the kind of image or of extent. */
bool	vmdk_extline_device(const struct vmdk_desc *d,
			    const struct vmdk_extline *l);
/* Readable, but is it something we serve?  The error says what is missing. */
int	vmdk_desc_supported(const struct vmdk_desc *d, bool embedded,
			    uint64_t at, struct vd_err *err);

/* ------------------------------------------ the header of a sparse extent */

struct vmdk_header {
	uint32_t	version;
	uint32_t	flags;
	uint64_t	capacity;	/* sectors */
	uint64_t	grain_sectors;
	uint64_t	desc_sector, desc_sectors;
	uint32_t	gtes;		/* entries of a grain table */
	uint64_t	rgd_sector, gd_sector;
	uint64_t	overhead;	/* sectors before the first grain */
	uint8_t		unclean;
	uint8_t		newline[4];
	uint16_t	compress;
};

#define VMDK_HEADER_LEN		512u
#define VMDK_HEADER_VERSION	4u	/* byte of version */
#define VMDK_HEADER_UNCLEAN	72u	/* byte of uncleanShutdown */
#define VMDK_HEADER_PAD		79u	/* nothing of ours from here on */

#define VMDK_F_NEWLINE		0x1u
#define VMDK_F_RGD		0x2u
#define VMDK_F_ZERO_GRAIN	0x4u
#define VMDK_F_COMPRESSED	0x10000u
#define VMDK_F_MARKERS		0x20000u
#define VMDK_F_UNKNOWN		0xfffc0000u	/* of the half that forbids */

#define VMDK_GD_AT_END		UINT64_MAX

/* Is it "KDMV"?  Then take it apart. */
bool	vmdk_header_decode(const uint8_t b[VMDK_HEADER_LEN],
			   struct vmdk_header *h);
void	vmdk_header_encode(const struct vmdk_header *h,
			   uint8_t b[VMDK_HEADER_LEN]);
/* Is it whole and sane, in a file of this size? */
int	vmdk_header_check(const struct vmdk_header *h, uint64_t file_size,
			  struct vd_err *err);
/* Sane, but is it a dialect that we read?  The error says what is missing. */
int	vmdk_header_supported(const struct vmdk_header *h, struct vd_err *err);
bool	vmdk_header_is_stream(const struct vmdk_header *h);
/* What people call this dialect; h is NULL for a text file. */
const char *vmdk_variant(const struct vmdk_header *h,
			 const struct vmdk_desc *d);
uint64_t vmdk_header_tables(const struct vmdk_header *h);	/* how many GTs */

static inline uint32_t
vmdk_gt_sectors(const struct vmdk_header *h)
{
	return (h->gtes * 4 + VMDK_SECTOR - 1) / VMDK_SECTOR;
}

/* Where everything lies in a new extent with a descriptor of 20 sectors. */
void	vmdk_header_layout(struct vmdk_header *h, uint64_t capacity,
			   uint64_t grain_sectors);
/* The same for a part of a split disk: no descriptor inside. */
void	vmdk_header_layout_part(struct vmdk_header *h, uint64_t capacity,
				uint64_t grain_sectors);

/* ---------------------------------------------------------- an open image */

struct vmdk_stream;		/* stream.c: compressed grains */

struct vmdk_span {		/* metadata among the grains; sectors */
	uint32_t	start, count;
};

struct vmdk_room {		/* discard.c: who may have which place */
	bool		scanned;	/* what nobody used at open is in free */
	bool		stay;		/* too many grains: they keep their places */
	uint32_t       *free;		/* sectors; the last one goes first */
	size_t		nfree, cap;
	uint32_t      **held;		/* by table and entry: sector, until a sync */
};

struct vmdk_extent {
	enum vmdk_kind	kind;		/* FLAT, SPARSE, ZERO, COWD, SESPARSE */
	enum vmdk_access access;
	bool		frozen;		/* can never be written to */
	uint64_t	start, len;	/* in the disk, bytes */
	struct vmdk_str	name;		/* as the descriptor has it */
	struct vd_file *file;		/* NULL: ZERO, NOACCESS */
	uint64_t	file_off;	/* FLAT */
	struct vmdk_stream *stream;	/* SPARSE with compressed grains */

	/* SPARSE, and COWD: its header is told in the same words */
	struct vmdk_header h;
	uint64_t	grain;		/* bytes */
	uint32_t	ntables;
	uint32_t       *gd, *rgd;	/* sectors; rgd may be NULL */
	uint32_t	unclean_at;	/* byte of the mark in the file */
	uint32_t	free_sector;	/* COWD: as the header has it */
	uint64_t	se_tables, se_grains;	/* SESPARSE: sectors; gd: 1 + number */
	struct vd_table *table;
	bool		stale_copies;	/* begin_write equals them */

	pthread_mutex_t	lock;		/* everything below, and changes of gd */
	bool		have_lock;
	uint64_t	next;		/* first free byte, grain aligned */
	uint64_t	most;		/* the file never has to be longer */
	uint64_t	used_end;	/* left unclean: all that is used ends here */
	uint64_t	size;		/* of the file, as last seen */
	uint64_t	last_end;	/* of the last grain's room; 0: none */
	struct vmdk_span *spans;	/* metadata at or after overHead */
	unsigned	nspans;
	uint64_t	floor;		/* bytes before it were there at open */
	struct vmdk_room room;
};

struct vmdk {
	struct vd_host *host;
	struct vd_file *file;
	bool		rdonly;
	bool		marked;		/* as unclean, durably; see vmdk_mark() */
	pthread_mutex_t	mark_lock;	/* of that, and of the scan for room */
	char	       *text;		/* the descriptor, VMDK_DESC_MAX at most */
	size_t		text_len;
	uint64_t	text_off;	/* in file */
	uint64_t	text_room;	/* bytes it may grow to */
	bool		embedded;
	pthread_mutex_t	text_lock;	/* begin_write edits, info() reads */
	struct vmdk_desc desc;		/* points into text */
	struct vmdk_extent *extents;
	unsigned	nextents;
	uint64_t	size;
	struct vmdk_open {		/* for a reload: what is open already */
		char	       *name;
		struct vd_file *file;
	}	       *open;
	unsigned	nopen;
	bool		checking;	/* VD_OPEN_CHECK: extents are files, no more */
	struct vd_err	flaw;		/* then: why it would not open */
	struct vmdk_extent *spare;	/* for vmdk_shut() */
	struct vd_file **found;		/* and what audit-rebuild.c has opened */
	unsigned	nfound;
};

/* Tables that this open may change. */
static inline bool
vmdk_has_tables(const struct vmdk_extent *x)
{
	return x->table && !x->frozen;
}

/* sparse.c */
int	vmdk_read_directory(struct vmdk_extent *x, uint64_t sector,
			    bool lenient, uint32_t **out, struct vd_err *err);
int	vmdk_open_table(struct vmdk *v, struct vmdk_extent *x,
			struct vd_err *err);
/* Would it open for writing if this were its header?  Nothing changes. */
int	vmdk_sparse_rehearse(const struct vmdk *v, const struct vmdk_extent *x,
			     const struct vmdk_header *h, uint64_t sectors,
			     struct vd_err *err);
int	vmdk_sparse_open(struct vmdk *v, struct vmdk_extent *x,
			 uint64_t sectors, struct vd_err *err);
void	vmdk_sparse_free(struct vmdk_extent *x);
int	vmdk_sparse_map(struct vmdk_extent *x, uint64_t off, uint64_t len,
			struct vd_extent *ext, struct vd_err *err);
void	vmdk_sparse_content(const struct vmdk *v, bool unclean,
			    uint8_t content[32]);
const char *vmdk_pointer_wrong(struct vmdk_extent *x, uint64_t sector,
			       uint64_t len);
int	vmdk_span_cmp(const void *a, const void *b);

/* cowd.c */
int	vmdk_cowd_header(struct vmdk_extent *x, struct vd_err *err);
int	vmdk_cowd_used(struct vmdk_extent *x, struct vd_err *err);
int	vmdk_cowd_between(void *ctx, struct vd_err *err);
/* Nothing lies at or behind this byte any more. */
int	vmdk_cowd_lower(struct vmdk_extent *x, uint64_t end,
			struct vd_err *err);

/* sesparse.c */
int	vmdk_sesparse_open(struct vmdk *v, struct vmdk_extent *x,
			   struct vd_err *err);
uint32_t vmdk_sesparse_entry(struct vmdk_extent *x, uint64_t e,
			     uint64_t *host_off, const char **wrong);

/* stream.c */
int	vmdk_stream_open(struct vmdk *v, struct vmdk_extent *x,
			 struct vd_err *err);
void	vmdk_stream_free(struct vmdk_extent *x);
/* The sector of a grain's marker, 0: none; 1: zeros. */
int	vmdk_stream_entry(struct vmdk_extent *x, uint64_t grain,
			  uint64_t *sector, struct vd_err *err);
int	vmdk_stream_read(struct vmdk_extent *x, void *buf, uint64_t off,
			 uint64_t len, struct vd_err *err);

/* extent.c */
int	vmdk_extents_open(struct vmdk *v, struct vd_err *err);
/* To be checked: their files, as far as they can be opened. */
int	vmdk_extents_files(struct vmdk *v, struct vd_err *err);
void	vmdk_extents_free(struct vmdk *v);
struct vmdk_extent *vmdk_extent_at(struct vmdk *v, uint64_t off);
int	vmdk_map(void *img, uint64_t off, uint64_t len, struct vd_extent *ext,
		 struct vd_err *err);
int	vmdk_read(void *img, void *buf, uint64_t off, uint64_t len,
		  struct vd_err *err);

/* verify.c */
/* Of an image left unclean: what else is in use by now (used_end). */
int	vmdk_sparse_recovered(struct vmdk_extent *x, struct vd_err *err);
/* marked: by this process; that mark is no reason to look at every pointer. */
int	vmdk_sparse_writable(struct vmdk_extent *x, bool marked,
			     struct vd_err *err);
int	vmdk_sparse_equal(struct vmdk_extent *x, struct vd_err *err);

/* image.c */
int	vmdk_open(struct vd_host *host, struct vd_file *file, unsigned flags,
		  struct vd_image_info *info, void **img, struct vd_err *err);
int	vmdk_close(void *img, struct vd_err *err);
/* After a resize: all anew, but for the files that are open. */
int	vmdk_reload(struct vmdk *v, struct vd_err *err);
/* No access from now on; v->spare is there. */
void	vmdk_shut(struct vmdk *v, uint64_t size);

/* The file of this name is open: a reload shall not open it again. */
int	vmdk_keep_open(struct vmdk *v, struct vmdk_str name,
		       struct vd_file *file, struct vd_err *err);
/* remove: they were made for a resize that failed. */
void	vmdk_forget_open(struct vmdk *v, bool remove);

/* resize.c, split.c */
int	vmdk_resize(void *img, uint64_t virtual_size, struct vd_err *err);
/* Would it be read with this text? */
int	vmdk_rehearse_text(const struct vmdk *v, const char *text, size_t len,
			   struct vd_err *err);
int	vmdk_resize_text(const struct vmdk *v, size_t room, uint64_t sectors,
			 char **out, size_t *len, struct vd_err *err);
int	vmdk_forget_behind(struct vmdk_extent *x, uint64_t len,
			   struct vd_err *err);
int	vmdk_resize_split(struct vmdk *v, uint64_t sectors, bool flat,
			  struct vd_err *err);
int	vmdk_resize_finish(struct vmdk *v, struct vd_err *err);

/* child.c, info.c */
int	vmdk_identity(void *img, struct vd_identity *id, struct vd_err *err);
int	vmdk_info(void *img, struct vd_info_out *out, struct vd_err *err);

/* probe.c */
enum vd_verdict vmdk_probe(const struct vd_probe_in *in,
			   struct vd_probe_out *out);

/* write.c */
int	vmdk_begin_write(void *img, struct vd_err *err);
int	vmdk_allocate(void *img, uint64_t off, struct vd_alloc *a,
		      struct vd_err *err);
int	vmdk_commit(void *img, const struct vd_alloc *a, struct vd_err *err);
void	vmdk_abandon(void *img, const struct vd_alloc *a);
int	vmdk_sync(void *img, struct vd_err *err);
/* Before the first change of any table: equal copies, the unclean mark. */
int	vmdk_mark(struct vmdk *v, struct vd_err *err);
int	vmdk_mark_clean(struct vmdk *v, struct vd_err *err);
/* The first byte behind all that is in the file; x->lock held. */
uint64_t vmdk_end(struct vmdk_extent *x);
/* The file ends where what is used ends; until then it grows in steps. */
int	vmdk_give_back(struct vmdk_extent *x, struct vd_err *err);
/* The table that holds this grain's entry exists on return. */
int	vmdk_need_table(struct vmdk_extent *x, uint64_t grain,
			struct vd_err *err);
int	vmdk_read_only_here(const struct vmdk_extent *x, uint64_t off,
			    struct vd_err *err);

/* discard.c; give, hold and take with x->lock held */
void	vmdk_room_give(struct vmdk_extent *x, uint32_t sector);
void	vmdk_room_hold(struct vmdk_extent *x, uint64_t grain, uint32_t sector);
bool	vmdk_room_take(struct vmdk_extent *x, uint64_t grain, uint64_t *off,
		       bool *held);
int	vmdk_room_sync(struct vmdk_extent *x, struct vd_err *err);
int	vmdk_room_trim(struct vmdk_extent *x, struct vd_err *err);
void	vmdk_room_end(struct vmdk_extent *x);
int	vmdk_zero(void *img, uint64_t off, uint64_t len, struct vd_err *err);
int	vmdk_discard(void *img, uint64_t off, uint64_t len,
		     struct vd_err *err);

/* rewrite.c */
/* The text is v's from now on; the old one is freed. */
void	vmdk_take_text(struct vmdk *v, char *text, size_t len);
/* Another text of v->text_room bytes, NULs behind len: all of it or nothing. */
int	vmdk_write_text(struct vmdk *v, const char *text, size_t len,
			struct vd_err *err);
/* The same with other numbers in the header; embedded. */
int	vmdk_write_both(struct vmdk *v, const char *text,
			const struct vmdk_header *h, struct vd_err *err);
bool	vmdk_text_is_away(const struct vmdk *v);
/* As long as the old one: each sector on its own makes sense with the others. */
int	vmdk_write_digits(struct vmdk *v, const char *text,
			  struct vd_err *err);
/* A header that stays in its place, in one sector. */
int	vmdk_write_header(struct vmdk_extent *x, const struct vmdk_header *h,
			  struct vd_err *err);

/* child.c */
#define VMDK_UUID_LEN	36u
#define VMDK_UUID_NIL	"00000000-0000-0000-0000-000000000000"

struct vmdk_link {		/* a parent in the words of a descriptor */
	const char     *hint;
	uint32_t	cid;
	char		id[VMDK_UUID_LEN + 1], modified[VMDK_UUID_LEN + 1];
	char		format[16];	/* "": vmdk */
};
int	vmdk_link_to(struct vmdk_link *up, const char *format,
		     const struct vd_parent *p, struct vd_err *err);
int	vmdk_parent(void *img, struct vd_parent *p, struct vd_err *err);
int	vmdk_match_parent(void *img, const char *parent_format,
			  const struct vd_identity *id, struct vd_err *err);
int	vmdk_relink(void *img, const struct vd_parent *p, struct vd_err *err);

/* compose.c */
struct vmdk_text {		/* a text that grows, or stops growing */
	char	       *buf;
	size_t		len, room;
	bool		full;
};
int	vmdk_text_new(struct vmdk_text *t, size_t room, struct vd_err *err);
void	vmdk_say(struct vmdk_text *t, const char *fmt, ...)
		__attribute__((format(printf, 2, 3)));
int	vmdk_new_uuid(char out[VMDK_UUID_LEN + 1], struct vd_err *err);
int	vmdk_compose(struct vmdk_text *t, const char *type,
		     const char *extents, const struct vmdk_link *up,
		     const struct vd_create *c, struct vd_err *err);

/* check.c */
int	vmdk_check(void *img, struct vd_report *r, struct vd_err *err);

/* repair.c */
int	vmdk_repair(void *img, struct vd_report *r, struct vd_err *err);

/* pack.c */
int	vmdk_pack(const char *name, const struct vd_create *c,
		  const struct vd_source *src, const struct vd_sink *to,
		  struct vd_err *err);

/* create.c */
/* The part of a split disk, into an empty file. */
int	vmdk_write_part(struct vd_file *f, uint64_t bytes, uint64_t grain,
			struct vd_err *err);
int	vmdk_check_name(const char *path, const struct vd_create *c,
			struct vd_err *err);
/* X.vmdk and "flat": X-flat.vmdk. */
int	vmdk_part_path(const char *path, const char *tail, char *buf,
		       size_t len, struct vd_err *err);
/* X-s001.vmdk or X-f001.vmdk, and its line. */
int	vmdk_create_part(struct vd_host *host, const char *path,
			 const struct vd_create *c, bool flat, unsigned i,
			 uint64_t bytes, struct vmdk_text *lines,
			 struct vd_err *err);
int	vmdk_create_text(struct vd_host *host, const char *path,
			 const char *type, const char *lines,
			 const struct vd_create *c, const struct vmdk_link *up,
			 struct vd_err *err);
int	vmdk_check_grain(const struct vd_create *c, struct vd_err *err);
/* custom.c: a variant that begins so goes on with a list of extents */
#define VMDK_CUSTOM	"custom:"
int	vmdk_create_custom(struct vd_host *host, const char *path,
			   const struct vd_create *c, struct vd_err *err);
int	vmdk_create_child(struct vd_host *host, const char *path,
			  const char *parent_format,
			  const struct vd_parent *parent,
			  const struct vd_create *c, struct vd_err *err);
int	vmdk_create(struct vd_host *host, const char *path,
		    const struct vd_create *c, struct vd_err *err);

#endif
