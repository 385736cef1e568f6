/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * journal.c - the crash journal of a table (invariant W6).
 *
 * A mapping that was acknowledged must survive the death of this process, yet
 * may not reach the image before its data is durable (W1).  So it waits here:
 * a small memory-mapped file in /run/vdisk (tmpfs), which a kill -9 leaves
 * behind and a power cut takes away.  The next process to open the image
 * replays it.
 *
 * Records form a circle; tail .. head are those not yet in the image.  A sync
 * marks head before it begins and moves tail there when it succeeded.
 *
 * A journal can never be applied to anything but the content it was kept for:
 * it names the boot, the file, the table's shape, and the content identity
 * (the last two, because the identity itself changes on disk in between).
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>
#include "internal.h"
#include "run.h"

#define JOURNAL_MAGIC	"vdiskjn1"
#define RECORDS		VD_JOURNAL_RECORDS
#define NAME_TRIES	10

struct record {
	uint64_t	entry;
	uint64_t	value;
};

struct header {
	char		magic[8];
	char		boot[40];
	uint64_t	dev, ino, born;
	uint64_t	entries;
	uint32_t	entry_bytes;
	uint32_t	latest;		/* which of content[] is the newest */
	uint8_t		content[2][32];
	_Atomic uint64_t tail, head;	/* free-running */
};

struct vd_journal {
	struct header  *h;		/* the mapped file */
	struct record  *rec;
	char	       *path;
	int		fd;		/* -1: only read */
	bool		write;
	pthread_mutex_t	lock;
};

#define MAP_BYTES	(4096 + RECORDS * sizeof(struct record))

static void
header_init(struct header *h, const struct vd_journal_key *key)
{
	memset(h, 0, sizeof(*h));
	memcpy(h->magic, JOURNAL_MAGIC, sizeof(h->magic));
	run_boot_id(h->boot);
	h->dev = key->dev;
	h->ino = key->ino;
	h->born = key->born;
	h->entries = key->entries;
	h->entry_bytes = key->entry_bytes;
	memcpy(h->content[0], key->content, sizeof(key->content));
	memcpy(h->content[1], key->content, sizeof(key->content));
}

/* Of this boot, about this file?  Anything else cannot matter any more. */
static bool
header_current(const struct header *h, const struct vd_journal_key *key)
{
	char boot[40];

	run_boot_id(boot);
	return !memcmp(h->magic, JOURNAL_MAGIC, sizeof(h->magic)) &&
	       boot[0] && !strncmp(h->boot, boot, sizeof(h->boot)) &&
	       h->dev == key->dev && h->ino == key->ino &&
	       h->born == key->born;
}

static bool
header_same_content(const struct header *h, const struct vd_journal_key *key)
{
	return h->entries == key->entries &&
	       h->entry_bytes == key->entry_bytes &&
	       (!memcmp(h->content[0], key->content, 32) ||
		!memcmp(h->content[1], key->content, 32));
}

static uint64_t
pending(const struct vd_journal *j)
{
	uint64_t n = atomic_load(&j->h->head) - atomic_load(&j->h->tail);

	return n <= RECORDS ? n : RECORDS;
}

/*
 * Locked while it is open: who tidies up takes only what nobody has locked, and
 * may have taken this one before it was.
 */
static int
open_file(const struct vd_journal *j)
{
	struct stat st;
	int fd;

	for (int i = 0; i < NAME_TRIES; i++) {
		fd = open(j->path, (j->write ? O_RDWR | O_CREAT : O_RDONLY) |
			  O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0)
			return -errno;
		if (!flock(fd, LOCK_SH) && !fstat(fd, &st) && st.st_nlink)
			return fd;
		close(fd);
	}
	return -EAGAIN;
}

static int
journal_map(struct vd_journal *j, const struct vd_journal_key *key)
{
	int fd = open_file(j);
	bool fresh;
	struct stat st;
	void *p;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    st.st_uid != geteuid()) {
		close(fd);
		return -EPERM;
	}
	fresh = st.st_size < (off_t)MAP_BYTES;
	if (fresh && (!j->write || ftruncate(fd, MAP_BYTES) < 0)) {
		close(fd);
		return -EINVAL;
	}
	/*
	 * Take the pages now: a full tmpfs must be an answer here, not a
	 * SIGBUS in the middle of a write.
	 */
	if (j->write && posix_fallocate(fd, 0, MAP_BYTES) != 0) {
		close(fd);
		unlink(j->path);
		return -ENOSPC;
	}
	p = mmap(NULL, MAP_BYTES, PROT_READ | (j->write ? PROT_WRITE : 0),
		 MAP_SHARED, fd, 0);
	if (p == MAP_FAILED || !j->write)
		close(fd);
	else
		j->fd = fd;
	if (p == MAP_FAILED)
		return -errno;
	j->h = p;
	j->rec = (struct record *)((char *)p + 4096);
	if (j->write && (fresh || !header_current(j->h, key)))
		header_init(j->h, key);
	return 0;
}

