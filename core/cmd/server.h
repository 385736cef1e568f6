/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * server.h - is the process that serves a disk still the one that began?
 *
 * A number alone may be another process by now; a number and the moment it
 * started is not.
 */
#ifndef VD_SERVER_H
#define VD_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* "PID START" of a process; false: there is none. */
bool	server_identity(pid_t pid, char *buf, size_t len);
/* Does what server_identity() wrote still hold?  *pid also if not, 0: garbage. */
bool	server_alive(const char *identity, pid_t *pid);

#endif
