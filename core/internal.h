/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * internal.h - what the parts of libvdisk know of each other.
 */
#ifndef VD_INTERNAL_H
#define VD_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <vdisk/vdisk.h>

#define VD_MAX_LAYERS	4096	/* of a chain */
/* Open flag of merge.c: what is written does not change what is read. */
#define VD_DISK_SAME	0x40000000u
#define VD_DISK_MAX	((uint64_t)INT64_MAX - (1u << 20))	/* bytes of a disk */

/* ---- file.c */

struct vd_file {
	struct vd_file *next;		/* in its host */
	int		fd;
	char	       *name;		/* as shown in messages */
	bool		writable;
	bool		block;
	bool		nosync;		/* VD_DISK_NOSYNC */
	bool		early;		/* begin to write out as it comes */
	_Atomic uint64_t late;		/* bytes not yet begun with */
	dev_t		dev;
	ino_t		ino;
	uint64_t	born;		/* nanoseconds, 0: not known */
	atomic_bool	dirty;		/* acknowledged, perhaps not durable */
	atomic_int	sync_failed;	/* errno of a failed sync: sticky */
	struct vd_undo *undo;		/* what is overwritten goes there; or NULL */
	int	      (*save)(struct vd_file *f, uint64_t off, uint64_t len,
			      struct vd_err *err);
	pthread_mutex_t	sync_lock;
};

int	vd_file_wrap(int fd, const char *name, bool writable,
		     struct vd_file **out, struct vd_err *err);
void	vd_file_free(struct vd_file *f);
int	vd_file_readv(struct vd_file *f, const struct iovec *iov, int n,
		      uint64_t off, struct vd_err *err);
int	vd_file_writev(struct vd_file *f, const struct iovec *iov, int n,
		       uint64_t off, struct vd_err *err);
int	vd_file_zero(struct vd_file *f, uint64_t off, uint64_t len,
		     bool unmap, struct vd_err *err);
/* A write to f was acknowledged behind vd_file_write()'s back. */
void	vd_file_wrote(struct vd_file *f);

/* ---- lock.c: OFD locks, the bytes QEMU uses */

int	vd_lock_file(int fd, const char *name, bool write, struct vd_err *err);

/* ---- host.c: the files of one image */

struct vd_host {
	char	       *dir;		/* "" or ends in '/' */
	unsigned	flags;		/* VD_DISK_* */
	struct vd_file *files;
	pthread_mutex_t	lock;
	char	      **created;	/* paths to remove when create fails */
	unsigned	ncreated;
	atomic_bool	through;	/* no crash journal: sync each mapping */
	atomic_ulong	dirty_entries;	/* of all its tables */
	struct vd_table *tables;
};

int	vd_host_new(const char *path, unsigned flags, struct vd_host **out,
		    struct vd_err *err);
int	vd_host_open_main(struct vd_host *h, const char *path,
			  struct vd_file **out, struct vd_err *err);
/* The same for a file found with vd_find_beside(); path is for messages. */
int	vd_host_open_found(struct vd_host *h, int at, const char *path,
			   struct vd_file **out, struct vd_err *err);
/*
 * Look for name beneath dir (anywhere: also outside of it).  An O_PATH
 * descriptor of a regular file, or -errno: -EXDEV outside, -EINVAL not regular.
 */
int	vd_find_beside(const char *dir, const char *name, bool anywhere);
int	vd_host_sync_files(struct vd_host *h, struct vd_err *err);
/* Has a sync of one of its files failed? */
bool	vd_host_lost(struct vd_host *h);
void	vd_host_unlink_created(struct vd_host *h);
int	vd_host_sync_created(struct vd_host *h, struct vd_err *err);
/* Names made in it, or taken away, survive a power cut; "" is here. */
int	vd_sync_folder(const char *folder, struct vd_err *err);
void	vd_host_free(struct vd_host *h);
/* Regular file or block device, opened without side effects. */
int	vd_open_plain(const char *path, int flags, struct stat *st,
		      struct vd_err *err);

/* ---- table.c */

/* Set: vd_table_get() answers -EAGAIN instead of reading a page. */
extern _Thread_local bool vd_nowait;

/* ---- undo.c: what a repair overwrites */

struct vd_undo;

int	vd_undo_open(const char *path, struct vd_undo **out,
		     struct vd_err *err);
/* An empty one is removed, too. */
void	vd_undo_close(struct vd_undo *u, bool remove);
/* From now on, whatever is about to be overwritten in h's files is kept. */
void	vd_undo_watch(struct vd_undo *u, struct vd_host *h);
/* Put back, into the files of h. */
int	vd_undo_apply(const char *path, struct vd_host *h,
		      struct vd_err *err);

/* ---- journal.c: mappings that are acknowledged and not yet in the file */

struct vd_journal;

