/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xenbus_int.h - the device's inside, shared by the xenbus_*.c files.
 */
#ifndef VD_XENBUS_INT_H
#define VD_XENBUS_INT_H

#include "store.h"
#include "xenbus.h"

struct xenbus {
	struct xen     *x;
	struct xenbus_path path;
	struct xenbus_disk disk;
	struct xenbus_owner owner;
	char		front[XEN_PATH_MAX];
	char		server[64];
	struct xenbus_view v;
	bool		managed;	/* the nodes are ours to remove */
	bool		published;
	bool		done;
	bool		quit_now;
	enum xenbus_step step;		/* the last one */

	struct xenbus_front keys;	/* of the ring in use */
	void	       *ring;
	unsigned	pages;
	uint32_t	port;
	bool		bound;
	bool		is_void;	/* the guest gave the ring up */
	bool		cut;		/* draining, and nothing is fetched */
	bool		busy;		/* in use when it was stopped, or since */
	bool		abandoned;	/* ring is our memory; disk still busy */

	bool		dead;		/* the whole guest is */

	uint64_t	drain_until;
	uint64_t	rang_at;	/* when the guest was last heard */
	uint64_t	quiet_at;	/* when it will have been silent */
	uint64_t	grace_until;
	uint64_t	retry_at;
	uint64_t	not_before;	/* the next connect */
	uint64_t	connected_at;
	unsigned	pace;

	bool		look_due;
	uint64_t	look_at;
	unsigned	idle_looks;
};

/* xenbus.c */
void	xenbus_say(struct xenbus *b, const struct vd_err *err);

/* xenbus_write.c: B/, never when it is gone; 0 or -errno, said. */
int	xenbus_still_there(struct xen *x, uint32_t t, const char *back);
int	xenbus_set_state(struct xenbus *b, int state, const char *error);
int	xenbus_put_features(struct xenbus *b);		/* and state 2 */
int	xenbus_put_properties(struct xenbus *b);	/* and state 4 */
int	xenbus_claim(struct xenbus *b);
void	xenbus_remove_nodes(struct xenbus *b);

/* xenbus_ring.c */
int	xenbus_make_ring(struct xenbus *b, bool resume, struct vd_err *err);
/* Is ours still the disk that B/ tells the guest about? */
int	xenbus_same_disk(struct xenbus *b, struct vd_err *err);
/* Nothing of the guest stays with us, whatever the disk is doing. */
void	xenbus_drop_ring(struct xenbus *b);
/* The disk is done with what an abandoned ring had asked for. */
void	xenbus_bury_ring(struct xenbus *b);

#endif
