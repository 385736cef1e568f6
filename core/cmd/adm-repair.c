/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * adm-repair.c - vdiskadm repair: mend an image, and say what is done.
 *
 * What is overwritten is kept in a file beside the image, so that a repair that
 * did the wrong thing can be taken back.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "adm.h"
#include "cmd.h"

struct mend {
	struct vd_report report;	/* first: the callbacks get this */
	bool		plan;
	unsigned	done, left;
};

static void
tell(const char *word, const struct vd_finding *f)
{
	cmd_print_safe(stdout, f->file ? f->file : "");
	printf(": %s", word);
	cmd_print_safe(stdout, f->text);
	if (f->off != VD_NOWHERE)
		printf(" (byte 0x%" PRIx64 ")", f->off);
	printf(" [%s]\n", f->code);
	fflush(stdout);
}

/* What cannot be mended. */
static void
finding(struct vd_report *r, const struct vd_finding *f)
{
	struct mend *m = (struct mend *)r;

	if (f->severity == VD_DAMAGE)
		m->left++;
	tell(f->severity == VD_DAMAGE ? "cannot be mended: " : "", f);
}

/* Modules say what they would do; from here on it is what is done. */
static bool
may(struct vd_report *r, const struct vd_finding *f)
{
	struct mend *m = (struct mend *)r;
	const char *cure = strchr(f->text, ';'), *would;
	struct vd_finding now = *f;
	char text[1024];

	m->done++;
	would = cure ? strstr(cure, "would ") : NULL;
	if (!m->plan && would) {
		snprintf(text, sizeof(text), "%.*swill %s",
			 (int)(would - f->text), f->text, would + 6);
		now.text = text;
	}
	tell(m->plan ? "would mend: " : "", &now);
	return !m->plan;
}

/* IMAGE.undo, IMAGE.undo2, ...: the first that is free. */
static char *
undo_name(const char *path)
{
	struct stat st;
	char *s;

	for (unsigned i = 1; i < 1000; i++) {
		if (asprintf(&s, i > 1 ? "%s.undo%u" : "%s.undo", path, i) < 0)
			return NULL;
		if (lstat(s, &st) && errno == ENOENT)
			return s;
		free(s);
	}
	return NULL;
}

static int
mend_image(struct vd_library *lib, struct mend *m, const struct adm_words *w,
	   const char *path, const char *undo, struct vd_err *err)
{
	struct vd_open o = w->open;
	struct vd_disk *d;
	int ret, ret2;

	o.flags |= VD_DISK_CHECK;
	ret = vd_disk_open(lib, path, &o, &d, err);
	if (ret) {
		vd_err_file(err, path);
		return ret;
	}
	ret = vd_disk_repair(d, &m->report, m->plan ? NULL : undo, err);
	ret2 = vd_disk_close(d, ret ? NULL : err);
	return ret ? ret : ret2;
}

static int
repair(struct vd_library *lib, const struct adm_words *w, const char *path)
{
	struct mend m = {
		.report = { .size = sizeof(m.report), .finding = finding,
			    .may = may },
		.plan = w->plan,
	};
	char *undo = w->undo ? strdup(w->undo) : undo_name(path);
	struct vd_err err = { 0 };
	struct stat st;
	int ret;

	if (!undo)
		cmd_dief("no name for an undo file");
	ret = mend_image(lib, &m, w, path, undo, &err);
	if (!m.plan && !lstat(undo, &st)) {
		printf("what was overwritten is in ");
		cmd_print_safe(stdout, undo);
		putchar('\n');
	}
	free(undo);
	if (ret)
		return adm_failed(&err);
	return m.left || (m.plan && m.done) ? CMD_NO : CMD_OK;
}

static int
run(struct vd_library *lib, int argc, char **argv)
{
	struct vd_err err = { 0 };
	struct adm_words w;

	adm_get_words(&adm_repair, argc, argv, "nuR", 1, 1,
		      "the name of the image", &w);
	if (!w.restore)
		return repair(lib, &w, w.word[0]);
	if (vd_disk_undo(lib, w.word[0], w.restore, &w.open, &err))
		return adm_failed(&err);
	return CMD_OK;
}

const struct adm_verb adm_repair = {
	.name = "repair",
	.summary = "mend a damaged image",
	.usage = "repair [--plan] [-u file] path\n"
		 "       vdiskadm repair --restore file path",
	.details =
"Shows each change before it is made.  What is overwritten is kept in a new file,\n"
"path.undo unless -u says another name.  Only the image itself, not its parents.\n"
"\n"
"  -n, --plan       only show what would be done; exit 1 if that is anything\n"
"  -u, --undo file  keep what is overwritten there\n"
"  --restore file   put back what a repair has overwritten, if nothing has been\n"
"                   written since\n"
"  --allow-outside  parts may lie outside the folder of the image\n",
	.run = run,
};
