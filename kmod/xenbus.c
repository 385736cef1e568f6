// SPDX-License-Identifier: GPL-2.0-only
/*
 * xenbus.c - which devices of the bus are ours; how one begins and ends.
 *
 * The xenbus thread only queues what state.c does (R-47, D-23); the one thing
 * done there is to let a closed device go, since that thread alone makes and
 * removes devices.
 */
#include <linux/module.h>
#include <linux/slab.h>

#include "disk.h"

static void
front_changed(struct xenbus_device *xd, enum xenbus_state state)
{
	struct xpvtap_disk *d = dev_get_drvdata(&xd->dev);

	if (d)
		xpvtap_state_changed(d);
}

/* One event waits at most, however often somebody writes. */
static bool
back_will_handle(struct xenbus_watch *watch, const char *path, const char *token)
{
	return watch->nr_pending == 0;
}

static void
back_changed(struct xenbus_watch *watch, const char *path, const char *token)
{
	struct xpvtap_disk *d = container_of(watch, struct xpvtap_disk, watch);

	if (smp_load_acquire(&d->closed) &&
	    (d->front_gone || !xenbus_dev_is_online(d->xd)))
		device_unregister(&d->xd->dev);		/* d may be no more */
	else
		xpvtap_state_changed(d);
}

/* --------------------------------------------------- probe and remove */

static bool
text_is(struct xenbus_device *xd, const char *node, const char *want, bool base)
{
	char *s = xenbus_read(XBT_NIL, xd->nodename, node, NULL);
	bool same;

	if (IS_ERR(s))
		return false;
	same = !strcmp(base ? kbasename(s) : s, want);
	kfree(s);
	return same;
}

/* Everything that is not meant for vdisk is another driver's. */
static bool
is_ours(struct xenbus_device *xd)
{
	if (!strcmp(xd->devicetype, "tap"))
		return true;
	if (!strcmp(xd->devicetype, "vdisk"))
		return !text_is(xd, "transport", "gnttab", false);
	return text_is(xd, "script", "block-vdisk", true);
}

/* "w", or "w!" of old tools. */
static bool
may_write(struct xenbus_device *xd)
{
	char *s = xenbus_read(XBT_NIL, xd->nodename, "mode", NULL);
	bool may;

	if (IS_ERR(s))
		return false;
	may = strchr(s, 'w');
	kfree(s);
	return may;
}

static u32
what_tools_ask(struct xenbus_device *xd)
{
	u32 asked = 0;

	if (!may_write(xd))
		asked |= XPVTAP_ASKED_READONLY;
	if (text_is(xd, "device-type", "cdrom", false))
		asked |= XPVTAP_ASKED_CDROM;
	if (text_is(xd, "removable", "1", false))
		asked |= XPVTAP_ASKED_REMOVABLE;
	if (xenbus_read_unsigned(xd->nodename, "discard-enable",
				 !(asked & XPVTAP_ASKED_READONLY)))
		asked |= XPVTAP_ASKED_DISCARD;
	return asked;
}

static struct xpvtap_disk *
disk_alloc(struct xenbus_device *xd)
{
	struct xpvtap_disk *d = kzalloc(sizeof(*d), GFP_KERNEL);

	if (!d)
		return NULL;
	kref_init(&d->ref);
	mutex_init(&d->io);
	init_waitqueue_head(&d->wait);
	INIT_LIST_HEAD(&d->free);
	INIT_LIST_HEAD(&d->out);
	INIT_DELAYED_WORK(&d->pump, xpvtap_pump);
	xpvtap_state_init(d);
	d->xd = xd;
	d->domid = xd->otherend_id;
	d->asked = what_tools_ask(xd);
	return d;
}

static int
xpvtap_probe(struct xenbus_device *xd, const struct xenbus_device_id *id)
{
	struct xpvtap_disk *d;
	int ret;

	if (!is_ours(xd))
		return -ENODEV;
	d = disk_alloc(xd);
	if (!d)
		return -ENOMEM;
	ret = kstrtou32(kbasename(xd->nodename), 10, &d->devid);
	if (ret)
		goto fail;
	ret = xpvtap_node_add(d);
	if (ret)
		goto fail;
	dev_set_drvdata(&xd->dev, d);
	xpvtap_publish_features(d);
	ret = xenbus_switch_state(xd, XenbusStateInitWait);
	if (ret)
		goto fail_node;
	ret = xenbus_watch_pathfmt(xd, &d->watch, back_will_handle, back_changed,
				   "%s", xd->nodename);
	if (ret)
		goto fail_node;
	xpvtap_state_changed(d);
	return 0;

fail_node:
	dev_set_drvdata(&xd->dev, NULL);
	mutex_lock(&d->io);
	d->gone = true;		/* somebody may have opened it meanwhile */
	mutex_unlock(&d->io);
	cancel_delayed_work_sync(&d->state_work);
	cancel_delayed_work_sync(&d->pump);
	xpvtap_node_del(d);
fail:
	xpvtap_put(d);
	return ret;
}

/* The process keeps its file, its pages, and a POLLHUP. */
static void
xpvtap_remove(struct xenbus_device *xd)
{
	struct xpvtap_disk *d = dev_get_drvdata(&xd->dev);

	unregister_xenbus_watch(&d->watch);
	kfree(d->watch.node);
	mutex_lock(&d->io);
	d->gone = true;
	mutex_unlock(&d->io);
	cancel_delayed_work_sync(&d->state_work);
	xpvtap_disconnect(d);
	cancel_delayed_work_sync(&d->pump);
	xpvtap_node_del(d);
	d->xd = NULL;
	dev_set_drvdata(&xd->dev, NULL);
	wake_up_interruptible_all(&d->wait);
	xpvtap_put(d);
}

static const struct xenbus_device_id xpvtap_ids[] = {
	{ "vbd" },
	{ "tap" },
	{ "vdisk" },
	{ "" }
};

struct xenbus_driver xpvtap_driver = {
	.name			= "xpvtap",
	.ids			= xpvtap_ids,
	.probe			= xpvtap_probe,
	.remove			= xpvtap_remove,
	.otherend_changed	= front_changed,
	.driver.dev_groups	= xpvtap_groups,
};
