/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * audit-grains.h - what the files about the entries of grain tables share.
 */
#ifndef VMDK_AUDIT_GRAINS_H
#define VMDK_AUDIT_GRAINS_H

#include "audit.h"

#define PART	4096u		/* slots that are looked at together */

enum turn { AGREED, OTHERS, TWICE };

struct walk {
	struct vmdk_part *p;
	uint32_t       *owner;		/* sector of the grain that begins here */
	uint8_t	       *seen;		/* a bit a slot: its owner came by */
	uint8_t	       *touched;	/* a byte a part: it has an owner */
	/* A bit for so many windows: an entry, of this table, of any, may be in. */
	uint64_t       *in, in_any, per_bit;
	uint64_t	parts;
	uint64_t	from, slots;	/* this window */
	bool		first;		/* of the windows */
	enum turn	turn;
	uint32_t	i;		/* the table */
	uint32_t       *a, *b;		/* it, and its copy */
	bool		zero_said;
	bool		dirty_a, dirty_b;
};

/* Marked as zeros, and nowhere. */
static inline bool
entry_is_zero(const struct vmdk_part *p, uint32_t e)
{
	return e == 1 && p->kind == VMDK_SPARSE;
}

/* audit-grains.c: who has which room */
bool	walk_in_window(const struct walk *w, uint32_t e);
/* The grain that is at, or overlaps, this place; 0: none. */
uint32_t walk_neighbour(const struct walk *w, uint32_t e);
void	walk_claim(struct walk *w, uint32_t e);

/* audit-entry.c: entry k of the table that is looked at, about this grain */
uint64_t entry_grains(const struct vmdk_part *p);	/* of the disk */
bool	entry_possible(const struct vmdk_part *p, uint32_t e, uint64_t grain);
bool	entry_good(const struct vmdk_part *p, uint32_t e, uint64_t grain);
bool	entry_has_copy(const struct walk *w);
int	entry_announce_zeros(struct walk *w, uint32_t k, uint64_t grain,
			     struct vd_err *err);
/* Which of its two values is it, if any? */
int	entry_decide(struct walk *w, uint32_t k, uint64_t grain,
		     struct vd_err *err);
/* Two in one place. */
int	entry_twice(struct walk *w, uint32_t k, uint64_t grain,
		    struct vd_err *err);
/* The table to the file, if anything of it has changed. */
int	entry_put_tables(struct walk *w, struct vd_err *err);

/* audit-leaks.c: what no grain has, from a sector and a piece of metadata on */
int	leaks_between(struct walk *w, uint64_t *from, size_t *piece,
		      struct vd_err *err);
int	leaks_tail(struct vmdk_part *p, uint64_t from, size_t piece,
		   struct vd_err *err);
/* The first sector that nothing uses. */
uint64_t leaks_end(const struct vmdk_part *p, uint64_t from);

#endif
