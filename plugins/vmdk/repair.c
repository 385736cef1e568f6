/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * repair.c - mend what can be mended without guessing, one question at a time.
 *
 * What one of two copies still knows is taken from it.  What neither knows is
 * lost, and said to be, before it is given up.  New room is always at the end of
 * the file.  In this order, each durable before the next:
 *
 *   1. the descriptor and the header, each in one write
 *   2. every table, in both directories
 *   3. every entry, good and the same in both; then no grain used twice
 *   4. room that no one uses, given back - never while something was lost: the
 *      lost grain may be in there
 *   5. the mark of the last writer
 *
 * A repair that is cut short leaves what a second one finishes.
 */
#include "audit.h"

int
vmdk_repair(void *img, struct vd_report *r, struct vd_err *err)
{
	struct vd_audit a = { .size = sizeof(a), .report = r, .mend = true };
	struct vmdk *v = img;

	if (v->rdonly)
		return vd_fail(err, EROFS, VD_NOWHERE, "is open to be read "
			       "only");
	return vmdk_audit(v, &a, err);
}
