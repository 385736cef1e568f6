/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * file.c - one open file: whole reads and writes, and syncs that remember.
 *
 * Every byte that changes an image goes through pwritev, copy_file_range,
 * ftruncate or fallocate here, and becomes durable by fdatasync: a crash test
 * that replaces these five sees all there is to see.
 *
 * A sync that failed once fails for ever: the kernel may have dropped the
 * pages it could not write, and a second sync would claim they are safe.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>
#include "internal.h"

#define MOVE_MAX	(1u << 30)	/* below what one call can move */
#define ZERO_CHUNK	(64u << 10)
#define COPY_ALIGN	4096u	/* else the kernel moves pieces of pages */
#define NEAR		(256u << 10)	/* readers in a row may overtake each other */
#define AHEAD		(2u << 20)	/* how far is read ahead of them */
#define STREAK		4u		/* reads in a row that make it one */
#define EARLY		(32u << 20)

static uint64_t
birth(int fd)
{
	struct statx sx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &sx) < 0 ||
	    !(sx.stx_mask & STATX_BTIME))
		return 0;
	return (uint64_t)sx.stx_btime.tv_sec * 1000000000u +
	       sx.stx_btime.tv_nsec;
}

int
vd_file_wrap(int fd, const char *name, bool writable, struct vd_file **out,
	     struct vd_err *err)
{
	struct vd_file *f = calloc(1, sizeof(*f));
	struct stat st;

	if (!f || !(f->name = strdup(name))) {
		free(f);
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	}
	if (fstat(fd, &st) < 0) {
		int ret = vd_fail(err, errno, VD_NOWHERE, "cannot stat: %s",
				  strerror(errno));
		free(f->name);
		free(f);
		return ret;
	}
	f->fd = fd;
	f->writable = writable;
	f->block = S_ISBLK(st.st_mode);
	f->dev = st.st_dev;
	f->ino = st.st_ino;
	f->born = birth(fd);
	/*
	 * What the kernel reads ahead lies in the cache in large folios, and
	 * a small write into one of those costs ten times its copy: in a file
	 * that is written, reading ahead is ours.
	 */
	f->ahead = writable && !f->block &&
		   !posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
	pthread_mutex_init(&f->sync_lock, NULL);
	*out = f;
	return 0;
}

void
vd_file_free(struct vd_file *f)
{
	if (!f)
		return;
	close(f->fd);
	pthread_mutex_destroy(&f->sync_lock);
	free(f->name);
	free(f);
}

static int
file_fail(struct vd_file *f, struct vd_err *err, uint64_t off, int code,
	  const char *what)
{
	int ret = vd_fail(err, code, off, "cannot %s: %s", what,
			  strerror(code));

	vd_err_file(err, f->name);
	return ret;
}

void
vd_file_wrote(struct vd_file *f)
{
	/* Often set: then a look does not take the line from the others. */
	if (!atomic_load(&f->dirty))
		atomic_store(&f->dirty, true);
}

/* Reads in order?  A guess; several threads may be at it, each a little off. */
static void
read_ahead(struct vd_file *f, uint64_t off, uint64_t len)
{
	uint64_t end = off + len, due, last;
	unsigned streak;

	last = atomic_load_explicit(&f->seq_end, memory_order_relaxed);
	atomic_store_explicit(&f->seq_end, end, memory_order_relaxed);
	streak = atomic_load_explicit(&f->streak, memory_order_relaxed);
	if (off > last + NEAR || off + NEAR < last) {
		if (streak)
			atomic_store(&f->streak, 0);
		return;
	}
	if (streak < STREAK) {
		if (!streak)
			atomic_store(&f->ahead_end, 0);
		atomic_fetch_add(&f->streak, 1);
		return;
	}
	due = atomic_load(&f->ahead_end);
	if (end + AHEAD / 2 <= due)
		return;
	/* One of them does it. */
	last = due > end ? due : end;
	if (atomic_compare_exchange_strong(&f->ahead_end, &due, last + AHEAD))
		posix_fadvise(f->fd, (off_t)last, AHEAD, POSIX_FADV_WILLNEED);
}

