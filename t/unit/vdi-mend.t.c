/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdi-mend.t.c - thousands of random damages: no repair changes what can be read. */
/* objects: plugins/vdi/header.o plugins/vdi/probe.o plugins/vdi/image.o plugins/vdi/scan.o plugins/vdi/write.o plugins/vdi/create.o plugins/vdi/child.o plugins/vdi/resize.o plugins/vdi/audit.o plugins/vdi/audit-layout.o plugins/vdi/check.o plugins/vdi/repair.o core/error.o core/file.o core/flaw.o core/host.o core/iov.o core/journal.o core/lock.o core/table.o */
/*
 * Each case is an image of 24 blocks with a few fields or map entries set to
 * something.  If it could be read before the repair it reads the same after
 * it; a second repair has nothing left to ask; what opened for writing still
 * does; and what check calls damage afterwards, repair has told before.
 */
#include "t/unit/vdi-bench.h"

#define CASES	4000u
#define BLOCKS	24u

static unsigned state;

static unsigned
any(unsigned n)
{
	state = state * 1103515245u + 12345u;
	return (state >> 8) % n;
}

/* Values that are close to something. */
static uint32_t
nasty(void)
{
	static const uint32_t some[] = { 0, 1, 2, 7, 23, 24, 25, 400, 456, 511,
		512, 513, 1024, 4096, 0x100000, 0x7fffffff, 0x80000000,
		0xfffffffc, 0xfffffffd, 0xfffffffe, 0xffffffff };

	return any(3) ? some[any(sizeof(some) / sizeof(*some))] : any(2)
		? any(BLOCKS + 4) : any(1u << 24) * 257u;
}

static void
make(struct bench_file *f)
{
	static const uint32_t fields[] = { 68, 72, 76, 80, 340, 344, 360, 368,
		372, 376, 380, 384, 388, 392, 408, 424, 440, 468 };
	struct vdi_header h = { .type = 1 + any(4), .extra = any(4) ? 0 : 64 };
	char map[BLOCKS + 1] = "";
	unsigned i, next = 0, n;

	if (h.type == VDI_DIFF)
		h.link[0] = 7;
	for (i = 0; i < BLOCKS; i++)
		map[i] = !any(4) ? '.' : !any(6) ? '0' : (char)('a' + next++);
	bench_make(f, &h, map);
	for (n = any(3); n; n--)
		vdi_put32(f->bytes + fields[any(18)], nasty());
	for (n = any(6); n; n--)
		vdi_put32(f->bytes + 512 + 4 * any(BLOCKS), nasty());
	if (!any(4))
		f->size = any((unsigned)f->size + 2000);
	memset(f->bytes + f->size, 0, BENCH_FILE_MAX - f->size);
	bench_save(f);
}

/* 0: not even that. */
static int
read_it(char text[64], unsigned flags)
{
	struct bench_image b;
	int good = !bench_open(&b, flags) && b.info.virtual_size <= 32 * 512;

	if (good)
		snprintf(text, 64, "%s", bench_content(&b));
	bench_close(&b);
	return good;
}

static const char *
run(unsigned seed, unsigned *readable, unsigned *changed)
{
	static struct bench_file f, after;
	char before_text[64] = "", after_text[64] = "";
	struct bench_report r;
	bool readable_before, writable_before;
	unsigned told;

	state = seed * 7919 + 1;
	make(&f);
	readable_before = read_it(before_text, VD_OPEN_RDONLY);
	writable_before = read_it(after_text, 0);
	if (bench_check(&r, NULL))	/* of a version that is not known? */
		return f.size < 68 || bench_err.code == ENOTSUP
			? NULL : "check failed";
	bench_read(&after);
	if (memcmp(&f, &after, sizeof(f)))
		return "check wrote";
	if (bench_repair(&r, NULL, true))
		return bench_err.code == EROFS ? NULL : "repair failed";
	told = r.findings;
	bench_read(&after);
	*changed += memcmp(&f, &after, sizeof(f)) != 0;
	if (memcmp(&f, &after, sizeof(f)) && !r.asked)
		return "repair did not ask";
	*readable += readable_before;
	if (readable_before && (!read_it(after_text, VD_OPEN_RDONLY) ||
				strcmp(before_text, after_text))) {
		diag("before %s\nafter  %s", before_text, after_text);
		return "repair changed what is read";
	}
	if (writable_before && !read_it(after_text, 0))
		return "repair made it unwritable";
	if (bench_repair(&r, NULL, true) || r.asked) {
		diag("asks:%s", r.text);
		return "a second repair asks again";
	}
	if (bench_check(&r, NULL) || (r.severity == VD_DAMAGE && !told))
		return "check still finds damage";
	return NULL;
}

int
main(int argc, char **argv)
{
	unsigned seed, bad = 0, readable = 0, changed = 0;
	unsigned first = argc > 1 ? (unsigned)atoi(argv[1]) : 0;
	unsigned last = argc > 2 ? (unsigned)atoi(argv[2]) : first + CASES;

	bench_begin();
	for (seed = first; seed < last && bad < 5; seed++) {
		const char *why = run(seed, &readable, &changed);

		if (why)
			diag("case %u: %s %s", seed, why, bench_err.msg);
		bad += why != NULL;
	}
	is_int(bad, 0, "%u random damages", last - first);
	ok(readable > (last - first) / 3 && changed > (last - first) / 3,
	   "%u could be read before, %u were changed", readable, changed);
	return bench_end();
}
