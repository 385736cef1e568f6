/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xenbus_write.c - what we write into the backend's directory, and its end.
 *
 * Everything goes through transactions that look for B/frontend-id first: a
 * write into a removed directory would make it again, with no one to clean up
 * (R-51).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "xenbus_int.h"

#define RETRY_MS	1000	/* after xenstore refused a write */

struct update {
	struct xenbus  *b;
	int		state;
	bool		features;
	bool		properties;
	const char     *error;		/* NULL: there is none any more */
};

static int
put_flag(struct update *u, uint32_t t, const char *key, bool set)
{
	struct xenbus *b = u->b;
	char path[XEN_PATH_MAX];
	int ret;

	if (set)
		return store_put(b->x, t, b->path.back, key, "1");
	/* Absent, not 0: some frontends look for the key alone. */
	ret = store_path(path, sizeof(path), "%s/%s", b->path.back, key);
	if (!ret)
		ret = b->x->remove(b->x, t, path);
	return ret == -ENOENT ? 0 : ret;
}

static int
features_body(struct update *u, uint32_t t)
{
	struct xenbus *b = u->b;
	const struct xenbus_disk *d = &b->disk;
	const char *dir = b->path.back;
	int ret;

	ret = put_flag(u, t, "feature-flush-cache", true);
	if (!ret)
		ret = put_flag(u, t, "feature-barrier", true);
	if (!ret)
		ret = put_flag(u, t, "feature-discard", d->discard);
	if (!ret && d->discard && d->discard_granularity) {
		ret = store_put(b->x, t, dir, "discard-granularity", "%u",
				d->discard_granularity);
		if (!ret)
			ret = store_put(b->x, t, dir, "discard-alignment",
					"0");
	}
	/* We copy: keeping grants would cost the guest a copy for nothing. */
	if (!ret)
		ret = put_flag(u, t, "feature-persistent", false);
	if (!ret)
		ret = put_flag(u, t, "multi-queue-max-queues", false);
	if (!ret)
		ret = store_put(b->x, t, dir, "max-ring-page-order", "%u",
				d->max_order);
	if (!ret)
		ret = store_put(b->x, t, dir, "max-ring-pages", "%u",
				1u << d->max_order);
	if (!ret && d->max_indirect)
		ret = store_put(b->x, t, dir, "feature-max-indirect-segments",
				"%u", d->max_indirect);
	return ret;
}

static int
properties_body(struct update *u, uint32_t t)
{
	struct xenbus *b = u->b;
	const char *dir = b->path.back;
	uint64_t removable = 0;
	char *type = NULL;
	unsigned info;
	int ret;

	store_get_uint(b->x, t, dir, "removable", 1, &removable);
	store_get(b->x, t, dir, "device-type", &type);
	info = (removable ? 2 : 0) | (b->disk.readonly ? 4 : 0) |
	       (type && !strcmp(type, "cdrom") ? 1 : 0);
	free(type);
	ret = store_put(b->x, t, dir, "sectors", "%llu",
			(unsigned long long)b->disk.sectors);
	/* Always 512: frontends disagree about anything else. */
	if (!ret)
		ret = store_put(b->x, t, dir, "sector-size", "512");
	if (!ret)
		ret = store_put(b->x, t, dir, "physical-sector-size", "4096");
	if (!ret)
		ret = store_put(b->x, t, dir, "info", "%u", info);
	return ret;
}

int
xenbus_still_there(struct xen *x, uint32_t t, const char *back)
{
	char *id;
	int ret;

	ret = store_get(x, t, back, "frontend-id", &id);
	if (!ret)
		free(id);
	return ret;
}

static int
update_body(struct xen *x, uint32_t t, void *ctx)
{
	struct update *u = ctx;
	const char *dir = u->b->path.back;
	char path[XEN_PATH_MAX];
	int ret;

	ret = xenbus_still_there(x, t, dir);
	if (!ret && u->features)
		ret = features_body(u, t);
	if (!ret && u->properties)
		ret = properties_body(u, t);
	if (!ret && u->error) {
		ret = store_put(x, t, dir, "error", "%.1000s", u->error);
	} else if (!ret) {
		ret = store_path(path, sizeof(path), "%s/error", dir);
		if (!ret)
			ret = x->remove(x, t, path);
		ret = ret == -ENOENT ? 0 : ret;
	}
	if (!ret)
		ret = store_put(x, t, dir, "state", "%d", u->state);
	return ret;
}

static int
update(struct xenbus *b, struct update *u)
{
	struct vd_err err = { 0 };
	int ret;

	u->b = b;
	ret = store_transact(b->x, update_body, u);
	if (!ret) {
		b->v.back = u->state;
		return 0;
	}
	if (ret == -ENOENT) {
		b->v.backend_gone = true;
		return ret;
	}
	vd_fail(&err, -ret, VD_NOWHERE, "cannot write state %d to %s: %s",
		u->state, b->path.back, strerror(-ret));
	xenbus_say(b, &err);
	b->retry_at = b->x->now(b->x) + RETRY_MS;
	return ret;
}

int
xenbus_set_state(struct xenbus *b, int state, const char *error)
{
	struct update u = { .state = state, .error = error };

	return update(b, &u);
}

int
xenbus_put_features(struct xenbus *b)
{
	struct update u = { .state = XENBUS_INIT_WAIT, .features = true };

	return update(b, &u);
}

int
xenbus_put_properties(struct xenbus *b)
{
	struct update u = { .state = XENBUS_CONNECTED, .properties = true };

	return update(b, &u);
}

static int
claim_body(struct xen *x, uint32_t t, void *ctx)
{
	struct xenbus *b = ctx;
	int ret;

	ret = xenbus_still_there(x, t, b->path.back);
	return ret ? ret : store_put(x, t, b->path.back, "vdisk-server", "%s",
				     b->server);
}

int
xenbus_claim(struct xenbus *b)
{
	return store_transact(b->x, claim_body, b);
}

/* ---------------------------------------------------------------- the end */

static void
forget_server(struct xenbus *b)
{
	char path[XEN_PATH_MAX];

	if (!store_path(path, sizeof(path), "%s/vdisk-server", b->path.back))
		b->x->remove(b->x, 0, path);
}

void
xenbus_remove_nodes(struct xenbus *b)
{
	struct vd_err err = { 0 };
	int ret;

	if (!b->managed) {
		forget_server(b);
		return;
	}
	ret = store_remove_disk(b->x, b->path.back, b->front);
	if (!ret)
		return;
	vd_fail(&err, -ret, VD_NOWHERE, "cannot remove %s: %s", b->path.back,
		strerror(-ret));
	xenbus_say(b, &err);
}
