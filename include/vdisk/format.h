/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdisk/format.h - what a format module promises, and what it may rely on.
 *
 * A module is one shared object exporting one symbol, vd_module().  The core
 * calls it once, copies min(theirs, ours) bytes of the descriptor it returns
 * into zeroed memory, and never looks at the original again.
 *
 * A module is a mapper: it says where the bytes of a disk live, and the core
 * moves them.  It reaches files only through the vd_file_*, vd_host_* and
 * vd_table_* calls below, never through system calls of its own.
 *
 * Units: every offset, length and size is in bytes unless its name says
 * otherwise.  Return values: 0 or -errno (see vdisk/error.h).  A slot that is
 * NULL means "not supported", never "succeeds quietly".
 *
 * Threads: open, begin_write, close, sync, resize and the whole-image slots are
 * never called twice at once for one image.  map, allocate, commit, abandon,
 * zero, discard, read and write are called from many threads at once, also
 * while sync runs; the core only promises that no two of them that change
 * the mapping (allocate .. commit/abandon, zero, discard) overlap in one unit.
 * While resize, relink, check or repair runs, nothing else does.
 */
#ifndef VDISK_FORMAT_H
#define VDISK_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vdisk/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VD_ABI_MAJOR	1	/* bumped only when an old module would misread us */
#define VD_ABI_MINOR	1	/* bumped when a member is appended below */

#define VD_NAME_MAX	4096	/* a file name inside an image, with its NUL */
#define VD_VARIANT_MAX	64	/* "monolithicSparse", with its NUL */
#define VD_ID_MAX	64	/* an identity as text, with its NUL */

struct vd_file;			/* one open file (core) */
struct vd_host;			/* what one open image may ask of the core */
struct vd_table;		/* an array of entries kept in a file (core) */

/* ------------------------------------------------------------------ probe */

enum vd_verdict {
	VD_NOT_MINE,
	VD_MINE,		/* signature and every mandatory field agree */
	VD_MINE_BROKEN,		/* ours, but unsafe to open; reason says why */
};

/* What a probe sees: bounded parts of the file, nothing else. */
struct vd_probe_in {
	uint32_t	size;		/* sizeof, as the core was compiled */
	uint32_t	head_len;	/* at most VD_PROBE_HEAD */
	const uint8_t  *head;		/* first bytes of the file */
	const uint8_t  *tail;		/* last bytes, may overlap head */
	uint32_t	tail_len;	/* at most VD_PROBE_TAIL */
	uint32_t	pad;
	uint64_t	file_size;
	const char     *name;		/* file name, for its extension only */
};
#define VD_PROBE_HEAD	65536
#define VD_PROBE_TAIL	4096

enum vd_ref_kind {
	VD_REF_PARENT = 1,	/* the image below this one in its chain */
	VD_REF_EXTENT,		/* a file holding a part of this image */
	VD_REF_AUX,		/* change tracking and the like; not needed to read */
};

/* What a probe answers.  Zeroed by the core, which set size and the sinks. */
struct vd_probe_out {
	uint32_t	size;
	uint32_t	confidence;	/* 0..100; the highest claim wins */
	uint64_t	virtual_size;	/* bytes, 0 when unknown */
	char		variant[VD_VARIANT_MAX];
	char		reason[256];	/* for VD_MINE_BROKEN */
	uint64_t	reason_off;	/* byte in the file, or VD_NOWHERE */
	/* Name an outside file; name need not be NUL-terminated. */
	void	      (*ref)(struct vd_probe_out *out, enum vd_ref_kind kind,
			     const char *name, size_t len);
	/* Say something the owner should know; NUL-terminated. */
	void	      (*warn)(struct vd_probe_out *out, const char *text);
	char		id[VD_ID_MAX];	/* how children name this image, or "" */
};

/* ------------------------------------------------------------- data path */

enum vd_extent_kind {
	VD_EXT_DATA = 1,	/* bytes are in file at host_off, one to one */
	VD_EXT_ZERO,		/* reads as zeros, and hides the parent */
	VD_EXT_HOLE,		/* not here: ask the parent; zeros in a base */
	VD_EXT_TRANSFORM,	/* only the module's own read/write can tell */
};

