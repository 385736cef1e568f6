/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * inflight.c - the requests a guest waits for, in memory that outlives us.
 *
 * All counters are 64 bits wide, begin above 2^32 and only grow; their lower
 * halves are the ring's indices.  A place holds a request if
 *
 *	fetched_at < fetched  and not  answer_at < pushing
 *
 * so that nothing ever has to be removed.  The order of writes, any of which
 * may be the last one before the process is killed:
 *
 *  L1	request, fetched_at; then answer_at = NEVER, which gives the place to it;
 *	then fetched + 1.  Only then is the request begun.  Before the last of
 *	these the request is still in the ring, and is fetched there again.
 *  L2	The answer into the ring's slot; then answer_at, its index.  As long as
 *	that index is not below `pushing', the request counts as unanswered: it
 *	is done again, and the slot is written again.
 *  L3	pushing = the ring's new rsp_prod: this commits all answers below it.
 *	Then rsp_prod in the ring; then pushed = pushing.  The next process
 *	writes pushing into the ring's rsp_prod once more, which changes nothing
 *	if it was there; no answer is lost, and none is given twice.
 *
 * `lost' is the disk's, not the ring's (B4 of flush.c): it counts with or without
 * a ring, and stays when one ends.
 *
 * So at each moment the places hold fetched - pushing requests, which is how a
 * log that was not written this way is found out.  Of the ring's own page no
 * index is taken; its rsp_prod is compared with pushed and pushing, because a
 * guest may have put up another ring with the same references meanwhile.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>

#include "../run.h"
#include "blkif.h"
#include "inflight.h"

#define MAGIC		"vdisk inflight 1"
#define PLACES		512u		/* slots of the largest ring */
#define NEVER		UINT64_MAX
#define BASE		(UINT64_C(1) << 32)

struct header {
	char		magic[16];
	char		boot[40];
	uint32_t	domid, devid;
	struct inflight_key key;
	_Atomic uint32_t valid;
	_Atomic uint32_t lost;
	_Atomic uint64_t fetched;
	_Atomic uint64_t pushing;
	_Atomic uint64_t pushed;
};

struct place {
	uint64_t	fetched_at;
	_Atomic uint64_t answer_at;
	uint8_t		slot[BLKIF_MAX_STRIDE];
};

struct inflight {
	int		fd;
	char		path[192];
	char		boot[40];	/* read while files can be opened */
	unsigned	domid;
	uint32_t	devid;
	struct header  *h;
	struct place   *places;
};

#define MAP_BYTES	(4096 + PLACES * sizeof(struct place))

_Static_assert(sizeof(struct header) <= 4096, "the header has a page");
_Static_assert(sizeof(struct place) == 128, "two cache lines");

/* Only the compiler must keep the order: we die, the machine goes on. */
#define store(p, v)	atomic_store_explicit(p, v, memory_order_release)
#define load(p)		atomic_load_explicit(p, memory_order_acquire)

/* -------------------------------------------------------------- which file */

static int
failed(const struct inflight *l, struct vd_err *err, int code, const char *what)
{
	vd_fail(err, code, VD_NOWHERE, "cannot %s the log of requests: %s",
		what, strerror(code));
	vd_err_file(err, l->path);
	return -code;
}

/* A plain file of ours, that nobody else can open. */
static bool
is_ours(int fd, struct stat *st)
{
	return !fstat(fd, st) && S_ISREG(st->st_mode) &&
	       st->st_uid == geteuid() && !(st->st_mode & 077) &&
	       st->st_nlink == 1;
}

/* A file that is a stranger's, or of another size, is replaced. */
static int
open_file(struct inflight *l, struct vd_err *err)
{
	struct stat st;
	int fd;

	for (int i = 0; i < 3; i++) {
		fd = open(l->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW |
			  O_NONBLOCK, 0600);
		if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB)) {
			close(fd);
			return failed(l, err, EBUSY, "take");
		}
		if (fd >= 0 && is_ours(fd, &st) && !st.st_size)
			errno = posix_fallocate(fd, 0, MAP_BYTES);
		if (fd >= 0 && is_ours(fd, &st) &&
		    (size_t)st.st_size == MAP_BYTES) {
			l->fd = fd;
			return 0;
		}
		if (fd >= 0)
			close(fd);
		if (unlink(l->path))
			break;
	}
	return failed(l, err, errno ? errno : EIO, "make");
}

