/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * undo.c - what a repair overwrites, kept so that it can be put back.
 *
 * A text line that says what this is, then records: where, how large the file
 * was before, and the bytes that were there; a sum.  A record is durable before
 * the write that it undoes.  Put back in reverse order they restore every file
 * to the byte.  The first record whose sum is wrong was cut short by a power cut,
 * as was all behind it: they belong to writes that never happened.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "internal.h"

#define FIRST_LINE	"vdisk undo 2\n"
#define PIECE		(1u << 20)
#define RECORDS_MAX	(1u << 24)

struct vd_undo {
	int		fd;
	uint64_t	at;		/* where the next record goes */
	char	       *path;
	bool		named;		/* its name is durable, too */
};

/* Little-endian; the name, the data and the sum of all three follow. */
struct record {
	uint64_t	off, len, size;
	uint64_t	name;		/* length of the name */
};
#define SUM	8u

/* FNV-1a, 64 bits. */
static uint64_t
sum_on(uint64_t sum, const void *buf, size_t len)
{
	const uint8_t *p = buf;

	while (len--)
		sum = (sum ^ *p++) * UINT64_C(0x100000001b3);
	return sum;
}
#define SUM_START	UINT64_C(0xcbf29ce484222325)

static int
undo_fail(const struct vd_undo *u, struct vd_err *err)
{
	int ret = vd_fail(err, errno ? errno : EIO, VD_NOWHERE, "cannot keep "
			  "what a repair overwrites: %s", strerror(errno));

	vd_err_file(err, u->path);
	return ret;
}

static int
put(struct vd_undo *u, const void *buf, size_t len, struct vd_err *err)
{
	ssize_t n = pwrite(u->fd, buf, len, (off_t)u->at);

	if (n < 0 || (size_t)n < len)
		return undo_fail(u, err);
	u->at += len;
	return 0;
}

int
vd_undo_open(const char *path, struct vd_undo **out, struct vd_err *err)
{
	struct vd_undo *u = calloc(1, sizeof(*u));
	int ret;

	if (!u || !(u->path = strdup(path))) {
		free(u);
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	}
	u->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW |
		     O_CLOEXEC, 0600);
	ret = u->fd < 0 ? undo_fail(u, err)
			: put(u, FIRST_LINE, strlen(FIRST_LINE), err);
	if (ret) {
		vd_undo_close(u, true);
		return ret;
	}
	*out = u;
	return 0;
}

void
vd_undo_close(struct vd_undo *u, bool remove)
{
	if (!u)
		return;
	/* Nothing was overwritten: nothing to keep. */
	if (u->fd >= 0 && (remove || u->at == strlen(FIRST_LINE)))
		unlink(u->path);
	if (u->fd >= 0)
		close(u->fd);
	free(u->path);
	free(u);
}

/* The first record: a power cut must not take the name away from the others. */
static int
name_durable(struct vd_undo *u, struct vd_err *err)
{
	const char *slash = strrchr(u->path, '/');
	char *folder;
	int ret;

	if (u->named)
		return 0;
	folder = strndup(u->path, slash ? (size_t)(slash - u->path) + 1 : 0);
	if (!folder)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	ret = vd_sync_folder(folder, err);
	u->named = !ret;
	free(folder);
	return ret;
}

static int
put_summed(struct vd_undo *u, const void *buf, size_t len, uint64_t *sum,
	   struct vd_err *err)
{
	*sum = sum_on(*sum, buf, len);
	return put(u, buf, len, err);
}

static int
put_record(struct vd_file *f, uint64_t off, uint64_t len, uint64_t size,
	   struct vd_err *err)
{
	struct vd_undo *u = f->undo;
	struct record r = { htole64(off), htole64(len), htole64(size),
			    htole64(strlen(f->name)) };
	char *buf = malloc(len < PIECE ? len + 1 : PIECE);
	uint64_t n, sum = SUM_START;
	int ret;

	if (!buf)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	ret = put_summed(u, &r, sizeof(r), &sum, err);
	if (!ret)
		ret = put_summed(u, f->name, strlen(f->name), &sum, err);
	for (; len && !ret; off += n, len -= n) {
		n = len < PIECE ? len : PIECE;
		ret = vd_file_read(f, buf, n, off, err);
		if (!ret)
			ret = put_summed(u, buf, n, &sum, err);
	}
	free(buf);
	sum = htole64(sum);
	return ret ? ret : put(u, &sum, SUM, err);
}

/*
 * What a file loses at its end.  Holes come back by themselves: a stranger's
 * file may be longer than all disks of this world.
 */
static int
save_tail(struct vd_file *f, uint64_t off, uint64_t size, struct vd_err *err)
{
	int ret = put_record(f, off, 0, size, err);

	while (!ret && off < size) {
		uint64_t len = size - off;
		bool hole;

		ret = vd_file_run(f, off, &len, &hole, err);
		if (!ret && !hole)
			ret = put_record(f, off, len, size, err);
		off += len;
	}
	return ret;
}

/* The bytes of f at off, as far as the file has them, before they change. */
static int
save(struct vd_file *f, uint64_t off, uint64_t len, struct vd_err *err)
{
	uint64_t size = vd_file_size(f);
	bool tail = len == UINT64_MAX;		/* a truncate */
	int ret;

	if (off >= size)
		len = 0;
	else if (len > size - off)
		len = size - off;
	ret = tail && !f->block && off < size ? save_tail(f, off, size, err)
		: put_record(f, off, len, size, err);
	if (!ret && fdatasync(f->undo->fd) < 0)
		ret = undo_fail(f->undo, err);
	return ret ? ret : name_durable(f->undo, err);
}

