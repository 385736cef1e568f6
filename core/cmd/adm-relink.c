/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * adm-relink.c - vdiskadm relink: tell an image where its parent is.
 */
#include "adm.h"
#include "cmd.h"

static int
run(struct vd_library *lib, int argc, char **argv)
{
	struct vd_err err = { 0 }, differs = { 0 };
	struct adm_words w;
	int ret;

	adm_get_words(&adm_relink, argc, argv, "", 2, 2,
		      "the name of the child or of its parent", &w);
	ret = vd_relink(lib, w.word[0], w.word[1], &w.open, &differs, &err);
	if (ret)
		return adm_failed(&err);
	if (differs.code) {
		cmd_errorf("done, but mind: %s", differs.msg);
		cmd_helpf("%s reads right only if the content of %s is what "
			  "it was", w.word[0], w.word[1]);
	}
	return CMD_OK;
}

const struct adm_verb adm_relink = {
	.name = "relink",
	.summary = "tell an image where its parent is",
	.usage = "relink [--allow-outside] child parent",
	.details =
"For a parent that was moved, or that was opened for writing without its\n"
"content being changed.  Says so if parent is not the image, or not in the\n"
"state, that child was made from: whether it fits is then for you to know.\n"
"\n"
"  --allow-outside  the parent may lie outside the folder of the child\n",
	.run = run,
};
