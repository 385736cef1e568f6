/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pack.c - make an image in one pass, on a descriptor that need not seek.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>
#include "internal.h"
#include "library.h"

#define PUT_MAX		(1u << 30)	/* below what one call can move */

struct fd_sink {
	int		fd;
	uint64_t	at;
};

static int
put(void *ctx, const void *buf, size_t len, struct vd_err *err)
{
	struct fd_sink *s = ctx;
	const char *p = buf;

	while (len) {
		ssize_t n = write(s->fd, p, len < PUT_MAX ? len : PUT_MAX);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return vd_fail(err, n ? errno : EIO, s->at,
				       "cannot write: %s",
				       strerror(n ? errno : EIO));
		p += n;
		len -= (size_t)n;
		s->at += (uint64_t)n;
	}
	return 0;
}

int
vd_pack_image(struct vd_library *lib, const char *format, int fd,
	      const char *name, const struct vd_create *c,
	      const struct vd_source *src, struct vd_err *err)
{
	const struct vd_format *f = vd_library_find(lib, format);
	struct vd_create copy = { .size = sizeof(copy) };
	struct fd_sink s = { .fd = fd };
	struct vd_sink to = { .size = sizeof(to), .ctx = &s, .put = put };
	const char *slash = strrchr(name, '/');
	int ret;

	if (!f || !f->pack) {
		ret = vd_fail(err, f ? ENOTSUP : ENOENT, VD_NOWHERE, f
			      ? "%s images cannot be written in one pass"
			      : "no module for format %s", format);
		vd_err_help(err, "`vdisk-probe --modules` lists what can (pack)");
		return ret;
	}
	memcpy(&copy, c, c->size < sizeof(copy) ? c->size : sizeof(copy));
	if (!copy.virtual_size || (copy.virtual_size & 511) ||
	    copy.virtual_size > VD_DISK_MAX)
		return vd_fail(err, EINVAL, VD_NOWHERE, "%" PRIu64 " bytes is "
			       "no size for a disk", copy.virtual_size);
	return f->pack(slash ? slash + 1 : name, &copy, src, &to, err);
}
