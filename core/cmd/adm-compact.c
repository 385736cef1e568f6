/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * adm-compact.c - vdiskadm compact: give back the space of what is zero.
 *
 * Units that hold nothing but zeros are discarded.  What the guest has deleted
 * is not zero: that is for the guest to discard.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "adm.h"
#include "cmd.h"

#define UNIT_MOST	(64u << 20)
#define UNIT_RAW	65536u

static bool
is_zero(const char *buf, size_t len)
{
	return !buf[0] && !memcmp(buf, buf + 1, len - 1);
}

/* A run of the top's own data: whole units in it. */
static int
compact_run(struct vd_disk *d, const struct vd_run *run, uint64_t unit,
	    char *buf, struct vd_err *err)
{
	uint64_t end = run->off + run->len, size = vd_disk_size(d), n;
	uint64_t off = (run->off + unit - 1) / unit * unit;
	int ret = 0;

	for (; off < end && !ret; off += n) {
		n = unit < size - off ? unit : size - off;
		if (off + n > end)
			break;
		ret = vd_disk_read(d, buf, n, off, err);
		if (!ret && is_zero(buf, n))
			ret = vd_disk_discard(d, off, n, err);
		if (!ret)
			ret = adm_interrupted(err);
	}
	return ret;
}

static int
compact(struct vd_disk *d, struct vd_err *err)
{
	uint64_t size = vd_disk_size(d), unit = vd_disk_image(d, 0)->unit;
	struct vd_run run;
	char *buf;
	int ret = 0;

	unit = unit ? unit : UNIT_RAW;
	if (!vd_disk_can_discard(d))
		return vd_fail(err, ENOTSUP, VD_NOWHERE, "module %s cannot "
			       "give space back", vd_disk_format(d, 0)->name);
	buf = unit <= UNIT_MOST ? malloc(unit) : NULL;
	if (!buf)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory for a unit");
	for (uint64_t off = 0; off < size && !ret; off += run.len) {
		ret = vd_disk_extent(d, off, size - off, &run, err);
		if (!ret && run.kind == VD_EXT_DATA && !run.layer)
			ret = compact_run(d, &run, unit, buf, err);
	}
	free(buf);
	return ret ? ret : vd_disk_flush(d, err);
}

static uint64_t
taken(const char *path)
{
	struct stat st;

	return stat(path, &st) ? 0 : (uint64_t)st.st_blocks * 512;
}

static int
run(struct vd_library *lib, int argc, char **argv)
{
	struct vd_err err = { 0 };
	struct adm_words w;
	struct vd_disk *d;
	char a[32], b[32];
	uint64_t before;
	int ret, ret2;

	adm_get_words(&adm_compact, argc, argv, "", 1, 1,
		      "the name of the image", &w);
	before = taken(w.word[0]);
	adm_catch_signals();
	ret = vd_disk_open(lib, w.word[0], &w.open, &d, &err);
	if (!ret) {
		ret = compact(d, &err);
		ret2 = vd_disk_close(d, ret ? NULL : &err);
		ret = ret ? ret : ret2;
	}
	adm_die_if_stopped();
	if (ret) {
		vd_err_file(&err, w.word[0]);
		return adm_failed(&err);
	}
	printf("took %s, takes %s\n", cmd_size_text(before, a, sizeof(a)),
	       cmd_size_text(taken(w.word[0]), b, sizeof(b)));
	return CMD_OK;
}

const struct adm_verb adm_compact = {
	.name = "compact",
	.summary = "give back the space of what is zero",
	.usage = "compact [--allow-outside] path",
	.details =
"Only the image itself, not its parents; its content does not change.  Nobody may\n"
"have it open.\n"
"\n"
"  --allow-outside  parents may lie outside the folder of their child\n",
	.run = run,
};
