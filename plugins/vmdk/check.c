/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * check.c - look at everything that a disk's files say about one another.
 *
 * Reads only, and reads the tables itself: it shares nothing with what writes
 * them.  What VMware, QEMU or VirtualBox leave behind when all went well is no
 * finding; what an interrupted writer leaves is a note or a leak; what costs
 * data, or makes another program refuse the image or spoil it, is damage.
 */
#include "audit.h"

int
vmdk_check(void *img, struct vd_report *r, struct vd_err *err)
{
	struct vd_audit a = { .size = sizeof(a), .report = r };

	return vmdk_audit(img, &a, err);
}
