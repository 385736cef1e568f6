/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ring.h - the blkif ring handler: requests in, disk calls, responses out.
 *
 * The handler knows the protocol and nothing of where the ring came from.  A
 * transport gives it the ring's memory, a way to copy to and from guest pages
 * and a way to notify; the owner of the event loop calls ring_run() when the
 * guest has rung or when the disk's queue has something to reap.
 *
 * One thread per ring.  Nothing here blocks.
 */
#ifndef VD_RING_H
#define VD_RING_H

#include <stdbool.h>
#include <stdint.h>
#include <vdisk/vdisk.h>

#define RING_PAGE_SIZE		4096u
#define RING_MAX_ORDER		4u	/* 16 pages, 512 requests */
#define RING_MAX_INDIRECT	256u	/* segments of an indirect request */

enum ring_abi {
	RING_ABI_X86_64 = 1,	/* and arm: same layout */
	RING_ABI_X86_32,
};

/* One piece to copy: inside one guest page, off + len <= 4096. */
struct ring_copy {
	uint32_t	gref;
	uint16_t	off;
	uint16_t	len;
	void	       *buf;
	int		status;		/* 0, or why this piece failed (-errno) */
};

struct ring_transport {
	/*
	 * Copy n pieces to (or from) guest pages, one call for a whole batch.
	 * Every status is set; returns 0 if all are 0, else the first.
	 */
	int	(*copy)(void *ctx, struct ring_copy *c, unsigned n,
			bool to_guest);
	void	(*notify)(void *ctx);
	void   *ctx;
	/*
	 * Optional.  Where n pages from gref on lie, one after the other, for
	 * as long as the ring is open; NULL: nowhere.  A request that fills
	 * such pages without a gap is read and written there by the disk,
	 * without a buffer and a copy.  Bounds gref itself.
	 */
	void   *(*pages)(void *ctx, uint32_t gref, unsigned n);
	/* Call notify after each push, whatever rsp_event says. */
	bool	always;
};

struct inflight;
struct inflight_key;

struct ring_config {
	void		       *ring;		/* pages, virtually contiguous */
	unsigned		pages;		/* 1, 2, 4, 8 or 16 */
	enum ring_abi		abi;
	struct ring_transport	transport;
	struct vd_disk	       *disk;
	struct vd_queue	       *queue;		/* reaped by ring_run() */
	bool			readonly;	/* enforced per request */
	bool			discard;	/* advertised */
	unsigned		max_indirect;	/* advertised; 0: none */
	uint64_t		max_bytes;	/* of data in flight; 0: 32 MiB */
	struct inflight	       *inflight;	/* a loss is noted there (B4) */
	const struct inflight_key *key;		/* .. and what is in flight, as
						   being of this ring */
	bool			resume;		/* begin with what is noted */
	void		      (*log)(void *ctx, const char *text); /* rate-limited */
	void		       *log_ctx;
};

struct ring_stats {
	uint64_t rd_req, wr_req, f_req, ds_req, rd_sect, wr_sect, oo_req;
	uint64_t bad_req;		/* answered with an error for their form */
	uint64_t errors;		/* the disk said no */
	uint64_t spurious;		/* runs that found nothing to do */
	uint64_t direct;		/* requests done in the guest's pages */
};

enum ring_state {
	RING_IDLE,		/* wait for an event, or for ring_delay_ms() */
	RING_MORE,		/* budget used up: call ring_run() again */
	RING_THROTTLED,		/* misbehaving guest: call again after ring_delay_ms() */
	RING_BROKEN,		/* never fetches again; close it */
};

struct ring;

/*
 * Starts at the indices found in the page (rsp_prod), so that an orderly
 * restart continues a live ring; a fresh ring has zeros there.  With resume it
 * starts with what a killed process left, and tells the guest of its answers;
 * -EPROTO: that was another ring.
 */
int	ring_open(const struct ring_config *cfg, struct ring **out,
		  struct vd_err *err);
/*
 * Fetch, dispatch, reap, respond, re-arm.  Bounded work.  Call it once
 * after ring_open(), then when the guest has rung, when vd_queue_fd() is
 * readable, when ring_delay_ms() is over, and after ring_stop()/ring_resume().
 */
enum ring_state ring_run(struct ring *r);
/*
 * How long until ring_run() wants to be called even if nothing happens; 0: it
 * does not.  Worth asking after RING_THROTTLED, where the guest's event should
 * stay masked for as long (the disk's should not), and after RING_IDLE, where
 * a failed flush may be waiting for its next try.
 */
unsigned ring_delay_ms(struct ring *r);
/*
 * Fetch nothing more; what is in flight is finished by ring_run().  Flushes
 * that can never succeed (flush.c, B3) are answered with an error only now.
 */
void	ring_stop(struct ring *r);
void	ring_resume(struct ring *r);
/*
 * As ring_stop(), but another process will serve the rest: nothing new is
 * begun, and what cannot be answered truthfully stays unanswered (B3).  Done
 * when ring_busy() is 0.
 */
void	ring_leave(struct ring *r);
unsigned ring_busy(struct ring *r);	/* requests that the disk works on */
unsigned ring_inflight(struct ring *r);
/*
 * Requests in the ring that were not fetched yet; 0 once stopped or broken.
 * A frontend that closes may still wait for their answers.
 */
unsigned ring_unfetched(struct ring *r);
/*
 * After RING_IDLE: will the next request ring?  If not, the ring waits for the
 * disk, and a level-triggered source of events should not be listened to.
 */
bool	ring_armed(struct ring *r);
void	ring_stats(struct ring *r, struct ring_stats *s);
/* Does it mean that data was lost, if a flush ends with this (-errno)? */
bool	ring_flush_lost(int result);
/*
 * Only after ring_inflight() is 0, or when the guest's memory is gone:
 * answers nothing then, but waits for the disk to be done with our buffers.
 */
void	ring_close(struct ring *r);

#endif
