/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pool.c - worker threads, started when there is work for one more.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include "queue.h"

struct vd_pool {
	pthread_mutex_t	lock;
	pthread_cond_t	work;
	struct vd_job  *first, **end;
	pthread_t      *threads;
	unsigned	nthreads, max, idle, waiting;
	bool		closing;
};

static void *
worker(void *arg)
{
	struct vd_pool *p = arg;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		struct vd_job *job = p->first;

		if (job) {
			p->first = job->next;
			if (!p->first)
				p->end = &p->first;
			p->waiting--;
			pthread_mutex_unlock(&p->lock);
			job->run(job);
			pthread_mutex_lock(&p->lock);
			continue;
		}
		if (p->closing)
			break;
		p->idle++;
		pthread_cond_wait(&p->work, &p->lock);
		p->idle--;
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* Signals belong to the program's own threads. */
static int
start_worker(struct vd_pool *p)
{
	sigset_t all, old;
	int ret;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = pthread_create(&p->threads[p->nthreads], NULL, worker, p);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!ret)
		p->nthreads++;
	return -ret;
}

int
vd_pool_open(unsigned threads, struct vd_pool **out)
{
	struct vd_pool *p = calloc(1, sizeof(*p));
	int ret = -ENOMEM;

	if (p)
		p->threads = calloc(threads, sizeof(*p->threads));
	if (!p || !p->threads)
		goto fail;
	p->max = threads;
	p->end = &p->first;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	/* One for certain: later ones may fail, work must go on. */
	ret = start_worker(p);
	if (ret)
		goto fail;
	*out = p;
	return 0;
fail:
	if (p)
		free(p->threads);
	free(p);
	return ret;
}

void
vd_pool_submit(struct vd_pool *p, struct vd_job *job)
{
	job->next = NULL;
	pthread_mutex_lock(&p->lock);
	*p->end = job;
	p->end = &job->next;
	p->waiting++;
	if (p->waiting > p->idle && p->nthreads < p->max)
		start_worker(p);
	pthread_cond_signal(&p->work);
	pthread_mutex_unlock(&p->lock);
}

void
vd_pool_close(struct vd_pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->closing = true;
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->nthreads; i++)
		pthread_join(p->threads[i], NULL);
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->work);
	free(p->threads);
	free(p);
}
