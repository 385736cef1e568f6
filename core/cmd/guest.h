/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * guest.h - guests and their disks, as xenstore shows them to the tools.
 */
#ifndef VD_GUEST_H
#define VD_GUEST_H

#include <stdbool.h>
#include "xenbus.h"

/* backend/TYPE/DOMID/DEVID: served by grants; by the driver xpvtap; xl's. */
#define GUEST_GRANTS	"vdisk"
#define GUEST_TAP	"tap"
#define GUEST_XL	"vbd"
#define GUEST_SCRIPT	"block-vdisk"	/* B/script: which of xl's are ours */
#define GUEST_DRIVER	"/sys/bus/xen-backend/drivers/xpvtap"
#define GUEST_OWNER	"vdisk-attach"	/* B/managed-by: nodes are ours */

#define GUEST_RUN_FOLDER "/run/vdisk"
#define GUEST_PATH_MAX	64	/* of a file there */

/* "tap:vdisk:/a", "vdisk:/a" and "/a" name the same image. */
const char *guest_image(const char *params);

/* One disk: where its nodes are. */
struct guest_disk {
	const char     *type;		/* GUEST_.. */
	unsigned	domid;
	uint32_t	devid;
	char		back[XEN_PATH_MAX];	/* /local/domain/0/backend/... */
	char		front[XEN_PATH_MAX];	/* /local/domain/7/device/... */
};

/* Which domain we are in ourselves: 0, or a driver domain. */
unsigned guest_self(struct xen *x);
/* A name or a number; the error says what is wrong with it. */
int	guest_find(struct xen *x, const char *domain, unsigned *domid,
		   struct vd_err *err);
/* Its name, or its number as text. */
char   *guest_name(struct xen *x, unsigned domid, char *buf, size_t len);
void	guest_disk(struct xen *x, const char *type, unsigned domid,
		   uint32_t devid, struct guest_disk *d);
/*
 * The one that is there: the frontend's, else what a backend was left of.  With
 * neither it is what guest_disk() makes of GUEST_GRANTS, and the answer false.
 */
bool	guest_which(struct xen *x, unsigned domid, uint32_t devid,
		    struct guest_disk *d);
bool	guest_by_driver(const struct guest_disk *d);
/* The driver's node; room: GUEST_PATH_MAX. */
void	guest_node(const struct guest_disk *d, char *buf);

struct guest_state {
	bool		there;		/* B/ exists */
	int		front, back;	/* enum xenbus_state */
	pid_t		pid;		/* who serves it; 0: nobody yet */
	bool		alive;
};
void	guest_state(struct xen *x, const struct guest_disk *d,
		    struct guest_state *s);

/* The pid file that all who start a disk's server use; room: GUEST_PATH_MAX. */
void	guest_pidfile(const struct guest_disk *d, char *buf);
/* Will a dead server be started again? */
bool	guest_kept(const struct guest_disk *d);

/* Both directories, in one transaction; the frontend's only if it is ours. */
int	guest_remove(struct xen *x, const struct guest_disk *d);

/*
 * What a served disk left in /run/vdisk, unless a process holds it; whoever
 * opens one of these looks whether it still has a name.
 */
void	guest_tidy(const struct guest_disk *d);
/* .. and the journals there with nothing in them, of all disks that there were. */
void	guest_tidy_journals(void);

/*
 * Call back for every disk that vdisk serves, xl's with our script among them;
 * stops when it returns != 0.
 */
int	guest_each(struct xen *x,
		   int (*fn)(struct xen *x, const struct guest_disk *d,
			     void *ctx), void *ctx, struct vd_err *err);

#endif