/*
 * A long copy that ends in a sync is not kept waiting for what could have been
 * written meanwhile.  Only a hint: what fails will fail in the sync.
 */
static void
write_early(struct vd_file *f, uint64_t len)
{
	if (atomic_fetch_add(&f->late, len) + len < EARLY)
		return;
	atomic_store(&f->late, 0);
	sync_file_range(f->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

/* Move all of it, in as many calls as the kernel likes. */
static int
move(struct vd_file *f, bool write, struct vd_iter it, uint64_t off,
     uint64_t len, struct vd_err *err)
{
	struct iovec part[64];

	while (len) {
		struct vd_iter ahead = it;
		uint64_t took;
		ssize_t got;
		int n = vd_iter_take(&ahead, len < MOVE_MAX ? len : MOVE_MAX,
				     part, 64, &took);

		got = write ? pwritev(f->fd, part, n, (off_t)off)
			    : preadv(f->fd, part, n, (off_t)off);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 || (got == 0 && write))
			return file_fail(f, err, off, got ? errno : EIO,
					 write ? "write" : "read");
		if (got == 0) {		/* the end: the rest is zeros */
			vd_iter_zero(&it, len);
			return 0;
		}
		vd_iter_skip(&it, (uint64_t)got);
		off += (uint64_t)got;
		len -= (uint64_t)got;
	}
	return 0;
}

/* Not restarted by the kernel when the program catches a signal. */
static int
alloc_range(struct vd_file *f, int mode, uint64_t off, uint64_t len)
{
	int ret;

	do {
		ret = fallocate(f->fd, mode, (off_t)off, (off_t)len);
	} while (ret < 0 && errno == EINTR);
	return ret;
}

static int
bound(struct vd_file *f, uint64_t off, uint64_t len, struct vd_err *err)
{
	if (off <= INT64_MAX && len <= INT64_MAX - off)
		return 0;
	return file_fail(f, err, off, EFBIG, "reach so far");
}

int
vd_file_readv(struct vd_file *f, const struct iovec *iov, int n, uint64_t off,
	      struct vd_err *err)
{
	struct vd_iter it = { iov, n, 0 };
	uint64_t len = vd_iov_len(iov, n);
	int ret = bound(f, off, len, err);

	if (!ret && f->ahead)
		read_ahead(f, off, len);
	return ret ? ret : move(f, false, it, off, len, err);
}

int
vd_file_readv_now(struct vd_file *f, const struct iovec *iov, int n,
		  uint64_t off, uint64_t len)
{
	ssize_t got;

	if (n > IOV_MAX || off > INT64_MAX - len)
		return -EAGAIN;
	if (f->ahead)
		read_ahead(f, off, len);
	got = preadv2(f->fd, iov, n, (off_t)off, RWF_NOWAIT);
	return got < 0 || (uint64_t)got != len ? -EAGAIN : 0;
}

int
vd_file_writev(struct vd_file *f, const struct iovec *iov, int n,
	       uint64_t off, struct vd_err *err)
{
	struct vd_iter it = { iov, n, 0 };
	uint64_t len = vd_iov_len(iov, n);
	int ret = bound(f, off, len, err);

	if (!ret && f->undo)
		ret = f->save(f, off, len, err);
	if (!ret)
		ret = move(f, true, it, off, len, err);
	if (f->early)
		write_early(f, len);
	vd_file_wrote(f);
	return ret;
}

/* Will it, here?  An answer that is about the file system is remembered. */
static bool
may_copy(struct vd_file *to, uint64_t to_off, struct vd_file *from,
	 uint64_t from_off, uint64_t len)
{
	return !atomic_load_explicit(&to->no_copy, memory_order_relaxed) &&
	       !to->undo && !to->block && !from->block &&
	       len <= INT64_MAX && to_off <= INT64_MAX - len &&
	       from_off <= INT64_MAX - len &&
	       (to_off ^ from_off) % COPY_ALIGN == 0;
}

int
vd_file_copy(struct vd_file *to, uint64_t to_off, struct vd_file *from,
	     uint64_t from_off, uint64_t len)
{
	off_t in = (off_t)from_off, out = (off_t)to_off;

	if (!may_copy(to, to_off, from, from_off, len))
		return -EAGAIN;
	while (len) {
		ssize_t got = copy_file_range(from->fd, &in, to->fd, &out,
					      (size_t)len, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno != ENOSPC && errno != EIO)
			atomic_store(&to->no_copy, true);
		if (got <= 0)
			break;
		len -= (uint64_t)got;
	}
	vd_file_wrote(to);
	return len ? -EAGAIN : 0;
}

int
vd_file_read(struct vd_file *f, void *buf, size_t len, uint64_t off,
	     struct vd_err *err)
{
	struct iovec iov = { buf, len };

	return vd_file_readv(f, &iov, 1, off, err);
}

int
vd_file_write(struct vd_file *f, const void *buf, size_t len, uint64_t off,
	      struct vd_err *err)
{
	struct iovec iov = { (void *)(uintptr_t)buf, len };

	return vd_file_writev(f, &iov, 1, off, err);
}

int
vd_file_sync(struct vd_file *f, struct vd_err *err)
{
	int code;

	pthread_mutex_lock(&f->sync_lock);
	code = atomic_load(&f->sync_failed);
	/* Cleared first: what is written from here on counts for the next. */
	if (!code && !f->nosync && atomic_exchange(&f->dirty, false) &&
	    fdatasync(f->fd) < 0) {
		code = errno;
		atomic_store(&f->sync_failed, code);
	}
	pthread_mutex_unlock(&f->sync_lock);
	return code ? file_fail(f, err, VD_NOWHERE, code,
				"make writes durable") : 0;
}

int
vd_file_truncate(struct vd_file *f, uint64_t size, struct vd_err *err)
{
	int ret = bound(f, size, 0, err);

	if (!ret && f->undo)
		ret = f->save(f, size, UINT64_MAX, err);
	if (ret)
		return ret;
	if (ftruncate(f->fd, (off_t)size) < 0)
		return file_fail(f, err, size, errno, "change the file size");
	vd_file_wrote(f);
	return 0;
}

int
vd_file_reserve(struct vd_file *f, uint64_t off, uint64_t len,
		struct vd_err *err)
{
	int ret = bound(f, off, len, err);

	if (!ret && f->undo)
		ret = f->save(f, off, 0, err);
	if (ret || !len)
		return ret;
	if (alloc_range(f, 0, off, len) == 0) {
		vd_file_wrote(f);
		return 0;
	}
	if (errno != EOPNOTSUPP && errno != ENOSYS)
		return file_fail(f, err, off, errno, "reserve space");
	return vd_file_zero(f, off, len, false, err);
}

static int
write_zeros(struct vd_file *f, uint64_t off, uint64_t len, struct vd_err *err)
{
	void *z = calloc(1, ZERO_CHUNK);
	int ret = 0;

	if (!z)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	while (len && !ret) {
		size_t n = len < ZERO_CHUNK ? (size_t)len : ZERO_CHUNK;

		ret = vd_file_write(f, z, n, off, err);
		off += n;
		len -= n;
	}
	free(z);
	return ret;
}

/* Zeros without a write of them; -ENOTSUP (and no sentence) if there is no way. */
static int
zero_range(struct vd_file *f, uint64_t off, uint64_t len, bool unmap,
	   struct vd_err *err)
{
	int mode = unmap ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
			 : FALLOC_FL_ZERO_RANGE;
	int ret = bound(f, off, len, err);

	if (!ret && f->undo)
		ret = f->save(f, off, len, err);
	if (ret || !len)
		return ret;
	/*
	 * A punched hole does not extend the file; the caller may count on
	 * the range to exist.
	 */
	if (unmap && !f->block && off + len > vd_file_size(f))
		mode = FALLOC_FL_ZERO_RANGE;
	if (alloc_range(f, mode, off, len) == 0) {
		vd_file_wrote(f);
		return 0;
	}
	if (errno == EIO || errno == ENOSPC)
		return file_fail(f, err, off, errno, "write zeros");
	return -ENOTSUP;
}

int
vd_file_zero(struct vd_file *f, uint64_t off, uint64_t len, bool unmap,
	     struct vd_err *err)
{
	int ret = zero_range(f, off, len, unmap, err);

	return ret == -ENOTSUP ? write_zeros(f, off, len, err) : ret;
}

int
vd_file_zero_fast(struct vd_file *f, uint64_t off, uint64_t len, bool unmap,
		  struct vd_err *err)
{
	/* On a block device the kernel may write them for us, slowly. */
	int ret = f->block && !unmap ? -ENOTSUP
				     : zero_range(f, off, len, unmap, err);

	return ret == -ENOTSUP ? file_fail(f, err, off, ENOTSUP,
					   "write zeros at once") : ret;
}

int
vd_file_punch(struct vd_file *f, uint64_t off, uint64_t len,
	      struct vd_err *err)
{
	uint64_t size = vd_file_size(f);
	int ret = bound(f, off, len, err);

	if (ret || off >= size)
		return ret;
	if (len > size - off)
		len = size - off;
	return len ? vd_file_zero(f, off, len, true, err) : 0;
}

int
vd_share_blocks(int from, uint64_t from_off, int to, uint64_t to_off,
		uint64_t len)
{
	struct file_clone_range r = {
		.src_fd = from, .src_offset = from_off, .src_length = len,
		.dest_offset = to_off,
	};

	return ioctl(to, FICLONERANGE, &r);
}

uint64_t
vd_file_size(struct vd_file *f)
{
	struct stat st;
	uint64_t bytes;

	if (f->block)
		return ioctl(f->fd, BLKGETSIZE64, &bytes) == 0 ? bytes : 0;
	return fstat(f->fd, &st) == 0 && st.st_size > 0
		? (uint64_t)st.st_size : 0;
}

void
vd_file_stamp(struct vd_file *f, char *buf, size_t len)
{
	struct stat st;

	if (f->block || fstat(f->fd, &st) < 0)
		snprintf(buf, len, "%" PRIu64, vd_file_size(f));
	else
		snprintf(buf, len, "%" PRIu64 "@%lld.%09ld",
			 (uint64_t)st.st_size, (long long)st.st_mtim.tv_sec,
			 st.st_mtim.tv_nsec);
}

const char *
vd_file_name(struct vd_file *f)
{
	return f->name;
}

bool
vd_file_is_block(struct vd_file *f)
{
	return f->block;
}

int
vd_file_run(struct vd_file *f, uint64_t off, uint64_t *len, bool *hole,
	    struct vd_err *err)
{
	uint64_t size = vd_file_size(f);
	off_t data, end;

	(void)err;
	*hole = false;
	if (off >= size && !f->block) {
		*hole = true;
		return 0;
	}
	if (off > INT64_MAX)
		return 0;
	data = lseek(f->fd, (off_t)off, SEEK_DATA);
	if (data < 0 && errno != ENXIO)
		return 0;	/* cannot tell: it is data */
	*hole = data < 0 || (uint64_t)data > off;
	end = *hole ? data : lseek(f->fd, (off_t)off, SEEK_HOLE);
	if (end > 0 && (uint64_t)end - off < *len)
		*len = (uint64_t)end - off;
	return 0;
}