/*
 * What map() answers for the run that begins at the asked offset.  For ZERO
 * and HOLE, unit_off and unit_len name the allocation unit holding that offset
 * (the last one is cut at the end of the disk); the run itself may be longer.
 */
struct vd_extent {
	uint32_t	kind;		/* enum vd_extent_kind */
	uint32_t	pad;
	uint64_t	len;		/* 1 .. asked length */
	struct vd_file *file;		/* DATA only */
	uint64_t	host_off;	/* DATA only: byte in file */
	uint64_t	unit_off;
	uint64_t	unit_len;
};

/* Room reserved for one unit; the core fills it, then commits or abandons. */
struct vd_alloc {
	uint64_t	unit_off;	/* disk range, as in vd_extent */
	uint64_t	unit_len;
	struct vd_file *file;
	uint64_t	host_off;
	uint64_t	host_len;	/* >= unit_len: the whole unit on the host */
	uint32_t	flags;		/* VD_ALLOC_* */
	uint32_t	was;		/* VD_EXT_ZERO or VD_EXT_HOLE before */
	uint64_t	cookie[2];	/* the module's own */
};
#define VD_ALLOC_ZEROED	0x1	/* the host range reads as zeros already */

/* Open flags, as the module sees them. */
#define VD_OPEN_RDONLY	0x1	/* never write, not even a header */
/*
 * For check and repair: open whatever has a readable header, damaged or not.
 * The core asks nothing but check, repair, identity, parent, info and close
 * of such an image; its map will not be used.
 */
#define VD_OPEN_CHECK	0x2
/*
 * For vd_host_open() only, since 1.1: the format says that this is a device of
 * the host.  A block device is opened if the administrator allows those, to be
 * read; anything else is subject to the usual rules.
 */
#define VD_OPEN_DEVICE	0x4

/* Filled by open(); zeroed before, size set by the core. */
struct vd_image_info {
	uint32_t	size;
	uint32_t	flags;		/* VD_IMG_* */
	uint64_t	virtual_size;	/* bytes, a multiple of 512 */
	uint64_t	unit;		/* usual allocation unit; 0: never allocates */
	char		variant[VD_VARIANT_MAX];
};
#define VD_IMG_RDONLY	0x1	/* this dialect can only be read */
#define VD_IMG_CHILD	0x2	/* has a parent: HOLE means "ask it" */
#define VD_IMG_UNCLEAN	0x4	/* was not closed properly by its last writer */

/* -------------------------------------------------------- chains, checks */

/* Who an image is.  Text, compared without case; "" when there is none. */
struct vd_identity {
	uint32_t	size;
	uint32_t	pad;
	uint64_t	virtual_size;
	char		id[VD_ID_MAX];		/* VDI uuidCreate, VMDK ddb uuid */
	char		content[VD_ID_MAX];	/* VDI uuidModify, VMDK CID */
};

/* How a child names its parent. */
struct vd_parent {
	uint32_t	size;
	uint32_t	pad;
	char		hint[VD_NAME_MAX];	/* file name; "" if the format has none */
	struct vd_identity expected;		/* what the parent must be */
	char		format[16];		/* "" if the child does not say */
};

enum vd_severity { VD_NOTE, VD_LEAK, VD_DAMAGE };

struct vd_finding {
	uint32_t	size;
	uint32_t	severity;	/* enum vd_severity */
	const char     *code;		/* stable, "vdi-duplicate-block" */
	const char     *file;
	uint64_t	off;		/* byte in file, or VD_NOWHERE */
	const char     *text;		/* one sentence */
};

/* Where check and repair report to; given by the core. */
struct vd_report {
	uint32_t	size;
	uint32_t	pad;
	void	      (*finding)(struct vd_report *r, const struct vd_finding *f);
	/* repair asks before each change; false: leave it. */
	bool	      (*may)(struct vd_report *r, const struct vd_finding *f);
};

