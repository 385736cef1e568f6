/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sandbox.h - what a process that serves a disk may still do: next to nothing.
 *
 * Whatever has a name is opened first, as whoever started us.  Then:
 *
 *	sandbox_enter()	while there is one thread: user, capabilities, limits,
 *			namespaces, Landlock.  They are a thread's own, and
 *			those it starts later have them from it.
 *	sandbox_seal()	just before the first request: the list of system calls,
 *			for all threads there are.
 *
 * Neither can be undone.
 */
#ifndef VD_SANDBOX_H
#define VD_SANDBOX_H

#include <stdbool.h>
#include <stdio.h>
#include <vdisk/error.h>

enum sandbox_mode {
	SANDBOX_ON,		/* a call that is not on the list fails: EPERM */
	SANDBOX_KILL,		/* .. ends the process: for tests */
	SANDBOX_OFF,		/* for debugging */
};

/* What the process talks to: decides which ioctls there are. */
#define SANDBOX_XPVTAP	(1u << 0)
#define SANDBOX_GNTTAB	(1u << 1)

#define SANDBOX_USER	"xvm"

struct sandbox {
	enum sandbox_mode mode;
	unsigned	uses;		/* SANDBOX_XPVTAP, .. */
	const char     *user;		/* NULL: SANDBOX_USER, if there is one */
};

/* "on", "kill", "off": 0 or -EINVAL. */
int	sandbox_parse(const char *word, enum sandbox_mode *mode);

int	sandbox_enter(const struct sandbox *s, struct vd_err *err);
int	sandbox_seal(const struct sandbox *s, struct vd_err *err);

/*
 * Enter it in a child, and say what is true of that: an exit status.
 */
int	sandbox_show(const struct sandbox *s);

/* ---- the parts ---- */

/* errno, in words: cannot do what; returns -errno. */
int	sandbox_failed(struct vd_err *err, const char *what);

/* sandbox-place.c: a user's rights to what has a name */
int	sandbox_place(struct vd_err *err);
/* Which version of Landlock the kernel has; 0: none. */
int	sandbox_landlock_abi(void);

/* sandbox-calls.c: which calls are left, one name a line with its condition */
void	sandbox_list_calls(const struct sandbox *s, FILE *out);

#endif
