/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * adm-rollback.c - vdiskadm rollback: go back to a snapshot.
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

	adm_get_words(&adm_rollback, argc, argv, "r", 1, 1,
		      "the name of the snapshot", &w);
	adm_get_snap(&adm_rollback, lib, w.word[0], true, &s);
	ret = vd_rollback(lib, s.path, s.name, w.recursive ? VD_NEWER : 0,
			  &w.open, &err);
	free(s.path);
	free(s.name);
	return ret ? adm_failed(&err) : CMD_OK;
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