/*
 * What check and repair of one image share: the same walk finds a flaw for
 * both.  Zeroed, then size and report, and mend for a repair.
 */
#define VD_AUDIT_CODES	96
struct vd_audit {
	uint32_t	size;
	bool		mend;		/* ask for leave to make a change */
	bool		left;		/* some damage was not mended */
	struct vd_report *report;
	struct {
		const char     *code;
		uint32_t	severity;
		uint32_t	n;
	}		said[VD_AUDIT_CODES];
};

struct vd_flaw {
	uint32_t	severity;	/* enum vd_severity */
	const char     *code;		/* a literal */
	const char     *file;
	uint64_t	off;		/* byte in file, or VD_NOWHERE */
	const char     *cure;		/* what a repair would do; NULL: nothing */
};

/* Where info() reports to: key/value pairs, in the order shown to people. */
struct vd_info_out {
	uint32_t	size;
	uint32_t	pad;
	void	      (*add)(struct vd_info_out *o, const char *key,
			     const char *value);
};

/* What to create.  Zeroed memory means "usual"; size set by the caller. */
struct vd_create {
	uint32_t	size;
	uint32_t	flags;		/* VD_CREATE_* */
	uint64_t	virtual_size;	/* bytes, a multiple of 512 */
	uint64_t	unit;		/* 0: the format's usual */
	const char     *variant;	/* NULL: the format's usual */
	const char     *comment;	/* UTF-8, or NULL */
};
#define VD_CREATE_FIXED	0x1	/* all space taken at creation */
#define VD_CREATE_NOSYNC 0x2	/* since 1.1; for the core: durable later */

/* -------------------------------------------- whole images (since 1.1) */

/* The content for an image that is made in one pass. */
struct vd_source {
	uint32_t	size;
	uint32_t	pad;
	void	       *ctx;
	/*
	 * The run at off, at most len long: is it known to be zeros?  Not
	 * called twice at once, with offsets that only grow.
	 */
	int	      (*run)(void *ctx, uint64_t off, uint64_t len,
			     uint64_t *run, bool *zero, struct vd_err *err);
	/* From many threads. */
	int	      (*read)(void *ctx, void *buf, uint64_t off, uint64_t len,
			      struct vd_err *err);
	/*
	 * What has been written, every byte once and in order; buf NULL:
	 * zeros, without a bound.  Not called twice at once.
	 */
	int	      (*passed)(void *ctx, const void *buf, uint64_t off,
				uint64_t len, struct vd_err *err);
};

/* Where it goes, from the first byte to the last. */
struct vd_sink {
	uint32_t	size;
	uint32_t	pad;
	void	       *ctx;
	int	      (*put)(void *ctx, const void *buf, size_t len,
			     struct vd_err *err);
};

/* ---------------------------------------------------------- the descriptor */

/* Flags of a format. */
#define VD_FORMAT_REST	0x1	/* claims nothing: takes what no one claims (raw) */

struct vd_format {
	uint32_t	size;		/* sizeof as the module was compiled */
	uint16_t	abi_major;	/* VD_ABI_MAJOR */
	uint16_t	abi_minor;	/* VD_ABI_MINOR */
	const char     *name;		/* "vmdk": [a-z0-9-], at most 15, stable */
	const char     *summary;	/* one line for vdisk-probe --modules */
	const char *const *extensions;	/* without dot, NULL-terminated; or NULL */
	uint64_t	flags;		/* VD_FORMAT_* */

	/*
	 * Pure: same bytes, same verdict.  No I/O, no allocation, no locale.
	 * A dialect that is recognised but not supported is VD_MINE_BROKEN
	 * only when the file is damaged; otherwise VD_MINE, and open refuses
	 * it by its name.
	 */
	enum vd_verdict (*probe)(const struct vd_probe_in *in,
				 struct vd_probe_out *out);

	/*
	 * file is the image's main file, open and locked for as long as the
	 * host lives; the module never closes it.  *img is the module's own.
	 */
	int   (*open)(struct vd_host *host, struct vd_file *file,
		      unsigned flags, struct vd_image_info *info, void **img,
		      struct vd_err *err);

