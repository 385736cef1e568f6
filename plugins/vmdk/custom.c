/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * custom.c - a new disk of several extents, of the kinds and sizes that are asked
 * for: "custom:sparse=4m,zero=1m,flat=2m".
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "vmdk.h"

struct wish {
	enum vmdk_kind	kind;
	uint64_t	bytes;
};

/* 4m, 2g, 7s (sectors), 4096. */
static bool
take_size(struct vmdk_str s, uint64_t *bytes)
{
	static const char units[] = "skmgt";
	const char *u = s.n ? strchr(units, s.p[s.n - 1] | 0x20) : NULL;
	unsigned shift = !u || !*u ? 0 : u == units ? 9
			 : 10 * (unsigned)(u - units);

	s.n -= shift != 0;
	if (!vmdk_take_decimal(s, bytes) || !*bytes ||
	    *bytes > (VMDK_SECTORS_MAX * VMDK_SECTOR) >> shift)
		return false;
	*bytes <<= shift;
	return *bytes % VMDK_SECTOR == 0;
}

static int
take_wish(struct vmdk_str s, struct wish *w, struct vd_err *err)
{
	const char *eq = s.n ? memchr(s.p, '=', s.n) : NULL;
	struct vmdk_str kind = { s.p, eq ? (size_t)(eq - s.p) : s.n }, size;

	w->kind = vmdk_str_is(kind, "sparse") ? VMDK_SPARSE :
		  vmdk_str_is(kind, "flat") ? VMDK_FLAT :
		  vmdk_str_is(kind, "zero") ? VMDK_ZERO : VMDK_OTHER;
	size = (struct vmdk_str){ s.p + kind.n + 1, eq ? s.n - kind.n - 1 : 0 };
	if (w->kind != VMDK_OTHER && take_size(size, &w->bytes))
		return 0;
	return vd_fail(err, EINVAL, VD_NOWHERE, "\"%.*s\" is not an extent: "
		       "sparse, flat or zero, =, and a multiple of 512 bytes",
		       s.n < 40 ? (int)s.n : 40, s.p);
}

/* The extents one after the other: files, and their lines. */
static int
make_extent(struct vd_host *host, const char *path, const struct vd_create *c,
	    const struct wish *w, unsigned i, struct vmdk_text *lines,
	    struct vd_err *err)
{
	if (w->kind == VMDK_SPARSE && w->bytes > VMDK_FILE_SECTORS_MAX *
	    VMDK_SECTOR)
		return vd_fail(err, EFBIG, VD_NOWHERE, "a sparse extent cannot "
			       "hold more than 2 TiB");
	if (w->kind != VMDK_ZERO)
		return vmdk_create_part(host, path, c, w->kind == VMDK_FLAT, i,
					w->bytes, lines, err);
	vmdk_say(lines, "RW %" PRIu64 " ZERO\n", w->bytes / VMDK_SECTOR);
	return 0;
}

static int
make_extents(struct vd_host *host, const char *path, const struct vd_create *c,
	     struct vmdk_text *lines, struct vd_err *err)
{
	const char *list = c->variant + strlen(VMDK_CUSTOM);
	uint64_t sum = 0;
	struct wish w;
	int ret = 0;

	for (unsigned i = 0; !ret; i++) {
		struct vmdk_str s = { list, strcspn(list, ",") };

		if (i == VMDK_EXTENTS_MAX)
			return vd_fail(err, EFBIG, VD_NOWHERE, "more than %u "
				       "extents", VMDK_EXTENTS_MAX);
		ret = take_wish(s, &w, err);
		if (!ret)
			ret = make_extent(host, path, c, &w, i, lines, err);
		if (!ret && w.bytes > VMDK_SECTORS_MAX * VMDK_SECTOR - sum)
			ret = vd_fail(err, EFBIG, VD_NOWHERE, "the extents add "
				      "up to more than any disk");
		sum += ret ? 0 : w.bytes;
		list += s.n;
		if (!*list++)
			break;
	}
	if (!ret && sum != c->virtual_size)
		ret = vd_fail(err, EINVAL, VD_NOWHERE, "the extents add up to %"
			      PRIu64 " bytes, not to %" PRIu64, sum,
			      c->virtual_size);
	return ret;
}

int
vmdk_create_custom(struct vd_host *host, const char *path,
		   const struct vd_create *c, struct vd_err *err)
{
	struct vmdk_text lines;
	int ret = vmdk_check_name(path, c, err);

	if (!ret)
		ret = vmdk_check_grain(c, err);
	if (!ret)
		ret = vmdk_text_new(&lines, VMDK_DESC_MAX / 2, err);
	if (ret)
		return ret;
	ret = make_extents(host, path, c, &lines, err);
	if (!ret && lines.full)
		ret = vd_fail(err, EFBIG, VD_NOWHERE, "so many names do not "
			      "fit a descriptor");
	if (!ret)
		ret = vmdk_create_text(host, path, "custom", lines.buf, c,
				       NULL, err);
	free(lines.buf);
	return ret;
}