void
vd_undo_watch(struct vd_undo *u, struct vd_host *h)
{
	h->undo = u;
	h->save = save;
	for (struct vd_file *f = h->files; f; f = f->next) {
		f->undo = u;
		f->save = save;
	}
}

/* ------------------------------------------------------------- put back */

struct replay {
	int		fd;
	const char     *path;
	uint64_t	size;
	uint64_t       *at;		/* of each record */
	size_t		n;
};

static int
bad(const struct replay *p, uint64_t at, struct vd_err *err)
{
	int ret = vd_fail(err, EINVAL, at, "is not the undo file of a repair");

	vd_err_file(err, p->path);
	return ret;
}

static int
get_record(const struct replay *p, uint64_t at, struct record *r)
{
	uint64_t room = p->size - at;

	if (room < sizeof(*r) ||
	    pread(p->fd, r, sizeof(*r), (off_t)at) != sizeof(*r))
		return -EINVAL;
	room -= sizeof(*r);
	r->off = le64toh(r->off);
	r->len = le64toh(r->len);
	r->size = le64toh(r->size);
	r->name = le64toh(r->name);
	if (!r->name || r->name >= VD_NAME_MAX || r->name + SUM > room ||
	    r->len > room - r->name - SUM || r->off > INT64_MAX ||
	    r->size > INT64_MAX)
		return -EINVAL;
	return 0;
}

/* Is all of it there? */
static bool
is_whole(const struct replay *p, uint64_t at, const struct record *r)
{
	uint64_t left = sizeof(*r) + r->name + r->len, n, sum = SUM_START;
	char buf[65536];

	for (; left; left -= n, at += n) {
		n = left < sizeof(buf) ? left : sizeof(buf);
		if (pread(p->fd, buf, n, (off_t)at) != (ssize_t)n)
			return false;
		sum = sum_on(sum, buf, n);
	}
	return pread(p->fd, &n, SUM, (off_t)at) == SUM && le64toh(n) == sum;
}

/* Made, but cut short before its first byte was durable. */
static bool
is_unborn(const struct replay *p, const char *line)
{
	static const char none[sizeof(FIRST_LINE)];

	return !p->size || !memcmp(line, none, sizeof(none));
}

static int
find_records(struct replay *p, struct vd_err *err)
{
	uint64_t at = strlen(FIRST_LINE);
	char line[sizeof(FIRST_LINE)] = "";
	struct record r;

	if (pread(p->fd, line, at, 0) < 0)
		return bad(p, 0, err);
	if (is_unborn(p, line))
		return 0;
	if (memcmp(line, FIRST_LINE, at))
		return bad(p, 0, err);
	while (!get_record(p, at, &r) && is_whole(p, at, &r) &&
	       p->n < RECORDS_MAX) {
		if (!(p->n & (p->n - 1))) {
			uint64_t *more = realloc(p->at, (p->n ? 2 * p->n : 1) *
						 sizeof(*more));

			if (!more)
				return vd_fail(err, ENOMEM, VD_NOWHERE,
					       "no memory");
			p->at = more;
		}
		p->at[p->n++] = at;
		at += sizeof(r) + r.name + r.len + SUM;
	}
	return 0;
}

static int
put_back(const struct replay *p, uint64_t at, struct vd_host *h,
	 struct vd_err *err)
{
	char name[VD_NAME_MAX];
	struct vd_file *f;
	struct record r;
	uint64_t n;
	char *buf;
	int ret = 0;

	if (get_record(p, at, &r) ||
	    pread(p->fd, name, r.name, (off_t)(at + sizeof(r))) !=
	    (ssize_t)r.name)
		return bad(p, at, err);
	name[r.name] = '\0';
	/* Only files of the image that was named: the list is not believed. */
	for (f = h->files; f && strcmp(f->name, name); f = f->next)
		;
	if (!f)
		return vd_fail(err, EINVAL, VD_NOWHERE, "the undo file is "
			       "about %s, which is not a file of this image",
			       name);
	buf = malloc(r.len < PIECE ? r.len + 1 : PIECE);
	if (!buf)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	at += sizeof(r) + r.name;
	for (; r.len && !ret; r.off += n, r.len -= n, at += n) {
		n = r.len < PIECE ? r.len : PIECE;
		if (pread(p->fd, buf, n, (off_t)at) != (ssize_t)n)
			ret = bad(p, at, err);
		else
			ret = vd_file_write(f, buf, n, r.off, err);
	}
	free(buf);
	if (!ret && !f->block)
		ret = vd_file_truncate(f, r.size, err);
	return ret;
}

int
vd_undo_apply(const char *path, struct vd_host *h, struct vd_err *err)
{
	struct replay p = { .path = path };
	struct stat st;
	int ret;

	p.fd = vd_open_plain(path, O_RDONLY, &st, err);
	if (p.fd < 0)
		return p.fd;
	p.size = (uint64_t)st.st_size;
	ret = find_records(&p, err);
	while (p.n && !ret)
		ret = put_back(&p, p.at[--p.n], h, err);
	if (!ret)
		ret = vd_host_sync_files(h, err);
	free(p.at);
	close(p.fd);
	return ret;
}