static int
map_file(struct inflight *l, struct vd_err *err)
{
	void *p = mmap(NULL, MAP_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
		       l->fd, 0);

	if (p == MAP_FAILED)
		return failed(l, err, errno, "map");
	l->h = p;
	l->places = (struct place *)((char *)p + 4096);
	return 0;
}

int
inflight_open(unsigned domid, uint32_t devid, struct inflight **out,
	      struct vd_err *err)
{
	struct inflight *l;
	char dir[128];
	int ret;

	run_folder(dir, sizeof(dir));
	if (!dir[0])
		return vd_fail(err, ENOENT, VD_NOWHERE, "there is no folder "
			       "/run/vdisk that is ours alone");
	l = calloc(1, sizeof(*l));
	if (!l)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	l->fd = -1;
	run_boot_id(l->boot);
	l->domid = domid;
	l->devid = devid;
	snprintf(l->path, sizeof(l->path), "%s/vbd-%u-%u.inflight", dir, domid,
		 devid);
	ret = open_file(l, err);
	if (!ret)
		ret = map_file(l, err);
	if (ret) {
		inflight_close(l);
		return ret;
	}
	*out = l;
	return 0;
}

void
inflight_close(struct inflight *l)
{
	bool ended;

	if (!l)
		return;
	ended = l->h && !inflight_left(l) && !inflight_lost(l);
	if (l->h)
		munmap(l->h, MAP_BYTES);
	/* Who has given up the right to remove it leaves it empty. */
	if (ended && unlink(l->path))
		(void)!ftruncate(l->fd, 0);
	if (l->fd >= 0)
		close(l->fd);
	free(l);
}

/* --------------------------------------------------------------- what is it */

/* Of this boot, and of a disk with this number. */
static bool
is_current(const struct inflight *l)
{
	const struct header *h = l->h;

	return l->boot[0] && !memcmp(h->magic, MAGIC, sizeof(h->magic)) &&
	       !strncmp(h->boot, l->boot, sizeof(h->boot)) &&
	       h->domid == l->domid && h->devid == l->devid;
}

static void
make_current(struct inflight *l)
{
	struct header *h = l->h;

	if (is_current(l))
		return;
	inflight_forget(l);
	memcpy(h->magic, MAGIC, sizeof(h->magic));
	memcpy(h->boot, l->boot, sizeof(h->boot));
	h->domid = l->domid;
	h->devid = l->devid;
}

bool
inflight_left(const struct inflight *l)
{
	return load(&l->h->valid) == 1 && is_current(l);
}

bool
inflight_lost(const struct inflight *l)
{
	return load(&l->h->lost) == 1 && is_current(l);
}

void
inflight_set_lost(struct inflight *l)
{
	make_current(l);
	store(&l->h->lost, 1);
}

static bool
same_ring(const struct inflight_key *a, const struct inflight_key *b)
{
	return a->abi == b->abi && a->pages == b->pages && a->port == b->port &&
	       !memcmp(a->refs, b->refs, sizeof(a->refs));
}

bool
inflight_fits(const struct inflight *l, const struct inflight_key *key)
{
	return inflight_left(l) && same_ring(&l->h->key, key);
}

void
inflight_end(struct inflight *l)
{
	store(&l->h->valid, 0);
}

void
inflight_forget(struct inflight *l)
{
	inflight_end(l);
	store(&l->h->lost, 0);
}

void
inflight_begin(struct inflight *l, const struct inflight_key *key,
	       uint32_t start)
{
	struct header *h = l->h;
	unsigned i;

	inflight_end(l);
	make_current(l);
	h->key = *key;
	for (i = 0; i < PLACES; i++)
		store(&l->places[i].answer_at, 0);
	store(&h->fetched, BASE + start);
	store(&h->pushing, BASE + start);
	store(&h->pushed, BASE + start);
	ring_point("begun, not valid");
	store(&h->valid, 1);
	ring_point("begun");
}

