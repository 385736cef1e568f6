/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * frontend.h - a guest's end of a block ring, as well-behaved as its test wants.
 *
 * Knows the wire format by its own numbers, not by those of core/ring, so that
 * a mistake there is not repeated here.  Publishes whatever it is told to.
 */
#ifndef VD_T_FRONTEND_H
#define VD_T_FRONTEND_H

#include <stdbool.h>
#include <stdint.h>

enum fe_abi { FE_64 = 1, FE_32 };	/* as enum ring_abi */
enum fe_word { FE_REQ_PROD, FE_REQ_EVENT, FE_RSP_PROD, FE_RSP_EVENT };

enum {
	FE_READ, FE_WRITE, FE_BARRIER, FE_FLUSH, FE_RESERVED, FE_DISCARD,
	FE_INDIRECT
};

#define FE_OKAY		0
#define FE_ERROR	(-1)
#define FE_NOTSUPP	(-2)
#define FE_PAGE		4096u

struct fe_seg {
	uint32_t	gref;
	uint8_t		first, last;
};

struct fe_req {
	uint8_t		op;
	uint8_t		inner;		/* of an indirect one */
	uint8_t		flag;		/* of a discard */
	uint16_t	nseg;		/* as published, right or wrong */
	uint16_t	handle;
	uint64_t	id;
	uint64_t	sector;
	uint64_t	nr_sectors;	/* of a discard */
	struct fe_seg	seg[11];
	uint32_t	indirect[8];
};

struct fe_rsp {
	uint64_t	id;
	uint8_t		op;
	int16_t		status;
};

struct fe {
	enum fe_abi	abi;
	unsigned	ring_pages, guest_pages;
	uint32_t	entries, stride;
	int		memfd;
	int		kick_fd;	/* we ring the backend */
	int		notify_fd;	/* the backend rings us */
	uint8_t	       *mem, *slots, *guest;
	uint32_t	req_prod;	/* put, perhaps not published */
	uint32_t	rsp_cons;
	uint8_t		fill;		/* what slots hold before a request */
	uint64_t	kicks;
};

/* A fresh ring whose indices begin at start.  Returns 0 or -errno. */
int	fe_open(struct fe *fe, enum fe_abi abi, unsigned order,
		unsigned guest_pages, uint32_t start);
void	fe_close(struct fe *fe);

volatile uint32_t *fe_word(struct fe *fe, enum fe_word w);
uint8_t *fe_slot(struct fe *fe, uint32_t idx);
uint8_t *fe_page(struct fe *fe, uint32_t gref);
/* Write a segment list into guest page gref, as an indirect page. */
void	fe_indirect_page(struct fe *fe, uint32_t gref,
			 const struct fe_seg *seg, unsigned n);

bool	fe_full(struct fe *fe);
/* Put a request into the next slot; not published yet. */
void	fe_put(struct fe *fe, const struct fe_req *req);
/* Publish what was put, ring if the backend asked for it; did it ring? */
bool	fe_push(struct fe *fe);
/* The next response, if there is one. */
bool	fe_next(struct fe *fe, struct fe_rsp *rsp);
/* Ask to be woken; true: there are responses already. */
bool	fe_rearm(struct fe *fe);
/* Sleep until rung; false: nothing came in that time. */
bool	fe_wait(struct fe *fe, int ms);
/* Is there a ring that nobody has taken?  Takes it. */
bool	fe_rung(struct fe *fe);

#endif
