/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * life.h - a disk, its snapshots, and what all of them have to hold; the parts
 * of t/tools/vd-life.c.
 */
#ifndef VD_T_LIFE_H
#define VD_T_LIFE_H

#include <vdisk/vdisk.h>

#include "model.h"

#define LIFE_SNAPS	5
#define LIFE_IO_MAX	(1u << 19)
#define LIFE_FROZEN	8

struct life_snap {
	char		name[64];
	char		path[512];
	struct md      *state;
};

struct life {
	struct vd_library *lib;
	struct vd_disk *disk;		/* NULL between two lives */
	const char     *path;
	const char     *dir;		/* where it lies; ends in '/' or "" */
	const char     *ext;
	struct vd_open	open;
	struct md      *top;
	struct life_snap snap[LIFE_SNAPS + 1];	/* the oldest first */
	unsigned	nsnaps;
	uint64_t	unit;
	uint64_t	size_max;	/* when it grows */
	struct {
		uint64_t off, len;
	}		frozen[LIFE_FROZEN];	/* ranges that refuse writes */
	unsigned	nfrozen;
	bool		replaced;	/* the top is not the one we began with */
	bool		killed;		/* the last life ended without a close */
	const char     *leak;		/* a finding that is to be expected */
	const char     *hook;
	unsigned	hook_each, reopened, alone;
	uint64_t	step;
	uint64_t	rnd;
	unsigned	named;
	bool		bad;
	bool		aside;	/* this step's result was judged already */
	char		what[256];	/* the operation, for messages */
	char		pair[160];	/* merge@NAME>CHILD: which two */
	struct vd_err	err;
};

uint64_t life_random(struct life *f);
/* Say what is wrong; the life ends with this step. */
void	life_bad(struct life *f, const char *fmt, ...)
		__attribute__((format(printf, 2, 3)));
/* The library failed where it must not. */
void	life_failed(struct life *f, const char *what);

/* life-io.c: what a guest does.  All return 0 or what the library said. */
int	life_write(struct life *f);
int	life_zero(struct life *f);
int	life_unmap(struct life *f);
int	life_discard(struct life *f);
int	life_flush(struct life *f);
int	life_read(struct life *f);
int	life_extents(struct life *f);
int	life_burst(struct life *f);
int	life_die(struct life *f);

/* life-chain.c: what its owner does. */
bool	life_open(struct life *f);
bool	life_close(struct life *f);
/* The chain as it is now becomes what is known. */
bool	life_begin(struct life *f);
int	life_reopen(struct life *f);
int	life_snapshot(struct life *f);
int	life_rollback(struct life *f);
int	life_merge(struct life *f);
int	life_grow(struct life *f);
int	life_shrink(struct life *f);
int	life_clone(struct life *f);
int	life_branch(struct life *f);
/* Every state that is kept, read whole. */
void	life_compare_all(struct life *f);
void	life_compare(struct life *f, struct vd_disk *d, const struct md *state);

#endif