/* -------------------------------------------------------- what a ring writes */

void
inflight_take(struct inflight *l, unsigned place, const void *slot, size_t len)
{
	uint64_t n = load(&l->h->fetched);
	struct place *p = &l->places[place];

	memcpy(p->slot, slot, len);				/* L1 */
	p->fetched_at = n;
	ring_point("request copied");
	store(&p->answer_at, NEVER);
	ring_point("request in its place");
	store(&l->h->fetched, n + 1);
	ring_point("request fetched");
}

void
inflight_answer(struct inflight *l, unsigned place, uint32_t idx)
{
	uint64_t pushing = load(&l->h->pushing);

	ring_point("answer in the ring");
	store(&l->places[place].answer_at,			/* L2 */
	      pushing + (uint32_t)(idx - (uint32_t)pushing));
	ring_point("answer noted");
}

void
inflight_pushing(struct inflight *l, uint32_t rsp_prod)
{
	uint64_t old = load(&l->h->pushing);

	store(&l->h->pushing, old + (uint32_t)(rsp_prod - (uint32_t)old));
	ring_point("pushing");					/* L3 */
}

void
inflight_pushed(struct inflight *l)
{
	ring_point("published");
	store(&l->h->pushed, load(&l->h->pushing));
	ring_point("pushed");
}

/* ------------------------------------------------------ what the next reads */

static bool
holds(const struct inflight *l, const struct place *p)
{
	return p->fetched_at < load(&l->h->fetched) &&
	       load(&p->answer_at) >= load(&l->h->pushing);
}

static bool
counters_good(const struct header *h, uint32_t entries)
{
	uint64_t fetched = load(&h->fetched), pushing = load(&h->pushing);
	uint64_t pushed = load(&h->pushed);

	return pushed >= BASE && pushed <= pushing &&
	       pushing - pushed <= entries && pushing <= fetched &&
	       fetched - pushing <= entries && fetched < UINT64_MAX / 2;
}

/*
 * Each of the indices that are out once?  They need not be the latest ones, but
 * no two requests have the same, and there are as many as are out.
 */
static bool
places_good(const struct inflight *l, uint32_t entries)
{
	uint64_t out = load(&l->h->fetched) - load(&l->h->pushing), n = 0;
	unsigned i, k;

	for (i = 0; i < PLACES; i++) {
		if (!holds(l, &l->places[i]))
			continue;
		if (i >= entries || ++n > out)
			return false;
		for (k = 0; k < i; k++)
			if (holds(l, &l->places[k]) &&
			    l->places[k].fetched_at == l->places[i].fetched_at)
				return false;
	}
	return n == out;
}

int
inflight_resume(struct inflight *l, uint32_t entries, uint32_t seen_rsp_prod)
{
	struct header *h = l->h;
	struct place *p;

	if (entries > PLACES || !counters_good(h, entries) ||
	    !places_good(l, entries))
		return -EPROTO;
	if (seen_rsp_prod != (uint32_t)load(&h->pushed) &&
	    seen_rsp_prod != (uint32_t)load(&h->pushing))
		return -EPROTO;
	/*
	 * An index noted and not committed will be another request's, and one
	 * that was to be fetched will be fetched into another place.
	 */
	for (p = l->places; p < l->places + PLACES; p++)
		store(&p->answer_at, holds(l, p) ? NEVER : 0);
	ring_point("resumed");
	return 0;
}

uint32_t
inflight_answered(const struct inflight *l)
{
	return (uint32_t)load(&l->h->pushing);
}

uint32_t
inflight_fetched(const struct inflight *l)
{
	return (uint32_t)load(&l->h->fetched);
}

const void *
inflight_request(const struct inflight *l, unsigned place, uint64_t *nth)
{
	const struct place *p = &l->places[place];

	if (!holds(l, p))
		return NULL;
	*nth = p->fetched_at;
	return p->slot;
}
