/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdisk/vdisk.h - open virtual disks and move their data.
 *
 *	struct vd_library *lib;  struct vd_disk *disk;  struct vd_err err = {0};
 *
 *	vd_library_open(NULL, &lib, &err);
 *	vd_disk_open(lib, "web01.vmdk", NULL, &disk, &err);
 *	vd_disk_read(disk, buf, 4096, 0, &err);
 *	vd_disk_close(disk, &err);
 *	vd_library_close(lib);
 *
 * Offsets and lengths are bytes.  Functions return 0 or -errno; strings
 * returned live as long as the object they came from.  The library prints
 * nothing, never exits, and installs no signal handler.
 *
 * Threads: a vd_library may be shared once opened; the data calls of a vd_disk
 * (read .. extents) may be called from many threads at once; open and close
 * may not overlap with them.  A vd_queue belongs to one thread.
 */
#ifndef VDISK_VDISK_H
#define VDISK_VDISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include <vdisk/error.h>
#include <vdisk/format.h>

#ifdef __cplusplus
extern "C" {
#endif

const char *vd_version(void);		/* "0.1.0" */

/* ---------------------------------------------------------------- library */

struct vd_library;

/*
 * Load the format modules of a colon-separated search path (NULL:
 * $VDISK_PLUGIN_PATH if set and the program is not set-id, then the installed
 * folder).  A module that cannot be used is skipped and remembered; only an
 * unreadable system is an error.
 */
int	vd_library_open(const char *path, struct vd_library **out,
			struct vd_err *err);
void	vd_library_close(struct vd_library *lib);

/* The i-th loaded module, or NULL; its file name through *file (may be NULL). */
const struct vd_format *vd_library_format(struct vd_library *lib, unsigned i,
					  const char **file);
const struct vd_format *vd_library_find(struct vd_library *lib,
					const char *name);
/* By the extension of a path; NULL if no module names it. */
const struct vd_format *vd_library_by_extension(struct vd_library *lib,
						const char *path);
/* The i-th module that was skipped and why, or NULL. */
const struct vd_err *vd_library_skipped(struct vd_library *lib, unsigned i);

/* ------------------------------------------------------------------ probe */

struct vd_probe_ref {
	enum vd_ref_kind kind;
	char	       *name;
};

#define VD_PROBE_REFS_MAX	1024	/* more are counted, not kept */
#define VD_PROBE_WARNINGS_MAX	64

struct vd_probe_result {
	const struct vd_format *format;	/* NULL: no module knows it */
	enum vd_verdict verdict;
	bool		guessed;	/* raw because nothing else claimed it */
	uint32_t	confidence;	/* 0..100 */
	uint64_t	virtual_size;	/* 0: unknown */
	uint64_t	file_size;
	char		variant[VD_VARIANT_MAX];
	char		reason[256];	/* VD_MINE_BROKEN */
	uint64_t	reason_off;
	unsigned	nrefs;		/* kept in refs */
	unsigned	refs_dropped;	/* not kept */
	struct vd_probe_ref *refs;
	unsigned	nwarnings;
	char	      **warnings;
	char		id[VD_ID_MAX];	/* how children name it, or "" */
};

/*
 * Decide what a file is from its head and tail alone; opens nothing that it
 * refers to.  A file that no module claims is the REST module's (raw), guessed.
 * Returns 0 also for broken images: see verdict.  Free with vd_probe_free().
 */
int	vd_probe_path(struct vd_library *lib, const char *path,
		      struct vd_probe_result **out, struct vd_err *err);
/* The same for bytes in memory. */
int	vd_probe_bytes(struct vd_library *lib, const struct vd_probe_in *in,
		       struct vd_probe_result **out, struct vd_err *err);
void	vd_probe_free(struct vd_probe_result *r);

/* ------------------------------------------------------------------- disk */

struct vd_disk;			/* an open chain: what a guest sees */

struct vd_open {
	uint32_t	size;		/* sizeof(struct vd_open) */
	uint32_t	flags;		/* VD_DISK_* */
	const char     *format;		/* NULL: probe */
	/*
	 * Bytes of memory for the tables of all images and for the index of
	 * the chain; 0: 64 MiB.
	 */
	uint64_t	cache;
	/*
	 * New mappings that wait in memory before they are written to the
	 * image though nobody flushes (0: 32768), and for how many
	 * milliseconds at most (0: 5000).
	 */
	uint32_t	flush_entries;
	uint32_t	flush_ms;
};
#define VD_DISK_RDONLY		0x1
/* One batch job (a conversion): nothing is promised before close. */
#define VD_DISK_BATCH		0x2
/* Extents and parents may lie outside the image's folder. */
#define VD_DISK_ANYWHERE	0x4
/* Read a file that another program holds open for writing (info only). */
#define VD_DISK_SHARED		0x8
/*
 * Open the top image and not its parents: to check, mend or relink it.  If it
 * has a parent, the data calls fail.
 */
#define VD_DISK_ALONE		0x10
/* The same, be it damaged: for vd_disk_check() and vd_disk_repair() only. */
#define VD_DISK_CHECK		0x20
/* Block devices that an image names as its extents may be read. */
#define VD_DISK_DEVICES		0x80
/*
 * Nothing is made durable: a flush only writes, and after a power cut the image
 * may hold anything.  For what would be made again.
 */
#define VD_DISK_NOSYNC		0x40

int	vd_disk_open(struct vd_library *lib, const char *path,
		     const struct vd_open *opts, struct vd_disk **out,
		     struct vd_err *err);
/* Flush and close.  Frees disk also when it fails. */
int	vd_disk_close(struct vd_disk *disk, struct vd_err *err);

uint64_t vd_disk_size(struct vd_disk *disk);
bool	vd_disk_readonly(struct vd_disk *disk);
bool	vd_disk_can_discard(struct vd_disk *disk);
unsigned vd_disk_depth(struct vd_disk *disk);	/* images in the chain */
/* Layer 0 is the top. */
const char *vd_disk_path(struct vd_disk *disk, unsigned layer);
const struct vd_format *vd_disk_format(struct vd_disk *disk, unsigned layer);
const struct vd_image_info *vd_disk_image(struct vd_disk *disk,
					  unsigned layer);
/* What the format tells about a layer, through out->add(). */
int	vd_disk_info(struct vd_disk *disk, unsigned layer,
		     struct vd_info_out *out, struct vd_err *err);

/*
 * Data.  Any offset and length inside the disk (the ring and NBD use multiples
 * of 512).  A write is visible to every later read when it returns, survives
 * the death of this process (W6), and a power cut once a flush that began
 * after it has returned (W2).
 */
#define VD_FUA		0x1	/* durable on return */
#define VD_MAY_UNMAP	0x2	/* write_zeroes: room may be given back */
/* write_zeroes: -ENOTSUP as soon as zeros would have to be written as data. */
#define VD_FAST		0x4

int	vd_disk_read(struct vd_disk *d, void *buf, size_t len, uint64_t off,
		     struct vd_err *err);
int	vd_disk_write(struct vd_disk *d, const void *buf, size_t len,
		      uint64_t off, unsigned flags, struct vd_err *err);
int	vd_disk_readv(struct vd_disk *d, const struct iovec *iov, int n,
		      uint64_t off, struct vd_err *err);
int	vd_disk_writev(struct vd_disk *d, const struct iovec *iov, int n,
		       uint64_t off, unsigned flags, struct vd_err *err);
/*
 * -EAGAIN: it failed and nothing is lost; another try may succeed.  Any other
 * error: the host has lost writes, and every later flush fails, too.
 */
int	vd_disk_flush(struct vd_disk *d, struct vd_err *err);
int	vd_disk_write_zeroes(struct vd_disk *d, uint64_t off, uint64_t len,
			     unsigned flags, struct vd_err *err);
/* -ENOTSUP where the top image cannot; see vd_disk_can_discard(). */
int	vd_disk_discard(struct vd_disk *d, uint64_t off, uint64_t len,
			struct vd_err *err);

/*
 * Copy from one disk to the same place of another by letting their files share
 * blocks.  *shared: how much of it, from off on, could be copied so; 0 where the
 * file system cannot do it, or this is no such place.
 */
int	vd_disk_share(struct vd_disk *in, struct vd_disk *out, uint64_t off,
		      uint64_t len, uint64_t *shared, struct vd_err *err);

struct vd_run {			/* a run of the disk, the whole chain considered */
	uint64_t	off;
	uint64_t	len;
	uint32_t	kind;	/* VD_EXT_DATA (or TRANSFORM) or VD_EXT_ZERO */
	uint32_t	layer;	/* which image it comes from, DATA only */
};
/* The run that starts at off (adjacent equal runs joined, at most len long). */
int	vd_disk_extent(struct vd_disk *d, uint64_t off, uint64_t len,
		       struct vd_run *run, struct vd_err *err);

/* ------------------------------------------------------------------ queue */

/*
 * Many requests in flight, answered out of order.  What the page cache can take
 * or give is moved at once, what else is mapped goes to the I/O driver; what
 * needs an allocation, a flush or a module's own work goes to worker threads
 * that use the calls above.
 */
struct vd_queue;

enum vd_op {
	VD_OP_READ = 1,
	VD_OP_WRITE,
	VD_OP_FLUSH,
	VD_OP_DISCARD,
	VD_OP_WRITE_ZEROES,
};

enum vd_driver {
	VD_DRIVER_AUTO,		/* io_uring where it works */
	VD_DRIVER_SYNC,		/* preadv/pwritev on worker threads */
	VD_DRIVER_URING,
};

struct vd_req {
	uint32_t	op;		/* enum vd_op */
	uint32_t	flags;		/* VD_FUA, VD_MAY_UNMAP */
	uint64_t	off;
	uint64_t	len;		/* READ/WRITE: equals the sum of iov */
	const struct iovec *iov;	/* caller's, untouched until done() */
	int		niov;
	int		result;		/* 0 or -errno, set before done() */
	void	      (*done)(struct vd_req *req);
	void	       *opaque;		/* the caller's */
	void	       *priv[6];	/* the queue's */
};

int	vd_queue_open(struct vd_disk *disk, enum vd_driver driver,
		      unsigned depth, struct vd_queue **out,
		      struct vd_err *err);
/* Waits until nothing is in flight (calls done()), then frees. */
void	vd_queue_close(struct vd_queue *q);
const char *vd_queue_driver(struct vd_queue *q);	/* "io_uring", "sync" */
/* Readable when vd_queue_reap() has something to do. */
int	vd_queue_fd(struct vd_queue *q);
/*
 * Take a request over; never calls done() itself, and waits for no disk - but a
 * kernel that has too much to write back slows down all who give it more.
 */
void	vd_queue_submit(struct vd_queue *q, struct vd_req *req);
/* Hand what was submitted to the kernel: once per batch. */
void	vd_queue_kick(struct vd_queue *q);
/* Call done() for what has finished; returns how many. */
unsigned vd_queue_reap(struct vd_queue *q);
unsigned vd_queue_inflight(struct vd_queue *q);

/* ----------------------------------------------------------------- create */

/* Make an image; format by name.  path must not exist; nothing half-made stays. */
int	vd_create_image(struct vd_library *lib, const char *format,
			const char *path, const struct vd_create *c,
			struct vd_err *err);

/*
 * Make an image with all its content in one pass, on a descriptor that need not
 * seek: a pipe, a socket, a new file.  Nothing is synced.  c->variant is one of
 * the format's packs; name is what the image may call itself.
 */
int	vd_pack_image(struct vd_library *lib, const char *format, int fd,
		      const char *name, const struct vd_create *c,
		      const struct vd_source *src, struct vd_err *err);

/*
 * A new, empty child of the image `parent` (whose size it has): it reads like
 * its parent, and what is written to it leaves the parent alone.  format by
 * name; c may be NULL.  In this and the next calls o->flags may allow parents
 * outside the folder (VD_DISK_ANYWHERE); o may be NULL.
 */
int	vd_create_child(struct vd_library *lib, const char *format,
			const char *path, const char *parent,
			const struct vd_open *o, const struct vd_create *c,
			struct vd_err *err);

/* -------------------------------------------------------------- snapshots */

/*
 * Changes of the chain below a disk that nobody has open.  The disk is named by
 * the path of its top, which stays the same; a snapshot by its name, or by the
 * base name of any image of the chain.  Cut short at any point, the disk opens
 * as before or as after, and the same call again finishes or cleans up.
 */

/*
 * Freeze the state: PATH.vmdk becomes PATH@NAME.vmdk under a new, empty top.  A
 * raw disk stays as it is, and PATH@NAME.raw is a copy that shares its blocks,
 * where the file system can do that; -ENOTSUP where it cannot.
 */
int	vd_snapshot(struct vd_library *lib, const char *path, const char *name,
		    const struct vd_open *o, struct vd_err *err);
/* The name under which the calls know a layer; NULL for the top.  May use buf. */
const char *vd_snapshot_name(struct vd_disk *d, unsigned layer, char *buf,
			     size_t len);
/*
 * The i-th of the snapshots that are copies and no layers, the oldest first: its
 * name, and its file through *path (may be NULL).  NULL: no more.
 */
const char *vd_snapshot_copy(struct vd_disk *d, unsigned i, const char **path);
/* A new, empty top over the snapshot; newer states are lost. */
int	vd_rollback(struct vd_library *lib, const char *path, const char *name,
		    unsigned flags, const struct vd_open *o,
		    struct vd_err *err);
/* Remove the snapshot and no state but it: its data moves up one image. */
int	vd_merge(struct vd_library *lib, const char *path, const char *name,
		 const struct vd_open *o, struct vd_err *err);
/* Remove the disk with all its files, but not a parent that is no snapshot. */
int	vd_remove(struct vd_library *lib, const char *path, unsigned flags,
		  const struct vd_open *o, struct vd_err *err);
#define VD_NEWER	0x1	/* rollback, remove: also (newer) snapshots */

/*
 * Tell a child where its parent is; refused if the two do not make a chain that
 * opens.  *differs (zeroed; may be NULL) says if the parent is not the one, or
 * not in the state, that the child was made from: then the caller vouches.
 */
int	vd_relink(struct vd_library *lib, const char *child,
		  const char *parent, const struct vd_open *o,
		  struct vd_err *differs, struct vd_err *err);

/* ------------------------------------------------------------------- care */

/* What a format module can do to one whole image; -ENOTSUP where it cannot. */
int	vd_disk_check(struct vd_disk *disk, unsigned layer,
		      struct vd_report *report, struct vd_err *err);
/*
 * Of the top.  What is overwritten goes to the new file `undo` first (may be
 * NULL): see vd_disk_undo().
 */
int	vd_disk_repair(struct vd_disk *disk, struct vd_report *report,
		       const char *undo, struct vd_err *err);
int	vd_disk_undo(struct vd_library *lib, const char *path,
		     const char *undo, const struct vd_open *o,
		     struct vd_err *err);
/* The disk gets another size; what lies behind a smaller one is lost. */
int	vd_disk_resize(struct vd_disk *disk, uint64_t size, struct vd_err *err);

#ifdef __cplusplus
}
#endif
#endif