	/*
	 * Everything was synced before; a writable image that was changed
	 * is marked clean here.  Frees img also when it fails.
	 */
	int   (*close)(void *img, struct vd_err *err);

	/* --- all below are optional --- */

	int   (*map)(void *img, uint64_t off, uint64_t len,
		     struct vd_extent *ext, struct vd_err *err);

	/*
	 * Before the first change after an open, once: new content identity
	 * (CID, uuidModify), unclean mark - durable on return.
	 */
	int   (*begin_write)(void *img, struct vd_err *err);

	/* Reserve room for the unit holding off.  Changes no mapping. */
	int   (*allocate)(void *img, uint64_t off, struct vd_alloc *a,
			  struct vd_err *err);
	/* The unit's data has been written: map() shows it from now on. */
	int   (*commit)(void *img, const struct vd_alloc *a,
			struct vd_err *err);
	/* The unit's data could not be written: give the room back. */
	void  (*abandon)(void *img, const struct vd_alloc *a);

	/* Make whole units read as zeros, hiding any parent. */
	int   (*zero)(void *img, uint64_t off, uint64_t len,
		      struct vd_err *err);
	/* Give whole units back; they read as ZERO (child) or HOLE (base). */
	int   (*discard)(void *img, uint64_t off, uint64_t len,
			 struct vd_err *err);

	/*
	 * Make durable every write that was acknowledged and every mapping
	 * that was committed before the call, data first (W1, W2).  Usually
	 * vd_table_sync().  The core syncs plain data files by itself.
	 */
	int   (*sync)(void *img, struct vd_err *err);

	/* TRANSFORM extents: exactly len bytes inside one extent. */
	int   (*read)(void *img, void *buf, uint64_t off, uint64_t len,
		      struct vd_err *err);
	int   (*write)(void *img, const void *buf, uint64_t off, uint64_t len,
		       struct vd_err *err);

	/* Make a new image at path (which must not exist). */
	int   (*create)(struct vd_host *host, const char *path,
			const struct vd_create *c, struct vd_err *err);
	/* A new, empty child of an image of this or (if it can) another format. */
	int   (*create_child)(struct vd_host *host, const char *path,
			      const char *parent_format,
			      const struct vd_parent *parent,
			      const struct vd_create *c, struct vd_err *err);

	int   (*identity)(void *img, struct vd_identity *id,
			  struct vd_err *err);
	int   (*parent)(void *img, struct vd_parent *p, struct vd_err *err);
	/* Is this the parent I was made from?  Error says what differs. */
	int   (*match_parent)(void *img, const char *parent_format,
			      const struct vd_identity *id,
			      struct vd_err *err);
	/*
	 * Point at another parent (moved, or after a merge); NULL: at none, the
	 * image holds all.  Durable on return.  What children of this image
	 * know of it (identity) stays.
	 */
	int   (*relink)(void *img, const struct vd_parent *p,
			struct vd_err *err);
	/*
	 * To the size it has: nothing is changed, and an image that cannot be
	 * resized says so.  The core asks that before it gives up what a
	 * shorter disk will not have.
	 */
	int   (*resize)(void *img, uint64_t virtual_size, struct vd_err *err);
	int   (*check)(void *img, struct vd_report *r, struct vd_err *err);
	int   (*repair)(void *img, struct vd_report *r, struct vd_err *err);
	int   (*info)(void *img, struct vd_info_out *out, struct vd_err *err);
	/* Nothing calls this any more: see pack. */
	int   (*write_stream)(struct vd_host *host, const char *path,
			      const struct vd_create *c,
			      int (*next)(void *ctx, void *buf, uint64_t off,
					  uint64_t len, struct vd_err *err),
			      void *ctx, struct vd_err *err);
	/* Other names for this image's files, for rename and remove. */
	int   (*rename)(struct vd_host *host, const char *from, const char *to,
			struct vd_err *err);

	/* --- since 1.1 --- */

