/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdev.h - names of a guest's disks and the numbers that xenbus uses.
 */
#ifndef VD_VDEV_H
#define VD_VDEV_H

#include <stddef.h>
#include <stdint.h>

/*
 * "xvdb", "xvdb1", "hda", "sdc2", "/dev/xvda", or a number, taken as it is
 * (as xm did): "51728", "0xca10", "3".  0 or -EINVAL.
 */
int	vdev_parse(const char *name, uint32_t *devid);
/* "xvdb" for 51728; the decimal number where no name has it. */
char   *vdev_name(uint32_t devid, char *buf, size_t len);

#endif
