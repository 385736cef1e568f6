/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * inflight.h - the requests a guest waits for, kept where a killed process
 * leaves them to the next one.
 *
 * Answers lie where unread requests were, so the ring alone does not tell which
 * of its requests are done.  This does: a private copy of each request from
 * before it is begun until its answer is published, in memory shared with a
 * file of this boot.  inflight.c says in which order it is written.
 *
 * Where the kernel driver keeps the requests, only inflight_lost() is used of it.
 */
#ifndef VD_INFLIGHT_H
#define VD_INFLIGHT_H

#include "ring.h"

/* Which ring: all of it is the same only if the ring is. */
struct inflight_key {
	uint32_t	abi;		/* enum ring_abi */
	uint32_t	pages;
	uint32_t	port;
	uint32_t	refs[1u << RING_MAX_ORDER];
};

struct inflight;

/*
 * The log of a guest's disk, made if needed.  One process may have it.  What is
 * there is ignored unless it is ours, of this boot and whole.
 */
int	inflight_open(unsigned domid, uint32_t devid, struct inflight **out,
		      struct vd_err *err);
/* Did a process leave requests, or at least a ring? */
bool	inflight_left(const struct inflight *l);
/* .. those of this very ring? */
bool	inflight_fits(const struct inflight *l, const struct inflight_key *key);
/* A ring whose answers begin at start.  Nothing of it was fetched. */
void	inflight_begin(struct inflight *l, const struct inflight_key *key,
		       uint32_t start);
/* There is no ring any more, or not this one. */
void	inflight_end(struct inflight *l);
/* Has this disk lost what its guest was told to be written? (B4 of flush.c) */
bool	inflight_lost(const struct inflight *l);
void	inflight_set_lost(struct inflight *l);
/* A disk begins, or is taken away: of one before it nothing counts. */
void	inflight_forget(struct inflight *l);
/* It stays for the next process if there is a ring left, or a loss; else it goes. */
void	inflight_close(struct inflight *l);

/* ------------------------------------------------------ for ring.c and io.c */

/*
 * Places 0 .. entries - 1, each empty or with one request.
 *
 * Put what is left in order; afterwards the calls below hold.  -EPROTO: it
 * contradicts itself, or the ring, whose own index the guest may have changed,
 * is not the one it was.
 */
int	inflight_resume(struct inflight *l, uint32_t entries,
			uint32_t seen_rsp_prod);
uint32_t inflight_answered(const struct inflight *l);	/* up to this index */
uint32_t inflight_fetched(const struct inflight *l);	/* .. and this one */
/* The request in a place, and the how manieth it was; NULL: none. */
const void *inflight_request(const struct inflight *l, unsigned place,
			     uint64_t *nth);

/* Fetched into a place: to be called before it is begun. */
void	inflight_take(struct inflight *l, unsigned place, const void *slot,
		      size_t len);
/* Its answer is in the ring at idx, not published yet. */
void	inflight_answer(struct inflight *l, unsigned place, uint32_t idx);
/* Answers up to this index are about to be published; .. have been. */
void	inflight_pushing(struct inflight *l, uint32_t rsp_prod);
void	inflight_pushed(struct inflight *l);

/* Where a test may kill the process: between any two writes that matter. */
#ifdef RING_POINTS
void	ring_point(const char *where);
#else
#define ring_point(where) ((void)0)
#endif

#endif
