// SPDX-License-Identifier: GPL-2.0-only
/*
 * main.c - the module: its parameters, the nodes of disks, their numbers.
 *
 * One character major; each disk has a minor from an idr.  open() looks the
 * disk up and takes a reference, so that a file may outlive its disk.
 */
#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/idr.h>
#include <linux/module.h>
#include <xen/xen.h>

#include "disk.h"

#define XPVTAP_MINORS	(1 << 16)

unsigned int xpvtap_window_pages = 4096;
module_param_named(window_pages, xpvtap_window_pages, uint, 0444);
MODULE_PARM_DESC(window_pages, "pages of 4 KiB for the data of one disk (4096)");

unsigned int xpvtap_max_queues = XPVTAP_QUEUES;
module_param_named(max_queues, xpvtap_max_queues, uint, 0444);
MODULE_PARM_DESC(max_queues, "rings a guest may use for one disk, 1 to 4 (4)");

unsigned int xpvtap_max_segments = XPVTAP_SEGMENTS;
module_param_named(max_segments, xpvtap_max_segments, uint, 0444);
MODULE_PARM_DESC(max_segments, "segments of one request, 11 to 256 (256)");

/* Not at all, rather than one that does not work. */
static int
set_map(const char *value, const struct kernel_param *kp)
{
	bool want;
	int ret = kstrtobool(value, &want);

	if (!ret && want && !xpvtap_can_map()) {
		pr_err("xpvtap: map=1 needs a domain that is PV, and a Xen that marks ptes: load it without\n");
		return -EOPNOTSUPP;
	}
	if (!ret)
		WRITE_ONCE(xpvtap_want_map, want);
	return ret;
}

static const struct kernel_param_ops map_ops = {
	.set	= set_map,
	.get	= param_get_bool,
};

bool xpvtap_want_map;
module_param_cb(map, &map_ops, &xpvtap_want_map, 0644);
MODULE_PARM_DESC(map, "map the guest's pages into the process, do not copy; for disks not opened yet (N)");

struct workqueue_struct *xpvtap_wq;

static DEFINE_MUTEX(xpvtap_nodes);
static DEFINE_IDR(xpvtap_minors);
static struct class *xpvtap_class;
static dev_t xpvtap_first;
static struct cdev xpvtap_cdev;

static void
xpvtap_release_disk(struct kref *ref)
{
	struct xpvtap_disk *d = container_of(ref, struct xpvtap_disk, ref);

	xpvtap_slots_free(d);
	kfree(d);
}

void
xpvtap_put(struct xpvtap_disk *d)
{
	kref_put(&d->ref, xpvtap_release_disk);
}

struct xpvtap_disk *
xpvtap_node_get(int minor)
{
	struct xpvtap_disk *d;

	mutex_lock(&xpvtap_nodes);
	d = idr_find(&xpvtap_minors, minor);
	if (d)
		kref_get(&d->ref);
	mutex_unlock(&xpvtap_nodes);
	return d;
}

/* sysfs complains loudly of a name it has: tap and vbd may both be there. */
static bool
xpvtap_node_taken(struct xpvtap_disk *d)
{
	struct xpvtap_disk *other;
	int minor;

	idr_for_each_entry(&xpvtap_minors, other, minor)
		if (other->domid == d->domid && other->devid == d->devid)
			return true;
	return false;
}

int
xpvtap_node_add(struct xpvtap_disk *d)
{
	struct device *dev;
	int ret;

	mutex_lock(&xpvtap_nodes);
	ret = -EEXIST;
	if (xpvtap_node_taken(d))
		goto out;
	ret = idr_alloc(&xpvtap_minors, d, 0, XPVTAP_MINORS, GFP_KERNEL);
	if (ret < 0)
		goto out;
	d->minor = ret;
	dev = device_create(xpvtap_class, &d->xd->dev,
			    MKDEV(MAJOR(xpvtap_first), d->minor), NULL, "%u-%u",
			    d->domid, d->devid);
	ret = PTR_ERR_OR_ZERO(dev);
	if (ret)
		idr_remove(&xpvtap_minors, d->minor);
out:
	mutex_unlock(&xpvtap_nodes);
	return ret;
}

void
xpvtap_node_del(struct xpvtap_disk *d)
{
	mutex_lock(&xpvtap_nodes);
	device_destroy(xpvtap_class, MKDEV(MAJOR(xpvtap_first), d->minor));
	idr_remove(&xpvtap_minors, d->minor);
	mutex_unlock(&xpvtap_nodes);
}

static char *
xpvtap_devnode(struct device *dev, umode_t *mode)
{
	if (mode)
		*mode = 0660;
	return kasprintf(GFP_KERNEL, "xen/xpvtap/%s", dev_name(dev));
}

static int
xpvtap_nodes_init(void)
{
	int ret;

	xpvtap_class = class_create(THIS_MODULE, "xpvtap");
	if (IS_ERR(xpvtap_class))
		return PTR_ERR(xpvtap_class);
	xpvtap_class->devnode = xpvtap_devnode;
	ret = alloc_chrdev_region(&xpvtap_first, 0, XPVTAP_MINORS, "xpvtap");
	if (ret)
		goto no_region;
	cdev_init(&xpvtap_cdev, &xpvtap_fops);
	xpvtap_cdev.owner = THIS_MODULE;
	ret = cdev_add(&xpvtap_cdev, xpvtap_first, XPVTAP_MINORS);
	if (ret)
		goto no_cdev;
	return 0;

no_cdev:
	unregister_chrdev_region(xpvtap_first, XPVTAP_MINORS);
no_region:
	class_destroy(xpvtap_class);
	return ret;
}

static void
xpvtap_nodes_exit(void)
{
	cdev_del(&xpvtap_cdev);
	unregister_chrdev_region(xpvtap_first, XPVTAP_MINORS);
	class_destroy(xpvtap_class);
	idr_destroy(&xpvtap_minors);
}

static int __init
xpvtap_init(void)
{
	int ret;

	if (!xen_domain())
		return -ENODEV;
	/* Two of the largest requests fit, whatever else is asked for. */
	xpvtap_max_segments = clamp(xpvtap_max_segments,
				    (unsigned int)BLKIF_MAX_SEGMENTS_PER_REQUEST,
				    XPVTAP_SEGMENTS);
	xpvtap_window_pages = clamp(xpvtap_window_pages,
				    2 * (XPVTAP_SEGMENTS + 1), 65536u);
	xpvtap_max_queues = clamp(xpvtap_max_queues, 1u, XPVTAP_QUEUES);

	xpvtap_wq = alloc_workqueue("xpvtap", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	if (!xpvtap_wq)
		return -ENOMEM;
	ret = xpvtap_nodes_init();
	if (ret)
		goto no_nodes;
	ret = xenbus_register_backend(&xpvtap_driver);
	if (ret)
		goto no_driver;
	return 0;

no_driver:
	xpvtap_nodes_exit();
no_nodes:
	destroy_workqueue(xpvtap_wq);
	return ret;
}
module_init(xpvtap_init);

static void __exit
xpvtap_exit(void)
{
	xenbus_unregister_driver(&xpvtap_driver);
	xpvtap_nodes_exit();
	destroy_workqueue(xpvtap_wq);
}
module_exit(xpvtap_exit);

MODULE_DESCRIPTION("Xen block backend that a process serves (vdisk)");
MODULE_LICENSE("GPL");
MODULE_ALIAS("xen-backend:vbd");
MODULE_ALIAS("xen-backend:tap");
MODULE_ALIAS("xen-backend:vdisk");
