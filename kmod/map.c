// SPDX-License-Identifier: GPL-2.0-only
/*
 * map.c - the process works in the guest's own pages.
 *
 * Xen writes the guest's frames into the process's page table, where a request
 * has its run in the window, and takes them out again; Linux sees entries that
 * are special, with no struct page behind them.  So nobody can hold such a page
 * (no O_DIRECT, no pinning: EFAULT), and when an entry is gone so is the grant.
 *
 * Two things must never happen.  Linux must not clear or move such an entry
 * itself: the grant could not be given back any more, and the guest would never
 * be freed.  So all that ends or moves a mapping is told to us before
 * (map_invalidate), and takes the pages out.  And no frame may come into a page
 * table that is on its way out.  So they come in only under the process's own
 * mmap_lock, with its window there: in its poll() or ioctl.
 *
 * Locks: mmap_lock, then disk->io, then map->lock.  Nothing is allocated under
 * the last, since memory may be reclaimed by way of map_invalidate().
 */
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <asm/xen/hypercall.h>
#include <asm/xen/page.h>
#include <xen/features.h>

#include "disk.h"

#define OPS		XPVTAP_COPIES
#define LISTS		XPVTAP_SLOTS	/* pages behind those for data */
#define NO_HANDLE	INVALID_GRANT_HANDLE

struct xpvtap_map {
	struct mutex		lock;
	u32			pages;
	struct mmu_interval_notifier watch;
	unsigned long		taken;		/* bit 0: there is a window */
	struct mm_struct       *mm;		/* whose; NULL: nobody's */
	unsigned long		start;

	/* Of each page: what gives it back. */
	grant_handle_t	       *handle;
	u64		       *pte;
	void		       *lists;

	/* On their way in or out, until the flush; under io. */
	u32			coming;
	u32			going;
	struct xpvtap_slot     *owner[OPS];
	u32			page[OPS];
	struct gnttab_map_grant_ref in[OPS];
	struct xpvtap_slot     *out[XPVTAP_SLOTS];

	/* Under lock. */
	u32			nr_unmap;
	struct gnttab_unmap_grant_ref unmap[OPS];
};

/* Entries are changed in place: a domain that is not PV cannot ask for that. */
bool
xpvtap_can_map(void)
{
	return !xen_feature(XENFEAT_auto_translated_physmap) &&
		xen_feature(XENFEAT_gnttab_map_avail_bits);
}

/* ------------------------------------------------------------------ out */

static void
unmap_now(struct xpvtap_map *m)
{
	u32 i, bad = 0;

	if (!m->nr_unmap)
		return;
	if (HYPERVISOR_grant_table_op(GNTTABOP_unmap_grant_ref, m->unmap,
				      m->nr_unmap))
		bad = m->nr_unmap;
	for (i = 0; !bad && i < m->nr_unmap; i++)
		bad += m->unmap[i].status != GNTST_okay;
	if (bad)
		pr_err_ratelimited("xpvtap: Xen does not take a guest's page back\n");
	m->nr_unmap = 0;
}

/* Those of a range that are there.  Xen flushes TLBs before a frame is free. */
static void
unmap_range(struct xpvtap_map *m, u32 first, u32 n)
{
	u32 i;

	for (i = first; i < first + n; i++) {
		if (m->handle[i] == NO_HANDLE)
			continue;
		if (m->nr_unmap == OPS)
			unmap_now(m);
		gnttab_set_unmap_op(&m->unmap[m->nr_unmap++], m->pte[i],
				    GNTMAP_host_map | GNTMAP_contains_pte |
				    GNTMAP_application_map, m->handle[i]);
		m->handle[i] = NO_HANDLE;
	}
}

/* Before munmap(), mprotect(), mremap(), exit() touch the page table. */
static bool
map_invalidate(struct mmu_interval_notifier *watch,
	       const struct mmu_notifier_range *range, unsigned long seq)
{
	struct xpvtap_map *m = container_of(watch, struct xpvtap_map, watch);
	unsigned long end = m->start + m->pages * PAGE_SIZE;
	unsigned long from = max(range->start, m->start);
	unsigned long to = min(range->end, end);

	if (mmu_notifier_range_blockable(range))
		mutex_lock(&m->lock);
	else if (!mutex_trylock(&m->lock))
		return false;
	mmu_interval_set_seq(watch, seq);
	if (from < to)
		unmap_range(m, (from - m->start) >> PAGE_SHIFT,
			    PAGE_ALIGN(to - from) >> PAGE_SHIFT);
	unmap_now(m);
	mutex_unlock(&m->lock);
	return true;
}

