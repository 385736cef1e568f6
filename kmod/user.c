// SPDX-License-Identifier: GPL-2.0-only
/*
 * user.c - what the process may do with its node; uapi/xpvtap.h tells it.
 *
 * Nothing is copied from or to the process under disk->io: such a copy may need
 * mmap_lock, which comes before it.
 */
#include <linux/fs.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/poll.h>
#include <linux/sizes.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include "disk.h"

#define RING_BYTES	(XPVTAP_RING_PAGES * PAGE_SIZE)
#define SECTORS_MAX	(1ULL << 54)
#define INFO_MAX	4096u		/* larger than it will ever be */

static_assert(sizeof(struct xpvtap_info) == 64);
static_assert(sizeof(struct xpvtap_ready) == 32);

u32
xpvtap_state(struct xpvtap_disk *d)
{
	if (d->gone)
		return XPVTAP_GONE;
	if (d->closing)
		return XPVTAP_CLOSING;
	return d->nr_rings ? XPVTAP_CONNECTED : XPVTAP_WAITING;
}

/* Under io, and where the window can be changed if this is its process. */
static struct mm_struct *
enter(struct xpvtap_disk *d)
{
	struct mm_struct *mm = d->way->visit ? d->way->visit(d) : NULL;

	mutex_lock(&d->io);
	d->inside = mm && d->way->inside(d);
	return mm;
}

static void
leave(struct xpvtap_disk *d, struct mm_struct *mm)
{
	d->inside = false;
	mutex_unlock(&d->io);
	if (mm)
		d->way->leave(mm);
}

/* ------------------------------------------------------ open and close */

static int
open_locked(struct xpvtap_disk *d)
{
	int ret;

	if (d->gone)
		return -ENODEV;
	if (d->opened)
		return -EBUSY;
	ret = xpvtap_slots_init(d);
	if (ret)
		return ret;
	/* No mapping is left of an earlier process: those held its file. */
	memset(d->user.sring, 0, RING_BYTES);
	SHARED_RING_INIT(d->user.sring);
	FRONT_RING_INIT(&d->user, d->user.sring, RING_BYTES);
	d->opened = true;
	d->ready = false;
	d->broken = false;
	d->look = false;
	d->flags = 0;
	d->state_seen = XPVTAP_WAITING;
	d->opens++;
	return 0;
}

static int
xpvtap_open(struct inode *inode, struct file *file)
{
	struct xpvtap_disk *d;
	int ret;

	/* A reader by mistake must not keep the process away. */
	if ((file->f_mode & (FMODE_READ | FMODE_WRITE)) !=
	    (FMODE_READ | FMODE_WRITE))
		return -EACCES;
	d = xpvtap_node_get(iminor(inode));
	if (!d)
		return -ENXIO;
	mutex_lock(&d->io);
	ret = open_locked(d);
	mutex_unlock(&d->io);
	if (ret) {
		xpvtap_put(d);
		return ret;
	}
	file->private_data = d;
	return nonseekable_open(inode, file);
}

/* Answers that it had written count, though it could not say PUSH any more. */
static int
xpvtap_release(struct inode *inode, struct file *file)
{
	struct xpvtap_disk *d = file->private_data;

	mutex_lock(&d->io);
	if (d->ready && !d->broken)
		xpvtap_take_answers(d);
	d->ready = false;
	xpvtap_forget_process(d);
	xpvtap_push_all(d);
	d->opened = false;
	xpvtap_state_changed(d);
	mutex_unlock(&d->io);
	xpvtap_put(d);
	return 0;
}

/* ---------------------------------------------------------------- mmap */

static int
mmap_ring(struct xpvtap_disk *d, struct vm_area_struct *vma)
{
	int ret = remap_vmalloc_range(vma, d->user.sring, 0);

	if (!ret)
		set_bit(RING_MAPPED, &d->flags);
	return ret;
}

static int
mmap_window(struct xpvtap_disk *d, struct vm_area_struct *vma)
{
	int ret = d->way->mmap(d, vma);

	if (!ret)
		set_bit(WINDOW_MAPPED, &d->flags);
	return ret;
}

