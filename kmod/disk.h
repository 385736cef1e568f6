/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * disk.h - one disk of a guest, as the driver sees it.
 *
 * Who may touch what, and the order of locks:
 *
 *	xpvtap_nodes	numbers and names of nodes.  Taken first, never with io.
 *	disk->io	rings, slots, window, and what the process said.  No
 *			xenstore, no copy from or to user space under it.
 *	(state work)	the only one besides remove() that connects and
 *			disconnects; remove() stops it first, so no lock.
 *
 * The interrupt handler takes none of them.  mmap(), page faults and the end of
 * a mapping run under mmap_lock and take none of them either: the window stays
 * what it is from the first open() on, and map.c has a lock of its own for what
 * is in it.  Where both are needed mmap_lock comes before io.
 */
#ifndef XPVTAP_DISK_H
#define XPVTAP_DISK_H

#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <xen/grant_table.h>
#include <xen/xenbus.h>
#include <xen/interface/io/blkif.h>

#include "uapi/xpvtap.h"

#define XPVTAP_SLOTS		512u	/* as many as 16 pages of ring hold */
#define XPVTAP_RING_PAGES	16u
#define XPVTAP_QUEUES		4u
#define XPVTAP_SEGMENTS		256u	/* of one request; a list is half a page */
#define XPVTAP_BATCH		32u	/* requests taken in one go */
#define XPVTAP_COPIES		512u	/* pieces in one call of the hypervisor */

enum xpvtap_slot_state {
	SLOT_FREE,
	SLOT_QUEUED,		/* ours, not on the user ring */
	SLOT_SUBMITTED,		/* the process has it */
	SLOT_DONE,		/* answered, its data on the way to the guest */
};

/* A request that was taken from a guest ring and has no response yet. */
struct xpvtap_slot {
	struct list_head	link;	/* of free, or of out: oldest first */
	enum xpvtap_slot_state	state;
	bool			stale;	/* its guest is gone: answer nobody */
	bool			indirect;	/* segments are still with the guest */
	bool			failed;	/* a copy was refused */
	u8			ring;
	u8			op;	/* never INDIRECT */
	s16			status;
	u32			nseg;
	u32			page;	/* first of its run in the window */
	u32			pages;
	u64			uid;	/* what the process calls it */
	u64			id;	/* what the guest calls it */
	u64			sector;
	u64			sectors;
};

struct xpvtap_ring {
	struct xpvtap_disk     *disk;
	struct blkif_sring     *shared;	/* header; slots have their own stride */
	u32			entries;
	u32			stride;
	u32			req_cons;
	u32			rsp_prod;
	u32			rsp_told;
	int			irq;
	bool			broken;	/* */
	bool			found;	/* since the last end of interrupt */
	atomic_t		event;	/* an interrupt waits for its end */
	unsigned long		penalty;	/* not before these jiffies */
};

/* What the frontend wrote, read once before each connection. */
struct xpvtap_keys {
	u32			x86_32;
	u32			queues;
	u32			order;
	u32			port[XPVTAP_QUEUES];
	grant_ref_t		ref[XPVTAP_QUEUES][XPVTAP_RING_PAGES];
};

/* Pieces for one call of the hypervisor, and whose they are. */
struct xpvtap_copies {
	u32			n;
	struct xpvtap_slot     *slot[XPVTAP_COPIES];
	struct gnttab_copy	op[XPVTAP_COPIES];
};

struct xpvtap_disk;

/*
 * How data gets to the process and back: copied (copy.c), or the guest's own
 * pages, mapped (map.c).  A disk has one way from its first open() on.  All but
 * init, exit, mmap and visit are called under io.
 */
