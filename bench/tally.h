/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tally.h - what both load programs count, and the line they end with.
 */
#ifndef VD_BENCH_TALLY_H
#define VD_BENCH_TALLY_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BLOCK		4096u
#define SAMPLES		(1u << 20)	/* latencies kept */

struct tally {
	uint64_t	ops;
	uint64_t	start;		/* ns */
	uint32_t       *lat;		/* ns */
	uint32_t	nlat;
};

static inline uint64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* xorshift64*: never zero. */
static inline uint64_t
random_next(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(0x2545f4914f6cdd1d);
}

/* Every block of every image begins with its own number, or is zeros. */
static inline void
stamp(uint8_t *p, uint64_t off, uint32_t len)
{
	for (uint32_t i = 0; i + 8 <= len; i += BLOCK) {
		uint64_t no = (off + i) / BLOCK + 1;

		memcpy(p + i, &no, sizeof(no));
	}
}

static inline uint64_t
count_wrong(const uint8_t *p, uint64_t off, uint32_t len)
{
	uint64_t wrong = 0, no;

	for (uint32_t i = 0; i + 8 <= len; i += BLOCK) {
		memcpy(&no, p + i, sizeof(no));
		wrong += no != (off + i) / BLOCK + 1;
	}
	return wrong;
}

static inline void
tally_one(struct tally *t, uint64_t began, uint64_t now)
{
	uint64_t ns = now - began;

	t->ops++;
	if (t->nlat < SAMPLES)
		t->lat[t->nlat++] = ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
}

static inline int
by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* "ops=.. secs=.. iops=.. mbps=.. p50_us=.. p99_us=.." without a newline. */
static inline void
tally_print(struct tally *t, uint64_t end, uint32_t bytes)
{
	double secs = (double)(end - t->start) / 1e9;
	uint32_t n = t->nlat;

	qsort(t->lat, n, sizeof(*t->lat), by_value);
	printf("ops=%llu secs=%.6f iops=%.1f mbps=%.3f p50_us=%.1f p99_us=%.1f",
	       (unsigned long long)t->ops, secs, (double)t->ops / secs,
	       (double)t->ops / secs * bytes / 1e6,
	       n ? t->lat[n / 2] / 1e3 : 0,
	       n ? t->lat[(uint64_t)n * 99 / 100] / 1e3 : 0);
}

#endif
