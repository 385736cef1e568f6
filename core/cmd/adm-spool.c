/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * adm-spool.c - an image that cannot be read in any order, laid out so that it
 * can: what comes from a pipe, what gzip has been over.
 *
 * The bytes go to a file without a name beside the image to be made: nothing
 * is left of it, whatever happens.  Zeros take no space there.  What gzip holds
 * is bounded by the size of the disk that its first bytes promise: a few
 * kilobytes cannot fill a file system.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "adm.h"
#include "cmd.h"
#ifdef HAVE_ZLIB
#include <zlib.h>
#endif

#define CHUNK	(64u << 10)
#define SLACK	(64u << 20)	/* tables, markers, a descriptor */

struct spool {
	struct vd_library *lib;
	const char     *in;		/* for messages */
	int		from, fd;
	uint64_t	size;		/* laid out so far */
	uint64_t	most;
	uint8_t		head[VD_PROBE_HEAD];	/* the first bytes of size */
	uint8_t		buf[CHUNK];	/* as they came */
	uint8_t		out[CHUNK];	/* unpacked */
};

static int
failed(struct spool *s, struct vd_err *err, int code, const char *what)
{
	int ret = vd_fail(err, code, VD_NOWHERE, "%s: %s", what,
			  strerror(code));

	vd_err_file(err, s->in);
	return ret;
}

/* Bytes, 0 at the end.  A signal ends the wait: read() would go on. */
static int
get(struct spool *s, size_t *got, struct vd_err *err)
{
	struct pollfd p = { .fd = s->from, .events = POLLIN };
	ssize_t n = -1;
	int ret;

	do {
		ret = adm_interrupted(err);
		if (ret)
			return ret;
		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			break;
		if (p.revents)
			n = read(s->from, s->buf, CHUNK);
	} while (n < 0 && (!p.revents || errno == EINTR));
	if (n < 0)
		return failed(s, err, errno, "cannot read");
	*got = (size_t)n;
	return 0;
}

/* CHUNK at most; zeros stay holes. */
static int
put(struct spool *s, const uint8_t *buf, size_t len, struct vd_err *err)
{
	int ret;

	if (s->size < sizeof(s->head)) {
		size_t n = sizeof(s->head) - s->size;

		memcpy(s->head + s->size, buf, n < len ? n : len);
	}
	if (!vd_is_zero(buf, len) &&
	    pwrite(s->fd, buf, len, (off_t)s->size) != (ssize_t)len) {
		ret = vd_fail(err, ENOSPC, VD_NOWHERE, "no room to lay it out "
			      "beside the image to make");
		vd_err_file(err, s->in);
		return ret;
	}
	s->size += len;
	return 0;
}

static int
finish(struct spool *s, struct vd_err *err)
{
	if (!ftruncate(s->fd, (off_t)s->size))
		return 0;
	return failed(s, err, errno, "cannot lay it out");
}

static int
copy_all(struct spool *s, size_t got, struct vd_err *err)
{
	int ret = 0;

	while (got && !ret) {
		ret = put(s, s->buf, got, err);
		if (!ret)
			ret = get(s, &got, err);
	}
	return ret ? ret : finish(s, err);
}

/* ------------------------------------------------------------------- gzip */

#ifdef HAVE_ZLIB

/*
 * An image is never much longer than its disk: at worst every grain is one
 * sector, and has a marker before it.
 */
static int
set_bound(struct spool *s, struct vd_err *err)
{
	size_t n = s->size < sizeof(s->head) ? s->size : sizeof(s->head);
	struct vd_probe_in in = {
		.size = sizeof(in),
		.head = s->head, .head_len = (uint32_t)n,
		.tail = s->head, .tail_len = n < VD_PROBE_TAIL ? (uint32_t)n
							: VD_PROBE_TAIL,
		.file_size = INT64_MAX,
		.name = "",
	};
	struct vd_probe_result *r;
	int ret = vd_probe_bytes(s->lib, &in, &r, err);

	if (ret)
		return ret;
	s->most = r->virtual_size;
	if (r->verdict != VD_MINE || r->guessed || !r->format)
		s->most = 0;
	vd_probe_free(r);
	if (!s->most) {
		ret = vd_fail(err, ENOTSUP, VD_NOWHERE, "is packed by gzip, "
			      "and what is in it is not one image of a known "
			      "size");
		vd_err_file(err, s->in);
		vd_err_help(err, "unpack it, if you trust it: gzip -dc");
		return ret;
	}
	s->most = s->most < UINT64_MAX / 4 ? s->most * 2 + SLACK : UINT64_MAX;
	return 0;
}

static int
unpacked(struct spool *s, size_t len, struct vd_err *err)
{
	bool first = !s->most && s->size + len >= sizeof(s->head);
	int ret;

	if (s->most && len > s->most - s->size) {
		ret = vd_fail(err, EFBIG, VD_NOWHERE, "gzip holds more than a "
			      "disk of its size can need: not unpacked "
			      "further");
		vd_err_file(err, s->in);
		return ret;
	}
	ret = put(s, s->out, len, err);
	return !ret && first ? set_bound(s, err) : ret;
}

static int
bad_gzip(struct spool *s, const char *what, struct vd_err *err)
{
	int ret = vd_fail(err, EILSEQ, VD_NOWHERE, "is packed by gzip and %s",
			  what);

	vd_err_file(err, s->in);
	return ret;
}

