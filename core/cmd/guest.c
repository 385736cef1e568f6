/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * guest.c - guests and their disks, as xenstore shows them to the tools.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "daemon.h"
#include "guest.h"
#include "server.h"
#include "store.h"
#include "xpvtap.h"

#define DOMID_MAX	0x7fefu

unsigned
guest_self(struct xen *x)
{
	uint64_t self = 0;
	char *value;

	/* A path without a slash in front is our own domain's. */
	if (!x->read(x, 0, "domid", &value)) {
		store_parse(value, DOMID_MAX, &self);
		free(value);
	}
	return (unsigned)self;
}

char *
guest_name(struct xen *x, unsigned domid, char *buf, size_t len)
{
	char dir[64], *name;

	snprintf(dir, sizeof(dir), "/local/domain/%u", domid);
	snprintf(buf, len, "%u", domid);
	if (!store_get(x, 0, dir, "name", &name)) {
		snprintf(buf, len, "%s", name);
		free(name);
	}
	return buf;
}

static int
check_alive(struct xen *x, unsigned domid, const char *domain,
	    struct vd_err *err)
{
	if (x->introduced(x, domid))
		return 0;
	return vd_fail(err, ESRCH, VD_NOWHERE, "domain %.100s is dying, or "
		       "is not built yet", domain);
}

static int
find_by_name(struct xen *x, const char *domain, unsigned *domid,
	     struct vd_err *err)
{
	char **ids, name[256];
	unsigned i, n;
	uint64_t id;
	int ret;

	ret = x->list(x, 0, "/local/domain", &ids, &n);
	if (ret)
		return vd_fail(err, -ret, VD_NOWHERE,
			       "cannot list the domains: %s", strerror(-ret));
	for (i = 0; i < n; i++)
		if (!store_parse(ids[i], DOMID_MAX, &id) &&
		    !strcmp(guest_name(x, (unsigned)id, name, sizeof(name)),
			    domain))
			break;
	ret = i < n ? 0 : -ESRCH;
	free(ids);
	if (ret) {
		vd_fail(err, ESRCH, VD_NOWHERE, "no domain is named %.100s",
			domain);
		vd_err_help(err, "xl list shows what there is");
		return ret;
	}
	*domid = (unsigned)id;
	return check_alive(x, *domid, domain, err);
}

int
guest_find(struct xen *x, const char *domain, unsigned *domid,
	   struct vd_err *err)
{
	char path[64];
	uint64_t id;

	if (store_parse(domain, DOMID_MAX, &id))
		return find_by_name(x, domain, domid, err);
	snprintf(path, sizeof(path), "/local/domain/%u", (unsigned)id);
	if (!store_exists(x, 0, path)) {
		vd_fail(err, ESRCH, VD_NOWHERE, "there is no domain %u",
			(unsigned)id);
		vd_err_help(err, "xl list shows what there is");
		return -ESRCH;
	}
	*domid = (unsigned)id;
	return check_alive(x, *domid, domain, err);
}

const char *
guest_image(const char *params)
{
	params += strncmp(params, "tap:", 4) ? 0 : 4;
	return params + (strncmp(params, "vdisk:", 6) ? 0 : 6);
}

void
guest_disk(struct xen *x, const char *type, unsigned domid, uint32_t devid,
	   struct guest_disk *d)
{
	d->type = type;
	d->domid = domid;
	d->devid = devid;
	snprintf(d->back, sizeof(d->back), "/local/domain/%u/backend/%s/%u/%u",
		 guest_self(x), type, domid, devid);
	snprintf(d->front, sizeof(d->front),
		 "/local/domain/%u/device/vbd/%u", domid, devid);
}

static const char *const types[] = { GUEST_GRANTS, GUEST_TAP, GUEST_XL };
#define TYPES	(sizeof(types) / sizeof(types[0]))

/* xl's disks are ours by their script; the others always. */
static bool
is_ours(struct xen *x, const struct guest_disk *d)
{
	char *script, *base;
	bool ours;

	if (strcmp(d->type, GUEST_XL))
		return true;
	if (store_get(x, 0, d->back, "script", &script))
		return false;
	base = strrchr(script, '/');
	ours = !strcmp(base ? base + 1 : script, GUEST_SCRIPT);
	free(script);
	return ours;
}

bool
guest_which(struct xen *x, unsigned domid, uint32_t devid,
	    struct guest_disk *d)
{
	char *backend = NULL;
	bool found = false;
	unsigned i;

	guest_disk(x, GUEST_GRANTS, domid, devid, d);
	if (store_get(x, 0, d->front, "backend", &backend))
		backend = NULL;
	for (i = 0; i < TYPES && !found; i++) {
		guest_disk(x, types[i], domid, devid, d);
		found = backend ? !strcmp(backend, d->back) :
			store_exists(x, 0, d->back);
		found = found && is_ours(x, d);
	}
	free(backend);
	if (!found)
		guest_disk(x, GUEST_GRANTS, domid, devid, d);
	return found;
}

bool
guest_by_driver(const struct guest_disk *d)
{
	return strcmp(d->type, GUEST_GRANTS);
}

void
guest_node(const struct guest_disk *d, char *buf)
{
	snprintf(buf, GUEST_PATH_MAX, XPVTAP_NODES "%u-%u", d->domid,
		 d->devid);
}

