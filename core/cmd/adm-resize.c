/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * adm-resize.c - vdiskadm resize: a larger disk, or a smaller one.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include "adm.h"
#include "cmd.h"

/* Is there anything from here to the end? */
static int
anything_behind(struct vd_disk *d, uint64_t off, bool *any, struct vd_err *err)
{
	uint64_t size = vd_disk_size(d);
	struct vd_run run;
	int ret;

	for (*any = false; off < size && !*any; off += run.len) {
		ret = vd_disk_extent(d, off, size - off, &run, err);
		if (ret)
			return ret;
		*any = run.kind != VD_EXT_ZERO;
	}
	return 0;
}

static int
may_shrink(struct vd_disk *d, uint64_t size, unsigned asked,
	   struct vd_err *err)
{
	bool any;
	int ret;

	if (!asked) {
		ret = vd_fail(err, EPERM, VD_NOWHERE, "has %" PRIu64 " bytes: "
			      "it would shrink", vd_disk_size(d));
		vd_err_help(err, "--shrink allows it; shrink partitions and "
			    "file systems in it before");
		return ret;
	}
	ret = anything_behind(d, size, &any, err);
	if (ret || !any || asked > 1)
		return ret;
	ret = vd_fail(err, ENOTEMPTY, VD_NOWHERE, "holds data behind byte %"
		      PRIu64 ", which would be lost", size);
	vd_err_help(err, "--shrink --shrink cuts it off");
	return ret;
}

static int
resize(struct vd_library *lib, const struct adm_words *w, const char *path,
       uint64_t size, struct vd_err *err)
{
	struct vd_disk *d;
	int ret = vd_disk_open(lib, path, &w->open, &d, err), ret2;

	if (ret) {
		vd_err_file(err, path);
		return ret;
	}
	if (size < vd_disk_size(d))
		ret = may_shrink(d, size, w->shrink, err);
	if (!ret)
		ret = vd_disk_resize(d, size, err);
	ret2 = vd_disk_close(d, ret ? NULL : err);
	vd_err_file(err, path);
	return ret ? ret : ret2;
}

static int
run(struct vd_library *lib, int argc, char **argv)
{
	struct vd_err err = { 0 };
	struct adm_words w;
	uint64_t size;

	adm_get_words(&adm_resize, argc, argv, "S", 2, 2,
		      "the name of the image or its new size", &w);
	if (cmd_parse_size(w.word[1], &size, &err))
		adm_usage(&adm_resize, "%s", err.msg);
	if (size % 512)
		adm_usage(&adm_resize, "a disk is a multiple of 512 bytes; %s "
			  "is not", w.word[1]);
	return resize(lib, &w, w.word[0], size, &err) ? adm_failed(&err)
						      : CMD_OK;
}

const struct adm_verb adm_resize = {
	.name = "resize",
	.summary = "make a disk larger, or smaller",
	.usage = "resize [--shrink [--shrink]] [--allow-outside] path size",
	.details =
"  size      the new one: 20g, 1.5T; powers of 1024\n"
"  --shrink  it may be smaller than the present one; given twice: also if what\n"
"            is cut off holds data\n"
"\n"
"Snapshots keep the size they have.\n"
"\n"
"  --allow-outside  parents may lie outside the folder of their child\n",
	.run = run,
};
