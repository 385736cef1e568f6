/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * xpvtap.h - what the kernel driver xpvtap and its one process tell each other.
 *
 * A disk of a Xen guest is a node, /dev/xen/xpvtap/DOMID-DEVID.  The process
 * that has it open gets the guest's block requests on a second blkif ring, the
 * user ring, and their data in the window; it answers on that ring and calls
 * XPVTAP_IOC_PUSH once for as many answers as it likes.  It needs the right to
 * open the node and no other right in Xen.
 *
 *	fd = open("/dev/xen/xpvtap/7-51728", O_RDWR | O_CLOEXEC);
 *	ioctl(fd, XPVTAP_IOC_INFO, &info);
 *	ring   = mmap(0, info.ring_bytes, RW, MAP_SHARED, fd, XPVTAP_RING_OFFSET);
 *	window = mmap(0, info.window_bytes, RW, MAP_SHARED, fd, XPVTAP_WINDOW_OFFSET);
 *	ioctl(fd, XPVTAP_IOC_READY, &ready);
 *	for (;;) { poll(fd); take requests; do them; answer; XPVTAP_IOC_PUSH; }
 *
 * The user ring
 *   is a blkif ring in the layout of x86_64, whatever the guest's is, of
 *   info.ring_bytes; the driver is its frontend.  It starts at zero with each
 *   open().  Operations are READ, WRITE, WRITE_BARRIER, FLUSH_DISKCACHE,
 *   DISCARD, and INDIRECT with an inner READ or WRITE.  The driver has checked
 *   and copied each request (segments, sectors against READY's size, read-only);
 *   what is wrong was answered and is never seen here.  FLUSH has no segments.
 *
 *   id		is the driver's own and must come back unchanged, once.
 *   gref	of a segment is a page number of the window, less than
 *		info.window_pages.  The pages of one request follow each other:
 *		segment i lies in page gref[0] + i.
 *   indirect_grefs[0]	is the page of the window that holds the segments, with
 *		as many as nr_segments says; it is written anew by the driver
 *		for each request and never read back.
 *   A segment's data is at page * 4096 + first_sect * 512 of the window.  Of a
 *   WRITE it is there when the request is; of a READ it must be there when the
 *   answer is pushed.
 *
 * The window with F_MAP
 *   shows the guest's own pages instead of copies, each from its request to the
 *   answer's PUSH; what a request writes is there for reading only, and changes
 *   when the guest changes it: look at no byte twice.  They can be copied from
 *   and to (memcpy, pread, pwrite, also by io_uring) and not be pinned: EFAULT
 *   for O_DIRECT, registered buffers, splice.  A page that is not there is
 *   SIGBUS, or EFAULT in a system call.  That is one without a request; one to
 *   write to, that the guest wants written; all of them once the window was
 *   unmapped or protected, or was to be moved, which fails; and those of a guest
 *   that has gone, 7 seconds after it has.  The segments of INDIRECT are in the
 *   driver's pages and stay.
 *   There is one window at a time (mmap: EBUSY), and only its process is given
 *   requests, so READY from another one is EINVAL.
 *
 * poll()
 *   POLLIN	while a request is there that req_event asked to be told of
 *		(req_prod has reached req_event), level triggered.  Requests
 *		are taken from the guest in poll() and in PUSH, so a process
 *		that does neither may get none.
 *   POLLPRI	the state in XPVTAP_IOC_INFO is another than the last one read.
 *   POLLHUP	the disk is gone for good: finish, close.  Answers are ignored.
 *
 * One process
 *   open() while another has it open: EBUSY.  A fork's child inherits a
 *   descriptor that works and no mapping (VM_DONTCOPY).
 *   When the process closes or dies, requests without an answer are kept; the
 *   guest waits.  The next one that opens and says READY is given them again,
 *   oldest first, with new ids and their data.
 *
 * A process that breaks a rule (an id that is not out, one answered twice,
 * rsp_prod beyond req_prod) gets EINVAL from PUSH from then on: it must close,
 * and is no worse than one that was killed.
 *
 * Sizes are bytes if they say so, and sectors are of 512 bytes.  All fields
 * are little endian as the machine is; pad must be zero.
 */
#ifndef XPVTAP_H
#define XPVTAP_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* The version changes when an old program would go wrong; features do not. */
#define XPVTAP_VERSION		1

#define XPVTAP_RING_OFFSET	0UL
#define XPVTAP_WINDOW_OFFSET	0x1000000UL	/* 16 MiB: no ring is larger */

/* info.features */
#define XPVTAP_F_COPY		(1ULL << 0)	/* the window holds copies */
#define XPVTAP_F_MAP		(1ULL << 1)	/* .. or the guest's own pages: see above */
#define XPVTAP_F_RESIZE		(1ULL << 2)	/* READY again, with more sectors */

/* info.state */
#define XPVTAP_WAITING		0		/* no guest is connected */
#define XPVTAP_CONNECTED	1
#define XPVTAP_CLOSING		2		/* the guest or the tools are closing it */
#define XPVTAP_GONE		3		/* as POLLHUP */

/* info.asked: what the tools want, from B/mode, device-type, discard-enable */
#define XPVTAP_ASKED_READONLY	(1U << 0)
#define XPVTAP_ASKED_DISCARD	(1U << 1)	/* not forbidden */
#define XPVTAP_ASKED_CDROM	(1U << 2)
#define XPVTAP_ASKED_REMOVABLE	(1U << 3)

struct xpvtap_info {
	__u32	size;			/* in: of this structure, as you know it */
	__u32	version;
	__u64	features;
	__u32	domid;
	__u32	devid;
	__u32	state;
	__u32	asked;
	__u32	ring_bytes;
	__u32	max_segments;		/* of a request; 11: no indirect ones */
	__u64	window_bytes;
	__u32	window_pages;
	__u32	again;			/* requests that an earlier process left */
	__u64	opens;			/* this open's number, from 1 */
};

/* ready.flags */
#define XPVTAP_READY_READONLY	(1U << 0)
#define XPVTAP_READY_DISCARD	(1U << 1)
#define XPVTAP_READY_CDROM	(1U << 2)
#define XPVTAP_READY_REMOVABLE	(1U << 3)
#define XPVTAP_READY_FLUSH	(1U << 4)
#define XPVTAP_READY_BARRIER	(1U << 5)

struct xpvtap_ready {
	__u32	size;
	__u32	flags;
	__u64	sectors;		/* 1 .. 2^54 */
	__u32	physical_sector_bytes;	/* power of two, 512 .. 64 KiB */
	__u32	discard_granularity;	/* bytes, a multiple of 512; 0: unknown */
	__u32	max_segments;		/* 11 .. info.max_segments */
	__u32	pad;
};

/*
 * PUSH		take the answers that are on the ring.  EINVAL: see above;
 *		ENOTCONN: before READY; 0 also when there were none.
 * INFO		always allowed; forgets POLLPRI.
 * READY	once per open, after both mmap()s: EINVAL for numbers out of
 *		bounds; EBUSY when the guest is connected to a disk that had
 *		more sectors, or was (not) read-only.  Again: a larger disk is
 *		told to the guest while it runs, anything else is EINVAL.
 */
#define XPVTAP_IOC_PUSH		_IO('X', 1)
#define XPVTAP_IOC_INFO		_IOWR('X', 2, struct xpvtap_info)
#define XPVTAP_IOC_READY	_IOW('X', 3, struct xpvtap_ready)

#endif
