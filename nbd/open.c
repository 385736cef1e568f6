/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * open.c - which disk, and with which rights.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "nbd.h"

const char nbd_config_help[] =
"file=FILE             the image, the top of its chain (needed; `file=' may\n"
"                      be left out)\n"
"format=NAME           do not guess: raw, vdi, vmdk, delta, ...\n"
"readonly=true|false   true: open it read-only, beside other readers;\n"
"                      false: fail if it cannot be written\n"
"snapshot=NAME         that state of the chain, read-only\n"
"chain=beneath|anywhere  may parts and parents lie outside the image's\n"
"                      folder? (no: beneath)\n"
"cache=SIZE            memory for tables and the index of the chain (64M)";

/*
 * The client learns one of the few numbers that the protocol has, the log the
 * whole sentence.  EAGAIN would become "invalid": to the client, what may work
 * later is an I/O error now.
 */
int
nbd_failed(int ret, const struct vd_err *err)
{
	char text[1200];
	int code = ret == -EAGAIN && err->code ? err->code : -ret;

	vd_err_text(err, text, sizeof(text));
	nbdkit_error("%s", text);
	nbdkit_set_error(code == EAGAIN ? EIO : code);
	return -1;
}

/* ------------------------------------------------------------- parameters */

static int
config_readonly(struct nbd_want *w, const char *value)
{
	int yes = nbdkit_parse_bool(value);

	if (yes < 0)
		return -1;
	w->access = yes ? NBD_READ : NBD_WRITE;
	return 0;
}

static int
config_chain(struct nbd_want *w, const char *value)
{
	if (strcmp(value, "beneath") && strcmp(value, "anywhere")) {
		nbdkit_error("chain=%s: it is either beneath or anywhere",
			     value);
		return -1;
	}
	w->anywhere = !strcmp(value, "anywhere");
	return 0;
}

static int
config_cache(struct nbd_want *w, const char *value)
{
	int64_t bytes = nbdkit_parse_size(value);

	if (bytes == 0)
		nbdkit_error("cache=%s: something is needed", value);
	if (bytes <= 0)
		return -1;
	w->cache = (uint64_t)bytes;
	return 0;
}

static int
config_file(struct nbd_want *w, const char *value)
{
	if (w->file) {
		nbdkit_error("one disk is served, but %s was named after %s",
			     value, w->file);
		return -1;
	}
	w->file = nbdkit_absolute_path(value);
	return w->file ? 0 : -1;
}

int
nbd_config(struct nbd_want *w, const char *key, const char *value)
{
	if (!strcmp(key, "file"))
		return config_file(w, value);
	if (!strcmp(key, "readonly"))
		return config_readonly(w, value);
	if (!strcmp(key, "chain"))
		return config_chain(w, value);
	if (!strcmp(key, "cache"))
		return config_cache(w, value);
	if (!strcmp(key, "format"))
		w->format = nbdkit_strdup_intern(value);
	else if (!strcmp(key, "snapshot"))
		w->snapshot = nbdkit_strdup_intern(value);
	else {
		nbdkit_error("unknown parameter %s; see `nbdkit vdisk --help'",
			     key);
		return -1;
	}
	return 0;
}

/* --------------------------------------------------------------- snapshot */

struct state {			/* where one state of a chain is kept */
	char	       *path;
	char		format[16];
};

static int
no_such_state(struct vd_disk *d, const char *name, struct vd_err *err)
{
	char list[400] = "", buf[512];
	size_t n = 0;

	for (unsigned i = 1; i < vd_disk_depth(d) && n < sizeof(list); i++) {
		const char *s = vd_snapshot_name(d, i, buf, sizeof(buf));

		if (s)
			n += (size_t)snprintf(list + n, sizeof(list) - n,
					      "%s%s", n ? ", " : "", s);
	}
	if (n >= sizeof(list))
		strcpy(list + sizeof(list) - 4, "...");
	if (!n)
		vd_fail(err, ENOENT, VD_NOWHERE, "has no snapshots");
	else
		vd_fail(err, ENOENT, VD_NOWHERE, "has no snapshot called "
			"\"%s\", but %s", name, list);
	vd_err_file(err, vd_disk_path(d, 0));
	return -ENOENT;
}

