/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rig.h - a ring between a frontend and a disk, all in one process.
 *
 * Turn by turn (rig_turn(), rig_collect()) where a test wants to see each step,
 * or with the ring in a thread of its own (rig_thread()) as in real life.
 */
#ifndef VD_T_RIG_H
#define VD_T_RIG_H

#include <pthread.h>

#include "core/ring/loop.h"
#include "core/ring/ring.h"
#include "frontend.h"

struct rig {
	/* set by the test before rig_open(); zeros are usual */
	enum fe_abi	abi;
	unsigned	order;
	unsigned	guest_pages;
	uint32_t	start;		/* index the ring begins with */
	bool		direct;		/* offer the guest's pages themselves */
	struct ring_config cfg;		/* disk, queue, limits */

	struct fe	fe;
	struct loop    *loop;
	struct ring    *ring;
	struct ring_transport real;	/* the one below our counting */
	enum ring_state	state;		/* of the last turn */
	unsigned	copies_in, copies_out, notifies;
	unsigned	log_lines;
	char		last_log[256];
	/* Called after each piece was copied; negative: say that it failed. */
	int	      (*copy_hook)(struct rig *r, const struct ring_copy *c);

	pthread_t	thread;
	int		quit_fd;	/* a test may have it made before */
	unsigned	turns;
};

/* Returns 0 or -errno. */
int	rig_open(struct rig *r);
void	rig_close(struct rig *r);
enum ring_state rig_turn(struct rig *r);
/* Turn until n responses were taken or a second is over; returns how many. */
unsigned rig_collect(struct rig *r, struct fe_rsp *rsp, unsigned n);
/* Put, push, collect one; the status, or 99 when none came. */
int	rig_one(struct rig *r, const struct fe_req *req);
/* Run the ring by events in its own thread, and stop that. */
void	rig_thread(struct rig *r);
void	rig_join(struct rig *r);

#endif
