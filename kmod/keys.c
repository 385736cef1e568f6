// SPDX-License-Identifier: GPL-2.0-only
/*
 * keys.c - what the frontend wrote for us, what we write for it.
 *
 * The guest writes its folder at any time, anything: a number is digits
 * and nothing else, an empty string is none (GRUB leaves some).  All is read
 * in one transaction, afresh at every connection.  No word of the guest
 * gets into a log: it is told which key, not what stood there.
 */
#include <linux/log2.h>
#include <linux/slab.h>

#include "disk.h"

#define TRIES	8

/* -ENOENT: there is no such node; -ENODATA: it is empty. */
int
xpvtap_read_number(struct xenbus_transaction xbt, const char *dir,
		   const char *node, u32 *value)
{
	unsigned int len, i;
	u64 n = 0;
	char *s;

	s = xenbus_read(xbt, dir, node, &len);
	if (IS_ERR(s))
		return PTR_ERR(s);
	for (i = 0; i < len && i <= 10 && s[i] >= '0' && s[i] <= '9'; i++)
		n = n * 10 + s[i] - '0';
	kfree(s);
	if (!len)
		return -ENODATA;
	if (i < len || n > U32_MAX)
		return -EINVAL;
	*value = n;
	return 0;
}

/* A key that is empty is none. */
static int
read_key(struct xenbus_transaction xbt, const char *dir, const char *node,
	 u32 *value)
{
	int ret = xpvtap_read_number(xbt, dir, node, value);

	return ret == -ENODATA ? -ENOENT : ret;
}

static int
read_optional(struct xenbus_transaction xbt, const char *dir,
	      const char *node, u32 absent, u32 *value)
{
	int ret = read_key(xbt, dir, node, value);

	if (ret == -ENOENT) {
		*value = absent;
		return 0;
	}
	return ret;
}

/* Absent means x86_32, as for the kernel's own backend on this machine. */
static int
read_protocol(struct xenbus_transaction xbt, const char *dir, u32 *x86_32)
{
	unsigned int len;
	char *s;
	int ret = 0;

	*x86_32 = 1;
	s = xenbus_read(xbt, dir, "protocol", &len);
	if (IS_ERR(s))
		return PTR_ERR(s) == -ENOENT ? 0 : PTR_ERR(s);
	if (len == 10 && !memcmp(s, "x86_64-abi", 10))
		*x86_32 = 0;
	else if (len && (len != 10 || memcmp(s, "x86_32-abi", 10)))
		ret = -EINVAL;
	kfree(s);
	return ret;
}

/* Not numbered: there is one page, and its name has no number. */
static int
read_order(struct xenbus_transaction xbt, const char *dir, u32 *order,
	   bool *numbered)
{
	u32 pages;
	int ret;

	ret = read_key(xbt, dir, "ring-page-order", order);
	*numbered = !ret;
	if (!ret && *order > XENBUS_MAX_RING_GRANT_ORDER)	/* */
		return -EINVAL;
	if (ret != -ENOENT)
		return ret;
	ret = read_optional(xbt, dir, "num-ring-pages", 1, &pages);
	if (ret)
		return ret;
	if (!is_power_of_2(pages) || pages > XPVTAP_RING_PAGES)
		return -EINVAL;
	*order = ilog2(pages);
	*numbered = pages > 1;
	return 0;
}

static int
read_queue(struct xenbus_transaction xbt, const char *dir, u32 order,
	   bool numbered, grant_ref_t *ref, u32 *port)
{
	char name[16];
	u32 i;
	int ret;

	ret = read_key(xbt, dir, "event-channel", port);
	if (ret)
		return ret;
	if (!numbered)
		return read_key(xbt, dir, "ring-ref", ref);
	for (i = 0; i < 1u << order; i++) {
		snprintf(name, sizeof(name), "ring-ref%u", i);
		ret = read_key(xbt, dir, name, &ref[i]);
		if (ret == -ENOENT && order == 0)
			ret = read_key(xbt, dir, "ring-ref", ref);
		if (ret)
			return ret;
	}
	return 0;
}

static int
read_queues(struct xenbus_transaction xbt, const char *dir, bool numbered,
	    struct xpvtap_keys *k)
{
	char *path;
	u32 i;
	int ret = 0;

	if (k->queues == 1)
		return read_queue(xbt, dir, k->order, numbered, k->ref[0],
				  &k->port[0]);
	for (i = 0; i < k->queues && !ret; i++) {
		path = kasprintf(GFP_KERNEL, "%s/queue-%u", dir, i);
		if (!path)
			return -ENOMEM;
		ret = read_queue(xbt, path, k->order, numbered, k->ref[i],
				 &k->port[i]);
		kfree(path);
	}
	return ret;
}

static int
read_keys(struct xenbus_transaction xbt, const char *dir,
	  struct xpvtap_keys *k, const char **what)
{
	bool numbered;
	int ret;

	memset(k, 0, sizeof(*k));
	*what = "protocol";
	ret = read_protocol(xbt, dir, &k->x86_32);
	if (ret)
		return ret;
	*what = "ring-page-order";
	ret = read_order(xbt, dir, &k->order, &numbered);
	if (ret)
		return ret;
	*what = "multi-queue-num-queues";
	ret = read_optional(xbt, dir, *what, 1, &k->queues);
	if (ret)
		return ret;
	if (!k->queues || k->queues > xpvtap_max_queues)	/* */
		return -EINVAL;
	*what = "ring-ref or event-channel";
	return read_queues(xbt, dir, numbered, k);
}

