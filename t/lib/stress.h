/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * stress.h - random requests over a ring, many at once, each byte checked
 * against a model of the disk.
 */
#ifndef VD_T_STRESS_H
#define VD_T_STRESS_H

#include "rig.h"

#define STRESS_SECTORS	4096u

struct stress {
	/* set by the test */
	uint64_t	seed;
	unsigned	requests;
	unsigned	max_segs;	/* of indirect requests; 0: none */
	bool		discard;	/* reads as zeros here */
	bool		rows;		/* often pages in a row, without gaps */
	bool		threaded;	/* the ring runs by itself */
	/* What a power cut would leave of the disk now, or NULL. */
	const uint8_t  *durable;

	/* the model: which version of its content each sector has; 0: zeros */
	uint32_t	version[STRESS_SECTORS];
	uint16_t	readers[STRESS_SECTORS];
	bool		writer[STRESS_SECTORS];
	uint32_t	next_version;
	char		why[256];	/* what went wrong */
	unsigned	most;		/* in flight at once */
};

/* The content of a sector in a version. */
void	stress_sector(uint32_t sector, uint32_t version, uint8_t *to);
/* Leaves the model in s; false: see why. */
bool	stress_run(struct rig *r, struct stress *s);

#endif
