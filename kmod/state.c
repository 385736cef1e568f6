// SPDX-License-Identifier: GPL-2.0-only
/*
 * state.c - a disk is connected to its frontend, and parted from it again.
 *
 * Level-triggered: whatever happened, one work item looks at the frontend's
 * state, ours, whether the tools want the disk and whether a process said
 * READY, and does what these ask for.
 */
#include <linux/poll.h>
#include <linux/slab.h>
#include <xen/events.h>

#include "disk.h"

#define BACKOFF_MIN	msecs_to_jiffies(10)
#define BACKOFF_MAX	HZ
#define QUIET		(10 * HZ)
#define DRAIN		(7 * HZ)	/* libxl waits ten seconds for state 6 */
#define DRAIN_NOBODY	(2 * HZ)	/* .. for a process that comes again */
#define DRAIN_FAIL	(2 * HZ)	/* and then for a guest that is refused */
#define DRAIN_LOOK	msecs_to_jiffies(20)
#define LINGER		(HZ / 5)	/* for what comes with the event ... */
#define SILENCE		HZ		/* ... and behind the last request */

void
xpvtap_state_changed(struct xpvtap_disk *d)
{
	if (!d->gone)
		mod_delayed_work(xpvtap_wq, &d->state_work, 0);
}

/*
 * A process that waits in poll() takes the requests there itself: a thread of
 * ours between guest and process would be one switch more.
 */
static irqreturn_t
xpvtap_interrupt(int irq, void *data)
{
	struct xpvtap_ring *r = data;
	struct xpvtap_disk *d = r->disk;

	atomic_set(&r->event, 1);
	if (wq_has_sleeper(&d->wait))
		wake_up_interruptible_poll(&d->wait, EPOLLIN | EPOLLRDNORM);
	else
		mod_delayed_work(xpvtap_wq, &d->pump, 0);
	return IRQ_HANDLED;
}

/* ---------------------------------------------- connect and disconnect */

/* Rings that were mapped, bound or neither. */
static void
let_go_rings(struct xpvtap_disk *d, u32 n)
{
	u32 i;

	for (i = 0; i < n; i++) {
		struct xpvtap_ring *r = &d->ring[i];

		if (r->irq > 0)
			unbind_from_irqhandler(r->irq, r);
		if (r->shared)
			xenbus_unmap_ring_vfree(d->xd, r->shared);
		memset(r, 0, sizeof(*r));
	}
}

/* At once, answering nothing: who waits for answers had them in drained(). */
void
xpvtap_disconnect(struct xpvtap_disk *d)
{
	u32 n;

	mutex_lock(&d->io);
	n = d->nr_rings;
	if (n)
		xpvtap_forget_guest(d);
	d->nr_rings = 0;
	d->told_segments = 0;
	mutex_unlock(&d->io);
	d->draining = false;
	let_go_rings(d, n);
	if (n)
		wake_up_interruptible_all(&d->wait);
}

static int
connect_ring(struct xpvtap_disk *d, u32 i)
{
	struct xpvtap_ring *r = &d->ring[i];
	struct xpvtap_keys *k = &d->keys;
	u32 pages = 1u << k->order;
	void *addr;
	int ret;

	r->disk = d;
	atomic_set(&r->event, 0);
	/* Says and writes itself what went wrong. */
	ret = xenbus_map_ring_valloc(d->xd, k->ref[i], pages, &addr);
	if (ret)
		return ret;
	ret = xpvtap_ring_attach(r, addr, pages, k->x86_32);
	if (ret) {
		xenbus_dev_fatal(d->xd, ret, "ring %u has bad indices", i);
		return ret;
	}
	ret = bind_interdomain_evtchn_to_irqhandler_lateeoi(d->xd, k->port[i],
			xpvtap_interrupt, 0, dev_name(&d->xd->dev), r);
	if (ret < 0) {
		xenbus_dev_fatal(d->xd, ret, "event channel of ring %u", i);
		return ret;
	}
	r->irq = ret;
	return 0;
}

/* 0 when it is connected; what failed left state 5 and nothing else (1.6). */
static int
connect(struct xpvtap_disk *d)
{
	const char *what;
	u32 i;
	int ret;

	ret = xpvtap_read_keys(d, &d->keys, &what);
	if (ret) {
		xenbus_dev_fatal(d->xd, ret, "frontend's %s", what);
		return ret;
	}
	for (i = 0; !ret && i < d->keys.queues; i++)
		ret = connect_ring(d, i);
	if (!ret)
		ret = xpvtap_publish_disk(d, false);
	if (ret) {
		let_go_rings(d, XPVTAP_QUEUES);
		return ret;
	}
	mutex_lock(&d->io);
	d->told_segments = d->geometry.max_segments;
	d->nr_rings = d->keys.queues;
	d->heard = jiffies;
	d->closing = false;
	mutex_unlock(&d->io);
	d->closed = false;
	xenbus_switch_state(d->xd, XenbusStateConnected);
	wake_up_interruptible_all(&d->wait);
	mod_delayed_work(xpvtap_wq, &d->pump, 0);
	return 0;
}

