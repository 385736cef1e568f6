/* taprogue.h - what the parts of taprogue share. */
#ifndef TAPROGUE_H
#define TAPROGUE_H

#include "tapdev.h"
#include <setjmp.h>

#define FLAGS	(XPVTAP_READY_FLUSH | XPVTAP_READY_BARRIER)

extern const char *node;
extern uint64_t sectors;
extern int failures;
extern volatile bool scribbling;	/* another thread goes on while it is set */
extern __thread sigjmp_buf no_page;	/* where a SIGBUS leads */

/* tapmap.c: with a window that shows the guest's pages. */
void map_without(void);
void map_amid(void);

static inline void
ok(bool good, const char *text)
{
	printf("%s - rogue: %s\n", good ? "ok" : "not ok", text);
	if (!good) {
		printf("#   errno %d (%s)\n", errno, strerror(errno));
		failures++;
	}
	fflush(stdout);
}

/* The call must fail, with this errno. */
static inline void
fails(long ret, int want, const char *text)
{
	ok(ret < 0 && errno == want, text);
}

static inline void
fresh(struct tapdev *t, bool ready)
{
	if (tapdev_open(t, node) || (ready && tapdev_ready(t, sectors, FLAGS))) {
		printf("Bail out! rogue: cannot open %s: %s\n", node, strerror(errno));
		exit(3);
	}
}

/* Is there a page, for reading or for writing? */
static inline bool
can_touch(volatile uint8_t *p, bool write)
{
	if (sigsetjmp(no_page, 1))
		return false;
	if (write)
		*p = 0;
	else
		(void)*p;
	return true;
}

static inline bool
maps(struct tapdev *t)
{
	return t->info.features & XPVTAP_F_MAP;
}

static inline int push(struct tapdev *t) { return ioctl(t->fd, XPVTAP_IOC_PUSH); }

static inline struct request
one(struct tapdev *t)
{
	struct request q = { 0 };

	if (!tapdev_next(t, &q, 20000)) {
		printf("Bail out! rogue: the guest sends nothing\n");
		exit(3);
	}
	return q;
}

#endif
