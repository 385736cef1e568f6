// SPDX-License-Identifier: GPL-2.0-only
/*
 * slot.c - the table of requests without a response, and the window's pages.
 *
 * A request gets one run of pages that follow each other.  What a page is for
 * (gref and sectors of a segment) is kept beside it and never shown to the
 * process, so that no slot needs room for the longest list.
 */
#include <linux/bitmap.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "disk.h"

#define SLOT_BITS	9
static_assert(XPVTAP_SLOTS == 1 << SLOT_BITS);

static int
window_alloc(struct xpvtap_disk *d)
{
	u32 n = xpvtap_window_pages;

	d->window_pages = n;
	d->seg = kvcalloc(n, sizeof(*d->seg), GFP_KERNEL);
	d->used = bitmap_zalloc(n, GFP_KERNEL);
	if (!d->seg || !d->used)
		return -ENOMEM;
	d->way = READ_ONCE(xpvtap_want_map) ? &xpvtap_by_map : &xpvtap_by_copy;
	return d->way->init(d);
}

static int
slots_alloc(struct xpvtap_disk *d)
{
	u32 i;

	d->slot = kvcalloc(XPVTAP_SLOTS, sizeof(*d->slot), GFP_KERNEL);
	d->copies = kvzalloc(sizeof(*d->copies), GFP_KERNEL);
	d->user.sring = vmalloc_user(XPVTAP_RING_PAGES * PAGE_SIZE);
	if (!d->slot || !d->copies || !d->user.sring)
		return -ENOMEM;
	for (i = 0; i < ARRAY_SIZE(d->lists); i++) {
		d->lists[i] = alloc_page(GFP_KERNEL);
		if (!d->lists[i])
			return -ENOMEM;
	}
	for (i = 0; i < XPVTAP_SLOTS; i++)
		list_add_tail(&d->slot[i].link, &d->free);
	return 0;
}

/* With the first open(): most disks have theirs at once, some have none ever. */
int
xpvtap_slots_init(struct xpvtap_disk *d)
{
	int ret;

	if (d->slot)
		return 0;
	ret = slots_alloc(d);
	if (!ret)
		ret = window_alloc(d);
	if (ret)
		xpvtap_slots_free(d);
	return ret;
}

void
xpvtap_slots_free(struct xpvtap_disk *d)
{
	u32 i;

	if (d->way)
		d->way->exit(d);
	for (i = 0; i < ARRAY_SIZE(d->lists) && d->lists[i]; i++)
		put_page(d->lists[i]);
	memset(d->lists, 0, sizeof(d->lists));
	vfree(d->user.sring);
	kvfree(d->seg);
	bitmap_free(d->used);
	kvfree(d->slot);
	kvfree(d->copies);
	d->user.sring = NULL;
	d->way = NULL;
	d->seg = NULL;
	d->used = NULL;
	d->slot = NULL;
	d->copies = NULL;
	INIT_LIST_HEAD(&d->free);
}

/* A run of pages; goes on where the last one ended, so that runs spread. */
static bool
window_get(struct xpvtap_disk *d, u32 pages, u32 *page)
{
	unsigned long at;

	at = bitmap_find_next_zero_area(d->used, d->window_pages, d->next_page,
					pages, 0);
	if (at >= d->window_pages)
		at = bitmap_find_next_zero_area(d->used, d->window_pages, 0,
						pages, 0);
	if (at >= d->window_pages)
		return false;
	bitmap_set(d->used, at, pages);
	*page = at;
	d->next_page = at + pages;
	return true;
}

/* NULL: no room now; some answer will make it. */
struct xpvtap_slot *
xpvtap_slot_get(struct xpvtap_disk *d, u32 pages)
{
	struct xpvtap_slot *s;
	u32 page = 0;

	if (list_empty(&d->free) || (pages && !window_get(d, pages, &page)))
		return NULL;
	s = list_first_entry(&d->free, struct xpvtap_slot, link);
	list_move_tail(&s->link, &d->out);
	s->state = SLOT_QUEUED;
	s->stale = false;
	s->failed = false;
	s->status = BLKIF_RSP_OKAY;
	s->page = page;
	s->pages = pages;
	d->nr_out++;
	return s;
}

void
xpvtap_slot_put(struct xpvtap_disk *d, struct xpvtap_slot *s)
{
	if (s->pages)
		bitmap_clear(d->used, s->page, s->pages);
	if (s->stale)
		d->nr_stale--;
	s->state = SLOT_FREE;
	s->stale = false;
	list_move(&s->link, &d->free);
	d->nr_out--;
}

/* The process says a number: it is one that is out, or it is nothing (D-06). */
struct xpvtap_slot *
xpvtap_slot_find(struct xpvtap_disk *d, u64 uid)
{
	struct xpvtap_slot *s;
	u32 i;

	i = array_index_nospec(uid & (XPVTAP_SLOTS - 1), XPVTAP_SLOTS);
	s = &d->slot[i];
	if (s->state != SLOT_SUBMITTED || s->uid != uid)	/* D-07 */
		return NULL;
	return s;
}
