/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * adm-snapshot.c - vdiskadm snapshot: freeze a disk as it is.
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

	adm_get_words(&adm_snapshot, argc, argv, "", 1, 1,
		      "the name of the snapshot", &w);
	adm_get_snap(&adm_snapshot, lib, w.word[0], true, &s);
	ret = vd_snapshot(lib, s.path, s.name, &w.open, &err);
	free(s.path);
	free(s.name);
	return ret ? adm_failed(&err) : CMD_OK;
}

const struct adm_verb adm_snapshot = {
	.name = "snapshot",
	.summary = "freeze a disk as it is",
	.usage = "snapshot [--allow-outside] path@name",
	.details =
"web01.vmdk@before, or web01@before.vmdk, which is what the frozen image is\n"
"called afterwards; web01.vmdk is a new image that holds what changes from now\n"
"on.  Nobody may have the disk open.\n"
"\n"
"  --allow-outside  parents may lie outside the folder of their child\n",
	.run = run,
};