static int
xpvtap_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct xpvtap_disk *d = file->private_data;
	unsigned long bytes = vma->vm_end - vma->vm_start;

	if (!(vma->vm_flags & VM_SHARED) || vma->vm_flags & VM_EXEC)
		return -EINVAL;
	vma->vm_flags &= ~VM_MAYEXEC;
	vma->vm_flags |= VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP;
	if (vma->vm_pgoff == XPVTAP_RING_OFFSET >> PAGE_SHIFT &&
	    bytes == RING_BYTES)
		return mmap_ring(d, vma);
	if (vma->vm_pgoff == XPVTAP_WINDOW_OFFSET >> PAGE_SHIFT &&
	    bytes == (unsigned long)d->way->pages(d) * PAGE_SIZE)
		return mmap_window(d, vma);
	return -EINVAL;
}

/* ---------------------------------------------------------------- poll */

static __poll_t
xpvtap_poll(struct file *file, poll_table *wait)
{
	struct xpvtap_disk *d = file->private_data;
	struct mm_struct *mm;
	__poll_t mask = 0;
	u32 event;

	poll_wait(file, &d->wait, wait);
	mm = enter(d);
	if (xpvtap_rang(d))
		xpvtap_fetch(d);
	event = READ_ONCE(d->user.sring->req_event);
	if ((s32)(d->user.req_prod_pvt - event) >= 0)
		mask |= EPOLLIN | EPOLLRDNORM;
	if (xpvtap_state(d) != d->state_seen)
		mask |= EPOLLPRI;
	if (d->gone)
		mask |= EPOLLHUP;
	leave(d, mm);
	return mask;
}

/* --------------------------------------------------------------- ioctl */

static long
ioctl_push(struct xpvtap_disk *d)
{
	struct mm_struct *mm = enter(d);
	int ret = 0;

	if (!d->ready) {
		ret = -ENOTCONN;
	} else if (d->broken) {
		ret = -EINVAL;
	} else {
		bool stale = d->nr_stale;

		ret = xpvtap_take_answers(d);
		/* A busy disk needs no thread but this one. */
		xpvtap_fetch(d);
		if (stale && !d->nr_stale)
			xpvtap_state_changed(d);
	}
	leave(d, mm);
	return ret;
}

static void
fill_info(struct xpvtap_disk *d, struct xpvtap_info *info)
{
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	info->version = XPVTAP_VERSION;
	info->features = d->way->feature | XPVTAP_F_RESIZE;
	info->domid = d->domid;
	info->devid = d->devid;
	info->asked = d->asked;
	info->ring_bytes = RING_BYTES;
	info->max_segments = xpvtap_max_segments;
	info->window_pages = d->way->pages(d);
	info->window_bytes = (u64)info->window_pages * PAGE_SIZE;
	mutex_lock(&d->io);
	info->state = xpvtap_state(d);
	info->again = d->ready ? 0 : d->nr_out;
	info->opens = d->opens;
	d->state_seen = info->state;
	mutex_unlock(&d->io);
}

static long
ioctl_info(struct xpvtap_disk *d, void __user *arg)
{
	struct xpvtap_info info;
	u32 size;

	if (get_user(size, (u32 __user *)arg))
		return -EFAULT;
	if (size < sizeof(info) || size > INFO_MAX)
		return -EINVAL;
	fill_info(d, &info);
	if (copy_to_user(arg, &info, sizeof(info)) ||
	    clear_user(arg + sizeof(info), size - sizeof(info)))
		return -EFAULT;
	return 0;
}

/* Numbers alone, whatever the disk is doing. */
static bool
ready_in_bounds(const struct xpvtap_ready *r)
{
	const u32 known = XPVTAP_READY_READONLY | XPVTAP_READY_DISCARD |
		XPVTAP_READY_CDROM | XPVTAP_READY_REMOVABLE |
		XPVTAP_READY_FLUSH | XPVTAP_READY_BARRIER;

	return !(r->flags & ~known) && !r->pad &&
		r->sectors && r->sectors <= SECTORS_MAX &&
		is_power_of_2(r->physical_sector_bytes) &&
		r->physical_sector_bytes >= SZ_512 &&
		r->physical_sector_bytes <= SZ_64K &&
		!(r->discard_granularity % SZ_512) &&
		r->max_segments >= BLKIF_MAX_SEGMENTS_PER_REQUEST &&
		r->max_segments <= xpvtap_max_segments;
}

