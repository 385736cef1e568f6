/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * serve-part.h - what the loop of serve.c and the ways to a guest know of each
 * other.
 *
 * The loop has the image, its queue, the ring, the signals and the sleeping.  A
 * way finds the guest: it says which disk is asked for, gives the ring, and
 * knows when all is over.
 */
#ifndef VD_SERVE_PART_H
#define VD_SERVE_PART_H

#include <stdint.h>
#include <sys/types.h>
#include "ring.h"
#include "serve.h"

struct serve;

/* What the tools want, known before the image is opened. */
struct serve_asked {
	unsigned	domid;
	uint32_t	devid;
	bool		readonly;
	bool		discard;	/* not forbidden */
};

/* What became of it once it was open. */
struct serve_disk {
	uint64_t	sectors;	/* of 512 bytes */
	bool		readonly;
	bool		discard;
	uint32_t	discard_granularity;	/* bytes */
};

/* Calls that return int return 0 or -errno and say why. */
struct serve_way {
	/* Pure: which guest's disk does s->o->node name? */
	int	(*name)(struct serve *s, struct vd_err *err);
	/* Connect to it, and learn the rest of s->asked. */
	int	(*open)(struct serve *s, struct vd_err *err);
	/*
	 * The image is open, s->told filled: s->epoll awaits its descriptors.
	 * In the sandbox: nothing can be opened any more.
	 */
	int	(*start)(struct serve *s, struct vd_err *err);
	/* One of its descriptors: WAKE_WAY + n, and what epoll said of it. */
	void	(*woke)(struct serve *s, unsigned n, uint32_t events);
	/* Each turn, when the ring has run: what is next? */
	void	(*turn)(struct serve *s);
	/* The ring has run, and this is what it said. */
	void	(*rested)(struct serve *s, enum ring_state state);
	int	(*timeout)(struct serve *s);	/* ms; -1: when something happens */
	/* A signal: end in order.  Once more with each further one. */
	void	(*quit)(struct serve *s);
	/* Another process will go on: end the process, not the disk. */
	void	(*hand_over)(struct serve *s);
	void	(*close)(struct serve *s);	/* also what is half open */
};

#define WAKE_WAY	16

/* A process that was killed holds image and log until its io_uring is gone. */
#define SERVE_BUSY_TRIES	100
#define SERVE_BUSY_PAUSE	20000	/* microseconds */

struct serve {
	const struct serve_options *o;
	const struct serve_way *way;
	void	       *at;		/* the way's own */
	struct serve_asked asked;
	struct serve_disk told;

	struct vd_library *lib;
	struct vd_disk *disk;
	struct vd_queue *queue;
	struct inflight *log;		/* NULL: what is only ours dies with us */
	struct ring    *ring;		/* NULL: no guest is connected */
	int		epoll;
	int		signals;
	bool		run_ring;
	uint64_t	ring_at;	/* ms; 0: when something happens */
	bool		ready;		/* whoever waits for it was told */
	bool		done;
	bool		again;		/* .. to begin in another process */
	int		status;
};

#ifdef HAVE_XEN
extern const struct serve_way serve_xenbus;
#endif
extern const struct serve_way serve_xpvtap;

/* ------------------------------------------- what serve.c does for a way */

/*
 * The log of requests and losses, before the sandbox; other processes of this
 * disk are dead.  anew: there were none.
 */
void	serve_open_log(struct serve *s, bool anew);
/* After the image.  ended: no process follows on this disk. */
void	serve_close_log(struct serve *s, bool ended);

/* cfg has what the transport knows; the rest is filled in here. */
int	serve_open_ring(struct serve *s, struct ring_config *cfg,
			struct vd_err *err);
void	serve_close_ring(struct serve *s);
/* Flush and close: others may use it now.  The loop goes on without. */
void	serve_close_image(struct serve *s);
int	serve_wait_for(struct serve *s, int fd, unsigned n, uint32_t events,
		       struct vd_err *err);
/* A descriptor that is awaited already: other events, 0 for none. */
void	serve_listen(struct serve *s, int fd, unsigned n, uint32_t events);
/* The disk is there: tell it. */
void	serve_is_ready(struct serve *s);
/* The disk is of the domain we run in: do not wait for ourselves.  For open(). */
void	serve_own_disk(void);
void	serve_say(void *ctx, const char *text);	/* what a guest causes */
uint64_t serve_now(void);			/* ms */

#endif