int
xpvtap_read_keys(struct xpvtap_disk *d, struct xpvtap_keys *k, const char **what)
{
	struct xenbus_transaction xbt;
	int tries, ret = -EAGAIN, end;

	*what = "keys";
	for (tries = 0; tries < TRIES; tries++) {
		ret = xenbus_transaction_start(&xbt);
		if (ret)
			break;
		ret = read_keys(xbt, d->xd->otherend, k, what);
		end = xenbus_transaction_end(xbt, ret != 0);
		if (ret || !end)
			break;
		ret = end;
		if (end != -EAGAIN)
			break;
	}
	return ret;
}

/*
 * Before state 2, where frontends choose their ring.  When xen-blkback had
 * this disk before us, its features are still there, and would be used.
 */
void
xpvtap_publish_features(struct xpvtap_disk *d)
{
	static const char * const stale[] = {
		"feature-persistent", "feature-max-indirect-segments",
		"multi-queue-max-queues", "max-ring-page-order",
		"feature-barrier", "feature-flush-cache", "feature-discard",
		"discard-granularity", "discard-alignment", "discard-secure",
	};
	const char *dir = d->xd->nodename;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(stale); i++)
		if (xenbus_exists(XBT_NIL, dir, stale[i]))
			xenbus_rm(XBT_NIL, dir, stale[i]);
	if (!xenbus_exists(XBT_NIL, dir, "state"))	/* */
		return;
	xenbus_printf(XBT_NIL, dir, "max-ring-page-order", "%u",
		      XENBUS_MAX_RING_GRANT_ORDER);
	xenbus_printf(XBT_NIL, dir, "multi-queue-max-queues", "%u",
		      xpvtap_max_queues);
	if (xpvtap_max_segments > BLKIF_MAX_SEGMENTS_PER_REQUEST)
		xenbus_printf(XBT_NIL, dir, "feature-max-indirect-segments",
			      "%u", xpvtap_max_segments);
}

static u32
info_bits(u32 flags)
{
	u32 info = 0;

	if (flags & XPVTAP_READY_READONLY)
		info |= VDISK_READONLY;
	if (flags & XPVTAP_READY_CDROM)
		info |= VDISK_CDROM;
	if (flags & XPVTAP_READY_REMOVABLE)
		info |= VDISK_REMOVABLE;
	return info;
}

/* Absent, not 0: one frontend asks whether it is there, not what it says. */
static int
write_feature(struct xenbus_transaction xbt, const char *dir,
	      const char *node, u32 value)
{
	if (value)
		return xenbus_printf(xbt, dir, node, "%u", value);
	if (xenbus_exists(xbt, dir, node))
		return xenbus_rm(xbt, dir, node);
	return 0;
}

static int
write_disk(struct xenbus_transaction xbt, const char *dir,
	   const struct xpvtap_ready *g)
{
	bool discard = g->flags & XPVTAP_READY_DISCARD;
	bool indirect = g->max_segments > BLKIF_MAX_SEGMENTS_PER_REQUEST;
	int ret;

	ret = xenbus_printf(xbt, dir, "sectors", "%llu", g->sectors);
	if (!ret)
		ret = xenbus_printf(xbt, dir, "sector-size", "%u", 512);
	if (!ret)
		ret = xenbus_printf(xbt, dir, "physical-sector-size", "%u",
				    g->physical_sector_bytes);
	if (!ret)
		ret = xenbus_printf(xbt, dir, "info", "%u", info_bits(g->flags));
	if (!ret)
		ret = write_feature(xbt, dir, "feature-flush-cache",
				    !!(g->flags & XPVTAP_READY_FLUSH));
	if (!ret)
		ret = write_feature(xbt, dir, "feature-barrier",
				    !!(g->flags & XPVTAP_READY_BARRIER));
	if (!ret)
		ret = write_feature(xbt, dir, "feature-discard", discard);
	if (!ret)
		ret = write_feature(xbt, dir, "discard-granularity",
				    discard ? g->discard_granularity : 0);
	if (!ret)
		ret = write_feature(xbt, dir, "feature-max-indirect-segments",
				    indirect ? g->max_segments : 0);
	if (!ret && discard && g->discard_granularity)
		ret = xenbus_printf(xbt, dir, "discard-alignment", "%u", 0);
	return ret;
}

/*
 * The disk's properties before state 4; or, while it is connected, the new
 * size with state 4 written once more, for the frontend's watch to fire.
 */
int
xpvtap_publish_disk(struct xpvtap_disk *d, bool resized)
{
	const char *dir = d->xd->nodename;
	struct xenbus_transaction xbt;
	struct xpvtap_ready geometry;
	int tries, ret = -EAGAIN;

	mutex_lock(&d->io);
	geometry = d->geometry;
	mutex_unlock(&d->io);
	for (tries = 0; tries < TRIES && ret == -EAGAIN; tries++) {
		ret = xenbus_transaction_start(&xbt);
		if (ret)
			break;
		if (!xenbus_exists(xbt, dir, "state"))		/* */
			ret = -ENOENT;
		else if (resized)
			ret = xenbus_printf(xbt, dir, "sectors", "%llu",
					    geometry.sectors) ?:
			      xenbus_printf(xbt, dir, "state", "%d",
					    XenbusStateConnected);
		else
			ret = write_disk(xbt, dir, &geometry);
		if (ret) {
			xenbus_transaction_end(xbt, 1);
			break;
		}
		ret = xenbus_transaction_end(xbt, 0);
	}
	if (!ret)
		d->told_sectors = geometry.sectors;
	return ret;
}
