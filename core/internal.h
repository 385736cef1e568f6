/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * internal.h - what the parts of libvdisk know of each other.
 */
#ifndef VD_INTERNAL_H
#define VD_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <vdisk/vdisk.h>

#define VD_MAX_LAYERS	4096	/* of a chain */
/* Open flag of merge.c: what is written does not change what is read. */
#define VD_DISK_SAME	0x40000000u
/* Only to finish what the crash journal has; nothing else is written. */
#define VD_DISK_JOURNAL	0x20000000u
#define VD_DISK_MAX	((uint64_t)INT64_MAX - (1u << 20))	/* bytes of a disk */

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
	atomic_bool	no_copy;	/* copy_file_range() will not */
	bool		ahead;		/* we read ahead, the kernel does not */
	_Atomic uint64_t seq_end, ahead_end;	/* of reads in order */
	atomic_uint	streak;
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
/* All of it from the page cache, or -EAGAIN: never waits for a disk. */
int	vd_file_readv_now(struct vd_file *f, const struct iovec *iov, int n,
			  uint64_t off, uint64_t len);
int	vd_file_writev(struct vd_file *f, const struct iovec *iov, int n,
		       uint64_t off, struct vd_err *err);
int	vd_file_zero(struct vd_file *f, uint64_t off, uint64_t len,
		     bool unmap, struct vd_err *err);
/*
 * Let both files have the same blocks until one is written; len 0: to the end.
 * 0, or -1 with errno.
 */
int	vd_share_blocks(int from, uint64_t from_off, int to, uint64_t to_off,
			uint64_t len);
/* The same where no zeros have to be written for it; -ENOTSUP else. */
int	vd_file_zero_fast(struct vd_file *f, uint64_t off, uint64_t len,
			  bool unmap, struct vd_err *err);
/*
 * The kernel copies, or shares, without the bytes coming by here.  -EAGAIN: it
 * did not, or not all; read and write then.
 */
int	vd_file_copy(struct vd_file *to, uint64_t to_off, struct vd_file *from,
		     uint64_t from_off, uint64_t len);
/* A write to f was acknowledged behind vd_file_write()'s back. */
void	vd_file_wrote(struct vd_file *f);

/* ---- lock.c: OFD locks, the bytes QEMU uses */

int	vd_lock_file(int fd, const char *name, bool write, struct vd_err *err);

/* ---- cache.c: what can be read again, under one budget for a disk */

#define VD_CACHE_DEFAULT	((size_t)64 << 20)	/* bytes */

struct vd_cache;

struct vd_kept {			/* first in a page that is kept */
	struct vd_keeper *keeper;
	size_t		bytes;		/* as it counts; freed with free() */
	atomic_bool	touched;	/* since the clock's hand came by */
};

struct vd_keeper {
	/* Take it away from lookups; false: it may not go now. */
	bool	      (*drop)(struct vd_keeper *keeper, struct vd_kept *page);
};

struct vd_cache *vd_cache_new(size_t limit);	/* 0: the usual */
void	vd_cache_free(struct vd_cache *c);
size_t	vd_cache_limit(struct vd_cache *c);
size_t	vd_cache_used(struct vd_cache *c);
/*
 * From now on the clock may drop it (page may be NULL).  No lock of a keeper
 * may be held, nor may the caller be inside vd_read_begin .. vd_read_end.
 */
void	vd_cache_add(struct vd_cache *c, struct vd_kept *page);
/* All pages of a keeper are about to be freed by it. */
void	vd_cache_forget(struct vd_cache *c, struct vd_keeper *keeper);
/* In between, a page that was found is not freed.  Short, and no waiting. */
unsigned vd_read_begin(struct vd_cache *c);
void	vd_read_end(struct vd_cache *c, unsigned token);

static inline void
vd_cache_touch(struct vd_kept *page)
{
	/* Written only when that changes something: readers share the line. */
	if (!atomic_load_explicit(&page->touched, memory_order_relaxed))
		atomic_store_explicit(&page->touched, true,
				      memory_order_relaxed);
}

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
	atomic_ulong	dirty_bytes;	/* of their pages, which must stay */
	struct vd_cache *cache;		/* the disk's, or its own */
	bool		own_cache;
	struct vd_undo *undo;		/* of files opened from now on, too */
	int	      (*save)(struct vd_file *f, uint64_t off, uint64_t len,
			      struct vd_err *err);
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
struct vd_kin;
struct vd_copies;

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

#define VD_JOURNAL_RECORDS	65536u	/* a power of two */

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
void	vd_probe_frame(struct vd_probe_in *in, const char *name, uint64_t size,
		       uint8_t *buf);
/* .. and be filled from the file. */
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

#define VD_UNIT_LOCKS	128u

/* The thread that flushes what has waited long enough: flush.c. */
struct vd_flusher {
	pthread_mutex_t	lock;
	pthread_cond_t	cond;
	pthread_t	thread;
	bool		started, quit;
	atomic_bool	armed;		/* something waits: mind its age */
	atomic_bool	hurry;		/* too much of it */
};

