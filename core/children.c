/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * children.c - names in a chain, and who else depends on an image.
 *
 * A parent does not know its children.  They are found by looking at each image
 * in the folders where chain.c would look for their parent, and at those that
 * a machine's settings there list: the probe tells what an image names as its
 * parent.  All of that is read once for each opened disk.  A child elsewhere is
 * not found; it will refuse to open, and say what it misses, but never read as
 * zeros.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include "registry.h"
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

/* An image, and one way in which it says who its parent is. */
struct kin {
	dev_t		dev;		/* the image itself */
	ino_t		ino;		/* 0: only a list tells of it */
	dev_t		parent_dev;	/* the file it names */
	ino_t		parent_ino;	/* 0: no file of that name */
	char		parent[VD_ID_MAX];	/* the identity it names, or "" */
	char	       *path;
};

struct vd_kin {
	struct vd_disk *d;
	struct kin     *kin;
	unsigned	n;
	struct folder_id {
		dev_t	dev;
		ino_t	ino;
	}	       *seen;		/* folders that were looked through */
	unsigned	nseen;
};

void
vd_kin_free(struct vd_kin *k)
{
	if (!k)
		return;
	for (unsigned i = 0; i < k->n; i++)
		free(k->kin[i].path);
	free(k->kin);
	free(k->seen);
	free(k);
}

static void
add_kin(struct vd_kin *k, struct kin kin, const char *folder, const char *name)
{
	struct kin *more = realloc(k->kin, (k->n + 1) * sizeof(*more));

	if (more)
		k->kin = more;
	if (!more || asprintf(&kin.path, "%s%s", name[0] == '/' ? "" : folder,
			      name) < 0)
		return;
	more[k->n++] = kin;
}

/* The file that an image in folder calls its parent. */
static void
resolve(const char *folder, const char *ref, struct kin *kin)
{
	char name[VD_NAME_MAX];
	struct stat st;
	int at;

	if (!strncmp(ref, "uuid:", 5)) {
		snprintf(kin->parent, sizeof(kin->parent), "%s", ref + 5);
		return;
	}
	snprintf(name, sizeof(name), "%s", ref);
	for (char *p = name; *p; p++)
		if (*p == '\\')
			*p = '/';
	at = vd_find_beside(folder, name, true);
	if (at < 0)
		at = vd_find_beside(folder, vd_base_name(name), false);
	if (at >= 0 && !fstat(at, &st)) {
		kin->parent_dev = st.st_dev;
		kin->parent_ino = st.st_ino;
	}
	if (at >= 0)
		close(at);
}

/* All parents that the image at `at`, called name in folder, tells of. */
static void
add_image(struct vd_kin *k, const char *folder, const char *name, int at)
{
	char proc[40], beside[VD_NAME_MAX + 256];
	struct vd_probe_result *r = NULL;
	struct stat st;

	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", at);
	snprintf(beside, sizeof(beside), "%s%.*s",
		 name[0] == '/' ? "" : folder,
		 (int)(vd_base_name(name) - name), name);
	if (!fstat(at, &st) && !vd_probe_path(k->d->lib, proc, &r, NULL))
		for (unsigned i = 0; i < r->nrefs; i++) {
			struct kin kin = { .dev = st.st_dev, .ino = st.st_ino };

			if (r->refs[i].kind != VD_REF_PARENT)
				continue;
			resolve(beside, r->refs[i].name, &kin);
			add_kin(k, kin, folder, name);
		}
	vd_probe_free(r);
}

/* Where a machine's settings say that a child is; if we may look. */
static void
add_registered(struct vd_kin *k, const char *folder)
{
	bool anywhere = k->d->layers[0].host->flags & VD_DISK_ANYWHERE;
	struct vd_registry r;
	struct stat st;

	vd_registry_read(folder, &r);
	for (unsigned i = 0; i < r.n; i++) {
		const struct vd_medium *m = &r.media[i];
		struct kin kin = { 0 };
		int at;

		if (!m->parent[0])
			continue;
		at = vd_find_beside(folder, m->path, anywhere);
		if (at >= 0) {
			add_image(k, folder, m->path, at);
			close(at);
		} else if (at == -EXDEV) {
			/* Unseen, it is believed: the safe side. */
			memcpy(kin.parent, m->parent, sizeof(kin.parent));
			at = vd_find_beside(folder, m->path, true);
			if (at >= 0 && !fstat(at, &st))
				add_kin(k, kin, folder, m->path);
			if (at >= 0)
				close(at);
		}
	}
	vd_registry_free(&r);
}

