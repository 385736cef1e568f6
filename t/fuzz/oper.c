/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * oper.c - open and close, probe and verify; what they say, and must not do.
 *
 * Every refusal has a reason, every finding a code and a sentence.  Two probes of
 * the same bytes say the same, two checks as well, and neither changes a byte.
 */
#include "oper.h"

void
fz_must_tell(const char *what, int ret, const struct vd_err *err)
{
	if (ret >= 0)
		return;
	if (!err->code || !err->msg[0])
		fz_die("%s failed (%d) without a reason", what, ret);
	if (err->code != -ret && getenv("FUZZ_STRICT"))
		fz_die("%s: %d, but the reason is %d: %s", what, ret, err->code,
		       err->msg);
}

void
fz_tell(const char *what, const struct vd_err *err)
{
	static int verbose = -1;
	char text[1400];

	if (verbose < 0)
		verbose = getenv("FUZZ_VERBOSE") != NULL;
	if (verbose)
		fprintf(stderr, "%s: %s\n", what, err->code ?
			vd_err_text(err, text, sizeof(text)) : "fine");
}

struct vd_disk *
fz_start(struct vd_library *lib, const struct fz_input *z, const char *format,
      unsigned flags)
{
	struct vd_open o = { .size = sizeof(o), .flags = flags,
			     .format = z->how & FZ_HOW_NAMED ? format : NULL };
	struct vd_err err = { 0 };
	struct vd_disk *d = NULL;
	int ret;

	if (z->how & FZ_HOW_BATCH)
		o.flags |= VD_DISK_BATCH;
	ret = vd_disk_open(lib, fz_path(z->file[0].name), &o, &d, &err);
	fz_must_tell("open", ret, &err);
	fz_tell("open", &err);
	return ret ? NULL : d;
}

int
fz_stop(struct vd_disk *d)
{
	struct vd_err err = { 0 };
	int ret = vd_disk_close(d, &err);

	fz_must_tell("close", ret, &err);
	fz_tell("close", &err);
	return ret;
}

/* ------------------------------------------------------------------- sink */

static void
sink_see(struct fz_sink *s, const struct vd_finding *f)
{
	const char *texts[] = { f->code, f->text, f->file };

	if (!f->code || !f->code[0] || !f->text || !f->text[0] || !f->file ||
	    f->severity > VD_DAMAGE)
		fz_die("a finding without code, text, file or severity");
	for (unsigned i = 0; i < 3; i++)
		for (const char *p = texts[i]; *p; p++)
			s->print = (s->print ^ (uint8_t)*p) * 0x100000001b3u;
	s->print = (s->print ^ f->off) * 0x100000001b3u + f->severity;
	if (getenv("FUZZ_VERBOSE"))
		fprintf(stderr, "  %s at %" PRIu64 ": %s\n", f->code, f->off,
			f->text);
}

static void
sink_finding(struct vd_report *r, const struct vd_finding *f)
{
	struct fz_sink *s = (struct fz_sink *)r;

	s->told++;
	/* Told, but not looked at: of another version, or too large. */
	s->passed |= strstr(f->code, "-version") || strstr(f->code, "-large");
	s->damage += f->severity == VD_DAMAGE;
	sink_see(s, f);
}

static bool
sink_may(struct vd_report *r, const struct vd_finding *f)
{
	struct fz_sink *s = (struct fz_sink *)r;

	s->asked++;
	s->damage += f->severity == VD_DAMAGE;
	sink_see(s, f);
	/* Until it got a directory of its own, the redundant one was read. */
	s->swapped |= !strcmp(f->code, "vmdk-directory");
	if (!strcmp(f->code, "vmdk-copies-differ") &&
	    strstr(f->text, s->swapped ? "would correct the redundant"
		   : "would take the place from the redundant") &&
	    s->nmoved++ < FZ_MOVED)
		sscanf(f->text, "grain %" SCNu64,
		       &s->moved[s->nmoved - 1]);
	/*
	 * One that lies on something else could be read there; and behind
	 * another directory what was read may have been no table at all.
	 */
	if (!strcmp(f->code, "vmdk-table-single") &&
	    (s->swapped || strstr(f->text, "from its copy")) &&
	    s->ntables++ < FZ_MOVED)
		sscanf(f->text, "grain table %" SCNu64,
		       &s->tables[s->ntables - 1]);
	return s->yes;
}

struct fz_sink
fz_sink(bool yes)
{
	return (struct fz_sink){
		.r = { .size = sizeof(struct vd_report),
		       .finding = sink_finding, .may = sink_may },
		.yes = yes,
	};
}

