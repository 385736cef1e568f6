/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * mutate - damaged images through probe and open, in this very process.
 *
 *	mutate -f vmdk -s 1 -n 10000 -w /dev/shm/dir seed1.vmdk seed2.vmdk
 *
 * Case i of seed s is always the same file: -c I replays one.  A case fails
 * when it crashes, needs more than a second of CPU (or ten by the clock), or
 * holds more than 64 MiB; the file is kept beside the report, status is 1.
 * What the library answers is its own business: it may refuse or open.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>
#include <vdisk/vdisk.h>
#include "heap.h"

#define HEAD_MAX	(2u << 20)	/* of a seed, kept and mutated */
#define TAIL_MAX	(64u << 10)
#define PAGE		4096u
#define EXTENT_MAX	(16ull << 30)
#define SEEDS_MAX	64
#define CPU_SECONDS	1
#define CLOCK_SECONDS	10
#define HELD_MAX	(64u << 20)

struct image {
	uint8_t	       *head;		/* HEAD_MAX bytes of room */
	size_t		head_len;
	uint8_t		tail[TAIL_MAX];
	size_t		tail_len;
	uint64_t	size;
	uint16_t	busy[HEAD_MAX / PAGE];	/* pages with something in them */
	unsigned	nbusy;
};

static struct {
	struct vd_library *lib;
	const char     *format;
	bool		verbose;
	struct image	seeds[SEEDS_MAX];
	unsigned	nseeds;
	char		scratch[4000];	/* the case's file */
	char		kept[4096];	/* its name when it failed */
	uint64_t	seed;
	uint64_t	number;		/* of the case being run */
	uint64_t	rng;
	unsigned	opened;		/* cases that opened */
	unsigned	written;	/* and took a write */
} m;

/* ------------------------------------------------------- when it goes wrong */

static void
put(const char *s)
{
	if (write(STDERR_FILENO, s, strlen(s)) < 0)
		return;
}

static void
put_number(uint64_t v)
{
	char buf[24], *p = buf + sizeof(buf) - 1;

	*p = '\0';
	do
		*--p = '0' + v % 10;
	while (v /= 10);
	put(p);
}

/* From signal handlers too: nothing but system calls. */
static void
report(const char *why)
{
	static volatile sig_atomic_t once;

	if (once++)
		return;
	rename(m.scratch, m.kept);
	put("mutate: ");
	put(why);
	put("\nmutate: format ");
	put(m.format);
	put(", -s ");
	put_number(m.seed);
	put(" -c ");
	put_number(m.number);
	put("; the file is kept as ");
	put(m.kept);
	put("\n");
}

static void
on_signal(int sig)
{
	report(sig == SIGPROF ? "a case needed more than a second of CPU" :
	       sig == SIGALRM ? "a case hung for ten seconds" :
	       "a case crashed");
	if (sig == SIGPROF || sig == SIGALRM)
		_exit(1);
	signal(sig, SIG_DFL);
	raise(sig);
}

static void
on_sanitizer(void)
{
	report("a sanitizer complained");
}

static void
catch(void)
{
	static const int fatal[] = { SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL };

	signal(SIGPROF, on_signal);
	signal(SIGALRM, on_signal);
	if (heap_sanitized(on_sanitizer))
		return;		/* it catches the others and tells more */
	for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
		signal(fatal[i], on_signal);
}

static void
watch(bool on)
{
	struct itimerval cpu = { .it_value.tv_sec = on ? CPU_SECONDS : 0 };
	struct itimerval clk = { .it_value.tv_sec = on ? CLOCK_SECONDS : 0 };

	setitimer(ITIMER_PROF, &cpu, NULL);
	setitimer(ITIMER_REAL, &clk, NULL);
}

/* --------------------------------------------------------------- mutations */