static int
state_of(struct xen *x, const char *dir)
{
	uint64_t v;
	int ret;

	ret = store_get_uint(x, 0, dir, "state", XENBUS_CLOSED, &v);
	if (!ret)
		return (int)v;
	return ret == -ENOENT ? XENBUS_UNKNOWN : XENBUS_ODD;
}

void
guest_pidfile(const struct guest_disk *d, char *buf)
{
	snprintf(buf, GUEST_PATH_MAX, GUEST_RUN_FOLDER "/vbd-%u-%u.pid",
		 d->domid, d->devid);
}

bool
guest_kept(const struct guest_disk *d)
{
	char path[GUEST_PATH_MAX];

	guest_pidfile(d, path);
	return pidfile_held(path);
}

/* Behind the driver a process has no xenstore to write its number into. */
static void
ask_pidfile(const struct guest_disk *d, struct guest_state *s)
{
	char path[GUEST_PATH_MAX], text[16] = "";
	uint64_t v;
	FILE *f;

	guest_pidfile(d, path);
	f = fopen(path, "re");
	if (f && fgets(text, sizeof(text), f))
		text[strcspn(text, "\n")] = '\0';
	if (f)
		fclose(f);
	if (!store_parse(text, INT32_MAX, &v))
		s->pid = (pid_t)v;
	s->alive = s->pid && guest_kept(d);
}

void
guest_state(struct xen *x, const struct guest_disk *d, struct guest_state *s)
{
	char *server;

	memset(s, 0, sizeof(*s));
	s->front = state_of(x, d->front);
	s->back = state_of(x, d->back);
	if (guest_by_driver(d)) {
		ask_pidfile(d, s);
	} else if (!store_get(x, 0, d->back, "vdisk-server", &server)) {
		s->alive = server_alive(server, &s->pid);
		free(server);
	}
	/* Last: a server that ends meanwhile must not look like a dead one. */
	s->there = store_exists(x, 0, d->back);
}

/* Locked and with a name, it is the one that has this name. */
static void
remove_unless_held(const char *path, bool if_empty)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return;
	if (!flock(fd, LOCK_EX | LOCK_NB) && !fstat(fd, &st) && st.st_nlink &&
	    (!if_empty || !st.st_size))
		unlink(path);
	close(fd);
}

void
guest_tidy(const struct guest_disk *d)
{
	static const char *const what[] = { "pid", "inflight" };
	char path[GUEST_PATH_MAX];
	unsigned i;

	for (i = 0; i < sizeof(what) / sizeof(what[0]); i++) {
		snprintf(path, sizeof(path), GUEST_RUN_FOLDER "/vbd-%u-%u.%s",
			 d->domid, d->devid, what[i]);
		remove_unless_held(path, false);
	}
	guest_tidy_journals();
}

void
guest_tidy_journals(void)
{
	DIR *dir = opendir(GUEST_RUN_FOLDER);
	char path[sizeof(GUEST_RUN_FOLDER) + 256];
	struct dirent *e;
	const char *dot;

	if (!dir)
		return;
	while ((e = readdir(dir))) {
		dot = strrchr(e->d_name, '.');
		if (!dot || strcmp(dot, ".journal"))
			continue;
		snprintf(path, sizeof(path), GUEST_RUN_FOLDER "/%s", e->d_name);
		remove_unless_held(path, true);
	}
	closedir(dir);
}

int
guest_remove(struct xen *x, const struct guest_disk *d)
{
	return store_remove_disk(x, d->back, d->front);
}

static int
each_of(struct xen *x, const char *dir, const char *type, unsigned domid,
	int (*fn)(struct xen *x, const struct guest_disk *d, void *ctx),
	void *ctx)
{
	char path[XEN_PATH_MAX], **ids;
	struct guest_disk d;
	unsigned i, n;
	uint64_t id;
	int ret = 0;

	snprintf(path, sizeof(path), "%s/%u", dir, domid);
	if (x->list(x, 0, path, &ids, &n))
		return 0;
	for (i = 0; i < n && !ret; i++) {
		if (store_parse(ids[i], UINT32_MAX, &id))
			continue;
		guest_disk(x, type, domid, (uint32_t)id, &d);
		if (is_ours(x, &d))
			ret = fn(x, &d, ctx);
	}
	free(ids);
	return ret;
}

static int
each_type(struct xen *x, const char *type,
	  int (*fn)(struct xen *x, const struct guest_disk *d, void *ctx),
	  void *ctx, struct vd_err *err)
{
	char dir[128], **ids;
	unsigned i, n;
	uint64_t id;
	int ret;

	snprintf(dir, sizeof(dir), "/local/domain/%u/backend/%s",
		 guest_self(x), type);
	ret = x->list(x, 0, dir, &ids, &n);
	if (ret == -ENOENT)
		return 0;
	if (ret)
		return vd_fail(err, -ret, VD_NOWHERE, "cannot list %s: %s",
			       dir, strerror(-ret));
	for (i = 0; i < n && !ret; i++)
		if (!store_parse(ids[i], DOMID_MAX, &id))
			ret = each_of(x, dir, type, (unsigned)id, fn, ctx);
	free(ids);
	return ret;
}

int
guest_each(struct xen *x,
	   int (*fn)(struct xen *x, const struct guest_disk *d, void *ctx),
	   void *ctx, struct vd_err *err)
{
	unsigned i;
	int ret = 0;

	for (i = 0; i < TYPES && !ret; i++)
		ret = each_type(x, types[i], fn, ctx, err);
	return ret;
}
