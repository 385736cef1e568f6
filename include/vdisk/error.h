/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdisk/error.h - how every call of the library says what went wrong.
 *
 * A number for programs (errno values, positive in the object, negative as a
 * return value), a place for tools (file and byte), a sentence for people and,
 * where there is one, the command that helps.
 *
 * The caller owns the object, zeroes it once and may pass NULL.  The first
 * failure is kept: the deepest caller knows most.  An object belongs to one
 * thread at a time.
 */
#ifndef VDISK_ERROR_H
#define VDISK_ERROR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VD_NOWHERE	UINT64_MAX	/* the failure has no byte offset */

struct vd_err {
	int		code;		/* errno value, 0: no failure yet */
	uint32_t	pad;
	uint64_t	off;		/* byte in file, or VD_NOWHERE */
	char		file[256];	/* which file; "" when unknown */
	char		msg[512];	/* one sentence, no newline */
	char		help[256];	/* a command or an advice; "" if none */
};

/*
 * Record a failure unless one is recorded already; returns -code (of this
 * call), so that plumbing costs one line.  err may be NULL.
 */
int	vd_fail(struct vd_err *err, int code, uint64_t off,
		const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* Name the file of the recorded failure unless it is named already. */
void	vd_err_file(struct vd_err *err, const char *file);

/* Add the command that helps unless there is one already. */
void	vd_err_help(struct vd_err *err, const char *fmt, ...)
		__attribute__((format(printf, 2, 3)));

/* Forget the failure. */
void	vd_err_clear(struct vd_err *err);

/*
 * "file: sentence (byte 0x200)", and the help on a second, indented line.
 * Control characters are shown escaped: parts of it may come from an image.
 * Returns buf.
 */
char   *vd_err_text(const struct vd_err *err, char *buf, size_t len);

#ifdef __cplusplus
}
#endif
#endif