static bool
new_folder(struct vd_kin *k, int fd)
{
	struct folder_id *more;
	struct stat st;

	if (fstat(fd, &st))
		return false;
	for (unsigned i = 0; i < k->nseen; i++)
		if (k->seen[i].dev == st.st_dev && k->seen[i].ino == st.st_ino)
			return false;
	more = realloc(k->seen, (k->nseen + 1) * sizeof(*more));
	if (!more)
		return false;
	k->seen = more;
	more[k->nseen++] = (struct folder_id){ st.st_dev, st.st_ino };
	return true;
}

static void
add_folder(struct vd_kin *k, const char *here, const char *rest)
{
	char folder[4096];
	unsigned names = 0;
	struct dirent *e;
	DIR *dir;

	if (snprintf(folder, sizeof(folder), "%s%s", here, rest) >=
	    (int)sizeof(folder))
		return;
	dir = opendir(folder[0] ? folder : ".");
	if (dir && !new_folder(k, dirfd(dir))) {
		closedir(dir);
		return;
	}
	while (dir && names++ < NAMES_MAX && (e = readdir(dir))) {
		const struct vd_format *f = vd_library_by_extension(k->d->lib,
								    e->d_name);
		int at;

		if (!f || (f->flags & VD_FORMAT_REST))
			continue;
		at = vd_find_beside(folder, e->d_name, false);
		if (at < 0)
			continue;
		add_image(k, folder, e->d_name, at);
		close(at);
	}
	if (dir) {
		closedir(dir);
		add_registered(k, folder);
	}
}

/* The places where chain.c looks for a parent, seen from the parent. */
static struct vd_kin *
list_kin(struct vd_disk *d)
{
	static const char *const where[] = {
		"", "Snapshots/", "../", "../Snapshots/",
	};
	struct vd_kin *k = calloc(1, sizeof(*k));
	const char *last = NULL;

	if (!k)
		return NULL;
	k->d = d;
	for (unsigned i = 0; i < d->nlayers; i++) {
		const char *dir = d->layers[i].host->dir;

		if (last && !strcmp(dir, last))
			continue;
		last = dir;
		for (unsigned j = 0; j < sizeof(where) / sizeof(*where); j++)
			add_folder(k, dir, where[j]);
	}
	return k;
}

static bool
is_child(const struct kin *kin, const struct vd_layer *l, const char *id)
{
	if (kin->parent[0])
		return id[0] && !strcasecmp(kin->parent, id);
	return kin->parent_ino && kin->parent_ino == l->file->ino &&
	       kin->parent_dev == l->file->dev;
}

/* Has the same image been counted, by another of its words? */
static bool
counted(const struct vd_kin *k, unsigned i, const struct vd_layer *l,
	const char *id)
{
	for (unsigned j = 0; j < i && k->kin[i].ino; j++)
		if (k->kin[j].ino == k->kin[i].ino &&
		    k->kin[j].dev == k->kin[i].dev &&
		    is_child(&k->kin[j], l, id))
			return true;
	return false;
}

unsigned
vd_children_of(struct vd_disk *d, const struct vd_layer *l,
	       const struct vd_layer *but, char *first, size_t len)
{
	struct vd_identity id;
	unsigned n = 0;

	if (vd_layer_identity(l, &id, NULL))
		id.id[0] = '\0';
	if (!d->kin)
		d->kin = list_kin(d);
	for (unsigned i = 0; d->kin && i < d->kin->n; i++) {
		const struct kin *kin = &d->kin->kin[i];

		if (!is_child(kin, l, id.id) || counted(d->kin, i, l, id.id) ||
		    (but && kin->ino == but->file->ino &&
		     kin->dev == but->file->dev))
			continue;
		if (!n++)
			snprintf(first, len, "%s", kin->path);
	}
	return n;
}
