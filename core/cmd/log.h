/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * log.h - what a serving process has to say, to stderr or to syslog.
 */
#ifndef VD_LOG_H
#define VD_LOG_H

#include <stdarg.h>
#include <vdisk/error.h>

/* Begins every line: "vdisk 7/xvdb"; until then the program's name. */
void	log_name(const char *name);
/* Get ready for that, while /dev/log still has a name. */
void	log_open_syslog(void);
/* From now on to syslog (facility daemon); stderr may be closed. */
void	log_to_syslog(void);
void	log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void	log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void	log_err(const struct vd_err *err);
/* What a guest can cause: a few lines at once, then one a second. */
void	log_guest(const char *text);

#endif
