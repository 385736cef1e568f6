/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rogue.h - a block frontend that breaks the rules, in domain 0.
 *
 * Domain 0 is its own guest: it grants its pages to itself, rings its own
 * event channels and writes the frontend's nodes by hand.  A backend cannot
 * tell it from a guest that means harm.  Rules are those that core/ring cites.
 */
#ifndef ROGUE_H
#define ROGUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "blkif.h"

#define PAGE		4096u
#define MAX_ORDER	4u
#define SEG_PAGES	256u		/* a grant for each indirect segment */
#define DATA_PAGES	(SEG_PAGES + BLKIF_INDIRECT_PAGES)
#define LIST_PAGE	SEG_PAGES	/* the segment lists, behind the data */
#define NO_ANSWER	1000
#define STEP_MS		20000u		/* one step of a handshake */
#define AREA		2048u		/* sector where honest writes go */
#define BAD_GREF	0x00beef00u

struct req {
	uint8_t		op;
	unsigned	nsegs;		/* as told, maybe more than there are */
	uint64_t	id;
	uint64_t	sector;
	uint16_t	handle;
	struct blkif_segment seg[BLKIF_MAX_SEGS];
	uint8_t		inner;		/* indirect: nsegs, and these */
	uint32_t	grefs[BLKIF_INDIRECT_PAGES];
	uint8_t		flag;		/* discard */
	uint64_t	nsectors;
	uint8_t		padding;	/* what fills bytes that mean nothing */
};

struct answer {
	uint64_t	id;
	uint8_t		op;
	int		status;
};

/* What a frontend tells.  NULL: the key is written as it should be; "": it is
 * written empty; "-": it is missing. */
struct keys {
	unsigned	order;
	bool		abi32;
	const char     *protocol, *ring_ref, *event_channel, *page_order;
	const char     *pages, *queues;
	bool		twice;		/* the first page is every page */
};

struct front {
	char		dir[128], back[128];
	uint8_t	       *ring, *data, *fixed;	/* fixed: granted read-only */
	uint32_t	ring_ref[1u << MAX_ORDER];
	uint32_t	ref[DATA_PAGES], fixed_ref;
	int		port;
	bool		up;
	bool		racing;		/* someone else writes the slots */
	struct keys	keys;
	unsigned	order;		/* the largest offered */
	uint32_t	entries, stride, req_prod, rsp_cons;
	uint8_t		shadow[512][BLKIF_MAX_STRIDE];
	uint64_t	sectors;
	unsigned	max_indirect;
	bool		discard, barrier;
	unsigned	dirty;		/* answers with foreign bytes in them */
};
extern struct front f;

/* front.c */
int	front_open(unsigned domid, unsigned devid);
/* B/state in the end: 4, or what came instead. */
int	front_connect(const struct keys *k);
bool	front_reset(void);		/* as GRUB leaves: 6, 6, 1, 2 */
bool	front_again(const struct keys *k);
int	back_state(void);
bool	back_becomes(int state, unsigned ms);
bool	back_has(const char *key, uint64_t *v);
void	node_put(const char *key, const char *value);
void	node_rm(const char *key);
bool	node_gone(const char *path);
uint64_t now_ms(void);
void	nap_ms(unsigned ms);

/* ring.c */
struct blkif_header *header(void);
uint8_t *slot(uint32_t idx);
void	put(const struct req *q);
void	push(void);
void	ring_bell(void);
bool	bell_rang(unsigned ms);
unsigned take(struct answer *a, unsigned n, unsigned ms);
int	one(struct req *q);
bool	even(void);			/* every request has its one answer */
struct req rw(uint8_t op, uint64_t sector, unsigned npages);
struct req indirect(uint8_t inner, uint64_t sector, unsigned n);
struct blkif_segment *list(void);	/* of the last indirect() */
void	pattern(uint8_t *p, size_t n, unsigned seed);
bool	holds(uint64_t sector, unsigned npages, unsigned seed);
bool	writes(uint64_t sector, unsigned npages, unsigned seed);
bool	alive(void);

/* requests.c */
bool	is_error(struct req *q);

/* main.c */
void	ok(bool good, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void	note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
extern unsigned rounds;			/* how long the long ones are */

/* what is tried */
void	try_requests(void);
void	try_indirect(void);
void	try_index(void);
void	try_races(void);
void	try_events(void);
void	try_nodes(void);
void	try_states(void);
void	try_full(void);
void	try_stuck(void);
void	try_readonly(void);
void	try_vanish(void);
void	try_removal(void);

#endif
