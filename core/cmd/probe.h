/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * probe.h - what the two halves of vdisk-probe share.
 */
#ifndef VD_PROBE_H
#define VD_PROBE_H

#include <stdbool.h>
#include <vdisk/vdisk.h>
#include "json.h"

/* "" and NULL are null. */
void	probe_json_str(struct json *j, const char *key, const char *value);
void	probe_json_error(struct json *j, const struct vd_err *err);

/* List the modules; returns the exit status. */
int	probe_modules(struct vd_library *lib, bool json);

#endif
