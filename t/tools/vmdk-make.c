/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmdk-make.c - the module's own ways to make an image, whatever the programs offer. */
/* objects: plugins/vmdk/text.o plugins/vmdk/desc.o plugins/vmdk/edit.o plugins/vmdk/header.o plugins/vmdk/child.o plugins/vmdk/compose.o plugins/vmdk/create.o plugins/vmdk/custom.o plugins/vmdk/write.o plugins/vmdk/rewrite.o plugins/vmdk/discard.o plugins/vmdk/resize.o plugins/vmdk/split.o plugins/vmdk/image.o plugins/vmdk/extent.o plugins/vmdk/sparse.o plugins/vmdk/stream.o plugins/vmdk/cowd.o plugins/vmdk/sesparse.o plugins/vmdk/verify.o core/error.o core/file.o core/host.o core/iov.o core/journal.o core/lock.o core/rewrite.o core/table.o */
/*
 *	vmdk-make [-u UNIT] [-F] VARIANT BYTES FILE	created, empty
 *	vmdk-make -p HINT FORMAT ID CONTENT VARIANT BYTES FILE	a child
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "core/internal.h"
#include "plugins/vmdk/vmdk.h"

static int
make(struct vd_host *h, const char *hint, char **a, const char *path,
     struct vd_create *c, struct vd_err *err)
{
	struct vd_parent p = { .size = sizeof(p) };

	if (hint) {
		snprintf(p.hint, sizeof(p.hint), "%s", hint);
		snprintf(p.expected.id, VD_ID_MAX, "%s", a[1]);
		snprintf(p.expected.content, VD_ID_MAX, "%s", a[2]);
	}
	c->variant = a[hint ? 3 : 0];
	c->virtual_size = strtoull(a[hint ? 4 : 1], NULL, 0);
	return hint ? vmdk_create_child(h, path, a[0], &p, c, err)
		    : vmdk_create(h, path, c, err);
}

int
main(int argc, char **argv)
{
	struct vd_create c = { .size = sizeof(c) };
	const char *hint = NULL, *path = argv[argc - 1];
	struct vd_err err = { 0 };
	struct vd_host *h;
	char text[1400];
	int o, ret;

	while ((o = getopt(argc, argv, "u:Fp:")) != -1) {
		if (o == 'u') c.unit = strtoull(optarg, NULL, 0);
		else if (o == 'F') c.flags |= VD_CREATE_FIXED;
		else if (o == 'p') hint = optarg;
		else return 2;
	}
	if (argc - optind != (hint ? 6 : 3))
		return 2;
	ret = vd_host_new(path, 0, &h, &err);
	if (!ret)
		ret = make(h, hint, argv + optind, path, &c, &err);
	if (ret) {
		fprintf(stderr, "vmdk-make: %s\n",
			vd_err_text(&err, text, sizeof(text)));
		vd_host_unlink_created(h);
	}
	vd_host_free(h);
	return ret ? 1 : 0;
}
