/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * adm-verify.c - vdiskadm verify: is a disk, with all below it, in order?
 *
 * Each image is checked by its module, opened as it is; whether they make a
 * chain is then seen by opening it as a guest would.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "adm.h"
#include "cmd.h"
#include "json.h"

struct tally {
	struct vd_report report;	/* first: the callback gets this */
	struct json    *json;		/* NULL: for people */
	unsigned	count[VD_DAMAGE + 1];
};

static void
finding(struct vd_report *r, const struct vd_finding *f)
{
	static const char *const words[] = { "note", "leak", "damage" };
	struct tally *t = (struct tally *)r;
	unsigned s = f->severity <= VD_DAMAGE ? f->severity
					      : (unsigned)VD_DAMAGE;

	t->count[s]++;
	if (t->json) {
		json_open(t->json, NULL, '{');
		json_str(t->json, "file", f->file ? f->file : "");
		json_str(t->json, "severity", words[s]);
		json_str(t->json, "code", f->code);
		if (f->off == VD_NOWHERE)
			json_null(t->json, "offset");
		else
			json_u64(t->json, "offset", f->off);
		json_str(t->json, "text", f->text);
		json_close(t->json, '}');
		return;
	}
	cmd_print_safe(stdout, f->file ? f->file : "");
	printf(": %s: ", words[s]);
	cmd_print_safe(stdout, f->text);
	if (f->off != VD_NOWHERE)
		printf(" (byte 0x%" PRIx64 ")", f->off);
	printf(" [%s]\n", f->code);
}

static int
check_image(struct vd_library *lib, struct tally *t, const struct adm_words *w,
	    const char *path, struct vd_err *err)
{
	struct vd_open o = w->open;
	struct vd_disk *d;
	int ret;

	o.flags |= VD_DISK_RDONLY | VD_DISK_CHECK;
	ret = vd_disk_open(lib, path, &o, &d, err);
	if (ret) {
		vd_err_file(err, path);
		return ret;
	}
	ret = vd_disk_check(d, 0, &t->report, err);
	vd_disk_close(d, NULL);
	return ret;
}

/* It opens alone, then it is what lies below it; the number says how. */
static const char *
code_of(struct vd_library *lib, const struct adm_words *w, const char *path,
	int code)
{
	struct vd_open o = w->open;
	struct vd_disk *d;

	o.flags |= VD_DISK_RDONLY | VD_DISK_ALONE;
	if (vd_disk_open(lib, path, &o, &d, NULL))
		return "cannot-open";
	vd_disk_close(d, NULL);
	return code == ENOENT ? "parent-missing" :
	       code == ESTALE ? "parent-changed" :
	       code == ELOOP ? "parent-cycle" :
	       code == EPERM ? "parent-outside" : "cannot-open";
}

/* What a guest could not open is damage, whatever the checks have missed. */
static int
check_rest(struct vd_library *lib, struct tally *t, const struct adm_words *w,
	   const char *path, struct vd_err *err)
{
	struct vd_open o = w->open;
	struct vd_err why = { 0 };
	struct vd_disk *d;
	char text[sizeof(why.msg) + sizeof(why.help) + 8];
	struct vd_finding f = {
		.size = sizeof(f), .severity = VD_DAMAGE, .off = VD_NOWHERE,
		.code = "cannot-open", .file = why.file, .text = text,
	};
	int ret = 0;

	o.flags |= VD_DISK_RDONLY;
	if (vd_disk_open(lib, path, &o, &d, &why)) {
		if (t->count[VD_DAMAGE])
			return 0;
		vd_err_file(&why, path);
		snprintf(text, sizeof(text), "%s%s%s", why.msg,
			 why.help[0] ? "; " : "", why.help);
		f.off = why.off;
		f.code = code_of(lib, w, path, why.code);
		finding(&t->report, &f);
		return 0;
	}
	for (unsigned i = 1; i < vd_disk_depth(d) && !ret; i++) {
		/* Raw has nothing that could be wrong. */
		if (!(vd_disk_format(d, i)->flags & VD_FORMAT_REST))
			ret = check_image(lib, t, w, vd_disk_path(d, i), err);
	}
	vd_disk_close(d, NULL);
	return ret;
}

static int
verify(struct vd_library *lib, const struct adm_words *w, const char *path,
       struct tally *t)
{
	struct vd_err err = { 0 };
	int ret;

	t->report = (struct vd_report){
		.size = sizeof(t->report), .finding = finding,
	};
	if (t->json) {
		json_open(t->json, NULL, '{');
		json_str(t->json, "path", path);
		json_open(t->json, "findings", '[');
	}
	ret = check_image(lib, t, w, path, &err);
	if (!ret)
		ret = check_rest(lib, t, w, path, &err);
	if (t->json) {
		json_close(t->json, ']');
		json_u64(t->json, "damages", t->count[VD_DAMAGE]);
		json_u64(t->json, "leaks", t->count[VD_LEAK]);
		json_u64(t->json, "notes", t->count[VD_NOTE]);
		if (ret)
			json_str(t->json, "error", err.msg);
		else
			json_null(t->json, "error");
		json_close(t->json, '}');
		putchar('\n');
	}
	return ret ? adm_failed(&err)
		   : t->count[VD_DAMAGE] ? CMD_NO : CMD_OK;
}

static int
run(struct vd_library *lib, int argc, char **argv)
{
	struct json j = { .out = stdout };
	struct tally t = { 0 };
	struct adm_words w;

	adm_get_words(&adm_verify, argc, argv, "j", 1, 1,
		      "the name of the image", &w);
	t.json = w.json ? &j : NULL;
	return verify(lib, &w, w.word[0], &t);
}

const struct adm_verb adm_verify = {
	.name = "verify",
	.summary = "check a disk and all images below it",
	.usage = "verify [--json] [--allow-outside] path",
	.details =
"Reads only.  Prints a line for each finding:\n"
"  damage  data is lost or may be, or another program would lose some: exit 1\n"
"  leak    space that nothing uses\n"
"  note    odd, and harmless\n"
"\n"
"  -j, --json       one JSON object\n"
"  --allow-outside  parents may lie outside the folder of their child\n",
	.run = run,
};
