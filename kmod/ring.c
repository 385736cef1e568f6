// SPDX-License-Identifier: GPL-2.0-only
/*
 * ring.c - a guest's ring: indices, strides, barriers.
 *
 * Our own indices are private; of the shared ones only req_prod and rsp_event
 * are ever read, each once.  A slot is copied once and becomes a
 * request in the layout of x86_64, whatever the guest's is: in
 * x86_32's the four bytes that align the id are missing, and nothing else.
 */
#include <linux/string.h>
#include <asm/unaligned.h>
#include <xen/events.h>

#include "disk.h"

#define STRIDE_64	112u
#define STRIDE_32	108u
#define HEADER		64u

static_assert(sizeof(struct blkif_request) == STRIDE_64);
static_assert(offsetof(struct blkif_request, u.rw.id) == 8);
static_assert(offsetof(struct blkif_response, status) == 10);

static void *
ring_slot(struct xpvtap_ring *r, u32 index)
{
	return (u8 *)r->shared + HEADER + (index & (r->entries - 1)) * r->stride;
}

/*
 * A ring in use is continued behind its last response: the driver answers in
 * any order, so it lets go of a ring only together with its frontend, and this
 * is for backends that were there before us.
 */
int
xpvtap_ring_attach(struct xpvtap_ring *r, void *page, u32 pages, bool x86_32)
{
	u32 prod, rsp;

	r->shared = page;
	r->stride = x86_32 ? STRIDE_32 : STRIDE_64;
	r->entries = rounddown_pow_of_two((pages * PAGE_SIZE - HEADER) / r->stride);
	rsp = READ_ONCE(r->shared->rsp_prod);
	prod = READ_ONCE(r->shared->req_prod);
	r->req_cons = rsp;
	r->rsp_prod = rsp;
	r->rsp_told = rsp;
	r->broken = false;
	r->found = true;
	r->penalty = jiffies;
	return prod - rsp > r->entries ? -EINVAL : 0;
}

/* How many requests may be taken now; a ring that lies is left alone. */
u32
xpvtap_ring_pending(struct xpvtap_ring *r)
{
	u32 prod = READ_ONCE(r->shared->req_prod);
	u32 room = r->entries - (r->req_cons - r->rsp_prod);

	if (r->broken)
		return 0;
	virt_rmb();
	if (prod - r->rsp_prod > r->entries) {
		r->broken = true;
		pr_warn_ratelimited("xpvtap: %u-%u: the guest's ring claims %u requests, it has %u: stopped\n",
				    r->disk->domid, r->disk->devid,
				    prod - r->rsp_prod, r->entries);
		return 0;
	}
	return min(prod - r->req_cons, room);		/* */
}

/* Ask for an event with the next request; true: there is one already. */
bool
xpvtap_ring_rearm(struct xpvtap_ring *r)
{
	WRITE_ONCE(r->shared->req_event, r->req_cons + 1);
	virt_mb();
	return xpvtap_ring_pending(r) > 0;
}

void
xpvtap_ring_peek(struct xpvtap_ring *r, struct blkif_request *req)
{
	const u8 *from = ring_slot(r, r->req_cons);
	u8 *to = (u8 *)req;

	if (r->stride == STRIDE_64) {
		memcpy(to, from, STRIDE_64);
	} else {
		memcpy(to, from, 4);
		memset(to + 4, 0, 4);
		memcpy(to + 8, from + 4, STRIDE_32 - 4);
	}
	barrier();
}

/* Three fields, one by one: what lies between them is not ours. */
void
xpvtap_ring_respond(struct xpvtap_ring *r, u64 id, u8 op, s16 status)
{
	struct blkif_response *rsp = ring_slot(r, r->rsp_prod);

	put_unaligned(id, &rsp->id);
	rsp->operation = op;
	rsp->status = status;
	r->rsp_prod++;
}

void
xpvtap_ring_push(struct xpvtap_ring *r)
{
	u32 old = r->rsp_told;
	u32 new = r->rsp_prod;

	if (old == new)
		return;
	virt_wmb();
	WRITE_ONCE(r->shared->rsp_prod, new);
	virt_mb();
	r->rsp_told = new;
	if (new - READ_ONCE(r->shared->rsp_event) < new - old)
		notify_remote_via_irq(r->irq);
}
