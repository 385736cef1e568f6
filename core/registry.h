/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * registry.h - where a machine's own settings say that its images are.
 */
#ifndef VD_REGISTRY_H
#define VD_REGISTRY_H

#include "internal.h"

struct vd_medium {
	char	       *path;		/* relative to the folder, or absolute */
	char		id[VD_ID_MAX];
	char		parent[VD_ID_MAX];	/* "" for a base */
};

struct vd_registry {
	struct vd_medium *media;
	unsigned	n;
	char		list[256];	/* the last settings file that was read */
	char		unread[256];	/* one that could not be */
};

/* All that the settings files of a folder ("" or ends in '/') tell. */
void	vd_registry_read(const char *folder, struct vd_registry *r);
void	vd_registry_free(struct vd_registry *r);

#endif
