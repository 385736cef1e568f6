/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * chain.c - find and open what lies below an image, down to the base.
 *
 * A parent that is missing, moved, changed or of the wrong size is an error
 * that says which one, what was expected, and the command that relinks it.
 * It is never read as zeros.
 *
 * Names and identities come from strangers' files.  A name is followed only
 * beneath the child's own folder, unless the administrator allowed more; an
 * identity is looked for only in the few folders where VirtualBox keeps what
 * belongs together, and where a machine's settings there say it is; what is
 * found must have it.  Parents are opened read-only (W5).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include "library.h"
#include "registry.h"
#include "work.h"

#define NAMES_MAX	10000u		/* looked at in one folder */
#define SEEN_SLOTS	(2 * VD_MAX_LAYERS)	/* power of two */

/* The images of one folder, by identity; listed once per chain. */
struct folder {
	struct folder  *next;
	char	       *path;		/* "" or ends in '/' */
	struct known {
		char   *name;
		char	id[VD_ID_MAX];
	}	       *images;
	unsigned	n;
	struct vd_registry registry;
	bool		registry_read;
};

struct search {
	struct vd_disk *d;
	unsigned	flags;
	struct folder  *folders;
	char	       *outside;	/* a registered parent that may not be opened */
	unsigned	room;		/* of d->layers */
	struct {
		dev_t	dev;
		ino_t	ino;
	}		seen[SEEN_SLOTS];	/* ino 0: free */
};

/* ------------------------------------------------------- folders, by id */

static void
folder_add(struct search *s, struct folder *f, const char *name)
{
	struct vd_probe_result *r = NULL;
	int at = vd_find_beside(f->path, name, false);
	struct known *more;
	char proc[40];

	if (at < 0)
		return;
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", at);
	if (!vd_probe_path(s->d->lib, proc, &r, NULL) && r->id[0] &&
	    (more = realloc(f->images, (f->n + 1) * sizeof(*more)))) {
		f->images = more;
		more[f->n].name = strdup(name);
		memcpy(more[f->n].id, r->id, sizeof(r->id));
		if (more[f->n].name)
			f->n++;
	}
	vd_probe_free(r);
	close(at);
}

static struct folder *
folder_list(struct search *s, const char *path)
{
	struct folder *f;
	struct dirent *e;
	unsigned n = 0;
	DIR *dir;

	for (f = s->folders; f; f = f->next)
		if (!strcmp(f->path, path))
			return f;
	f = calloc(1, sizeof(*f));
	if (!f || !(f->path = strdup(path))) {
		free(f);
		return NULL;
	}
	f->next = s->folders;
	s->folders = f;
	dir = opendir(path[0] ? path : ".");
	while (dir && n++ < NAMES_MAX && (e = readdir(dir))) {
		const struct vd_format *fmt =
			vd_library_by_extension(s->d->lib, e->d_name);

		if (fmt && !(fmt->flags & VD_FORMAT_REST))
			folder_add(s, f, e->d_name);
	}
	if (dir)
		closedir(dir);
	return f;
}

/*
 * VirtualBox keeps a base beside its machine and the children in Snapshots/
 * below; a copy of both often lies in one folder.
 */
static int
find_by_id(struct search *s, const struct vd_layer *child, const char *id,
	   char *path, size_t len)
{
	static const char *const where[] = {
		"", "../", "Snapshots/", "../Snapshots/",
	};
	char dir[4096];

	for (unsigned i = 0; i < sizeof(where) / sizeof(*where); i++) {
		struct folder *f;
		int at;

		if (snprintf(dir, sizeof(dir), "%s%s", child->host->dir,
			     where[i]) >= (int)sizeof(dir))
			continue;
		f = folder_list(s, dir);
		for (unsigned k = 0; f && k < f->n; k++) {
			if (strcasecmp(f->images[k].id, id) ||
			    snprintf(path, len, "%s%s", f->path,
				     f->images[k].name) >= (int)len)
				continue;
			at = vd_find_beside(f->path, f->images[k].name, false);
			if (at >= 0)
				return at;
		}
	}
	return -ENOENT;
}

/* ------------------------------------------------------- from a registry */

static bool
has_id(struct vd_library *lib, int at, const char *id)
{
	struct vd_probe_result *r = NULL;
	char proc[40];
	bool yes;

	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", at);
	yes = !vd_probe_path(lib, proc, &r, NULL) && !strcasecmp(r->id, id);
	vd_probe_free(r);
	return yes;
}

