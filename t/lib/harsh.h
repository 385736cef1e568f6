/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* harsh.h - a sandbox in which a forbidden call is the end, where one can be. */
#ifndef VD_T_HARSH_H
#define VD_T_HARSH_H

#include <stdlib.h>
#include <string.h>

#include "core/cmd/sandbox.h"

/* Sanitizers and valgrind make calls of their own. */
static inline enum sandbox_mode
harsh_sandbox(void)
{
	const char *flavour = getenv("VD_FLAVOUR");

	return !flavour || !strcmp(flavour, "plain") ? SANDBOX_KILL :
	       SANDBOX_OFF;
}

#endif