/* Nothing but more sectors. */
static int
ready_again(struct xpvtap_disk *d, const struct xpvtap_ready *new)
{
	struct xpvtap_ready same = *new;

	same.sectors = d->geometry.sectors;
	if (memcmp(&same, &d->geometry, sizeof(same)) ||
	    new->sectors < d->geometry.sectors)
		return -EINVAL;
	d->geometry.sectors = new->sectors;
	xpvtap_state_changed(d);
	return 0;
}

static int
ready_locked(struct xpvtap_disk *d, struct xpvtap_ready *new)
{
	bool readonly;

	if (d->gone)
		return -ENODEV;
	if (d->broken || !test_bit(RING_MAPPED, &d->flags) ||
	    !test_bit(WINDOW_MAPPED, &d->flags) || !xpvtap_inside(d))
		return -EINVAL;
	/* The stricter of the process and the tools wins. */
	if (d->asked & XPVTAP_ASKED_READONLY)
		new->flags |= XPVTAP_READY_READONLY;
	if (!(d->asked & XPVTAP_ASKED_DISCARD))
		new->flags &= ~XPVTAP_READY_DISCARD;
	if (d->ready)
		return ready_again(d, new);

	readonly = new->flags & XPVTAP_READY_READONLY;
	if (d->nr_rings && (new->sectors < d->geometry.sectors ||
			    new->max_segments < d->told_segments ||
			    readonly != d->readonly))
		return -EBUSY;
	d->geometry = *new;
	d->readonly = readonly;
	d->ready = true;
	xpvtap_present(d);
	mod_delayed_work(xpvtap_wq, &d->pump, 0);
	xpvtap_state_changed(d);
	return 0;
}

static long
ioctl_ready(struct xpvtap_disk *d, void __user *arg)
{
	struct xpvtap_ready ready;
	struct mm_struct *mm;
	u32 size;
	int ret;

	if (get_user(size, (u32 __user *)arg))
		return -EFAULT;
	if (size < sizeof(ready) || size > INFO_MAX)
		return -EINVAL;
	/* What a later program adds must be zero, or we would not do it. */
	ret = copy_struct_from_user(&ready, sizeof(ready), arg, size);
	if (ret)
		return ret == -E2BIG ? -EINVAL : ret;
	ready.size = sizeof(ready);
	if (!ready_in_bounds(&ready))
		return -EINVAL;
	mm = enter(d);
	ret = ready_locked(d, &ready);
	leave(d, mm);
	return ret;
}

/* By number: a structure that grew makes another command of the same meaning. */
static long
xpvtap_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct xpvtap_disk *d = file->private_data;

	if (_IOC_TYPE(cmd) != _IOC_TYPE(XPVTAP_IOC_PUSH))
		return -ENOTTY;
	if (cmd == XPVTAP_IOC_PUSH)
		return ioctl_push(d);
	if (_IOC_NR(cmd) == _IOC_NR(XPVTAP_IOC_INFO) &&
	    _IOC_DIR(cmd) == _IOC_DIR(XPVTAP_IOC_INFO))
		return ioctl_info(d, (void __user *)arg);
	if (_IOC_NR(cmd) == _IOC_NR(XPVTAP_IOC_READY) &&
	    _IOC_DIR(cmd) == _IOC_DIR(XPVTAP_IOC_READY))
		return ioctl_ready(d, (void __user *)arg);
	return -ENOTTY;
}

const struct file_operations xpvtap_fops = {
	.owner		= THIS_MODULE,
	.open		= xpvtap_open,
	.release	= xpvtap_release,
	.mmap		= xpvtap_mmap,
	.poll		= xpvtap_poll,
	.unlocked_ioctl	= xpvtap_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.llseek		= no_llseek,
};
