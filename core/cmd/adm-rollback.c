/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * adm-rollback.c - vdiskadm rollback: go back to a snapshot.
 */
#include "adm.h"

static int
go_back(struct vd_library *lib, const struct adm_snap *s,
	const struct adm_words *w, struct vd_err *err)
{
	return vd_rollback(lib, s->path, s->name, w->recursive ? VD_NEWER : 0,
			   &w->open, err);
}

static int
run(struct vd_library *lib, int argc, char **argv)
{
	return adm_change(&adm_rollback, lib, argc, argv, "r",
			  "the name of the snapshot", true, go_back);
}

const struct adm_verb adm_rollback = {
	.name = "rollback",
	.summary = "go back to a snapshot",
	.usage = "rollback [-r] [--allow-outside] path@name",
	.details =
"What was written since the snapshot is lost.  The snapshot stays.\n"
"\n"
"  -r  also if there are more recent snapshots; they are lost, too\n"
"  --allow-outside  parents may lie outside the folder of their child\n",
	.run = run,
};
