/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * adm-meter.c - how far a copy is: a bar for people, JSON lines for programs.
 */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include "adm.h"
#include "cmd.h"

#define EVERY_MS	200
#define BAR		24
#define STEP		(64u << 20)	/* hashed between two looks for ^C */

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void
adm_meter_init(struct adm_meter *m)
{
	*m = (struct adm_meter){
		.show = isatty(STDERR_FILENO) ? ADM_BAR : ADM_QUIET,
	};
}

/* Bytes a second since the step began; 0 while that says nothing. */
static uint64_t
rate(const struct adm_meter *m, int64_t now)
{
	return now > m->began ? (uint64_t)((double)m->done * 1000 /
					   (double)(now - m->began)) : 0;
}

static uint64_t
seconds_left(const struct adm_meter *m, uint64_t r)
{
	return r ? (m->size - m->done) / r : 0;
}

static void
show_bar(const struct adm_meter *m, uint64_t r)
{
	double part = m->size ? (double)m->done / (double)m->size : 1;
	char bar[BAR + 1], a[32], b[32], c[32];
	uint64_t left = seconds_left(m, r);

	for (int i = 0; i < BAR; i++)
		bar[i] = i < (int)(part * BAR) ? '#' : '.';
	bar[BAR] = '\0';
	fprintf(stderr, "\r%s %3d %% [%s]  %s of %s  %s/s  %" PRIu64 ":%02"
		PRIu64 " left\033[K", m->step, (int)(part * 100), bar,
		cmd_size_text(m->done, a, sizeof(a)),
		cmd_size_text(m->size, b, sizeof(b)),
		cmd_size_text(r, c, sizeof(c)), left / 60, left % 60);
}

static void
show_json(const struct adm_meter *m, uint64_t r)
{
	fprintf(stderr, "{\"step\":\"%s\",\"done\":%" PRIu64 ",\"size\":%"
		PRIu64 ",\"bytes_per_second\":%" PRIu64 ",\"seconds_left\":%"
		PRIu64 "}\n", m->step, m->done, m->size, r,
		seconds_left(m, r));
}

static void
show(struct adm_meter *m, int64_t now)
{
	uint64_t r = rate(m, now);

	m->shown = now;
	if (m->show == ADM_BAR)
		show_bar(m, r);
	else if (m->show == ADM_JSON)
		show_json(m, r);
}

void
adm_meter_begin(struct adm_meter *m, const char *step, uint64_t size)
{
	m->step = step;
	m->size = size;
	m->done = 0;
	m->began = m->shown = now_ms();
	if (m->show == ADM_JSON)
		show(m, m->began);
}

int
adm_meter_passed(struct adm_meter *m, const void *buf, uint64_t len,
		 struct vd_err *err)
{
	int ret = adm_interrupted(err);

	while (len && !ret) {
		uint64_t n = m->hash && len > STEP ? STEP : len;
		int64_t now;

		if (m->hash)
			adm_hash_add(m->hash, buf, n);
		buf = buf ? (const char *)buf + n : NULL;
		m->done += n;
		len -= n;
		now = m->show == ADM_QUIET ? 0 : now_ms();
		if (now - m->shown >= EVERY_MS)
			show(m, now);
		ret = adm_interrupted(err);
	}
	return ret;
}

void
adm_meter_end(struct adm_meter *m)
{
	if (m->show == ADM_BAR)
		fputs("\r\033[K", stderr);
	else if (m->show == ADM_JSON)
		show(m, now_ms());
}
