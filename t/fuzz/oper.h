/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * oper.h - what the operations share.
 */
#ifndef FUZZ_OPER_H
#define FUZZ_OPER_H

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vdisk/vdisk.h>
#include "fuzz.h"

/* oper.c: every refusal has a reason */
void	fz_must_tell(const char *what, int ret, const struct vd_err *err);
/* FUZZ_VERBOSE: for whoever looks at a finding */
void	fz_tell(const char *what, const struct vd_err *err);
struct vd_disk *fz_start(struct vd_library *lib, const struct fz_input *z,
			 const char *format, unsigned flags);
int	fz_stop(struct vd_disk *d);

#define FZ_MOVED	16u
struct fz_sink {		/* what check and repair report to */
	struct vd_report r;
	uint64_t	print;		/* of all that was said */
	unsigned	told, asked, damage;
	bool		yes, passed, swapped;
	/* Grains, and tables, that are read from another place since. */
	uint64_t	moved[FZ_MOVED], tables[FZ_MOVED];
	unsigned	nmoved, ntables;
};
struct fz_sink fz_sink(bool yes);
int	fz_check(struct vd_disk *d, struct fz_sink *s);

/* look.c: a few places of the disk, and what they should read as */
#define FZ_CHUNK	4096u
#define FZ_CHUNKS	8u		/* of a window */

struct fz_window {
	uint64_t	off;
	uint32_t	len;
	unsigned	known;		/* a bit a chunk: want is so */
	uint8_t		want[FZ_CHUNK * FZ_CHUNKS];
};
extern struct fz_window fz_windows[4];
extern unsigned fz_nwindows;
/* Damaged before: one write may show in two places, or none go on. */
extern bool fz_loose;
/* A sector of zeros may have become something. */
extern bool fz_zeros_may_go;

void	fz_choose_windows(const struct fz_input *z, uint64_t size);
void	fz_look(struct vd_disk *d, struct fz_window *w, unsigned chunk);
void	fz_look_all(struct vd_disk *d);
void	fz_forget_zeros(void);
void	fz_compare_all(struct vd_disk *d, const char *when);
/* What the image tells, and a walk along its extents. */
void	fz_look_around(struct vd_disk *d);

#endif