/* What is in s->buf; *end: a member is whole. */
static int
inflate_some(struct spool *s, z_stream *z, bool *end, struct vd_err *err)
{
	int ret = 0, r = Z_OK;

	while (!ret && (z->avail_in || !z->avail_out)) {
		/* Members may follow each other; zeros may follow the last. */
		if (*end) {
			if (vd_is_zero(z->next_in, z->avail_in)) {
				z->avail_in = 0;
				break;
			}
			inflateReset(z);
			*end = false;
		}
		z->next_out = s->out;
		z->avail_out = CHUNK;
		r = inflate(z, Z_NO_FLUSH);
		if (r != Z_OK && r != Z_STREAM_END && r != Z_BUF_ERROR)
			return bad_gzip(s, "damaged", err);
		*end = r == Z_STREAM_END;
		ret = unpacked(s, CHUNK - z->avail_out, err);
		if (r == Z_BUF_ERROR)
			break;
		if (*end)
			z->avail_out = CHUNK;
	}
	return ret;
}

static int
unpack(struct spool *s, size_t got, struct vd_err *err)
{
	z_stream z = { 0 };
	bool end = false;
	int ret = 0;

	if (inflateInit2(&z, 15 + 16) != Z_OK)
		return failed(s, err, ENOMEM, "cannot unpack");
	while (got && !ret) {
		z.next_in = s->buf;
		z.avail_in = (unsigned)got;
		z.avail_out = CHUNK;
		ret = inflate_some(s, &z, &end, err);
		if (!ret)
			ret = get(s, &got, err);
	}
	inflateEnd(&z);
	if (!ret && !end)
		ret = bad_gzip(s, "cut short", err);
	if (!ret && !s->most)
		ret = set_bound(s, err);
	return ret ? ret : finish(s, err);
}

#else

static int
unpack(struct spool *s, size_t got, struct vd_err *err)
{
	int ret = vd_fail(err, ENOTSUP, VD_NOWHERE, "is packed by gzip, and "
			  "this vdiskadm was built without zlib");

	(void)got;
	vd_err_file(err, s->in);
	vd_err_help(err, "unpack it first: gzip -dc");
	return ret;
}

#endif

/* ------------------------------------------------------------------ begin */

/* A file without a name in the folder of path. */
static int
open_nameless(const char *path, struct vd_err *err)
{
	const char *slash = strrchr(path, '/'), *tmp = getenv("TMPDIR");
	char *folder, *name = NULL;
	int fd = -1;

	if (!strcmp(path, "-"))
		folder = strdup(tmp && *tmp ? tmp : "/var/tmp");
	else
		folder = slash ? strndup(path, (size_t)(slash - path) + 1)
			       : strdup(".");
	if (folder)
		fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (folder && fd < 0 &&
	    asprintf(&name, "%s/.vdiskadm-XXXXXX", folder) > 0) {
		fd = mkostemp(name, O_CLOEXEC);
		if (fd >= 0)
			unlink(name);
		free(name);
	}
	if (fd < 0) {
		fd = vd_fail(err, errno, VD_NOWHERE, "cannot make a file in "
			     "this folder: %s", strerror(errno));
		if (folder)
			vd_err_file(err, folder);
	}
	free(folder);
	return fd;
}

/* gzip's, and not somebody's raw disk that begins like it? */
static bool
is_packed(struct spool *s, size_t got, const struct vd_format *named)
{
	if (got < 18 || memcmp(s->buf, "\x1f\x8b\x08", 3))
		return false;
	return !named || !(named->flags & VD_FORMAT_REST);
}

/* A file that can be opened as it is needs no spool. */
static bool
must_spool(struct vd_library *lib, const char *in,
	   const struct vd_format *named)
{
	struct vd_probe_result *r;
	bool gzip;

	if (!strcmp(in, "-"))
		return true;
	if (named)
		return !(named->flags & VD_FORMAT_REST);
	if (vd_probe_path(lib, in, &r, NULL))
		return false;
	gzip = r->format && !r->guessed && !strcmp(r->variant, "gzip");
	vd_probe_free(r);
	return gzip;
}

static int
begin(struct spool *s, const struct vd_format *named, const char *beside,
      struct vd_err *err)
{
	bool pipe = s->from == STDIN_FILENO, packed;
	size_t got = 0;
	int ret = get(s, &got, err);

	if (ret)
		return ret;
	packed = is_packed(s, got, named);
	if (!packed && !pipe)
		return 0;
	s->fd = open_nameless(beside, err);
	if (s->fd < 0)
		return s->fd;
	return packed ? unpack(s, got, err) : copy_all(s, got, err);
}

int
adm_spool(struct vd_library *lib, const char *in,
	  const struct vd_format *named, const char *beside, int *fd,
	  char path[64], struct vd_err *err)
{
	bool pipe = !strcmp(in, "-");
	struct stat st;
	struct spool *s;
	int ret;

	*fd = -1;
	/* What is no plain file is for others to refuse, and not to open. */
	if (!must_spool(lib, in, named) ||
	    (!pipe && (stat(in, &st) || !S_ISREG(st.st_mode))))
		return 0;
	s = calloc(1, sizeof(*s));
	if (!s)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	s->lib = lib;
	s->in = pipe ? "standard input" : in;
	s->fd = -1;
	s->from = pipe ? STDIN_FILENO : open(in, O_RDONLY | O_CLOEXEC);
	ret = s->from < 0 ? failed(s, err, errno, "cannot open")
			  : begin(s, named, beside, err);
	if (s->from >= 0 && !pipe)
		close(s->from);
	if (ret && s->fd >= 0)
		close(s->fd);
	else
		*fd = s->fd;
	if (*fd >= 0)
		snprintf(path, 64, "/proc/self/fd/%d", *fd);
	free(s);
	return ret;
}
