/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * children.c - names in a chain, and who else depends on an image.
 *
 * A parent does not know its children.  Those that lie in the same folder are
 * found by looking at each image there: its probe tells what it names as its
 * parent.  A child elsewhere is not found; it will refuse to open, and say
 * what it misses, but never read as zeros.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include "work.h"

#define NAMES_MAX	10000u

/* ----------------------------------------------------------------- names */

static int
check_name(const char *name, struct vd_err *err)
{
	const unsigned char *p = (const unsigned char *)name;

	if (!*p)
		return vd_fail(err, EINVAL, VD_NOWHERE, "the name of the "
			       "snapshot is missing");
	for (; *p; p++)
		if (*p == '/' || *p == '@' || *p == '"' || *p == '\\' ||
		    *p < ' ' || *p == 0x7f)
			return vd_fail(err, EINVAL, VD_NOWHERE, "the name of a "
				       "snapshot has no / @ \" \\ and no "
				       "control characters");
	return 0;
}

int
vd_frozen_path(const char *top, const char *name, char *buf, size_t len,
	       struct vd_err *err)
{
	const char *base = vd_base_name(top), *dot = strrchr(base, '.');
	int ret = check_name(name, err);

	if (ret)
		return ret;
	if (!dot)
		dot = base + strlen(base);
	if ((size_t)snprintf(buf, len, "%.*s@%s%s", (int)(dot - top), top,
			     name, dot) >= len ||
	    strlen(vd_base_name(buf)) > 255)
		return vd_fail(err, ENAMETOOLONG, VD_NOWHERE, "the name of "
			       "the snapshot is too long");
	return 0;
}

const char *
vd_snapshot_name(struct vd_disk *d, unsigned layer, char *buf, size_t len)
{
	const char *top = vd_disk_path(d, 0), *path = vd_disk_path(d, layer);
	const char *base, *dot, *at;
	size_t stem;

	if (!path || !layer)
		return NULL;
	base = vd_base_name(top);
	dot = strrchr(base, '.');
	stem = dot ? (size_t)(dot - base) : strlen(base);
	at = vd_base_name(path);
	if (strncmp(at, base, stem) || at[stem] != '@' ||
	    strlen(at) <= stem + 1 + strlen(base + stem) ||
	    strcmp(at + strlen(at) - strlen(base + stem), base + stem))
		return vd_base_name(path);
	if ((size_t)snprintf(buf, len, "%.*s", (int)(strlen(at) - stem - 1 -
						     strlen(base + stem)),
			     at + stem + 1) >= len)
		return NULL;
	return buf;
}

unsigned
vd_layer_named(struct vd_disk *d, const char *name)
{
	char path[VD_NAME_MAX + 256];
	struct stat st;

	if (!vd_frozen_path(d->layers[0].path, name, path, sizeof(path), NULL) &&
	    !lstat(path, &st))
		for (unsigned i = 1; i < d->nlayers; i++)
			if (d->layers[i].file->dev == st.st_dev &&
			    d->layers[i].file->ino == st.st_ino)
				return i;
	for (unsigned i = 1; i < d->nlayers; i++)
		if (!strcmp(vd_base_name(d->layers[i].path), name))
			return i;
	return 0;
}

/* path without its links, as seen from folder. */
int
vd_relative_name(const char *folder, const char *path, char *buf, size_t len,
		 struct vd_err *err)
{
	char *dir = realpath(folder[0] ? folder : ".", NULL);
	char *whole = realpath(path, NULL);
	const char *name = whole;
	size_t n = dir ? strlen(dir) : 0;
	int ret = 0;

	if (!dir || !whole)
		ret = vd_fail(err, errno, VD_NOWHERE, "%s", strerror(errno));
	else if (!strncmp(whole, dir, n) && (whole[n] == '/' || n == 1))
		name = whole + n + (whole[n] == '/');
	if (!ret && strlen(name) >= len)
		ret = vd_fail(err, ENAMETOOLONG, VD_NOWHERE, "its path is too "
			      "long");
	if (!ret)
		memcpy(buf, name, strlen(name) + 1);
	free(whole);
	free(dir);
	return ret;
}

/* -------------------------------------------------------------- children */

/* Does what an image calls its parent mean this file? */
static bool
means(const char *folder, const char *ref, const struct vd_layer *l,
      const char *id)
{
	char name[VD_NAME_MAX];
	struct stat st;
	const char *base;
	bool same;
	int at;

	if (!strncmp(ref, "uuid:", 5))
		return id[0] && !strcasecmp(ref + 5, id);
	snprintf(name, sizeof(name), "%s", ref);
	for (char *p = name; *p; p++)
		if (*p == '\\')
			*p = '/';
	base = vd_base_name(name);
	at = vd_find_beside(folder, name, true);
	if (at < 0)
		at = vd_find_beside(folder, base, false);
	if (at < 0)
		return false;
	same = !fstat(at, &st) && st.st_dev == l->file->dev &&
	       st.st_ino == l->file->ino;
	close(at);
	return same;
}

static bool
is_child(struct vd_library *lib, const char *folder, const char *name,
	 const struct vd_layer *l, const char *id)
{
	int at = vd_find_beside(folder, name, false);
	struct vd_probe_result *r = NULL;
	bool yes = false;
	char proc[40];

	if (at < 0)
		return false;
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", at);
	if (!vd_probe_path(lib, proc, &r, NULL))
		for (unsigned i = 0; i < r->nrefs && !yes; i++)
			yes = r->refs[i].kind == VD_REF_PARENT &&
			      means(folder, r->refs[i].name, l, id);
	vd_probe_free(r);
	close(at);
	return yes;
}

static bool
same_file(const char *folder, const char *name, const struct vd_layer *l)
{
	char path[VD_NAME_MAX + 256];
	struct stat st;

	snprintf(path, sizeof(path), "%s%s", folder, name);
	return !stat(path, &st) && st.st_dev == l->file->dev &&
	       st.st_ino == l->file->ino;
}

static unsigned
children_in(struct vd_disk *d, const char *folder, const struct vd_layer *l,
	    const struct vd_layer *but, const char *id, char *first, size_t len)
{
	DIR *dir = opendir(folder[0] ? folder : ".");
	unsigned n = 0, names = 0;
	struct dirent *e;

	while (dir && names++ < NAMES_MAX && (e = readdir(dir))) {
		const struct vd_format *f = vd_library_by_extension(d->lib,
								    e->d_name);

		if (!f || (f->flags & VD_FORMAT_REST) ||
		    (but && same_file(folder, e->d_name, but)) ||
		    !is_child(d->lib, folder, e->d_name, l, id))
			continue;
		if (!n++)
			snprintf(first, len, "%s%s", folder, e->d_name);
	}
	if (dir)
		closedir(dir);
	return n;
}

unsigned
vd_children_of(struct vd_disk *d, const struct vd_layer *l,
	       const struct vd_layer *but, char *first, size_t len)
{
	const char *here = l->host->dir, *top = d->layers[0].host->dir;
	struct vd_identity id;
	unsigned n;

	if (vd_layer_identity(l, &id, NULL))
		id.id[0] = '\0';
	n = children_in(d, here, l, but, id.id, first, len);
	if (!n && strcmp(here, top))
		n = children_in(d, top, l, but, id.id, first, len);
	return n;
}