struct xpvtap_way {
	u64	feature;		/* XPVTAP_F_... */
	bool	holds_guest;		/* pages of a guest, while the process has them */
	int	(*init)(struct xpvtap_disk *d);
	void	(*exit)(struct xpvtap_disk *d);
	u32	(*pages)(struct xpvtap_disk *d);	/* that a process sees */
	int	(*mmap)(struct xpvtap_disk *d, struct vm_area_struct *vma);
	/*
	 * NULL: the window can be changed by anybody at any time.  Or only by
	 * the process itself, between visit and leave.
	 */
	struct mm_struct *(*visit)(struct xpvtap_disk *d);
	bool	(*inside)(struct xpvtap_disk *d);
	void	(*leave)(struct mm_struct *mm);
	/* Where the segments of a long request go, and that page's number. */
	struct blkif_request_segment *(*list)(struct xpvtap_disk *d,
					      struct xpvtap_slot *s, u32 *page);
	/* The process is to have it; it has it no more.  Done by flush. */
	void	(*give)(struct xpvtap_disk *d, struct xpvtap_slot *s);
	void	(*take)(struct xpvtap_disk *d, struct xpvtap_slot *s);
	void	(*flush)(struct xpvtap_disk *d);	/* sets slot->failed */
};

enum xpvtap_stat {
	STAT_RD_REQ, STAT_WR_REQ, STAT_OO_REQ, STAT_F_REQ, STAT_DS_REQ,
	STAT_RD_SECT, STAT_WR_SECT, STAT_BAD_REQ, STAT_COUNT
};

/* Bits of disk->flags: no lock. */
enum { RING_MAPPED, WINDOW_MAPPED };

struct xpvtap_disk {
	struct kref		ref;
	u32			domid;
	u32			devid;
	int			minor;
	u32			asked;

	/* xenbus.c, state.c; xd is gone after remove(). */
	struct xenbus_device   *xd;
	struct xenbus_watch	watch;
	struct delayed_work	state_work;
	struct xpvtap_keys	keys;
	bool			closed;		/* nothing of the guest is held */
	bool			front_gone;
	bool			draining;
	unsigned long		drain_from;
	u64			told_sectors;
	unsigned long		connect_at;
	unsigned long		backoff;

	/* All that follows: under io. */
	struct mutex		io;
	struct delayed_work	pump;
	wait_queue_head_t	wait;
	u32			nr_rings;	/* 0: not connected */
	struct xpvtap_ring	ring[XPVTAP_QUEUES];
	bool			closing;
	bool			gone;
	u32			told_segments;	/* the guest may use so many */
	unsigned long		heard;		/* its last request, or answer */
	bool			readonly;

	/* The process. */
	bool			opened;
	bool			ready;
	bool			broken;
	u32			state_seen;
	u64			opens;
	unsigned long		flags;
	bool			inside;		/* it can be given something now */
	bool			look;		/* .. and should look, once it is */
	struct xpvtap_ready	geometry;
	struct blkif_front_ring	user;

	/* The window: pages for data, which are in use, a segment for each. */
	const struct xpvtap_way *way;
	u32			window_pages;
	struct page	      **window;		/* copy.c's */
	struct xpvtap_map      *map;		/* map.c's */
	unsigned long	       *used;
	u32			next_page;
	struct blkif_request_segment *seg;

	struct list_head	free;
	struct list_head	out;
	u32			nr_out;
	u32			nr_stale;
	u64			generation;
	struct xpvtap_slot     *slot;
	struct xpvtap_copies   *copies;
	struct page	       *lists[XPVTAP_BATCH / 2];

	u64			stat[STAT_COUNT];
};

/* main.c */
extern struct workqueue_struct *xpvtap_wq;
extern unsigned int xpvtap_window_pages, xpvtap_max_queues, xpvtap_max_segments;
extern bool xpvtap_want_map;
int xpvtap_node_add(struct xpvtap_disk *d);
void xpvtap_node_del(struct xpvtap_disk *d);
struct xpvtap_disk *xpvtap_node_get(int minor);
void xpvtap_put(struct xpvtap_disk *d);

