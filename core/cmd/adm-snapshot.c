/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * adm-snapshot.c - vdiskadm snapshot: freeze a disk as it is.
 */
#include "adm.h"

static int
take(struct vd_library *lib, const struct adm_snap *s,
     const struct adm_words *w, struct vd_err *err)
{
	return vd_snapshot(lib, s->path, s->name, &w->open, err);
}

static int
run(struct vd_library *lib, int argc, char **argv)
{
	return adm_change(&adm_snapshot, lib, argc, argv, "",
			  "the name of the snapshot", true, take);
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
"A raw disk stays the file it is: web01@before.raw is a copy that shares its\n"
"blocks, where the file system can do that (XFS, Btrfs).  Where it cannot, leave\n"
"the disk as it is and write to a child of it: create -p web01.raw NEW.delta\n"
"\n"
"  --allow-outside  parents may lie outside the folder of their child\n",
	.run = run,
};
