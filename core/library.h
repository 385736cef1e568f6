/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * library.h - the loaded modules, for module.c and probe.c.
 */
#ifndef VD_LIBRARY_H
#define VD_LIBRARY_H

#include "internal.h"

struct module {
	struct vd_format format;	/* our copy; theirs is never looked at */
	void	       *handle;
	char	       *path;
};

struct vd_library {
	struct module **modules;
	unsigned	nmodules;
	struct vd_err  *skipped;
	unsigned	nskipped;
};

#endif