int
vd_journal_open(const struct vd_journal_key *key, const char *name, bool write,
		struct vd_journal **out, struct vd_err *err)
{
	struct vd_journal *j = calloc(1, sizeof(*j));
	char dir[3900], path[4096];
	int ret;

	*out = NULL;
	run_folder(dir, sizeof(dir));
	if (!j)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	snprintf(path, sizeof(path), "%s/%" PRIx64 "-%" PRIu64 ".journal", dir,
		 (uint64_t)key->dev, (uint64_t)key->ino);
	j->write = write;
	j->fd = -1;
	pthread_mutex_init(&j->lock, NULL);
	if (!dir[0] || !(j->path = strdup(path)) || journal_map(j, key) < 0) {
		vd_journal_close(j, true);
		return 0;	/* no place for a journal, or none to read */
	}
	if (!header_current(j->h, key)) {	/* read-only, of another boot */
		vd_journal_close(j, true);
		return 0;
	}
	if (pending(j) && !header_same_content(j->h, key)) {
		ret = vd_fail(err, ESTALE, VD_NOWHERE, "a vdisk process died "
			      "while serving this image, and another program "
			      "has written to it since");
		vd_err_file(err, name);
		vd_err_help(err, "its last unflushed writes cannot be "
			    "recovered; give them up with `rm %s`", path);
		vd_journal_close(j, true);
		return ret;
	}
	if (write && !pending(j))
		header_init(j->h, key);
	*out = j;
	return 0;
}

int
vd_journal_replay(struct vd_journal *j,
		  int (*fn)(void *ctx, uint64_t entry, uint64_t value),
		  void *ctx)
{
	uint64_t tail = atomic_load(&j->h->tail), n = pending(j);
	int ret = 0;

	for (uint64_t i = 0; i < n && !ret; i++) {
		const struct record *r = &j->rec[(tail + i) % RECORDS];

		ret = fn(ctx, r->entry, r->value);
	}
	return ret;
}

int
vd_journal_append(struct vd_journal *j, uint64_t entry, uint64_t value)
{
	uint64_t head;
	int ret = 0;

	pthread_mutex_lock(&j->lock);
	head = atomic_load(&j->h->head);
	if (head - atomic_load(&j->h->tail) >= RECORDS) {
		ret = -ENOBUFS;
	} else {
		/* The record first, then the head that makes it count. */
		j->rec[head % RECORDS] = (struct record){ entry, value };
		atomic_store(&j->h->head, head + 1);
	}
	pthread_mutex_unlock(&j->lock);
	return ret;
}

uint64_t
vd_journal_mark(struct vd_journal *j)
{
	return atomic_load(&j->h->head);
}

void
vd_journal_retire(struct vd_journal *j, uint64_t mark)
{
	atomic_store(&j->h->tail, mark);
}

void
vd_journal_content(struct vd_journal *j, const uint8_t content[32])
{
	struct header *h = j->h;

	pthread_mutex_lock(&j->lock);
	/* Overwrite the older one: the newest is what the file still says. */
	if (memcmp(h->content[h->latest & 1], content, 32)) {
		memcpy(h->content[!(h->latest & 1)], content, 32);
		h->latest = !(h->latest & 1);
	}
	pthread_mutex_unlock(&j->lock);
}

void
vd_journal_close(struct vd_journal *j, bool keep)
{
	if (!j)
		return;
	if (j->h)
		munmap(j->h, MAP_BYTES);
	/*
	 * A program that has given up its rights meanwhile cannot remove it;
	 * then it stays, with nothing in it, for the next, or for vdisk-list
	 * and vdisk-detach, which tidy up.
	 */
	if (j->path && j->write && !keep && unlink(j->path) < 0 && j->fd >= 0)
		(void)!ftruncate(j->fd, 0);
	if (j->fd >= 0)
		close(j->fd);
	pthread_mutex_destroy(&j->lock);
	free(j->path);
	free(j);
}
