/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* objects: bench/wire.o */
/*
 * nbdload.c - keep an NBD server busy and say how it did.
 *
 *	nbdload -s SOCKET -p PATTERN [options]
 *	nbdload -w FILE -n BYTES	noise, each block with its number
 *
 * Patterns: randread randwrite seqread seqwrite; fresh (one write into every
 * unit of -u bytes, each once, in random order); first (one read at -o).
 * It ends after -t seconds or -n requests; fresh and seqwrite also when they
 * have been everywhere.  One line of key=value is the result.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <unistd.h>

#include "tally.h"
#include "wire.h"

struct load {
	const char     *socket, *pattern, *file;
	uint32_t	bytes;		/* of a request */
	uint32_t	depth;
	uint32_t	flush_every;	/* 0: never */
	uint32_t	unit;
	uint64_t	most;		/* requests; 0: no limit */
	uint64_t	at;		/* of first */
	double		secs;
	bool		check, last_flush;
	uint64_t	seed;

	struct wire    *w;
	bool		write, seq, fresh;
	uint64_t	size;
	uint32_t       *order;		/* of units */
	uint8_t	      **data;		/* by slot; writes */
	uint64_t       *off, *began;	/* by slot */
	uint32_t       *idle, nidle;	/* slots */
	uint64_t	issued, since_flush, flushes, flush_ns, wrong;
	struct tally	tally;
};

static int
usage(void)
{
	fputs("usage: nbdload -s SOCKET -p randread|randwrite|seqread|seqwrite|"
	      "fresh|first\n"
	      "               [-b bytes] [-q depth] [-t secs] [-n requests] "
	      "[-f flush-every]\n"
	      "               [-u unit] [-o offset] [-S seed] "
	      "[-c] check what is read [-F] flush at the end\n"
	      "       nbdload -w FILE -n BYTES\n", stderr);
	return 2;
}

/* --------------------------------------------------------------- patterns */

static void
shuffle(struct load *l)
{
	uint32_t n = (uint32_t)(l->size / l->unit);

	l->order = malloc((n + 1) * sizeof(*l->order));
	for (uint32_t i = 0; i < n; i++)
		l->order[i] = i;
	for (uint32_t i = n; i > 1; i--) {
		uint32_t k = (uint32_t)(random_next(&l->seed) % i);
		uint32_t was = l->order[i - 1];

		l->order[i - 1] = l->order[k];
		l->order[k] = was;
	}
	if (!l->most || l->most > n)
		l->most = n;
}

static uint64_t
next_offset(struct load *l)
{
	uint64_t blocks = l->size / l->bytes;

	if (l->seq)
		return l->issued % blocks * l->bytes;
	if (l->fresh)
		return (uint64_t)l->order[l->issued] * l->unit +
		       random_next(&l->seed) % (l->unit / l->bytes) * l->bytes;
	return random_next(&l->seed) % blocks * l->bytes;
}

static void
submit(struct load *l)
{
	uint32_t slot = l->idle[--l->nidle];

	l->off[slot] = next_offset(l);
	if (l->write)
		stamp(l->data[slot], l->off[slot], l->bytes);
	wire_put(l->w, l->write ? WIRE_WRITE : WIRE_READ, slot, l->off[slot],
		 l->bytes, l->write ? l->data[slot] : NULL);
	l->began[slot] = now_ns();
	l->issued++;
	l->since_flush++;
}

/* ------------------------------------------------------------------ running */

static bool
take(struct load *l, const struct wire_reply *r, uint64_t now)
{
	if (r->error) {
		fprintf(stderr, "nbdload: error %u at byte %llu\n", r->error,
			(unsigned long long)l->off[r->slot]);
		return false;
	}
	tally_one(&l->tally, l->began[r->slot], now);
	if (l->check && !l->write)
		l->wrong += count_wrong(r->data, l->off[r->slot], l->bytes);
	l->idle[l->nidle++] = r->slot;
	return true;
}

static bool
flush_now(struct load *l, uint64_t *ns)
{
	uint64_t began = now_ns();
	struct wire_reply r;

	wire_put(l->w, WIRE_FLUSH, l->depth, 0, 0, NULL);
	if (!wire_send(l->w) || wire_next(l->w, true, &r) != 1)
		return false;
	if (r.error)
		fprintf(stderr, "nbdload: flush: error %u\n", r.error);
	*ns += now_ns() - began;
	return !r.error;
}

/* Wait for one answer, and take what came with it. */
static bool
gather(struct load *l)
{
	struct wire_reply r;
	bool wait = true;
	int got;

	while ((got = wire_next(l->w, wait, &r)) == 1) {
		if (!take(l, &r, now_ns()))
			return false;
		wait = false;
		if (l->nidle == l->depth)
			return true;
	}
	return !got;
}

static bool
run(struct load *l)
{
	uint64_t end = l->tally.start + (uint64_t)(l->secs * 1e9);
	bool more = true;

	while (more || l->nidle < l->depth) {
		while (more && l->nidle &&
		       (!l->flush_every || l->since_flush < l->flush_every)) {
			if (l->most && l->issued >= l->most)
				more = false;
			else
				submit(l);
		}
		if (!wire_send(l->w))
			return false;
		if (l->nidle < l->depth && !gather(l))
			return false;
		/* What is flushed has been answered. */
		if (l->flush_every && l->nidle == l->depth && l->since_flush) {
			if (!flush_now(l, &l->flush_ns))
				return false;
			l->flushes++;
			l->since_flush = 0;
		}
		if (now_ns() >= end)
			more = false;
	}
	return true;
}

