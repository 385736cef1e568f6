/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * adm-destroy.c - vdiskadm destroy: remove a disk, or one of its snapshots.
 */
#include "adm.h"

static int
destroy(struct vd_library *lib, const struct adm_snap *s,
	const struct adm_words *w, struct vd_err *err)
{
	if (s->name)
		return vd_merge(lib, s->path, s->name, &w->open, err);
	return vd_remove(lib, s->path, w->recursive ? VD_NEWER : 0, &w->open,
			 err);
}

static int
run(struct vd_library *lib, int argc, char **argv)
{
	return adm_change(&adm_destroy, lib, argc, argv, "r",
			  "the name of the disk", false, destroy);
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