	/*
	 * What create() and pack() know as c->variant; NULL-terminated.  Behind
	 * one that ends in ':' comes more that create() understands.
	 */
	const char *const *variants;
	const char *const *packs;	/* "": also without a variant */
	/*
	 * Make an image in one pass: what is put is never changed, so that it
	 * may go into a pipe.  name: what the image may call itself.
	 */
	int   (*pack)(const char *name, const struct vd_create *c,
		      const struct vd_source *src, const struct vd_sink *to,
		      struct vd_err *err);
};

/* The one symbol a module exports. */
const struct vd_format *vd_module(void);

/* ----------------------------------------------- what a module may call */

/*
 * Files.  Whole or not at all: a read past the end fills with zeros, a write
 * that could not be finished is an error.  Errors name the file.
 */
int	 vd_file_read(struct vd_file *f, void *buf, size_t len, uint64_t off,
		      struct vd_err *err);
int	 vd_file_write(struct vd_file *f, const void *buf, size_t len,
		       uint64_t off, struct vd_err *err);
/* Everything written to f so far survives a power cut. */
int	 vd_file_sync(struct vd_file *f, struct vd_err *err);
int	 vd_file_truncate(struct vd_file *f, uint64_t size,
			  struct vd_err *err);
/* Take the space now (fixed images); the range reads as zeros. */
int	 vd_file_reserve(struct vd_file *f, uint64_t off, uint64_t len,
			 struct vd_err *err);
/* Give the space back; the range reads as zeros after. */
int	 vd_file_punch(struct vd_file *f, uint64_t off, uint64_t len,
		       struct vd_err *err);
/*
 * Other content for a small file (a descriptor): whole or not at all, durable on
 * return.  It is a new file under the old name then.
 */
int	 vd_file_rewrite(struct vd_file *f, const void *buf, size_t len,
			 struct vd_err *err);
/* The image needs it no more: its name goes, durably; it stays open. */
int	 vd_file_remove(struct vd_file *f, struct vd_err *err);
uint64_t vd_file_size(struct vd_file *f);	/* now; block devices too */
const char *vd_file_name(struct vd_file *f);	/* for messages */
bool	 vd_file_is_block(struct vd_file *f);	/* a block device */
/*
 * A text that changes whenever anyone changes f (its size and the time of its
 * last modification): the content identity of formats that have none.
 */
void	 vd_file_stamp(struct vd_file *f, char *buf, size_t len);
/* A run of file data starting at off: is it a hole (SEEK_HOLE)?  len: how long. */
int	 vd_file_run(struct vd_file *f, uint64_t off, uint64_t *len,
		     bool *hole, struct vd_err *err);

/*
 * Open a file that an image names.  A name is taken relative to the image's
 * own folder and may not leave it, nor name anything but a regular file,
 * unless the administrator allowed more.  Locked as the image is.  Closed by
 * the core when the image is closed.
 */
int	 vd_host_open(struct vd_host *h, const char *name, unsigned flags,
		      struct vd_file **out, struct vd_err *err);

/*
 * For create(): make a new file at path (a path as the user gave it; it must
 * not exist).  Removed again when create() fails.
 */
int	 vd_host_create(struct vd_host *h, const char *path,
			struct vd_file **out, struct vd_err *err);

/*
 * Tell a flaw; or, in a repair that has a cure for it, ask for leave: true
 * means make the change now.  A thousand of one code are told one by one.
 */
bool	 vd_flaw(struct vd_audit *a, const struct vd_flaw *f, const char *fmt,
		 ...) __attribute__((format(printf, 3, 4)));
/* At the end of a check or repair: how many were not told one by one. */
void	 vd_audit_end(struct vd_audit *a);

/*
 * Since 1.1.  Pieces of work on several threads, their results in order.  take
 * prepares the next piece in a slot (1; or 0: there is none), work does what
 * takes time, give hands it on.  take and give each see the pieces in order,
 * one at a time; only work is called by several threads at once.  A failure
 * ends it all; the first one is returned.
 */