static int
first(struct load *l)
{
	uint64_t began = now_ns();
	struct wire_reply r;

	wire_put(l->w, WIRE_READ, 0, l->at, l->bytes, NULL);
	if (!wire_send(l->w) || wire_next(l->w, true, &r) != 1 || r.error)
		return 1;
	printf("ops=1 read_us=%.1f\n", (double)(now_ns() - began) / 1e3);
	return 0;
}

static bool
prepare(struct load *l)
{
	const char *p = l->pattern;
	uint32_t n = l->depth + 1;	/* one for flushes */

	l->seq = !strncmp(p, "seq", 3);
	l->fresh = !strcmp(p, "fresh");
	l->write = l->fresh || strstr(p, "write");
	l->w = wire_open(l->socket, 60000, n, l->bytes);
	if (!l->w)
		return false;
	l->size = wire_size(l->w);
	l->data = calloc(n, sizeof(*l->data));
	l->off = calloc(n, sizeof(*l->off));
	l->began = calloc(n, sizeof(*l->began));
	l->idle = calloc(n, sizeof(*l->idle));
	l->tally.lat = malloc(SAMPLES * sizeof(*l->tally.lat));
	for (uint32_t i = 0; i < l->depth; i++) {
		l->idle[l->nidle++] = l->depth - 1 - i;
		l->data[i] = malloc(l->bytes);
		for (uint32_t k = 0; k + 8 <= l->bytes; k += 8) {
			uint64_t noise = random_next(&l->seed);

			memcpy(l->data[i] + k, &noise, sizeof(noise));
		}
	}
	if (l->fresh)
		shuffle(l);
	else if (l->seq && l->write && !l->most)
		l->most = l->size / l->bytes;
	return l->size >= l->bytes && (!l->fresh || l->order);
}

static int
measure(struct load *l)
{
	uint64_t end, last = 0;

	if (!prepare(l))
		return 1;
	if (!strcmp(l->pattern, "first"))
		return first(l);
	l->tally.start = now_ns();
	if (!run(l))
		return 1;
	end = now_ns();
	if (l->last_flush && !flush_now(l, &last))
		return 1;
	tally_print(&l->tally, end, l->bytes);
	printf(" flushes=%llu flush_us=%.1f last_flush_ms=%.3f wrong=%llu\n",
	       (unsigned long long)l->flushes, l->flushes
	       ? (double)l->flush_ns / 1e3 / (double)l->flushes : 0,
	       (double)last / 1e6, (unsigned long long)l->wrong);
	wire_close(l->w);
	return l->wrong != 0;
}

/* -------------------------------------------------------------------- files */

static int
write_file(const struct load *l)
{
	static uint8_t buf[1u << 20];
	uint64_t seed = l->seed;
	int fd = open(l->file, O_WRONLY | O_CREAT | O_TRUNC, 0666);

	for (uint64_t off = 0; fd >= 0 && off < l->most; off += sizeof(buf)) {
		size_t n = sizeof(buf);

		if (n > l->most - off)
			n = (size_t)(l->most - off);
		for (size_t i = 0; i < sizeof(buf); i += 8) {
			uint64_t noise = random_next(&seed);

			memcpy(buf + i, &noise, sizeof(noise));
		}
		stamp(buf, off, sizeof(buf));
		if (write(fd, buf, n) != (ssize_t)n) {
			close(fd);
			fd = -1;
		}
	}
	if (fd < 0 || close(fd)) {
		fprintf(stderr, "nbdload: %s: %s\n", l->file, strerror(errno));
		return 1;
	}
	return 0;
}

int
main(int argc, char **argv)
{
	struct load l = {
		.bytes = BLOCK, .depth = 1, .unit = 65536, .secs = 2, .seed = 1,
	};
	int c;

	while ((c = getopt(argc, argv, "s:p:w:b:q:t:n:f:u:o:S:cF")) != -1) {
		switch (c) {
		case 's': l.socket = optarg; break;
		case 'p': l.pattern = optarg; break;
		case 'w': l.file = optarg; break;
		case 'b': l.bytes = (uint32_t)strtoul(optarg, NULL, 0); break;
		case 'q': l.depth = (uint32_t)strtoul(optarg, NULL, 0); break;
		case 't': l.secs = strtod(optarg, NULL); break;
		case 'n': l.most = strtoull(optarg, NULL, 0); break;
		case 'f':
			l.flush_every = (uint32_t)strtoul(optarg, NULL, 0);
			break;
		case 'u': l.unit = (uint32_t)strtoul(optarg, NULL, 0); break;
		case 'o': l.at = strtoull(optarg, NULL, 0); break;
		case 'S': l.seed += strtoull(optarg, NULL, 0) * 7919; break;
		case 'c': l.check = true; break;
		case 'F': l.last_flush = true; break;
		default: return usage();
		}
	}
	if (l.file && l.most)
		return write_file(&l);
	if (!l.socket || !l.pattern || !l.depth || l.depth > 1024 ||
	    l.bytes < 512 || l.bytes > (32u << 20) ||
	    (!strcmp(l.pattern, "fresh") && l.unit < l.bytes) ||
	    optind != argc)
		return usage();
	return measure(&l);
}