/* One entry of a list that has the identity. */
static int
try_registered(struct search *s, const struct folder *f,
	       const struct vd_medium *m, char *path, size_t len)
{
	int at = vd_find_beside(f->path, m->path, s->flags & VD_DISK_ANYWHERE);

	if (snprintf(path, len, "%s%s", m->path[0] == '/' ? "" : f->path,
		     m->path) >= (int)len && at >= 0) {
		close(at);
		return -ENAMETOOLONG;
	}
	if (at >= 0 && !has_id(s->d->lib, at, m->id)) {
		close(at);
		at = -ENOENT;
	}
	if (at == -EXDEV && !s->outside)
		s->outside = strdup(path);
	return at;
}

static int
find_registered(struct search *s, const struct vd_layer *child, const char *id,
		char *path, size_t len)
{
	static const char *const where[] = { "", "../" };
	char dir[4096];

	for (unsigned i = 0; i < sizeof(where) / sizeof(*where); i++) {
		struct folder *f;

		if (snprintf(dir, sizeof(dir), "%s%s", child->host->dir,
			     where[i]) >= (int)sizeof(dir))
			continue;
		f = folder_list(s, dir);
		if (f && !f->registry_read)
			vd_registry_read(f->path, &f->registry);
		if (f)
			f->registry_read = true;
		for (unsigned k = 0; f && k < f->registry.n; k++) {
			const struct vd_medium *m = &f->registry.media[k];
			int at = strcasecmp(m->id, id) ? -ENOENT
				: try_registered(s, f, m, path, len);

			if (at >= 0)
				return at;
		}
	}
	return -ENOENT;
}

/* --------------------------------------------------------------- by name */

static int
find_by_name(const struct vd_layer *child, const char *hint, bool anywhere,
	     char *path, size_t len)
{
	char name[VD_NAME_MAX];
	const char *base;
	int at;

	snprintf(name, sizeof(name), "%s", hint);
	for (char *p = name; *p; p++)
		if (*p == '\\')
			*p = '/';
	snprintf(path, len, "%s%s", name[0] == '/' ? "" : child->host->dir,
		 name);
	at = vd_find_beside(child->host->dir, name, anywhere);
	if (at >= 0)
		return at;
	/* A path of another machine: the file may have come along. */
	base = strrchr(name, '/');
	if (base && base[1]) {
		int beside = vd_find_beside(child->host->dir, base + 1, false);

		if (beside >= 0) {
			snprintf(path, len, "%s%s", child->host->dir,
				 base + 1);
			return beside;
		}
	}
	return at;
}

/* Nowhere: say where it was looked for, and what would help. */
static int
not_found(struct search *s, const struct vd_layer *child,
	  const struct vd_parent *p, int at, struct vd_err *err)
{
	const char *unread = NULL;
	int ret;

	for (struct folder *f = s->folders; f && !unread; f = f->next)
		unread = f->registry.unread[0] ? f->registry.unread : NULL;
	if (s->outside || at == -EXDEV) {
		ret = vd_fail(err, EPERM, VD_NOWHERE, "its parent %s lies "
			      "outside its own folder", s->outside ? s->outside
								   : p->hint);
		vd_err_help(err, "allow it with --allow-outside if you trust "
			    "the image");
		return ret;
	}
	if (p->hint[0])
		ret = vd_fail(err, -at, VD_NOWHERE, "its parent %s: %s",
			      p->hint, at == -EINVAL ? "not a regular file"
						     : strerror(-at));
	else
		ret = vd_fail(err, ENOENT, VD_NOWHERE, "its parent {%s} is in "
			      "none of the folders where it should be (here, "
			      "one up, Snapshots) nor where a .vbox file there "
			      "says%s%s%s", p->expected.id, unread ? "; " : "",
			      unread ? unread : "", unread ? " could not be "
			      "read" : "");
	vd_err_help(err, "`vdiskadm relink %s PARENT` tells it where its "
		    "parent is", child->path);
	return ret;
}

static int
find_parent(struct search *s, const struct vd_layer *child,
	    const struct vd_parent *p, char *path, size_t len,
	    struct vd_err *err)
{
	int at = -ENOENT;

	free(s->outside);
	s->outside = NULL;
	path[0] = '\0';
	if (p->hint[0])
		at = find_by_name(child, p->hint, s->flags & VD_DISK_ANYWHERE,
				  path, len);
	if (at < 0 && p->expected.id[0]) {
		int found = find_by_id(s, child, p->expected.id, path, len);

		if (found < 0)
			found = find_registered(s, child, p->expected.id, path,
						len);
		at = found >= 0 || !p->hint[0] ? found : at;
	}
	return at >= 0 ? at : not_found(s, child, p, at, err);
}

/* ---------------------------------------------------------- link by link */

/* Has this file been opened for this chain before? */
static bool
seen_before(struct search *s, const struct vd_file *f)
{
	size_t i = (size_t)(f->ino * 0x9e3779b97f4a7c15u >> 40) % SEEN_SLOTS;

	for (; s->seen[i].ino; i = (i + 1) % SEEN_SLOTS)
		if (s->seen[i].ino == f->ino && s->seen[i].dev == f->dev)
			return true;
	s->seen[i].ino = f->ino;
	s->seen[i].dev = f->dev;
	return false;
}

