/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * adm-list.c - vdiskadm list: the snapshots of a disk, or its files.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "adm.h"
#include "cmd.h"

static void
line(const struct adm_words *w, const char *kind, const char *a, const char *b)
{
	if (w->parsable)
		printf("%s:", kind);
	cmd_print_safe(stdout, a);
	if (b) {
		putchar('@');
		cmd_print_safe(stdout, b);
	}
	putchar('\n');
}

/* The image, and the files that hold its parts. */
static void
list_files(struct vd_library *lib, const struct adm_words *w, const char *kind,
	   const char *path)
{
	const char *slash = strrchr(path, '/');
	int dir = slash ? (int)(slash - path) + 1 : 0;
	struct vd_probe_result *r = NULL;
	char part[8192];

	line(w, kind, path, NULL);
	vd_probe_path(lib, path, &r, NULL);
	for (unsigned i = 0; r && i < r->nrefs; i++) {
		const char *name = r->refs[i].name;

		if (r->refs[i].kind != VD_REF_EXTENT)
			continue;
		snprintf(part, sizeof(part), "%.*s%s",
			 name[0] == '/' ? 0 : dir, path, name);
		line(w, kind, part, NULL);
	}
	vd_probe_free(r);
}

/* The snapshots of a raw disk are older than it, and no part of its chain. */
static void
list_copies(struct vd_library *lib, const struct adm_words *w,
	    struct vd_disk *d, const char *path)
{
	const char *name, *file;

	for (unsigned i = 0; (name = vd_snapshot_copy(d, i, &file)); i++)
		if (w->files)
			list_files(lib, w, "snapshot", file);
		else
			line(w, "snapshot", path, name);
}

static int
run(struct vd_library *lib, int argc, char **argv)
{
	struct vd_err err = { 0 };
	struct vd_disk *d;
	struct adm_words w;
	struct adm_snap s;
	char name[4096];
	int rc = CMD_OK;

	adm_get_words(&adm_list, argc, argv, "fp", 1, 1, "the name of the disk",
		      &w);
	adm_get_snap(&adm_list, lib, w.word[0], false, &s);
	w.open.flags |= VD_DISK_RDONLY | VD_DISK_SHARED;
	if (vd_disk_open(lib, s.path, &w.open, &d, &err)) {
		rc = adm_failed(&err);
		goto out;
	}
	/* The oldest first. */
	for (unsigned i = vd_disk_depth(d); i-- > 0; ) {
		const char *kind = i ? "snapshot" : "file";

		if (!i)
			list_copies(lib, &w, d, s.path);
		if (w.files)
			list_files(lib, &w, kind, vd_disk_path(d, i));
		else
			line(&w, kind, s.path, vd_snapshot_name(d, i, name,
								sizeof(name)));
	}
	vd_disk_close(d, NULL);
out:
	free(s.path);
	free(s.name);
	return rc;
}

const struct adm_verb adm_list = {
	.name = "list",
	.summary = "list the snapshots of a disk, or its files",
	.usage = "list [-fp] [--allow-outside] path",
	.details =
"One line for each state, the oldest first, path itself last.  A parent that is\n"
"not a snapshot of path is shown by its file's name.\n"
"\n"
"  -f  the files instead\n"
"  -p  with \"snapshot:\" or \"file:\" before each\n"
"  --allow-outside  parents may lie outside the folder of their child\n",
	.run = run,
};
