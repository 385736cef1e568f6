/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * raw.h - what the files of the raw module share.
 */
#ifndef RAW_H
#define RAW_H

#include <vdisk/format.h>

int	raw_pack(const char *name, const struct vd_create *c,
		 const struct vd_source *src, const struct vd_sink *to,
		 struct vd_err *err);

#endif
