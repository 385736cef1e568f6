/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * adm-clone.c - vdiskadm clone: a disk, or a snapshot of it, as a new disk.
 *
 * The copy has no parent.  It is fixed if the disk's base is.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "adm.h"
#include "cmd.h"

/* The file that holds the state called name, or NULL. */
static const char *
state_path(struct vd_disk *top, const char *name)
{
	const char *n, *path;
	char buf[4096];

	for (unsigned i = 1; i < vd_disk_depth(top); i++) {
		n = vd_snapshot_name(top, i, buf, sizeof(buf));
		if (n && !strcmp(n, name))
			return vd_disk_path(top, i);
	}
	for (unsigned i = 0; (n = vd_snapshot_copy(top, i, &path)); i++)
		if (!strcmp(n, name))
			return path;
	return NULL;
}

/* The disk, and through the name of a state again from there on. */
static int
open_state(struct vd_library *lib, const struct adm_snap *s,
	   const struct vd_open *o, struct vd_disk **d, struct vd_err *err)
{
	struct vd_open opts = *o;
	struct vd_disk *top;
	const char *path;
	int ret;

	opts.flags |= VD_DISK_RDONLY;
	ret = vd_disk_open(lib, s->path, &opts, &top, err);
	if (ret || !s->name) {
		*d = top;
		return ret;
	}
	path = state_path(top, s->name);
	if (path) {
		ret = vd_disk_open(lib, path, &opts, d, err);
		vd_disk_close(top, NULL);
		return ret;
	}
	vd_disk_close(top, NULL);
	ret = vd_fail(err, ENOENT, VD_NOWHERE, "has no snapshot called \"%s\"",
		      s->name);
	vd_err_file(err, s->path);
	vd_err_help(err, "`vdiskadm list %s` tells which it has", s->path);
	return ret;
}

static bool
base_is_fixed(struct vd_disk *d, const struct vd_format *to)
{
	unsigned base = vd_disk_depth(d) - 1;
	const char *variant = vd_disk_image(d, base)->variant;

	return to == vd_disk_format(d, base) && !(to->flags & VD_FORMAT_REST) &&
	       (!vd_disk_image(d, base)->unit || strstr(variant, "Flat") ||
		strcasestr(variant, "fixed"));
}

static int
run(struct vd_library *lib, int argc, char **argv)
{
	struct vd_err err = { 0 };
	struct adm_job job = { 0 };
	struct adm_words w;
	struct adm_snap s;
	int ret;

	adm_get_words(&adm_clone, argc, argv, "c", 2, 2,
		      "the name of the disk or of its copy", &w);
	adm_get_snap(&adm_clone, lib, w.word[0], false, &s);
	job.out = w.word[1];
	job.comment = w.comment;
	job.to.format = vd_library_by_extension(lib, job.out);
	if (!job.to.format)
		adm_usage(&adm_clone, "%s: its name must end like that of an "
			  "image (.vmdk, .vdi, .raw)", job.out);
	adm_catch_signals();
	ret = open_state(lib, &s, &w.open, &job.in, &err);
	if (!ret) {
		job.to.fixed = base_is_fixed(job.in, job.to.format);
		ret = adm_make_copy(lib, &job, &err);
		vd_disk_close(job.in, NULL);
	}
	free(s.path);
	free(s.name);
	adm_die_if_stopped();
	return ret ? adm_failed(&err) : CMD_OK;
}

const struct adm_verb adm_clone = {
	.name = "clone",
	.summary = "copy a disk, or a snapshot of it, to a new disk",
	.usage = "clone [-c comment] [--allow-outside] path[@name] new",
	.details =
"The copy stands alone.  It is fixed if the disk's base is and its format is the\n"
"same; how new ends says the format.  Between files that can share blocks (raw\n"
"and other fixed disks, on XFS or Btrfs) it takes neither time nor room.\n"
"\n"
"  -c comment  kept in the image, where the format has room for it\n"
"  --allow-outside  parents may lie outside the folder of their child\n",
	.run = run,
};
