/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * adm-destroy.c - vdiskadm destroy: remove a disk, or one of its snapshots.
 */
#include <stdlib.h>
#include "adm.h"
#include "cmd.h"

static int
run(struct vd_library *lib, int argc, char **argv)
{
	struct vd_err err = { 0 };
	struct adm_words w;
	struct adm_snap s;
	int ret;

	adm_get_words(&adm_destroy, argc, argv, "r", 1, 1,
		      "the name of the disk", &w);
	adm_get_snap(&adm_destroy, lib, w.word[0], false, &s);
	if (s.name)
		ret = vd_merge(lib, s.path, s.name, &w.open, &err);
	else
		ret = vd_remove(lib, s.path, w.recursive ? VD_NEWER : 0,
				&w.open, &err);
	free(s.path);
	free(s.name);
	return ret ? adm_failed(&err) : CMD_OK;
}

const struct adm_verb adm_destroy = {
	.name = "destroy",
	.summary = "remove a disk, or one of its snapshots",
	.usage = "destroy [-r] [--allow-outside] path[@name]",
	.details =
"  path       the disk and all its files; a parent that is not one of its own\n"
"             snapshots stays\n"
"  path@name  only this snapshot: what later states need of it moves up into\n"
"             the next image, which can take a while; they do not change\n"
"\n"
"  -r  also if the disk has snapshots; they are removed, too\n"
"  --allow-outside  parents may lie outside the folder of their child\n",
	.run = run,
};
