/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * cmd.h - what every program of vdisk shares: exit codes, errors, sizes, JSON.
 *
 * main() calls cmd_init() first; the other calls use the name it sets.
 */
#ifndef VD_CMD_H
#define VD_CMD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <vdisk/error.h>

enum cmd_exit {
	CMD_OK,			/* done */
	CMD_NO,			/* the answer is no: damaged, different, not there */
	CMD_USAGE,		/* wrong usage */
	CMD_REFUSED,		/* the system said no */
};

/* name: as it appears before every message; never argv[0], a user's string. */
void	cmd_init(const char *name);
const char *cmd_name(void);

/* "program: sentence", the help on an indented line of its own; to stderr. */
void	cmd_error(const struct vd_err *err);
void	cmd_errorf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void	cmd_helpf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The same, then exit CMD_REFUSED. */
void	cmd_die(const struct vd_err *err) __attribute__((noreturn));
void	cmd_dief(const char *fmt, ...)
		__attribute__((noreturn, format(printf, 1, 2)));

/* The sentence and where to read more, then exit CMD_USAGE. */
void	cmd_usage(const char *fmt, ...)
		__attribute__((noreturn, format(printf, 1, 2)));

/* What getopt_long() refused (c: '?', or ':' for a missing argument). */
void	cmd_bad_option(int c, char **argv) __attribute__((noreturn));

/* --version: "vdisk 0.1.0" to stdout, exit CMD_OK. */
void	cmd_version(void) __attribute__((noreturn));
/* --help: text to stdout, exit CMD_OK. */
void	cmd_help(const char *text) __attribute__((noreturn));
/*
 * Last words of a program that wrote to stdout: status, or CMD_REFUSED with a
 * message when stdout could not be written (a full disk, a closed pipe).
 */
int	cmd_finish(int status);

/*
 * "10g", "1.5T", "512", "64k": powers of 1024, B K M G T P E Z in either case,
 * one more b allowed.  0, a fraction of a byte and what 64 bits do not hold
 * are errors.
 */
int	cmd_parse_size(const char *s, uint64_t *bytes, struct vd_err *err);
/* "10 GiB", "1.4 MiB", "512 B" */
char   *cmd_size_text(uint64_t bytes, char *buf, size_t len);

/*
 * A JSON string with its quotes.  Bytes that are no UTF-8 become the lone
 * surrogates U+DC80..DCFF, which Python's surrogateescape turns back.
 */
void	cmd_json_string(FILE *out, const char *s);
/* Text that came from elsewhere, control characters as \xNN; to out. */
void	cmd_print_safe(FILE *out, const char *s);

#endif