int
fz_check(struct vd_disk *d, struct fz_sink *s)
{
	struct vd_err err = { 0 };
	int ret;

	*s = fz_sink(false);
	ret = vd_disk_check(d, 0, &s->r, &err);
	fz_must_tell("check", ret, &err);
	fz_tell("check", &err);
	if (s->asked)
		fz_die("a check asked to change something");
	return ret;
}

/* ------------------------------------------------------------------ probe */

static void
probe_one(struct vd_library *lib, const struct fz_input *z, size_t head,
	  size_t tail)
{
	const struct fz_file *x = &z->file[0];
	uint8_t *h = malloc(head ? head : 1), *t = malloc(tail ? tail : 1);
	struct vd_probe_in in = { .size = sizeof(in), .head = h, .tail = t,
				  .head_len = (uint32_t)head,
				  .tail_len = (uint32_t)tail,
				  .file_size = x->size, .name = x->name };
	struct vd_probe_result *r = NULL, *again = NULL;
	struct vd_err err = { 0 };

	if (!h || !t)
		fz_die("no memory");
	fz_peek(x, 0, h, head);
	fz_peek(x, x->size - tail, t, tail);
	if (vd_probe_bytes(lib, &in, &r, &err) ||
	    vd_probe_bytes(lib, &in, &again, &err))
		fz_die("probe failed: %s", err.msg);
	if (r->verdict != again->verdict || r->format != again->format ||
	    r->nrefs != again->nrefs || r->nwarnings != again->nwarnings ||
	    r->virtual_size != again->virtual_size ||
	    strcmp(r->variant, again->variant) ||
	    strcmp(r->reason, again->reason) || strcmp(r->id, again->id))
		fz_die("two probes of the same bytes differ");
	if (r->verdict == VD_MINE_BROKEN && !r->reason[0])
		fz_die("broken, without a reason");
	if (r->verdict == VD_MINE_BROKEN && r->reason_off != VD_NOWHERE &&
	    r->reason_off > x->size && r->reason_off > VD_PROBE_HEAD)
		fz_die("broken at byte %" PRIu64 " of %" PRIu64,
		       r->reason_off, x->size);
	vd_probe_free(r);
	vd_probe_free(again);
	free(h);
	free(t);
}

/* The head that is promised, in room of exactly its size. */
void
fz_probe(struct vd_library *lib, const struct fz_input *z)
{
	uint64_t size = z->file[0].size;
	size_t head = size < VD_PROBE_HEAD ? size : VD_PROBE_HEAD;
	size_t tail = size < VD_PROBE_TAIL ? size : VD_PROBE_TAIL;

	probe_one(lib, z, head, tail);
	if (z->nrequests && z->request[0].len < head)
		probe_one(lib, z, z->request[0].len, tail);
}

/* ------------------------------------------------------------------ verify */

/*
 * What verify calls sound opens, and for writing unless nobody can: a dialect that
 * is not served is no damage, nor is a file that one image names twice, nor one
 * that is too large to be looked at whenever it is opened, nor a text without room
 * for a new identity.
 */
static void
sound_opens(struct vd_library *lib, const struct fz_input *z,
	    const char *format, unsigned flags)
{
	struct vd_open o = { .size = sizeof(o), .flags = flags | VD_DISK_ALONE,
			     .format = z->how & FZ_HOW_NAMED ? format : NULL };
	struct vd_err err = { 0 };
	struct vd_disk *d = NULL;

	if (!vd_disk_open(lib, fz_path(z->file[0].name), &o, &d, &err))
		fz_stop(d);
	else if (err.code != EROFS && err.code != EBUSY &&
		 err.code != ENOTSUP && err.code != EFBIG &&
		 err.code != ENOSPC)
		fz_die("verify calls it sound, and it does not open: %s",
		       err.msg);
}

void
fz_verify(struct vd_library *lib, const struct fz_input *z, const char *format)
{
	struct fz_sink first, second;
	struct vd_disk *d;
	bool sound = false;
	uint64_t print;
	int ret;

	fz_place(z);
	print = fz_print(z);
	d = fz_start(lib, z, format, VD_DISK_RDONLY | VD_DISK_CHECK);
	if (d) {
		ret = fz_check(d, &first);
		if (fz_check(d, &second) != ret || second.told != first.told ||
		    second.print != first.print)
			fz_die("two checks say different things");
		fz_stop(d);
		sound = !ret && !first.damage && !first.passed;
	}
	if (sound)
		sound_opens(lib, z, format, VD_DISK_RDONLY);
	if (fz_print(z) != print)
		fz_die("a check has changed something");
	if (sound)
		sound_opens(lib, z, format, 0);
}