struct vd_buf;

struct vd_disk {
	struct vd_library *lib;
	struct vd_layer *layers;	/* [0] is the top */
	unsigned	nlayers;
	uint64_t	size;
	bool		readonly;
	bool		batch;
	bool		same;		/* VD_DISK_SAME */
	bool		alone;		/* the parents were not opened */
	bool		guard;		/* guessed raw: see guess.c */
	pthread_mutex_t	guard_lock;
	atomic_bool	began;		/* begin_write is done */
	pthread_mutex_t	begin_lock;
	struct vd_cache *cache;		/* of all layers */
	struct vd_index *index;		/* who holds what; NULL: look and see */
	pthread_mutex_t	units[VD_UNIT_LOCKS];	/* being allocated */
	pthread_mutex_t	buf_lock;
	struct vd_buf  *bufs;		/* for copying up */
	unsigned	nbufs;
	struct vd_flusher flusher;
	uint32_t	flush_entries, flush_ms;	/* when it acts */
	pthread_mutex_t	sync_mutex;	/* concurrent flushes share one */
	pthread_cond_t	sync_cond;
	uint64_t	sync_started, sync_done;
	bool		sync_running;
	int		sync_result;
	struct vd_err	sync_err;
	struct vd_undo *undo;		/* of a repair */
	struct vd_kin  *kin;		/* who depends on its layers; or NULL */
	struct vd_copies *copies;	/* its snapshots that are no layers; or NULL */
};

/* One layer's answer, held to what a module may say. */
int	vd_layer_map(struct vd_layer *l, uint64_t off, uint64_t len,
		     struct vd_extent *e, struct vd_err *err);
/* Before the first change of this open: once, durable. */
int	vd_engine_begin(struct vd_disk *d, struct vd_err *err);
/* From layer `from` down. */
int	vd_engine_read(struct vd_disk *d, unsigned from, struct vd_iter *it,
		       uint64_t off, uint64_t len, struct vd_err *err);
/* Where the bytes are that it would see: DATA, ZERO or TRANSFORM. */
int	vd_engine_below(struct vd_disk *d, unsigned from, uint64_t off,
			uint64_t len, struct vd_extent *e, struct vd_err *err);
/* Move len bytes between the vectors and one place of a file. */
int	vd_engine_move(struct vd_file *f, bool write, struct vd_iter *it,
		       uint64_t off, uint64_t len, struct vd_err *err);

/* ---- guess.c: a disk that was guessed to be raw stays one */

/* Would a probe see a change of this range?  Then it needs the calls below. */
bool	vd_guess_sees(const struct vd_disk *d, uint64_t off, uint64_t len);
/*
 * Around a write of iov (NULL: of zeros).  -EPERM: it may not be.  What is to be
 * written then is in iov again: a copy that no guest can change any more, where
 * a probe would see it.  The end follows in any case.
 */
struct vd_guess {
	const struct iovec *iov;
	int		n;
	bool		held;		/* two halves must not slip in apart */
	struct iovec	copy;
};
int	vd_guess_begin(struct vd_disk *d, struct vd_guess *g, uint64_t off,
		       uint64_t len, struct vd_err *err);
void	vd_guess_end(struct vd_disk *d, struct vd_guess *g);
/* Nothing else runs while a size changes. */
int	vd_guess_resize(struct vd_disk *d, uint64_t size, struct vd_err *err);

/* ---- index.c: which layer holds a part of the disk */

int	vd_index_open(struct vd_disk *d, struct vd_err *err);
void	vd_index_close(struct vd_disk *d);
/* All layers above the answer are holes from off on; *len: how far. */
unsigned vd_index_from(struct vd_disk *d, uint64_t off, uint64_t *len);
/* The top has just changed what it maps there. */
void	vd_index_changed(struct vd_disk *d, uint64_t off, uint64_t len);

/* ---- unit.c */

/* No other unit in the range is being allocated, zeroed or given back. */
void	vd_unit_lock(struct vd_disk *d, uint64_t off, uint64_t len);
void	vd_unit_unlock(struct vd_disk *d, uint64_t off, uint64_t len);
/*
 * Make the unit holding off (len stays inside it) and write it; it == NULL
 * writes zeros.  Under the unit's lock.
 */
int	vd_unit_fill(struct vd_disk *d, struct vd_iter *it, uint64_t off,
		     uint64_t len, struct vd_err *err);
void	vd_unit_free_bufs(struct vd_disk *d);

/* ---- flush.c */

void	vd_flusher_init(struct vd_disk *d);
void	vd_flusher_stop(struct vd_disk *d);
void	vd_flusher_free(struct vd_disk *d);
/* Mappings were made: see to it that they do not wait for ever. */
int	vd_engine_settle(struct vd_disk *d, struct vd_err *err);

/* ---- children.c */

void	vd_kin_free(struct vd_kin *k);

/* ---- copies.c */

void	vd_copies_free(struct vd_copies *c);

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

#endif
