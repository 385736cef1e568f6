/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * flush.c - when what is written becomes durable.
 *
 * W2  vd_disk_flush() returns after a sync that began after it was called.
 * W6  The mapping of a write is in memory and in the crash journal when the
 *     write is acknowledged; without a journal it is in the file.
 *
 * New mappings do not wait for the guest's next flush for ever: a thread of the
 * disk's own flushes when there are many or when the first of them has aged.
 * The one whose write was one too many goes on; only when the journal is about
 * to fill does a writer wait.  The thread is started by the first mapping, so
 * that a program may fork between opening a disk and using it.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include "internal.h"

/* Of the journal's records, less one for each write that may be under way. */
#define ENTRIES_MAX	(VD_JOURNAL_RECORDS / 4 * 3)

static int
sync_top(struct vd_disk *d, struct vd_err *err)
{
	struct vd_layer *top = &d->layers[0];
	int ret = 0;

	if (top->format->sync)
		ret = top->format->sync(top->img, err);
	if (!ret)
		ret = vd_host_sync_files(top->host, err);
	if (ret)
		vd_err_file(err, top->path);
	/*
	 * A sync that failed has lost data, for good.  Anything else has
	 * not: what could not be written is still here, and may be tried again.
	 */
	return ret && !vd_host_lost(top->host) ? -EAGAIN : ret;
}

/*
 * A caller is content with any sync that began after it came; those who wait
 * meanwhile share the next one (W2).
 */
int
vd_disk_flush(struct vd_disk *d, struct vd_err *err)
{
	uint64_t need;
	int ret;

	if (d->readonly || !atomic_load(&d->began))
		return 0;
	pthread_mutex_lock(&d->sync_mutex);
	need = d->sync_started + 1;
	while (d->sync_done < need) {
		struct vd_err e = { 0 };

		if (d->sync_running) {
			pthread_cond_wait(&d->sync_cond, &d->sync_mutex);
			continue;
		}
		d->sync_running = true;
		d->sync_started++;
		pthread_mutex_unlock(&d->sync_mutex);
		ret = sync_top(d, &e);
		pthread_mutex_lock(&d->sync_mutex);
		d->sync_running = false;
		d->sync_done = d->sync_started;
		d->sync_result = ret;
		d->sync_err = e;
		pthread_cond_broadcast(&d->sync_cond);
	}
	ret = d->sync_result;
	if (ret && err && !err->code)
		*err = d->sync_err;
	pthread_mutex_unlock(&d->sync_mutex);
	return ret;
}

/* ------------------------------------------------------- the disk's thread */

static void
deadline(struct timespec *t, uint32_t ms)
{
	clock_gettime(CLOCK_MONOTONIC, t);
	t->tv_sec += ms / 1000;
	t->tv_nsec += (long)(ms % 1000) * 1000000;
	if (t->tv_nsec >= 1000000000) {
		t->tv_sec++;
		t->tv_nsec -= 1000000000;
	}
}

/*
 * A flush that fails here is no news yet: what is not written stays, and the
 * guest's own flush will meet the same.
 */
static void *
flusher(void *arg)
{
	struct vd_disk *d = arg;
	struct vd_flusher *f = &d->flusher;
	struct timespec until;
	int late;

	pthread_mutex_lock(&f->lock);
	while (!f->quit) {
		if (!atomic_load(&f->armed)) {
			pthread_cond_wait(&f->cond, &f->lock);
			continue;
		}
		deadline(&until, d->flush_ms);
		late = 0;
		while (!f->quit && !atomic_load(&f->hurry) && !late)
			late = pthread_cond_timedwait(&f->cond, &f->lock,
						      &until);
		if (f->quit)
			break;
		/* Before the flush: what comes while it runs counts anew. */
		atomic_store(&f->armed, false);
		atomic_store(&f->hurry, false);
		pthread_mutex_unlock(&f->lock);
		vd_disk_flush(d, NULL);
		if (atomic_load(&d->layers[0].host->dirty_entries))
			atomic_store(&f->armed, true);
		pthread_mutex_lock(&f->lock);
	}
	pthread_mutex_unlock(&f->lock);
	return NULL;
}

/* Signals belong to the program's own threads. */
static bool
flusher_start(struct vd_disk *d)
{
	struct vd_flusher *f = &d->flusher;
	sigset_t all, old;

	if (f->started)
		return true;
	f->quit = false;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	f->started = !pthread_create(&f->thread, NULL, flusher, d);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return f->started;
}

static bool
wake(struct vd_disk *d)
{
	struct vd_flusher *f = &d->flusher;
	bool there;

	pthread_mutex_lock(&f->lock);
	there = flusher_start(d);
	pthread_cond_signal(&f->cond);
	pthread_mutex_unlock(&f->lock);
	return there;
}

void
vd_flusher_init(struct vd_disk *d)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&d->flusher.lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&d->flusher.cond, &attr);
	pthread_condattr_destroy(&attr);
}

/* Until the next new mapping. */
void
vd_flusher_stop(struct vd_disk *d)
{
	struct vd_flusher *f = &d->flusher;

	pthread_mutex_lock(&f->lock);
	f->quit = true;
	pthread_cond_signal(&f->cond);
	pthread_mutex_unlock(&f->lock);
	if (f->started)
		pthread_join(f->thread, NULL);
	f->started = false;
}

void
vd_flusher_free(struct vd_disk *d)
{
	pthread_mutex_destroy(&d->flusher.lock);
	pthread_cond_destroy(&d->flusher.cond);
}

/* Set the flag; true if it was not set before. */
static bool
raise_flag(atomic_bool *flag)
{
	return !atomic_load_explicit(flag, memory_order_relaxed) &&
	       !atomic_exchange(flag, true);
}

int
vd_engine_settle(struct vd_disk *d, struct vd_err *err)
{
	struct vd_flusher *f = &d->flusher;
	struct vd_host *h = d->layers[0].host;
	unsigned long n = atomic_load(&h->dirty_entries), bytes;
	bool news;

	if (!n)
		return 0;
	if (atomic_load(&h->through) && !d->batch)
		return vd_disk_flush(d, err);
	bytes = atomic_load(&h->dirty_bytes);
	if (n > ENTRIES_MAX || bytes > vd_cache_limit(d->cache) / 2)
		return vd_disk_flush(d, err);
	news = raise_flag(&f->armed);
	if (n > d->flush_entries || bytes > vd_cache_limit(d->cache) / 4)
		news |= raise_flag(&f->hurry);
	/* Without a thread it is whoever makes them that has to pay. */
	if (news && !wake(d))
		return vd_disk_flush(d, err);
	return 0;
}