static uint64_t
rnd(void)
{
	uint64_t x = m.rng += 0x9e3779b97f4a7c15u;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static uint64_t
below(uint64_t n)
{
	return n ? rnd() % n : 0;
}

/* Mostly the header, often a table or the descriptor, sometimes anywhere. */
static size_t
place(const struct image *img)
{
	static const size_t near[] = { 512, 512, 1024, 4096, HEAD_MAX };
	size_t kind = below(8), n = near[kind < 5 ? kind : 0];
	size_t at;

	if (kind >= 5 && img->nbusy) {
		at = img->busy[below(img->nbusy)] * PAGE + below(PAGE);
		if (at < img->head_len)
			return at;
	}
	return below(n < img->head_len ? n : img->head_len);
}

static uint64_t
interesting(const struct image *img)
{
	static const uint64_t v[] = {
		0, 1, 2, 3, 4, 7, 8, 63, 64, 127, 128, 255, 256, 511, 512, 513,
		4096, 65535, 65536, 0x7fffffff, 0x80000000, 0xfffffffe,
		0xffffffff, 0x100000000, 1ull << 40, INT64_MAX - 511,
		INT64_MAX, 1ull << 63, UINT64_MAX - 511, UINT64_MAX,
	};

	switch (below(6)) {
	case 0:
		return img->size + below(1025) - 512;
	case 1:
		return img->size / 512 + below(5) - 2;
	case 2:
		return 1ull << below(64);
	case 3:
		return rnd();
	default:
		return v[below(sizeof(v) / sizeof(v[0]))];
	}
}

static void
set_integer(struct image *img)
{
	size_t width = 1u << below(4), at = place(img);
	uint64_t v = interesting(img);

	if (below(4))
		at &= ~(size_t)3;
	if (at + width > img->head_len)
		return;
	if (!below(4)) {	/* a small step away from what it was */
		memcpy(&v, img->head + at, width);
		v += below(9) - 4;
	}
	memcpy(img->head + at, &v, width);
}

static void
flip_bits(struct image *img)
{
	if (!below(8) && img->tail_len) {
		img->tail[below(img->tail_len)] ^= 1u << below(8);
		return;
	}
	for (unsigned n = 1 + below(8); n && img->head_len; n--)
		img->head[place(img)] ^= 1u << below(8);
}

static void
graft(struct image *img)
{
	const struct image *from = &m.seeds[below(m.nseeds)];
	size_t src = place(from), dst = below(2) ? src : place(img);
	size_t len = 1 + below(below(2) ? 64 : 4096);

	if (src + len > from->head_len)
		len = from->head_len - src;
	if (dst + len > HEAD_MAX || dst > img->head_len)
		return;
	memmove(img->head + dst, from->head + src, len);
	if (dst + len > img->head_len)
		img->head_len = dst + len;
}

static void
cut(struct image *img)
{
	switch (below(4)) {
	case 0:
		img->size = below(1025);
		break;
	case 1:
		img->size = below(img->size + 1);
		break;
	case 2:
		img->size -= img->size ? 1 + below(img->size < 1024 ?
						   img->size : 1024) : 0;
		break;
	default:	/* a long hole behind it */
		img->size = (1ull << below(42)) + below(513);
	}
}

/* Words of the text descriptors, and what breaks readers of text. */
static void
put_text(struct image *img)
{
	static const char *const word[] = {
		"RW ", "RDONLY ", "NOACCESS ", "SPARSE ", "FLAT ", "VMFS ",
		"ZERO ", "VMFSSPARSE ", "\"../../../etc/passwd\"", "\"/dev/zero\"",
		"\"\"", "\"", "=", "\n", "\r\n", "\t", "#", " ", "\xff\xfe",
		"18446744073709551616", "18446744073709551615",
		"9223372036854775807", "4294967296", "-1", "0", "0x10", "1e9",
		"%s%n%x", "createType=\"monolithicSparse\"",
		"createType=\"twoGbMaxExtentSparse\"",
		"createType=\"monolithicFlat\"", "parentCID=00000000",
		"parentFileNameHint=\"x\"", "CID=", "version=", "encoding=\"",
		"ddb.geometry.sectors = \"", "RW 99999999999 FLAT \"x\" 0\n",
		"RW 1 ZERO\n", "isNativeSnapshot", "changeTrackPath=\"y\"\n",
	};
	const char *w = word[below(sizeof(word) / sizeof(word[0]))];
	size_t at = place(img), len = strlen(w), times = 1;

	if (!below(16))
		times = 1 + below(4000);
	for (; times && at + len <= HEAD_MAX; times--, at += len) {
		if (below(2) && img->head_len + len <= HEAD_MAX &&
		    at < img->head_len) {	/* insert */
			memmove(img->head + at + len, img->head + at,
				img->head_len - at);
			img->head_len += len;
			img->size += img->size < HEAD_MAX ? len : 0;
		}
		memcpy(img->head + at, w, len);
		if (at + len > img->head_len)
			img->head_len = at + len;
	}
}

static void
wipe(struct image *img)
{
	size_t at = place(img), len = 1 + below(4096);

	if (at + len > img->head_len)
		len = img->head_len - at;
	memset(img->head + at, below(2) ? 0xff : 0, len);
}

static void
mutate(struct image *img)
{
	static void (*const how[])(struct image *) = {
		set_integer, set_integer, set_integer, set_integer,
		flip_bits, flip_bits, put_text, graft, cut, wipe,
	};

	for (unsigned n = 1 + below(below(3) ? 3 : 12); n; n--)
		how[below(sizeof(how) / sizeof(how[0]))](img);
}

/* ---------------------------------------------------------------- one case */

static void
system_fails(const char *what)
{
	perror(what);
	exit(3);
}

static bool
is_zero(const uint8_t *p, size_t len)
{
	return !p[0] && !memcmp(p, p + 1, len - 1);
}

static void
store(const struct image *img)
{
	int fd = open(m.scratch, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	size_t n = img->head_len < img->size ? img->head_len : img->size;
	size_t t = img->tail_len, len;

	if (fd < 0 || ftruncate(fd, img->size) < 0)
		system_fails(m.scratch);
	for (size_t at = 0; at < n; at += len) {
		len = n - at < PAGE ? n - at : PAGE;
		if (!is_zero(img->head + at, len) &&
		    pwrite(fd, img->head + at, len, at) != (ssize_t)len)
			system_fails(m.scratch);
	}
	if (img->size >= n + t &&
	    pwrite(fd, img->tail, t, img->size - t) != (ssize_t)t)
		system_fails(m.scratch);
	close(fd);
}

static void
ignore_info(struct vd_info_out *o, const char *key, const char *value)
{
	(void)o;
	if (!key || !value)
		abort();
}

/* Whatever opened must answer at its first and last bytes. */
static void
use(struct vd_disk *d, bool write, struct vd_err *err)
{
	struct vd_info_out info = { .size = sizeof(info), .add = ignore_info };
	uint64_t size = vd_disk_size(d);
	struct vd_run run;
	char buf[4096];
	size_t n = size < sizeof(buf) ? size : sizeof(buf);
	int ret;

	vd_disk_info(d, 0, &info, err);
	if (!n)
		return;
	vd_disk_read(d, buf, n, 0, err);
	vd_disk_read(d, buf, n, size - n, err);
	vd_disk_read(d, buf, n, below(size - n + 1), err);
	/* Not all of it: an empty disk of many TiB may take its time. */
	vd_disk_extent(d, 0, size < EXTENT_MAX ? size : EXTENT_MAX, &run, err);
	if (!write)
		return;
	memset(buf, 0x5a, sizeof(buf));
	ret = vd_disk_write(d, buf, n, 0, 0, err);
	ret |= vd_disk_write(d, buf, n, size - n, 0, err);
	ret |= vd_disk_write_zeroes(d, below(size - n + 1), n, VD_MAY_UNMAP,
				    err);
	ret |= vd_disk_flush(d, err);
	m.written += !ret;
}

/* -v: what the library said, for a replay. */
static void
tell(const char *what, const struct vd_err *err)
{
	char text[1400];

	vd_err_text(err, text, sizeof(text));
	if (m.verbose)
		printf("%s: %s\n", what, err->code ? text : "fine");
}

static bool
try_open(const char *format, unsigned flags)
{
	struct vd_open opts = {
		.size = sizeof(opts), .flags = flags, .format = format
	};
	struct vd_err err = { 0 };
	struct vd_disk *d = NULL;

	if (vd_disk_open(m.lib, m.scratch, &opts, &d, &err) < 0) {
		if (!err.code || !err.msg[0]) {
			report("open was refused without a reason");
			_exit(1);
		}
		tell("open", &err);
		return false;
	}
	use(d, !(flags & VD_DISK_RDONLY), &err);
	vd_disk_close(d, &err);
	tell(flags & VD_DISK_RDONLY ? "read" : "write", &err);
	return true;
}

static void
run_case(uint64_t number)
{
	static struct image img;
	const struct image *seed;
	struct vd_probe_result *probe = NULL;
	struct vd_err err = { 0 };
	uint8_t *room = img.head ? img.head : malloc(HEAD_MAX);

	m.number = number;
	m.rng = m.seed * 0x2545f4914f6cdd1du ^ number;
	seed = &m.seeds[below(m.nseeds)];
	img = *seed;
	img.head = room;
	memcpy(room, seed->head, seed->head_len);
	if (number)		/* case 0 is a seed as it is */
		mutate(&img);
	store(&img);

	heap_mark(HELD_MAX, report);
	watch(true);
	if (!vd_probe_path(m.lib, m.scratch, &probe, &err))
		vd_probe_free(probe);
	tell("probe", &err);
	try_open(NULL, VD_DISK_RDONLY);
	m.opened += try_open(m.format, VD_DISK_RDONLY);
	try_open(below(2) ? m.format : NULL, 0);
	watch(false);
	heap_mark(0, NULL);
}

/* -------------------------------------------------------------------- main */

static void
load_seed(const char *path)
{
	struct image *img = &m.seeds[m.nseeds++];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	ssize_t n;

	img->head = calloc(1, HEAD_MAX);
	if (fd < 0 || fstat(fd, &st) < 0 || !img->head)
		system_fails(path);
	img->size = st.st_size;
	n = pread(fd, img->head, HEAD_MAX, 0);
	if (n < 0)
		system_fails(path);
	img->head_len = n;
	n = img->size > HEAD_MAX ? img->size - HEAD_MAX : 0;
	img->tail_len = n < (ssize_t)TAIL_MAX ? n : TAIL_MAX;
	if (pread(fd, img->tail, img->tail_len, img->size - img->tail_len) < 0)
		system_fails(path);
	close(fd);
	for (size_t at = 0; at < img->head_len; at += PAGE)
		if (!is_zero(img->head + at, PAGE))
			img->busy[img->nbusy++] = at / PAGE;
}

static int
usage(void)
{
	fputs("mutate -f FORMAT -w FOLDER [-s SEED] [-n CASES] [-c CASE]"
	      " [-k KEEP] [-v] IMAGE...\n", stderr);
	return 2;
}

int
main(int argc, char **argv)
{
	const char *folder = NULL, *keep = ".";
	uint64_t n = 10000, first = 0;
	struct vd_err err = { 0 };
	size_t before = 0;
	int c;

	m.seed = 1;
	while ((c = getopt(argc, argv, "vf:w:s:n:c:k:")) != -1) {
		switch (c) {
		case 'v': m.verbose = true; break;
		case 'f': m.format = optarg; break;
		case 'w': folder = optarg; break;
		case 'k': keep = optarg; break;
		case 's': m.seed = strtoull(optarg, NULL, 0); break;
		case 'n': n = strtoull(optarg, NULL, 0); break;
		case 'c': first = strtoull(optarg, NULL, 0); n = 1; break;
		default: return usage();
		}
	}
	if (!m.format || !folder || optind >= argc || argc - optind > SEEDS_MAX)
		return usage();
	snprintf(m.scratch, sizeof(m.scratch), "%s/case.%s", folder, m.format);
	snprintf(m.kept, sizeof(m.kept), "%s/failed-%" PRIu64 ".%s", keep,
		 m.seed, m.format);
	for (; optind < argc; optind++)
		load_seed(argv[optind]);
	if (vd_library_open(NULL, &m.lib, &err) < 0 ||
	    !vd_library_find(m.lib, m.format)) {
		fprintf(stderr, "mutate: no module for %s\n", m.format);
		return 3;
	}
	catch();
	for (uint64_t i = first; i < first + n; i++) {
		run_case(i);
		if (i == first + n / 2)
			before = heap_held();
	}
	unlink(m.scratch);
	printf("%" PRIu64 " cases, %u opened, %u written, peak %zu KiB\n",
	       n, m.opened, m.written, heap_peak() >> 10);
	vd_library_close(m.lib);
	/* The second half may not end with more than it began. */
	if (n > 1000 && heap_held() > before + (64u << 10)) {
		fprintf(stderr, "mutate: %zu bytes were lost in %" PRIu64
			" cases\n", heap_held() - before, n / 2);
		return 1;
	}
	return 0;
}
