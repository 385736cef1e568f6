/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * guard.c - what a misbehaving guest may cost us: little time, few log lines.
 *
 * No sleeping here: a throttled ring just does not fetch or re-arm until its
 * delay is over, and tells its owner so.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "internal.h"

#define DELAY_MAX_MS	100u
#define IDLE_RUNS	16u	/* wakeups for nothing before it costs */
#define LOG_EVERY_MS	5000u

uint64_t
guard_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* 1, 2, 4 .. 100 ms */
static unsigned
backoff(unsigned n)
{
	return n < 7 ? 1u << n : DELAY_MAX_MS;
}

static void
delay(struct ring *r, unsigned ms)
{
	r->throttled_until = r->now + (ms < DELAY_MAX_MS ? ms : DELAY_MAX_MS);
}

/*
 * A turn is over.  work: it found something to do.  scheduled: we asked for
 * it ourselves, so that finding nothing is nobody's fault.
 */
void
guard_turn(struct ring *r, bool work, bool scheduled)
{
	if (work)
		r->idle_runs = 0;
	else if (!scheduled)
		r->st.spurious++;

	/* a millisecond for each bad request. */
	if (r->turn_bad) {
		delay(r, r->turn_bad);
		r->turn_bad = 0;
		return;
	}

	/*
	 * events without requests.  Nobody below us slows down a guest
	 * that rings for fun; leaving its event masked for a while does.
	 */
	if (!work && !scheduled && !r->throttled_until &&
	    ++r->idle_runs > IDLE_RUNS)
		delay(r, backoff(r->idle_runs - IDLE_RUNS - 1));
}

static bool
log_allowed(struct ring *r)
{
	uint64_t earned = (r->now - r->log_refilled) / LOG_EVERY_MS;

	if (earned) {
		r->log_refilled += earned * LOG_EVERY_MS;
		r->log_tokens = earned < LOG_BURST - r->log_tokens ?
				r->log_tokens + (unsigned)earned : LOG_BURST;
	}
	if (r->log_tokens == 0)
		return false;
	r->log_tokens--;
	return true;
}

/*
 * whatever the guest does, at most a burst and then a line each five
 * seconds.  Callers print numbers only, never text from the guest.
 */
void
guard_log(struct ring *r, const char *fmt, ...)
{
	char text[256];
	va_list ap;
	size_t n;

	if (!r->log)
		return;
	if (!log_allowed(r)) {
		r->log_dropped++;
		return;
	}
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text) - 40, fmt, ap);
	va_end(ap);
	if (r->log_dropped) {
		for (n = 0; text[n]; n++)
			;
		snprintf(text + n, sizeof(text) - n,
			 " (%llu lines left out)",
			 (unsigned long long)r->log_dropped);
		r->log_dropped = 0;
	}
	r->log(r->log_ctx, text);
}

/* Refuse a request for its form; status is what the guest will be told. */
void
request_bad(struct ring *r, struct ring_req *q, int16_t status,
	    const char *fmt, ...)
{
	char why[128];
	va_list ap;

	q->status = status;
	r->st.bad_req++;
	r->turn_bad++;
	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	guard_log(r, "bad request (operation %u): %s", q->op, why);
}
