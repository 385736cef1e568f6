// SPDX-License-Identifier: GPL-2.0-only
/*
 * stats.c - statistics/ under the device, with xen-blkback's names: xentop
 * looks there for vbd-D-N and tap-D-N.
 */
#include <linux/device.h>
#include <linux/sysfs.h>

#include "disk.h"

struct stat_attribute {
	struct device_attribute	attr;
	enum xpvtap_stat	which;
};

static ssize_t
stat_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct xpvtap_disk *d = dev_get_drvdata(dev);
	struct stat_attribute *a = container_of(attr, struct stat_attribute, attr);

	return sysfs_emit(buf, "%llu\n", READ_ONCE(d->stat[a->which]));
}

#define STAT(name, number)						\
	static struct stat_attribute stat_##name = {			\
		__ATTR(name, 0444, stat_show, NULL), number		\
	}

STAT(rd_req, STAT_RD_REQ);
STAT(wr_req, STAT_WR_REQ);
STAT(oo_req, STAT_OO_REQ);
STAT(f_req, STAT_F_REQ);
STAT(ds_req, STAT_DS_REQ);
STAT(rd_sect, STAT_RD_SECT);
STAT(wr_sect, STAT_WR_SECT);
STAT(bad_req, STAT_BAD_REQ);

static ssize_t
in_flight_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct xpvtap_disk *d = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%u\n", READ_ONCE(d->nr_out));
}
static DEVICE_ATTR_RO(in_flight);

static struct attribute *stat_attrs[] = {
	&stat_rd_req.attr.attr,
	&stat_wr_req.attr.attr,
	&stat_oo_req.attr.attr,
	&stat_f_req.attr.attr,
	&stat_ds_req.attr.attr,
	&stat_rd_sect.attr.attr,
	&stat_wr_sect.attr.attr,
	&stat_bad_req.attr.attr,
	&dev_attr_in_flight.attr,
	NULL
};

static const struct attribute_group stat_group = {
	.name = "statistics",
	.attrs = stat_attrs,
};

const struct attribute_group *xpvtap_groups[] = { &stat_group, NULL };
