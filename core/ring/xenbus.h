/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xenbus.h - one disk's end of the xenbus handshake.
 *
 * The device follows the two state keys and calls its owner to connect and
 * to disconnect a ring.  It is level-triggered: every run looks at how things
 * are now, never at what has changed, so lost and doubled watch events do no
 * harm.
 *
 * B/ is the backend's directory, F/ the frontend's, as in the protocol's own
 * documents.  Rules R-nn are listed in doc/blkif-rules.md.
 */
#ifndef VD_XENBUS_H
#define VD_XENBUS_H

#include "xen.h"

enum xenbus_state {
	XENBUS_UNKNOWN,
	XENBUS_INITIALISING,
	XENBUS_INIT_WAIT,
	XENBUS_INITIALISED,
	XENBUS_CONNECTED,
	XENBUS_CLOSING,
	XENBUS_CLOSED,
	XENBUS_ODD = 99,	/* not a state of a block device */
};
const char *xenbus_state_name(int state);

/* ------------------------------------------------ the decision (pure) */

/* Everything that matters, as it is now. */
struct xenbus_view {
	int		front;		/* F/state */
	int		back;		/* B/state, as we left it; 5 if so told */
	bool		backend_gone;	/* B/ was removed */
	bool		front_gone;	/* F/ was removed, or the guest is dead */
	bool		online;		/* the tools want the disk to exist */
	bool		ready;		/* the image is open */
	bool		connected;	/* a ring is mapped */
	bool		stopped;	/* ... and being drained: no way back */
	bool		broken;		/* the ring will never work again */
	bool		renewed;	/* the frontend put up another ring */
	bool		quit;		/* this process shall end */
	bool		grace_over;	/* ... and has waited long enough */
	bool		hold;		/* too soon for another connect */
	bool		overdue;	/* the drain takes too long */
	bool		lively;		/* closed, but may ask for more */
	bool		resumable;	/* a dead predecessor's ring can be taken */
	unsigned	inflight;	/* requests without an answer */
};

enum xenbus_step {
	XENBUS_NOTHING,		/* wait for a change */
	XENBUS_WAIT,		/* wait for the time, too */
	XENBUS_PUBLISH,		/* no ring; features, state 2 */
	XENBUS_CONNECT,		/* (another) ring; properties, state 4 */
	XENBUS_RESUME,		/* the ring that a predecessor served; no state */
	XENBUS_DRAIN,		/* finish what is in flight */
	XENBUS_CLOSE_REQUEST,	/* state 5, keep serving */
	XENBUS_CLOSE,		/* no ring; state 6 */
	XENBUS_LEAVE,		/* no ring, no image, no nodes; the end */
};

enum xenbus_step xenbus_decide(const struct xenbus_view *v);

/* ------------------------------------------- the frontend's keys, once */

struct xenbus_front {
	enum ring_abi	abi;
	unsigned	order;		/* log2 of ring pages */
	uint32_t	refs[1u << RING_MAX_ORDER];
	uint32_t	port;
};

/* All keys in one transaction, strictly parsed. */
int	xenbus_front_read(struct xen *x, const char *dir, unsigned max_order,
			  struct xenbus_front *f, struct vd_err *err);

/* --------------------------------------------------------- the device */

struct xenbus_ring {
	void	       *ring;
	unsigned	pages;
	enum ring_abi	abi;
	struct ring_transport transport;
	const struct xenbus_front *keys;	/* what it was made of */
	bool		resume;		/* goes on where another process died */
};

/* What the owner does; called from inside xenbus_run() only. */
struct xenbus_owner {
	int	(*connect)(void *ctx, const struct xenbus_ring *r,
			   struct vd_err *err);
	/*
	 * The ring is to become empty.  At once: fetch nothing more.  Else
	 * the frontend has closed and puts nothing more into it, but waits
	 * for answers to all that is there (Linux does).
	 */
	void	(*drain)(void *ctx, bool at_once);
	/* Requests without an answer, fetched or not. */
	unsigned (*inflight)(void *ctx);
	/* The ring's memory goes away on return. */
	void	(*disconnect)(void *ctx);
	/* The guest has no ring any more: flush and close the image. */
	void	(*finish)(void *ctx);
	void	(*log)(void *ctx, const char *text);
	void   *ctx;
};

struct xenbus_disk {		/* what the guest is told */
	uint64_t	sectors;	/* of 512 bytes */
	bool		readonly;
	bool		discard;	/* the image can */
	uint32_t	discard_granularity;	/* bytes; 0: unknown */
	unsigned	max_order;	/* at most RING_MAX_ORDER */
	unsigned	max_indirect;	/* 0: no indirect requests */
};

/* B/, from "backend/vdisk/7/51728" or with /local/domain/0/ before it. */
struct xenbus_path {
	char		back[XEN_PATH_MAX];	/* absolute */
	char		type[32];
	unsigned	domid;			/* the guest's */
	uint32_t	devid;
};
int	xenbus_parse_path(const char *node, struct xenbus_path *p,
			  struct vd_err *err);

/* What the tools wrote; to be known before the image is opened. */
struct xenbus_asked {
	bool		readonly;	/* B/mode has no w */
	bool		discard;	/* B/discard-enable is not 0 */
};
int	xenbus_asked(struct xen *x, const struct xenbus_path *p,
		     struct xenbus_asked *a, struct vd_err *err);

struct xenbus;

/* server: who we are, for B/vdisk-server. */
int	xenbus_open(struct xen *x, const struct xenbus_path *p,
		    const struct xenbus_disk *disk,
		    const struct xenbus_owner *owner, const char *server,
		    struct xenbus **out, struct vd_err *err);
/*
 * Before the first run: there is a log of what a dead predecessor had in
 * flight.  If a guest is connected, its ring is taken over once; connect() may
 * still find that the log is another ring's.
 */
void	xenbus_may_resume(struct xenbus *b);
/* After something may have changed: look says that xenstore has. */
void	xenbus_run(struct xenbus *b, bool look);
/* In how many ms to run again; -1: when something happens. */
int	xenbus_timeout(struct xenbus *b);
/* The guest has sent an event. */
void	xenbus_rang(struct xenbus *b);
/* The ring is broken: ask the guest to close. */
void	xenbus_broken(struct xenbus *b, const char *why);
/* End: at first politely (state 5 and a grace), the second time at once. */
void	xenbus_quit(struct xenbus *b);
bool	xenbus_done(struct xenbus *b);
bool	xenbus_published(struct xenbus *b);	/* state 2 was reached once */
int	xenbus_back_state(struct xenbus *b);
/* The event channel of the ring in use; false: none. */
bool	xenbus_port(struct xenbus *b, uint32_t *port);
void	xenbus_close(struct xenbus *b);

#endif