static const struct mmu_interval_notifier_ops map_watch = {
	.invalidate	= map_invalidate,
};

/* A slot comes here once at most between two flushes: there are as many. */
static void
map_take(struct xpvtap_disk *d, struct xpvtap_slot *s)
{
	struct xpvtap_map *m = d->map;

	if (s->nseg)
		m->out[m->going++] = s;
}

/* ------------------------------------------------------------------- in */

static int
note_pte(pte_t *pte, unsigned long addr, void *data)
{
	struct xpvtap_map *m = data;

	m->pte[(addr - m->start) >> PAGE_SHIFT] =
		arbitrary_virt_to_machine(pte).maddr;
	return 0;
}

/* each grant is checked by Xen, each status looked at. */
static void
map_now(struct xpvtap_map *m)
{
	u32 i;

	if (!m->coming)
		return;
	mutex_lock(&m->lock);
	gnttab_batch_map(m->in, m->coming);
	for (i = 0; i < m->coming; i++) {
		if (m->in[i].status == GNTST_okay)
			m->handle[m->page[i]] = m->in[i].handle;
		else
			m->owner[i]->failed = true;
	}
	mutex_unlock(&m->lock);
	m->coming = 0;
}

/* Writable is only what the guest wants to read. */
static void
map_give(struct xpvtap_disk *d, struct xpvtap_slot *s)
{
	struct xpvtap_map *m = d->map;
	u32 flags = GNTMAP_host_map | GNTMAP_application_map |
		    GNTMAP_contains_pte | 1u << _GNTMAP_guest_avail0;
	u32 i, at;

	if (!s->nseg)
		return;
	if (s->op != BLKIF_OP_READ)
		flags |= GNTMAP_readonly;
	if (apply_to_page_range(m->mm, m->start + s->page * PAGE_SIZE,
				s->nseg * PAGE_SIZE, note_pte, m)) {
		s->failed = true;
		return;
	}
	if (m->coming + s->nseg > OPS)
		map_now(m);
	for (i = 0; i < s->nseg; i++) {
		at = m->coming++;
		m->owner[at] = s;
		m->page[at] = s->page + i;
		gnttab_set_map_op(&m->in[at], m->pte[s->page + i], flags,
				  d->seg[s->page + i].gref, d->domid);
	}
}

static void
map_flush(struct xpvtap_disk *d)
{
	struct xpvtap_map *m = d->map;
	u32 i;

	map_now(m);
	if (!m->going)
		return;
	mutex_lock(&m->lock);
	for (i = 0; i < m->going; i++)
		unmap_range(m, m->out[i]->page, m->out[i]->nseg);
	unmap_now(m);
	mutex_unlock(&m->lock);
	m->going = 0;
}

/* ----------------------------------------------------------- the mapping */

/* Behind the data lie our own pages; what is not there of the guest is lost. */
static vm_fault_t
map_fault(struct vm_fault *vmf)
{
	struct xpvtap_map *m = vmf->vma->vm_private_data;
	unsigned long page = (vmf->address - vmf->vma->vm_start) >> PAGE_SHIFT;

	if (page < m->pages || page >= m->pages + LISTS)
		return VM_FAULT_SIGBUS;
	return vmf_insert_pfn(vmf->vma, vmf->address,
			      vmalloc_to_pfn(m->lists +
					     (page - m->pages) * PAGE_SIZE));
}

/* Linux would make the entry writable, Xen refuse, and that for ever. */
static vm_fault_t
map_write_fault(struct vm_fault *vmf)
{
	struct xpvtap_map *m = vmf->vma->vm_private_data;
	unsigned long page = (vmf->address - vmf->vma->vm_start) >> PAGE_SHIFT;

	return page < m->pages ? VM_FAULT_SIGBUS : 0;
}

static int
map_no_split(struct vm_area_struct *vma, unsigned long addr)
{
	return -EINVAL;
}

static int
map_no_move(struct vm_area_struct *vma)
{
	return -EINVAL;
}

