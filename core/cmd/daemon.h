/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * daemon.h - going to the background, saying "ready", the pid file.
 */
#ifndef VD_DAEMON_H
#define VD_DAEMON_H

#include <stdbool.h>
#include <vdisk/error.h>

/*
 * Fork; the child returns.  The parent stays until the child is ready or dead
 * and exits with its status, so that whoever started us knows.  To be called
 * before threads and Xen handles exist.
 */
int	daemon_fork(struct vd_err *err);
/* Our keeper has done that; daemon_ready() still leaves the terminal. */
void	daemon_kept(void);
/*
 * Open what the calls below need, while there still are names, and go to /.
 * daemon_ready() does it if nobody has.
 */
void	daemon_prepare(void);
/*
 * Once everything works: writes to fd (-1: none), $NOTIFY_SOCKET, and to the
 * waiting parent; in the background leaves the terminal and logs to syslog.
 */
void	daemon_ready(int fd);
void	daemon_stopping(void);

/*
 * Write our number into path and keep it locked: a second process with the
 * same file is told that the first one runs.
 */
int	pidfile_open(const char *path, struct vd_err *err);
void	pidfile_remove(void);
/* Does a process hold it, ours or another? */
bool	pidfile_held(const char *path);

/*
 * A keeper's pid file is locked for as long as its server lives, too, which
 * inherits it: the descriptor, or -1.
 */
int	pidfile_fd(void);
/*
 * In the server: nobody reads the pipe `alive' any more when the keeper is dead;
 * pid is its pid file.
 */
void	daemon_keeper(int alive, int pid);
int	daemon_keeper_fd(void);		/* alive; -1: none */
/* It is dead: its pid file names us now. */
void	daemon_orphaned(void);

#endif