struct vd_journal_key {
	dev_t		dev;
	ino_t		ino;
	uint64_t	born;		/* an inode number is used again */
	uint32_t	entry_bytes;
	uint64_t	entries;
	uint8_t		content[32];
};

/*
 * Opens or makes the journal of a table.  *out is NULL, with 0 returned, when
 * there is no place for journals.  A journal of an earlier boot is removed;
 * one that belongs to other content is an error.
 */
int	vd_journal_open(const struct vd_journal_key *key, const char *name,
			bool write, struct vd_journal **out,
			struct vd_err *err);
/* Call fn for what a dead process left, oldest first. */
int	vd_journal_replay(struct vd_journal *j,
			  int (*fn)(void *ctx, uint64_t entry, uint64_t value),
			  void *ctx);
int	vd_journal_append(struct vd_journal *j, uint64_t entry, uint64_t value);
uint64_t vd_journal_mark(struct vd_journal *j);
void	vd_journal_retire(struct vd_journal *j, uint64_t mark);
void	vd_journal_content(struct vd_journal *j, const uint8_t content[32]);
/* keep: it still holds something that the file does not. */
void	vd_journal_close(struct vd_journal *j, bool keep);

/* ---- probe.c */

/* buf: VD_PROBE_HEAD + VD_PROBE_TAIL bytes that in will point into. */
int	vd_probe_read(struct vd_file *f, const char *name, uint8_t *buf,
		      struct vd_probe_in *in, struct vd_err *err);
/* The module that claims these bytes, or NULL when none but raw would. */
void	vd_probe_run(struct vd_library *lib, const struct vd_probe_in *in,
		     const struct vd_format **claim);

/* ---- disk.c and engine.c */

struct vd_layer {
	struct vd_host *host;
	struct vd_file *file;
	const struct vd_format *format;
	void	       *img;
	struct vd_image_info info;
	char	       *path;
};

struct unit_lock {
	uint64_t	off, len;
	struct unit_lock *next;
};

struct vd_disk {
	struct vd_library *lib;
	struct vd_layer *layers;	/* [0] is the top */
	unsigned	nlayers;
	uint64_t	size;
	bool		readonly;
	bool		batch;
	bool		same;		/* VD_DISK_SAME */
	bool		alone;		/* the parents were not opened */
	bool		guard;		/* guessed raw: mind the head */
	pthread_mutex_t	guard_lock;
	atomic_bool	began;		/* begin_write is done */
	pthread_mutex_t	begin_lock;
	pthread_mutex_t	unit_mutex;	/* units being allocated */
	pthread_cond_t	unit_cond;
	struct unit_lock *units;
	pthread_mutex_t	sync_mutex;	/* concurrent flushes share one */
	pthread_cond_t	sync_cond;
	uint64_t	sync_started, sync_done;
	bool		sync_running;
	int		sync_result;
	struct vd_err	sync_err;
	struct vd_undo *undo;		/* of a repair */
};

/* One layer's answer, held to what a module may say. */
int	vd_layer_map(struct vd_layer *l, uint64_t off, uint64_t len,
		     struct vd_extent *e, struct vd_err *err);
/* Before the first change of this open: once, durable. */
int	vd_engine_begin(struct vd_disk *d, struct vd_err *err);

/* ---- disk.c, chain.c */

/* Everything of l but its file is set up; opens the image in it. */
int	vd_layer_open_image(struct vd_disk *d, struct vd_layer *l,
			    unsigned flags, const char *format,
			    struct vd_err *err);
void	vd_layer_free_files(struct vd_layer *l);
/* Open the parents of d->layers[0], down to the base. */
int	vd_chain_open(struct vd_disk *d, unsigned flags, struct vd_err *err);

/* Where a piece of a request goes when nothing has to be decided any more. */
struct vd_seg {
	struct vd_file *file;	/* NULL: zeros */
	uint64_t	host_off;
	uint64_t	len;
};

/*
 * Map a whole request without waiting: number of segments, or -EAGAIN when
 * it needs the calls that may block.
 */
int	vd_engine_map(struct vd_disk *d, bool write, uint64_t off,
		      uint64_t len, struct vd_seg *segs, int max);

/* ---- iov.c: slices of vectors */

struct vd_iter {
	const struct iovec *iov;
	int		n;
	size_t		skip;	/* bytes of iov[0] already used */
};
/* Take up to len bytes into up to max slots; returns slots, *took bytes. */
int	vd_iter_take(struct vd_iter *it, uint64_t len, struct iovec *out, int max,
		     uint64_t *took);
void	vd_iter_skip(struct vd_iter *it, uint64_t len);
/* Skip len bytes, setting them to zero. */
void	vd_iter_zero(struct vd_iter *it, uint64_t len);
uint64_t vd_iov_len(const struct iovec *iov, int n);

#endif