static int
make_room(struct search *s, struct vd_err *err)
{
	struct vd_layer *more;
	unsigned room;

	if (s->d->nlayers < s->room)
		return 0;
	if (s->d->nlayers >= VD_MAX_LAYERS)
		return vd_fail(err, EMLINK, VD_NOWHERE, "a chain of more than "
			       "%d images", VD_MAX_LAYERS);
	room = 2 * s->room;
	more = realloc(s->d->layers, room * sizeof(*more));
	if (!more)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	s->d->layers = more;
	s->room = room;
	return 0;
}

/* Is it the one the child was made from? */
static int
match(const struct vd_layer *child, const struct vd_layer *parent,
      struct vd_err *err)
{
	struct vd_err why = { 0 };
	struct vd_identity id;
	int ret = vd_layer_identity(parent, &id, &why);

	if (!ret && child->format->match_parent)
		ret = child->format->match_parent(child->img,
						  parent->format->name, &id,
						  &why);
	if (!ret)
		return 0;
	ret = vd_fail(err, why.code, why.off, "%.400s (found as %s)", why.msg,
		      parent->path);
	vd_err_file(err, child->path);
	if (why.help[0])
		vd_err_help(err, "%s", why.help);
	else if (id.virtual_size != child->info.virtual_size)
		vd_err_help(err, "if another file is its parent: `vdiskadm "
			    "relink %s PARENT`", child->path);
	else
		vd_err_help(err, "if %s is the right file and unchanged: "
			    "`vdiskadm relink %s %s`", parent->path,
			    child->path, parent->path);
	return ret;
}

static int
open_found(struct search *s, struct vd_layer *l, int at, const char *path,
	   const char *format, struct vd_err *err)
{
	unsigned flags = (s->flags & (VD_DISK_ANYWHERE | VD_DISK_DEVICES |
				     VD_DISK_SHARED)) |
			 VD_DISK_RDONLY;
	bool guard = s->d->guard;
	int ret;

	l->path = strdup(path);
	if (!l->path)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	ret = vd_host_new(path, flags, &l->host, err);
	if (!ret)
		ret = vd_host_open_found(l->host, at, path, &l->file, err);
	if (!ret && seen_before(s, l->file))
		ret = vd_fail(err, ELOOP, VD_NOWHERE,
			      "is its own ancestor: the chain is a circle");
	if (!ret)
		ret = vd_layer_open_image(s->d, l, flags, format, err);
	s->d->guard = guard;	/* is about the top only */
	if (ret) {
		vd_err_file(err, path);
		vd_layer_free_files(l);
	}
	return ret;
}

static int
open_next(struct search *s, struct vd_err *err)
{
	struct vd_layer *child, *l;
	struct vd_parent p = { .size = sizeof(p) };
	char path[VD_NAME_MAX + 4096];
	int at, ret = make_room(s, err);

	if (ret)
		return ret;
	child = &s->d->layers[s->d->nlayers - 1];
	l = child + 1;
	memset(l, 0, sizeof(*l));
	p.expected.size = sizeof(p.expected);
	ret = child->format->parent(child->img, &p, err);
	if (!ret) {
		p.hint[sizeof(p.hint) - 1] = '\0';
		at = find_parent(s, child, &p, path, sizeof(path), err);
		ret = at < 0 ? at : 0;
	}
	if (ret) {
		vd_err_file(err, child->path);
		return ret;
	}
	/* Named by the child: then a raw parent is raw whatever it holds. */
	p.format[sizeof(p.format) - 1] = '\0';
	ret = open_found(s, l, at, path, p.format[0] ? p.format : NULL, err);
	close(at);
	if (ret)
		return ret;
	s->d->nlayers++;
	return match(child, l, err);
}

static void
search_free(struct search *s)
{
	while (s->folders) {
		struct folder *f = s->folders;

		s->folders = f->next;
		for (unsigned i = 0; i < f->n; i++)
			free(f->images[i].name);
		vd_registry_free(&f->registry);
		free(f->images);
		free(f->path);
		free(f);
	}
	free(s->outside);
	free(s);
}

int
vd_chain_open(struct vd_disk *d, unsigned flags, struct vd_err *err)
{
	struct search *s;
	int ret = 0;

	if (!(d->layers[0].info.flags & VD_IMG_CHILD))
		return 0;
	s = calloc(1, sizeof(*s));
	if (!s)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	s->d = d;
	s->flags = flags;
	s->room = 1;
	seen_before(s, d->layers[0].file);
	while (!ret && (d->layers[d->nlayers - 1].info.flags & VD_IMG_CHILD))
		ret = open_next(s, err);
	search_free(s);
	return ret;
}