/* user.c */
extern const struct file_operations xpvtap_fops;
u32 xpvtap_state(struct xpvtap_disk *d);

/* state.c */
void xpvtap_state_init(struct xpvtap_disk *d);
void xpvtap_state_changed(struct xpvtap_disk *d);
void xpvtap_disconnect(struct xpvtap_disk *d);

/* xenbus.c, keys.c */
extern struct xenbus_driver xpvtap_driver;
int xpvtap_read_number(struct xenbus_transaction xbt, const char *dir,
		       const char *node, u32 *value);
int xpvtap_read_keys(struct xpvtap_disk *d, struct xpvtap_keys *k,
		     const char **what);
void xpvtap_publish_features(struct xpvtap_disk *d);
int xpvtap_publish_disk(struct xpvtap_disk *d, bool resized);

/* ring.c */
int xpvtap_ring_attach(struct xpvtap_ring *r, void *page, u32 pages, bool x86_32);
u32 xpvtap_ring_pending(struct xpvtap_ring *r);
bool xpvtap_ring_rearm(struct xpvtap_ring *r);
void xpvtap_ring_peek(struct xpvtap_ring *r, struct blkif_request *req);
void xpvtap_ring_respond(struct xpvtap_ring *r, u64 id, u8 op, s16 status);
void xpvtap_ring_push(struct xpvtap_ring *r);

/* slot.c */
int xpvtap_slots_init(struct xpvtap_disk *d);
void xpvtap_slots_free(struct xpvtap_disk *d);
struct xpvtap_slot *xpvtap_slot_get(struct xpvtap_disk *d, u32 pages);
void xpvtap_slot_put(struct xpvtap_disk *d, struct xpvtap_slot *s);
struct xpvtap_slot *xpvtap_slot_find(struct xpvtap_disk *d, u64 uid);

/* copy.c: also of what no process sees, whichever way data goes */
extern const struct xpvtap_way xpvtap_by_copy;
void xpvtap_copy_lists(struct xpvtap_disk *d, struct xpvtap_slot *s, u32 place,
		       grant_ref_t ref);
void xpvtap_copy_list_done(struct xpvtap_disk *d, struct xpvtap_slot *s, u32 place);
void xpvtap_copy_flush(struct xpvtap_disk *d);

/* map.c */
extern const struct xpvtap_way xpvtap_by_map;
bool xpvtap_can_map(void);

/* request.c */
s16 xpvtap_request_head(struct xpvtap_disk *d, const struct blkif_request *req,
			struct xpvtap_slot *want);
s16 xpvtap_request_body(struct xpvtap_disk *d, struct xpvtap_slot *s);
u8 xpvtap_request_op(const struct blkif_request *req);

/* fetch.c */
void xpvtap_bad_request(struct xpvtap_disk *d, struct xpvtap_ring *r);
bool xpvtap_rang(struct xpvtap_disk *d);
void xpvtap_fetch(struct xpvtap_disk *d);
void xpvtap_pump(struct work_struct *work);

/* serve.c */
bool xpvtap_serving(struct xpvtap_disk *d);
bool xpvtap_inside(struct xpvtap_disk *d);
bool xpvtap_idle(struct xpvtap_disk *d);
void xpvtap_answer(struct xpvtap_disk *d, struct xpvtap_slot *s, s16 status);
void xpvtap_submit(struct xpvtap_disk *d, struct xpvtap_slot **got, u32 n);
void xpvtap_show(struct xpvtap_disk *d, u32 old);
int xpvtap_take_answers(struct xpvtap_disk *d);
void xpvtap_present(struct xpvtap_disk *d);
void xpvtap_push_all(struct xpvtap_disk *d);
void xpvtap_fail_guest(struct xpvtap_disk *d);
void xpvtap_forget_guest(struct xpvtap_disk *d);
void xpvtap_forget_process(struct xpvtap_disk *d);

/* stats.c */
extern const struct attribute_group *xpvtap_groups[];

#endif