/* By the name of a snapshot, or else by the base name of an image. */
static unsigned
layer_called(struct vd_disk *d, const char *name)
{
	unsigned found = 0;
	char buf[512];

	for (unsigned i = 1; i < vd_disk_depth(d); i++) {
		const char *s = vd_snapshot_name(d, i, buf, sizeof(buf));
		const char *base = strrchr(vd_disk_path(d, i), '/');

		if (s && !strcmp(s, name))
			return i;
		if (!found && base && !strcmp(base + 1, name))
			found = i;
	}
	return found;
}

/*
 * The chain is only looked at: a guest may be writing to its top.  Nobody
 * writes to what lies below.
 */
static int
find_state(struct nbd_export *e, const struct vd_open *o, struct state *s,
	   struct vd_err *err)
{
	struct vd_open look = *o;
	struct vd_disk *d;
	unsigned i;
	int ret;

	look.flags |= VD_DISK_RDONLY | VD_DISK_SHARED;
	ret = vd_disk_open(e->lib, e->want.file, &look, &d, err);
	if (ret)
		return ret;
	i = layer_called(d, e->want.snapshot);
	if (!i) {
		ret = no_such_state(d, e->want.snapshot, err);
	} else {
		snprintf(s->format, sizeof(s->format), "%s",
			 vd_disk_format(d, i)->name);
		s->path = strdup(vd_disk_path(d, i));
		if (!s->path)
			ret = vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	}
	vd_disk_close(d, NULL);
	return ret;
}

static int
open_snapshot(struct nbd_export *e, struct vd_open *o, struct vd_err *err)
{
	struct state s = { NULL, "" };
	int ret = find_state(e, o, &s, err);

	if (!ret) {
		/* As its child names it: raw stays raw, whatever it holds. */
		o->format = s.format;
		o->flags |= VD_DISK_RDONLY;
		ret = vd_disk_open(e->lib, s.path, o, &e->disk, err);
	}
	free(s.path);
	return ret;
}

/* ------------------------------------------------------------------- open */

/*
 * A missing right, or a dialect that can only be read, makes the export
 * read-only.  An image that somebody else has open does not: then the client
 * would work on a disk that changes under its hands.
 */
static bool
may_fall_back(const struct nbd_want *w, int ret)
{
	return w->access == NBD_AUTO &&
	       (ret == -EACCES || ret == -EPERM || ret == -EROFS);
}

static int
open_top(struct nbd_export *e, struct vd_open *o, struct vd_err *err)
{
	struct vd_err first = { 0 };
	char text[1200];
	int ret;

	if (e->want.access == NBD_READ)
		o->flags |= VD_DISK_RDONLY;
	ret = vd_disk_open(e->lib, e->want.file, o, &e->disk, &first);
	if (ret && may_fall_back(&e->want, ret)) {
		o->flags |= VD_DISK_RDONLY;
		nbdkit_debug("vdisk: trying it read-only: %s",
			     vd_err_text(&first, text, sizeof(text)));
		return vd_disk_open(e->lib, e->want.file, o, &e->disk, err);
	}
	*err = first;
	return ret;
}

/* Somebody has the image: say what can be done here. */
static void
hint_busy(const struct nbd_want *w, int ret, struct vd_err *err)
{
	if (ret != -EBUSY || w->access == NBD_READ || w->snapshot)
		return;
	err->help[0] = '\0';
	vd_err_help(err, "`lsof` names it; beside a reader, readonly=true can "
		    "serve it");
}

int
nbd_open(struct nbd_export *e)
{
	struct vd_open o = {
		.size = sizeof(o),
		.format = e->want.format,
		.flags = e->want.anywhere ? VD_DISK_ANYWHERE : 0,
		.cache = e->want.cache,
	};
	struct vd_err err = { 0 };
	int ret;

	ret = vd_library_open(NULL, &e->lib, &err);
	if (ret)
		return nbd_failed(ret, &err);
	ret = e->want.snapshot ? open_snapshot(e, &o, &err)
			       : open_top(e, &o, &err);
	if (!ret)
		return 0;
	hint_busy(&e->want, ret, &err);
	vd_library_close(e->lib);
	e->lib = NULL;
	return nbd_failed(ret, &err);
}

int
nbd_close(struct nbd_export *e)
{
	struct vd_err err = { 0 };
	int ret = e->disk ? vd_disk_close(e->disk, &err) : 0;

	if (e->lib)
		vd_library_close(e->lib);
	e->disk = NULL;
	e->lib = NULL;
	return ret ? nbd_failed(ret, &err) : 0;
}
