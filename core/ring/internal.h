/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * internal.h - what the files of the ring handler share, and nobody else sees.
 *
 * The life of a request, and the list it is on:
 *
 *   slot --fetch--> waiting --buffer, copy in--> queue --reap--> done
 *        --copy out--> answered --response, push--> free
 *
 * A request that an earlier process left begins on r->replay instead of in a
 * slot.  r->reqs[i] is place i of the log.
 *
 * The detours: r->barrier (one, gates the fetching), r->retry and r->held
 * (flushes that failed; see flush.c).
 */
#ifndef VD_RING_INTERNAL_H
#define VD_RING_INTERNAL_H

#include "blkif.h"
#include "inflight.h"
#include "ring.h"

#define RING_BYTES	(32ull << 20)	/* data in flight by default */
#define RING_MAX_BYTES	(1ull << 30)
#define RING_PIECES	4096u		/* of one copy call */
#define LOG_BURST	10u		/* lines before the rate counts */
#define RING_CLASSES	9u		/* buffers of 4 KiB << 0..8 */

_Static_assert(RING_MAX_INDIRECT <= BLKIF_SEGS_PER_PAGE,
	       "request.c reads one indirect page");
_Static_assert(RING_MAX_INDIRECT <= 1u << (RING_CLASSES - 1),
	       "the largest buffer holds the largest request");

enum barrier_step {
	BARRIER_DRAIN,		/* wait for everything before it */
	BARRIER_BEFORE,		/* flush that */
	BARRIER_WRITE,
	BARRIER_AFTER,		/* flush the barrier's own data */
};

struct ring_req {
	struct vd_req	vd;
	struct iovec	iov;
	struct ring    *ring;
	struct ring_req *next;	/* on one list at a time */
	struct ring_req *with;	/* flushes answered together with this one */
	struct blkif_segment *segs;	/* private copy, room for r->max_segs */
	void	       *buf;
	uint64_t	id;
	uint64_t	sector;
	uint64_t	nsectors;
	uint64_t	pos;		/* of a discard: bytes done */
	uint32_t	indirect_gref;
	uint16_t	nsegs;
	int16_t		status;
	uint8_t		op;		/* the inner one of an indirect request */
	uint8_t		step;		/* enum barrier_step */
	bool		indirect;
	bool		direct;		/* buf is the transport's, not the pool's */
};

struct req_list {
	struct ring_req *head, *last;
};

static inline void
list_push(struct req_list *l, struct ring_req *q)
{
	q->next = NULL;
	if (l->head)
		l->last->next = q;
	else
		l->head = q;
	l->last = q;
}

static inline struct ring_req *
list_pop(struct req_list *l)
{
	struct ring_req *q = l->head;

	if (q)
		l->head = q->next;
	return q;
}

/* Page-aligned buffers in power-of-two sizes, at most `limit` bytes of them. */
struct pool {
	uint64_t	limit;
	uint64_t	used;		/* bytes mapped, free or not */
	void	       *free[RING_CLASSES];
};

struct ring {
	/* set by ring_open(), constant after */
	struct ring_transport transport;
	struct vd_disk *disk;
	struct vd_queue *queue;
	struct blkif_header *hdr;
	uint8_t	       *slots;
	const struct blkif_layout *layout;
	uint32_t	entries;
	unsigned	max_segs, max_indirect;
	bool		readonly, discard;
	void		(*log)(void *ctx, const char *text);
	void	       *log_ctx;

	/* ours alone; the shared copies are written, never read back */
	uint32_t	req_cons;	/* fetched up to here */
	uint32_t	rsp_prod;	/* answered up to here */
	uint32_t	rsp_pushed;	/* the guest knows up to here */

	struct ring_req *reqs;
	struct blkif_segment *segs;
	struct req_list	free, replay, waiting, done, answered, retry, held;
	struct ring_req *barrier;
	struct ring_req *flush;		/* the one this turn's others join */
	unsigned	submitted;	/* with the disk's queue */
	bool		kick;

	struct inflight *inflight;	/* NULL: requests are kept elsewhere */
	struct inflight *memory;	/* of a loss; NULL: we die, none */
	struct pool	pool;
	struct ring_copy *pieces;
	struct ring_req **owners;	/* of each piece */
	unsigned	npieces;

	uint64_t	capacity;	/* sectors, snapshot of this turn */
	uint64_t	now;		/* ms, of this turn */
	bool		stopped, broken, lost;
	bool		leaving;	/* stopped, and someone comes after us */
	bool		armed;

	/* guard.c */
	unsigned	turn_bad, idle_runs;
	uint64_t	throttled_until;	/* 0: not throttled */
	unsigned	log_tokens;
	uint64_t	log_refilled, log_dropped;

	/* flush.c */
	uint64_t	retry_at;
	unsigned	retry_ms;

	struct ring_stats st;
};

/* ring.c */
bool	ring_index_broken(struct ring *r, uint32_t req_prod);	/* */

/* The request's place in the log. */
static inline unsigned
ring_place(const struct ring *r, const struct ring_req *q)
{
	return (unsigned)(q - r->reqs);
}

/* request.c */
void	request_parse(struct ring *r, struct ring_req *q, const uint8_t *slot);
void	request_check(struct ring *r, struct ring_req *q);
void	request_bad(struct ring *r, struct ring_req *q, int16_t status,
		    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* io.c */
void	io_start(struct ring *r);
void	io_finish(struct ring *r);
void	io_submit(struct ring *r, struct ring_req *q, enum vd_op op,
		  uint64_t off, uint64_t len);
void	io_answer(struct ring *r, struct ring_req *q, int16_t status);
void	io_failed(struct ring *r, struct ring_req *q, int16_t status);

/* flush.c */
void	flush_start(struct ring *r, struct ring_req *q);
void	flush_done(struct ring *r, struct ring_req *q);
bool	flush_retry(struct ring *r);
void	flush_release(struct ring *r);
void	barrier_start(struct ring *r);
void	barrier_done(struct ring *r, struct ring_req *q);

/* copy.c */
void	copy_indirect(struct ring *r, struct ring_req *q);
void	copy_data(struct ring *r, struct ring_req *q, bool to_guest);
bool	copy_get(struct ring *r, struct ring_req *q);
void	copy_put(struct ring *r, struct ring_req *q);
void	copy_flush(struct ring *r, bool to_guest);
void   *pool_get(struct pool *p, size_t len);
void	pool_put(struct pool *p, void *buf, size_t len);
void	pool_free(struct pool *p);
size_t	pool_size(size_t len);

/* guard.c */
uint64_t guard_now(void);
void	guard_turn(struct ring *r, bool work, bool scheduled);
void	guard_log(struct ring *r, const char *fmt, ...)
		__attribute__((format(printf, 2, 3)));

#endif