struct vd_lanes {
	uint32_t	size;
	uint32_t	threads;	/* 0: one for each processor */
	uint32_t	slots;		/* pieces that may be on their way */
	uint32_t	pad;
	void	       *ctx;
	int	      (*take)(void *ctx, unsigned slot, struct vd_err *err);
	int	      (*work)(void *ctx, unsigned slot, struct vd_err *err);
	int	      (*give)(void *ctx, unsigned slot, struct vd_err *err);
};
int	 vd_in_order(const struct vd_lanes *l, struct vd_err *err);
/* How many threads that makes (0: one for each processor). */
unsigned vd_lanes_threads(unsigned wanted);

/* Since 1.1.  Nothing but zeros? */
bool	 vd_is_zero(const void *buf, size_t len);

/* Random bytes from the system, for identities. */
int	 vd_random(void *buf, size_t len, struct vd_err *err);

/*
 * A table: entries of 4 or 8 bytes, little-endian in the file, kept in pages
 * of equal length, each page in one or two places.  The core loads pages when
 * they are needed, keeps them under a budget, remembers changed ones, keeps
 * the crash journal and writes back in the order W1 demands.  Thread-safe.
 */
struct vd_table_spec {
	uint32_t	size;
	uint32_t	entry_bytes;		/* 4 or 8 */
	uint32_t	page_entries;		/* entries of a page */
	uint32_t	copies;			/* 1 or 2 */
	uint64_t	entries;		/* in all; the last page may be short */
	/*
	 * Where page is: byte offsets of its copies, off[0] believed first;
	 * 0 for a copy that does not exist.  off[0] == 0: no such page, all
	 * its entries read as `absent`.  Called under the table's lock.
	 */
	void	      (*locate)(void *ctx, uint64_t page, uint64_t off[2]);
	void	       *ctx;
	uint64_t	absent;
	/*
	 * Changes whenever any writer changes the image (CID; uuidModify and
	 * the block count): binds the crash journal to this very content.
	 */
	uint8_t		content[32];
};

int	 vd_table_open(struct vd_host *h, struct vd_file *f,
		       const struct vd_table_spec *spec, struct vd_table **out,
		       struct vd_err *err);
void	 vd_table_close(struct vd_table *t);	/* writes nothing */
/*
 * May answer -EAGAIN when the core asked map() not to wait for a page to be
 * read: hand that on unchanged, the core asks again where waiting is fine.
 */
int	 vd_table_get(struct vd_table *t, uint64_t entry, uint64_t *value,
		      struct vd_err *err);
/*
 * How many entries from this one on (max at most) are value, value + step,
 * value + 2 * step ...; 0 when already this one is not.  Stops, too, where a
 * page could not be read.  Cheap: pages are looked at whole.  Since 1.1.
 */
uint64_t vd_table_run(struct vd_table *t, uint64_t entry, uint64_t max,
		      uint64_t value, uint64_t step);
/* Change an entry in memory and in the crash journal; the file waits. */
int	 vd_table_set(struct vd_table *t, uint64_t entry, uint64_t value,
		      struct vd_err *err);
/*
 * Data of f durable, then between() (header counters; may be NULL; writes,
 * does not sync), then the entries set before the call, then f durable.
 * Does nothing but sync f when no entry changed.
 */
int	 vd_table_sync(struct vd_table *t,
		       int (*between)(void *ctx, struct vd_err *err),
		       void *ctx, struct vd_err *err);
/*
 * The image's content identity is about to change: call it before writing the
 * new one to the file (begin_write, between()).  A crash journal stays valid
 * for the last two.
 */
void	 vd_table_content(struct vd_table *t, const uint8_t content[32]);
/* Entries that differ from the file; recovered ones of a dead process count. */
uint64_t vd_table_dirty(struct vd_table *t);

/* The slots of an older or newer descriptor are copied by this size. */
#define VD_FORMAT_INIT	.size = sizeof(struct vd_format), \
			.abi_major = VD_ABI_MAJOR, .abi_minor = VD_ABI_MINOR

#ifdef __cplusplus
}
#endif
#endif
