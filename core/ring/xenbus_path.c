/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xenbus_path.c - which disk of which guest, and what the tools want of it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "store.h"
#include "xenbus.h"

#define DOMID_MAX	0x7fefu		/* above are Xen's own numbers */

static int
bad_node(struct vd_err *err, const char *node)
{
	vd_fail(err, EINVAL, VD_NOWHERE, "\"%.200s\" is no backend directory: "
		"expected backend/vdisk/DOMID/DEVID", node);
	vd_err_help(err, "vdisk-attach DOMAIN tap:vdisk:PATH VDEV makes one");
	return -EINVAL;
}

/* The next component of *s into buf; false at the end or if it is too long. */
static bool
component(const char **s, char *buf, size_t len)
{
	size_t n = strcspn(*s, "/");

	if (!n || n >= len)
		return false;
	memcpy(buf, *s, n);
	buf[n] = '\0';
	*s += n;
	if (**s == '/')
		(*s)++;
	return true;
}

static bool
plain_word(const char *s)
{
	return strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(s);
}

int
xenbus_parse_path(const char *node, struct xenbus_path *p, struct vd_err *err)
{
	const char *s = node;
	uint64_t self = 0, domid, devid;
	char word[32];

	if (!strncmp(s, "/local/domain/", 14)) {
		s += 14;
		if (!component(&s, word, sizeof(word)) ||
		    store_parse(word, DOMID_MAX, &self))
			return bad_node(err, node);
	}
	if (!component(&s, word, sizeof(word)) || strcmp(word, "backend") ||
	    !component(&s, p->type, sizeof(p->type)) || !plain_word(p->type) ||
	    !component(&s, word, sizeof(word)) ||
	    store_parse(word, DOMID_MAX, &domid) ||
	    !component(&s, word, sizeof(word)) ||
	    store_parse(word, UINT32_MAX, &devid) || *s || s[-1] == '/')
		return bad_node(err, node);
	/* xen-blkback takes every one of these, and maps the ring. */
	if (!strcmp(p->type, "vbd")) {
		vd_fail(err, EINVAL, VD_NOWHERE, "backend/vbd belongs to the "
			"kernel's xen-blkback, which would serve the same ring");
		vd_err_help(err, "use backend/vdisk/DOMID/DEVID");
		return -EINVAL;
	}
	p->domid = (unsigned)domid;
	p->devid = (uint32_t)devid;
	return store_path(p->back, sizeof(p->back),
			  "/local/domain/%u/backend/%s/%u/%u", (unsigned)self,
			  p->type, p->domid, p->devid);
}

int
xenbus_asked(struct xen *x, const struct xenbus_path *p,
	     struct xenbus_asked *a, struct vd_err *err)
{
	char *value;
	int ret;

	if (!store_exists(x, 0, p->back)) {
		vd_fail(err, ENOENT, VD_NOWHERE, "xenstore has no %s",
			p->back);
		vd_err_help(err, "vdisk-attach DOMAIN tap:vdisk:PATH VDEV "
			    "makes it and starts vdisk");
		return -ENOENT;
	}
	ret = store_get(x, 0, p->back, "mode", &value);
	if (ret)
		return vd_fail(err, -ret, VD_NOWHERE, "cannot read %s/mode: %s",
			       p->back, strerror(-ret));
	a->readonly = !strchr(value, 'w');
	free(value);
	a->discard = true;
	if (!store_get(x, 0, p->back, "discard-enable", &value)) {
		a->discard = !strcmp(value, "1");
		free(value);
	}
	return 0;
}
