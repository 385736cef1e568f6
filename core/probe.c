/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * probe.c - bytes in, verdict out.
 *
 * Reads a bounded head and tail and asks every module.  Opens nothing that the
 * image refers to.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "library.h"

/* The sink handed to a module; out comes first, so that we find the rest. */
struct sink {
	struct vd_probe_out out;
	struct vd_probe_result *result;
	bool		no_memory;
};

static void
sink_ref(struct vd_probe_out *out, enum vd_ref_kind kind, const char *name,
	 size_t len)
{
	struct sink *s = (struct sink *)out;
	struct vd_probe_result *r = s->result;
	struct vd_probe_ref *more;

	if (!r)
		return;
	if (r->nrefs == VD_PROBE_REFS_MAX || len >= VD_NAME_MAX) {
		r->refs_dropped++;
		return;
	}
	more = realloc(r->refs, (r->nrefs + 1) * sizeof(*more));
	if (more)
		r->refs = more;
	if (!more || !(more[r->nrefs].name = strndup(name, len))) {
		s->no_memory = true;
		return;
	}
	more[r->nrefs++].kind = kind;
}

static void
sink_warn(struct vd_probe_out *out, const char *text)
{
	struct sink *s = (struct sink *)out;
	struct vd_probe_result *r = s->result;
	char **more;

	if (!r || r->nwarnings == VD_PROBE_WARNINGS_MAX)
		return;
	more = realloc(r->warnings, (r->nwarnings + 1) * sizeof(*more));
	if (more)
		r->warnings = more;
	if (more && (more[r->nwarnings] = strndup(text, 512)))
		r->nwarnings++;
	else
		s->no_memory = true;
}

static enum vd_verdict
ask(const struct vd_format *f, const struct vd_probe_in *in, struct sink *s)
{
	enum vd_verdict v;

	memset(&s->out, 0, sizeof(s->out));
	s->out.size = sizeof(s->out);
	s->out.reason_off = VD_NOWHERE;
	s->out.ref = sink_ref;
	s->out.warn = sink_warn;
	v = f->probe(in, &s->out);
	if (s->out.confidence > 100)
		s->out.confidence = 100;
	s->out.variant[sizeof(s->out.variant) - 1] = '\0';
	s->out.reason[sizeof(s->out.reason) - 1] = '\0';
	s->out.id[sizeof(s->out.id) - 1] = '\0';
	return v;
}

/* Who claims these bytes most?  NULL: nobody but the rest. */
void
vd_probe_run(struct vd_library *lib, const struct vd_probe_in *in,
	     const struct vd_format **claim)
{
	uint32_t best = 0;

	*claim = NULL;
	for (unsigned i = 0; i < lib->nmodules; i++) {
		const struct vd_format *f = &lib->modules[i]->format;
		struct sink s = { .result = NULL };

		if ((f->flags & VD_FORMAT_REST) ||
		    ask(f, in, &s) == VD_NOT_MINE)
			continue;
		if (!*claim || s.out.confidence > best) {
			*claim = f;
			best = s.out.confidence;
		}
	}
}

static const struct vd_format *
rest_format(struct vd_library *lib)
{
	for (unsigned i = 0; i < lib->nmodules; i++)
		if (lib->modules[i]->format.flags & VD_FORMAT_REST)
			return &lib->modules[i]->format;
	return NULL;
}

int
vd_probe_bytes(struct vd_library *lib, const struct vd_probe_in *in,
	       struct vd_probe_result **out, struct vd_err *err)
{
	struct vd_probe_result *r = calloc(1, sizeof(*r));
	struct sink s = { .result = r };

	if (!r)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	vd_probe_run(lib, in, &r->format);
	r->guessed = !r->format;
	if (!r->format)
		r->format = rest_format(lib);
	r->file_size = in->file_size;
	r->reason_off = VD_NOWHERE;
	if (r->format) {
		r->verdict = ask(r->format, in, &s);
		r->confidence = s.out.confidence;
		r->virtual_size = s.out.virtual_size;
		memcpy(r->variant, s.out.variant, sizeof(r->variant));
		memcpy(r->reason, s.out.reason, sizeof(r->reason));
		memcpy(r->id, s.out.id, sizeof(r->id));
		r->reason_off = s.out.reason_off;
	}
	if (s.no_memory) {
		vd_probe_free(r);
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	}
	*out = r;
	return 0;
}

void
vd_probe_free(struct vd_probe_result *r)
{
	if (!r)
		return;
	for (unsigned i = 0; i < r->nrefs; i++)
		free(r->refs[i].name);
	for (unsigned i = 0; i < r->nwarnings; i++)
		free(r->warnings[i]);
	free(r->refs);
	free(r->warnings);
	free(r);
}

void
vd_probe_frame(struct vd_probe_in *in, const char *name, uint64_t size,
	       uint8_t *buf)
{
	*in = (struct vd_probe_in){
		.size = sizeof(*in), .file_size = size, .name = name,
		.head = buf, .tail = buf + VD_PROBE_HEAD,
		.head_len = size < VD_PROBE_HEAD ? (uint32_t)size
						 : VD_PROBE_HEAD,
		.tail_len = size < VD_PROBE_TAIL ? (uint32_t)size
						 : VD_PROBE_TAIL,
	};
}

/* Fill in from an open file. */
int
vd_probe_read(struct vd_file *f, const char *name, uint8_t *buf,
	      struct vd_probe_in *in, struct vd_err *err)
{
	uint64_t size = vd_file_size(f);
	int ret;

	vd_probe_frame(in, name, size, buf);
	ret = vd_file_read(f, buf, in->head_len, 0, err);
	if (!ret)
		ret = vd_file_read(f, buf + VD_PROBE_HEAD, in->tail_len,
				   size - in->tail_len, err);
	return ret;
}

int
vd_probe_path(struct vd_library *lib, const char *path,
	      struct vd_probe_result **out, struct vd_err *err)
{
	struct vd_probe_in in;
	struct vd_file *f;
	struct stat st;
	uint8_t *buf;
	int fd = vd_open_plain(path, O_RDONLY, &st, err);
	int ret;

	if (fd < 0)
		return fd;
	ret = vd_file_wrap(fd, path, false, &f, err);
	if (ret) {
		close(fd);
		return ret;
	}
	buf = malloc(VD_PROBE_HEAD + VD_PROBE_TAIL);
	ret = buf ? vd_probe_read(f, path, buf, &in, err)
		  : vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	if (!ret)
		ret = vd_probe_bytes(lib, &in, out, err);
	free(buf);
	vd_file_free(f);
	return ret;
}
