// SPDX-License-Identifier: GPL-2.0-only
/*
 * copy.c - data is copied between the guest's pages and ours, many pieces a call.
 *
 * The hypervisor checks grants and copies; the guest's number
 * comes from the tools.  Each piece has a status of its own, and each
 * is looked at.  Nothing stays mapped, so nothing has to be undone.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <xen/page.h>

#include "disk.h"

#define SECTOR		512u
#define LIST_BYTES	(XPVTAP_SEGMENTS * sizeof(struct blkif_request_segment))
static_assert(2 * LIST_BYTES == PAGE_SIZE);

void
xpvtap_copy_flush(struct xpvtap_disk *d)
{
	struct xpvtap_copies *c = d->copies;
	u32 i;

	if (!c->n)
		return;
	gnttab_batch_copy(c->op, c->n);
	for (i = 0; i < c->n; i++)
		if (c->op[i].status != GNTST_okay)
			c->slot[i]->failed = true;
	c->n = 0;
}

static struct gnttab_copy *
copy_next(struct xpvtap_disk *d, struct xpvtap_slot *s)
{
	struct xpvtap_copies *c = d->copies;

	if (c->n == XPVTAP_COPIES)
		xpvtap_copy_flush(d);
	c->slot[c->n] = s;
	return &c->op[c->n++];
}

static void
copy_in(struct xpvtap_disk *d, struct xpvtap_slot *s, grant_ref_t ref,
	struct page *page, u16 from, u16 to, u16 len)
{
	struct gnttab_copy *op = copy_next(d, s);

	op->flags = GNTCOPY_source_gref;
	op->len = len;
	op->source.u.ref = ref;
	op->source.domid = d->domid;
	op->source.offset = from;
	op->dest.u.gmfn = xen_page_to_gfn(page);
	op->dest.domid = DOMID_SELF;
	op->dest.offset = to;
}

static void
copy_out(struct xpvtap_disk *d, struct xpvtap_slot *s, grant_ref_t ref,
	 struct page *page, u16 offset, u16 len)
{
	struct gnttab_copy *op = copy_next(d, s);

	op->flags = GNTCOPY_dest_gref;
	op->len = len;
	op->source.u.gmfn = xen_page_to_gfn(page);
	op->source.domid = DOMID_SELF;
	op->source.offset = offset;
	op->dest.u.ref = ref;
	op->dest.domid = d->domid;
	op->dest.offset = offset;
}

/* A list of segments, to a page that no process sees. */
void
xpvtap_copy_lists(struct xpvtap_disk *d, struct xpvtap_slot *s, u32 place,
		  grant_ref_t ref)
{
	copy_in(d, s, ref, d->lists[place / 2], 0, (place & 1) * LIST_BYTES,
		s->nseg * sizeof(*d->seg));
}

void
xpvtap_copy_list_done(struct xpvtap_disk *d, struct xpvtap_slot *s, u32 place)
{
	const u8 *list = page_address(d->lists[place / 2]);

	memcpy(&d->seg[s->page], list + (place & 1) * LIST_BYTES,
	       s->nseg * sizeof(*d->seg));
}

static bool
writes(const struct xpvtap_slot *s)
{
	return s->nseg && s->op != BLKIF_OP_READ;
}

/* All segments of a request, in the direction that its operation says. */
static void
copy_data(struct xpvtap_disk *d, struct xpvtap_slot *s)
{
	const struct blkif_request_segment *seg;
	u16 offset, len;
	u32 i;

	for (i = 0; i < s->nseg; i++) {
		seg = &d->seg[s->page + i];
		offset = seg->first_sect * SECTOR;
		len = (seg->last_sect - seg->first_sect + 1) * SECTOR;
		if (writes(s))
			copy_in(d, s, seg->gref, d->window[s->page + i],
				offset, offset, len);
		else
			copy_out(d, s, seg->gref, d->window[s->page + i],
				 offset, len);
	}
}

/* ------------------------------------------------------------- the way */

static int
copy_init(struct xpvtap_disk *d)
{
	u32 i;

	d->window = kvcalloc(d->window_pages, sizeof(*d->window), GFP_KERNEL);
	if (!d->window)
		return -ENOMEM;
	for (i = 0; i < d->window_pages; i++) {
		d->window[i] = alloc_page(GFP_KERNEL | __GFP_ZERO);
		if (!d->window[i])
			return -ENOMEM;
	}
	return 0;
}

/* Pages that a process has pinned or mapped live until it lets go. */
static void
copy_exit(struct xpvtap_disk *d)
{
	u32 i;

	for (i = 0; d->window && i < d->window_pages && d->window[i]; i++)
		put_page(d->window[i]);
	kvfree(d->window);
	d->window = NULL;
}

static u32
copy_pages(struct xpvtap_disk *d)
{
	return d->window_pages;
}

static int
copy_mmap(struct xpvtap_disk *d, struct vm_area_struct *vma)
{
	return vm_map_pages_zero(vma, d->window, d->window_pages);
}

/* The page behind those of its data. */
static struct blkif_request_segment *
copy_list(struct xpvtap_disk *d, struct xpvtap_slot *s, u32 *page)
{
	*page = s->page + s->nseg;
	return page_address(d->window[*page]);
}

static void
copy_give(struct xpvtap_disk *d, struct xpvtap_slot *s)
{
	if (writes(s))
		copy_data(d, s);
}

/* Only a READ that went well has something for its guest. */
static void
copy_take(struct xpvtap_disk *d, struct xpvtap_slot *s)
{
	if (s->state == SLOT_DONE && s->op == BLKIF_OP_READ && !s->stale &&
	    !s->status)
		copy_data(d, s);
}

const struct xpvtap_way xpvtap_by_copy = {
	.feature	= XPVTAP_F_COPY,
	.init		= copy_init,
	.exit		= copy_exit,
	.pages		= copy_pages,
	.mmap		= copy_mmap,
	.list		= copy_list,
	.give		= copy_give,
	.take		= copy_take,
	.flush		= xpvtap_copy_flush,
};
