/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * guest.c - guests and their disks, as xenstore shows them to the tools.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "daemon.h"
#include "guest.h"
#include "server.h"
#include "store.h"

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

void
guest_disk(struct xen *x, unsigned domid, uint32_t devid, struct guest_disk *d)
{
	d->domid = domid;
	d->devid = devid;
	snprintf(d->back, sizeof(d->back),
		 "/local/domain/%u/backend/" GUEST_TYPE "/%u/%u",
		 guest_self(x), domid, devid);
	snprintf(d->front, sizeof(d->front),
		 "/local/domain/%u/device/vbd/%u", domid, devid);
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
guest_state(struct xen *x, const struct guest_disk *d, struct guest_state *s)
{
	char *server;

	memset(s, 0, sizeof(*s));
	s->front = state_of(x, d->front);
	s->back = state_of(x, d->back);
	if (!store_get(x, 0, d->back, "vdisk-server", &server)) {
		s->alive = server_alive(server, &s->pid);
		free(server);
	}
	/* Last: a server that ends meanwhile must not look like a dead one. */
	s->there = store_exists(x, 0, d->back);
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

int
guest_remove(struct xen *x, const struct guest_disk *d)
{
	return store_remove_disk(x, d->back, d->front);
}

static int
each_of(struct xen *x, const char *dir, unsigned domid,
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
		guest_disk(x, domid, (uint32_t)id, &d);
		ret = fn(x, &d, ctx);
	}
	free(ids);
	return ret;
}

int
guest_each(struct xen *x,
	   int (*fn)(struct xen *x, const struct guest_disk *d, void *ctx),
	   void *ctx, struct vd_err *err)
{
	char dir[128], **ids;
	unsigned i, n;
	uint64_t id;
	int ret;

	snprintf(dir, sizeof(dir), "/local/domain/%u/backend/" GUEST_TYPE,
		 guest_self(x));
	ret = x->list(x, 0, dir, &ids, &n);
	if (ret == -ENOENT)
		return 0;
	if (ret)
		return vd_fail(err, -ret, VD_NOWHERE, "cannot list %s: %s",
			       dir, strerror(-ret));
	for (i = 0; i < n && !ret; i++)
		if (!store_parse(ids[i], DOMID_MAX, &id))
			ret = each_of(x, dir, (unsigned)id, fn, ctx);
	free(ids);
	return ret;
}