/* ------------------------------------------------------- state machine */

static void
set_closing(struct xpvtap_disk *d, bool closing)
{
	mutex_lock(&d->io);
	d->closing = closing;
	mutex_unlock(&d->io);
	wake_up_interruptible_all(&d->wait);
}

/* Closed: nothing is held.  The watch on our folder sees it and goes on. */
static void
close_disk(struct xpvtap_disk *d)
{
	xpvtap_disconnect(d);
	set_closing(d, true);
	/* Pairs with back_changed(). */
	smp_store_release(&d->closed, true);
	xenbus_switch_state(d->xd, XenbusStateClosed);
}

/* wake: the guest is to hand on what it has queued. */
static void
start_drain(struct xpvtap_disk *d, bool wake)
{
	u32 i;

	d->draining = true;
	d->drain_from = jiffies;
	set_closing(d, true);
	for (i = 0; wake && i < d->nr_rings; i++)
		notify_remote_via_irq(d->ring[i].irq);
	mod_delayed_work(xpvtap_wq, &d->pump, 0);
}

/* Nobody came, or whoever is there has had its time.  Under io. */
static bool
too_late(struct xpvtap_disk *d)
{
	return time_after_eq(jiffies, d->drain_from +
			     (xpvtap_serving(d) ? DRAIN : DRAIN_NOBODY));
}

/*
 * Linux says Closed, or lets its device be removed, with requests in its rings
 * and more in its queues.  It hands those on when an event comes, and its
 * xenbus thread hangs for good if they are not answered.  So the event is sent,
 * and the rings are served until they have been silent for a while; what nobody
 * answers in time fails.  All that takes a time that no guest can stretch.
 */
static bool
drained(struct xpvtap_disk *d)
{
	bool busy, late, silent;

	if (!d->nr_rings)
		return true;
	if (!d->draining)
		start_drain(d, true);
	mutex_lock(&d->io);
	busy = !xpvtap_idle(d);
	late = too_late(d);
	if (busy && late)
		xpvtap_fail_guest(d);
	if (busy)
		d->heard = jiffies;
	silent = time_after_eq(jiffies, d->drain_from + LINGER) &&
		 time_after_eq(jiffies, d->heard + SILENCE);
	mutex_unlock(&d->io);
	if (silent ||
	    time_after_eq(jiffies, d->drain_from + DRAIN + DRAIN_FAIL))
		return true;
	mod_delayed_work(xpvtap_wq, &d->state_work, DRAIN_LOOK);
	return false;
}

/*
 * The guest begins anew, and its ring is void.  Where the process works in the
 * guest's own pages it may finish: to take them away under its hands would fail
 * what it does, and that for a guest that needs it no more.
 */
static bool
may_part(struct xpvtap_disk *d)
{
	bool over;

	if (!d->nr_rings || !d->way->holds_guest)
		return true;
	mutex_lock(&d->io);
	over = !xpvtap_serving(d) || xpvtap_idle(d) ||
	       (d->draining && too_late(d));
	mutex_unlock(&d->io);
	if (over)
		return true;
	if (!d->draining)
		start_drain(d, false);
	mod_delayed_work(xpvtap_wq, &d->state_work, DRAIN_LOOK);
	return false;
}

/* A guest that comes and goes in a loop is let in once a second. */
static bool
too_early(struct xpvtap_disk *d)
{
	if (time_before(jiffies, d->connect_at)) {
		mod_delayed_work(xpvtap_wq, &d->state_work,
				 d->connect_at - jiffies);
		return true;
	}
	if (time_after(jiffies, d->connect_at + QUIET))
		d->backoff = BACKOFF_MIN;
	else
		d->backoff = min_t(unsigned long, d->backoff * 2, BACKOFF_MAX);
	d->connect_at = jiffies + d->backoff;
	return false;
}

static bool
may_connect(struct xpvtap_disk *d)
{
	bool may;

	mutex_lock(&d->io);
	may = d->ready && !d->broken && !d->nr_stale;
	mutex_unlock(&d->io);
	return may;
}

/*
 * It resumed with a new ring, or it writes its state twice.  If it has gone on
 * to Connected meanwhile, it means the ring it had, whatever it does to its
 * keys then.
 */