/* Not of the copy that mremap() makes before it is told that it may not. */
static void
map_close(struct vm_area_struct *vma)
{
	struct xpvtap_map *m = vma->vm_private_data;

	if (vma->vm_start != m->start)
		return;
	WRITE_ONCE(m->mm, NULL);
	mmu_interval_notifier_remove(&m->watch);
	clear_bit_unlock(0, &m->taken);
}

static const struct vm_operations_struct map_vm_ops = {
	.close		= map_close,
	.may_split	= map_no_split,
	.mremap		= map_no_move,
	.fault		= map_fault,
	.pfn_mkwrite	= map_write_fault,
};

/* One window at a time: an entry has one place. */
static int
map_mmap(struct xpvtap_disk *d, struct vm_area_struct *vma)
{
	unsigned long bytes = vma->vm_end - vma->vm_start;
	struct xpvtap_map *m = d->map;
	int ret;

	if (test_and_set_bit_lock(0, &m->taken))
		return -EBUSY;
	m->start = vma->vm_start;
	/* No entry is made where time matters, if it can be made here. */
	ret = apply_to_page_range(vma->vm_mm, vma->vm_start, bytes, NULL, NULL);
	if (!ret)
		ret = mmu_interval_notifier_insert_locked(&m->watch, vma->vm_mm,
							  vma->vm_start, bytes,
							  &map_watch);
	if (ret) {
		clear_bit_unlock(0, &m->taken);
		return ret;
	}
	/* IO: nor does MADV_DOFORK give it to a child. */
	vma->vm_flags |= VM_IO | VM_PFNMAP;
	vma->vm_private_data = m;
	vma->vm_ops = &map_vm_ops;
	WRITE_ONCE(m->mm, vma->vm_mm);
	return 0;
}

static struct mm_struct *
map_visit(struct xpvtap_disk *d)
{
	struct mm_struct *mm = current->mm;

	if (!mm || mm != READ_ONCE(d->map->mm))
		return NULL;
	mmap_read_lock(mm);
	return mm;
}

/* munmap() takes the window out first, and looks at its pages later. */
static bool
map_inside(struct xpvtap_disk *d)
{
	struct xpvtap_map *m = d->map;
	struct vm_area_struct *vma;

	if (current->mm != READ_ONCE(m->mm))
		return false;
	vma = vma_lookup(current->mm, m->start);
	return vma && vma->vm_ops == &map_vm_ops && vma->vm_private_data == m;
}

static void
map_leave(struct mm_struct *mm)
{
	mmap_read_unlock(mm);
}

/* ----------------------------------------------------------------- memory */

static int
map_init(struct xpvtap_disk *d)
{
	struct xpvtap_map *m = kvzalloc(sizeof(*m), GFP_KERNEL);
	u32 i;

	d->map = m;
	if (!m)
		return -ENOMEM;
	mutex_init(&m->lock);
	m->pages = d->window_pages;
	m->handle = kvmalloc_array(m->pages, sizeof(*m->handle), GFP_KERNEL);
	m->pte = kvcalloc(m->pages, sizeof(*m->pte), GFP_KERNEL);
	m->lists = vzalloc(LISTS * PAGE_SIZE);
	if (!m->handle || !m->pte || !m->lists)
		return -ENOMEM;
	for (i = 0; i < m->pages; i++)
		m->handle[i] = NO_HANDLE;
	return 0;
}

static void
map_exit(struct xpvtap_disk *d)
{
	struct xpvtap_map *m = d->map;

	if (!m)
		return;
	kvfree(m->handle);
	kvfree(m->pte);
	vfree(m->lists);
	kvfree(m);
	d->map = NULL;
}

static u32
map_pages(struct xpvtap_disk *d)
{
	return d->map->pages + LISTS;
}

static struct blkif_request_segment *
map_list(struct xpvtap_disk *d, struct xpvtap_slot *s, u32 *page)
{
	u32 i = s - d->slot;

	*page = d->map->pages + i;
	return d->map->lists + i * PAGE_SIZE;
}

const struct xpvtap_way xpvtap_by_map = {
	.feature	= XPVTAP_F_MAP,
	.holds_guest	= true,
	.init		= map_init,
	.exit		= map_exit,
	.pages		= map_pages,
	.mmap		= map_mmap,
	.visit		= map_visit,
	.inside		= map_inside,
	.leave		= map_leave,
	.list		= map_list,
	.give		= map_give,
	.take		= map_take,
	.flush		= map_flush,
};