static bool
keys_changed(struct xpvtap_disk *d)
{
	struct xpvtap_keys *k;
	const char *what;
	bool changed;
	u32 front;

	k = kmalloc(sizeof(*k), GFP_KERNEL);
	if (!k)
		return false;
	changed = !xpvtap_read_keys(d, k, &what) &&
		memcmp(k, &d->keys, sizeof(*k)) &&
		!xpvtap_read_number(XBT_NIL, d->xd->otherend, "state", &front) &&
		front == XenbusStateInitialised;
	kfree(k);
	return changed;
}

/* F/state 3 or 4: ring details are there. */
static void
frontend_ready(struct xpvtap_disk *d, u32 front, u32 back, bool online)
{
	if (d->nr_rings) {
		if (d->geometry.sectors > d->told_sectors &&
		    back == XenbusStateConnected)
			xpvtap_publish_disk(d, true);
		if (front != XenbusStateInitialised || back != XenbusStateConnected ||
		    !keys_changed(d) || !may_part(d))
			return;
		xpvtap_disconnect(d);
	}
	if (back == XenbusStateClosing || !online) {
		set_closing(d, true);
		return;
	}
	if (!may_connect(d) || too_early(d))
		return;
	connect(d);
}

/* F/state 1: it has not begun, or begins again (GRUB, kexec, crash). */
static void
frontend_starts(struct xpvtap_disk *d, u32 back, bool online)
{
	if (!may_part(d))
		return;
	if (d->nr_rings)
		xpvtap_disconnect(d);
	if (!online) {
		if (back == XenbusStateClosing)
			close_disk(d);
		return;
	}
	if (back == XenbusStateInitWait)
		return;
	xpvtap_publish_features(d);
	set_closing(d, false);
	d->closed = false;
	xenbus_switch_state(d->xd, XenbusStateInitWait);
}

/*
 * A guest that shuts down closes its disks, and then its folder vanishes.  Our
 * state says Closed already, and only a write wakes the watch that lets us go.
 * In a transaction, or it could make a folder again that was just removed.
 */
static void
say_closed_again(struct xpvtap_disk *d)
{
	struct xenbus_transaction xbt;
	u32 state;
	int ret;

	do {
		if (xenbus_transaction_start(&xbt))
			return;
		ret = xpvtap_read_number(xbt, d->xd->nodename, "state", &state);
		if (!ret)
			ret = xenbus_printf(xbt, d->xd->nodename, "state", "%d",
					    XenbusStateClosed);
	} while (xenbus_transaction_end(xbt, ret != 0) == -EAGAIN);
}

static void
evaluate(struct xpvtap_disk *d)
{
	u32 front, back;
	bool online;

	if (xpvtap_read_number(XBT_NIL, d->xd->nodename, "state", &back))
		back = XenbusStateUnknown;
	if (back == XenbusStateUnknown) {
		/* Our folder is on its way out: the bus will remove us. */
		xpvtap_disconnect(d);
		set_closing(d, true);
		return;
	}
	switch (xpvtap_read_number(XBT_NIL, d->xd->otherend, "state", &front)) {
	case 0:
		break;
	case -ENOENT:
		front = XenbusStateUnknown;
		break;
	default:
		/* Empty: not yet known. Not a number: its own affair. */
		return;
	}
	online = xenbus_dev_is_online(d->xd);
	if (back == XenbusStateClosing && d->nr_rings && !d->closing)
		set_closing(d, true);

	switch (front) {
	case XenbusStateInitialising:
		frontend_starts(d, back, online);
		break;
	case XenbusStateInitialised:
	case XenbusStateConnected:
		frontend_ready(d, front, back, online);
		break;
	case XenbusStateClosing:
		set_closing(d, true);
		if (back != XenbusStateClosed)
			xenbus_switch_state(d->xd, XenbusStateClosing);
		break;
	case XenbusStateUnknown:
		d->front_gone = true;
		if (d->closed) {
			say_closed_again(d);
			break;
		}
		fallthrough;
	case XenbusStateClosed:
		if (drained(d))
			close_disk(d);
		break;
	default:
		pr_info_ratelimited("xpvtap: %u-%u: the guest is in no state we know\n",
				    d->domid, d->devid);
	}
}

static void
state_work(struct work_struct *work)
{
	evaluate(container_of(to_delayed_work(work), struct xpvtap_disk,
			      state_work));
}

void
xpvtap_state_init(struct xpvtap_disk *d)
{
	INIT_DELAYED_WORK(&d->state_work, state_work);
	d->backoff = BACKOFF_MIN;
	d->connect_at = jiffies;
}
