/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * mutate-text.c - changes to a descriptor, in a file of its own or embedded.
 */
#include <stdio.h>
#include <string.h>
#include "fuzz.h"

#define TEXT_MAX	8192u
#define LINES		200u

static const char *const words[] = {
	"RW 2048 SPARSE \"%s\"", "RW 16384 SPARSE \"%s\"",
	"RW 2048 FLAT \"%s\" 0", "RW 2048 FLAT \"%s\" 2048",
	"RW 100 FLAT \"%s\" 1", "RDONLY 2048 FLAT \"%s\" 0",
	"NOACCESS 2048 FLAT \"%s\"", "RW 2048 VMFS \"%s\"", "RW 2048 ZERO",
	"RDONLY 5 ZERO", "RW 4192256 SPARSE \"%s\"",
	"RW 16384 VMFSSPARSE \"%s\"", "RW 131072 SESPARSE \"%s\"",
	"RW 2048 VMFSRDM \"%s\"", "RW 18014398509481984 ZERO",
	"RW 9223372036854775807 FLAT \"%s\" 0", "RW 0 ZERO",
	"RW 1 FLAT \"../%s\" 0", "RW 1 FLAT \"/dev/zero\" 0",
	"RW 2048 FLAT \"%s\" 18446744073709551615",
	"version=1", "version=2", "version=0", "encoding=\"UTF-8\"",
	"encoding=\"windows-1252\"", "CID=fffffffe", "CID=ffffffff",
	"CID=12345678", "CID=1234abcd", "parentCID=ffffffff",
	"parentCID=1234abcd", "parentCID=fffffffe", "parentCID=00000000",
	"parentFileNameHint=\"%s\"", "parentFileNameHint=\"../%s\"",
	"parentFileNameHint=\"C:\\x\\%s\"", "isNativeSnapshot=\"no\"",
	"isNativeSnapshot=\"yes\"", "createType=\"monolithicSparse\"",
	"createType=\"monolithicFlat\"", "createType=\"twoGbMaxExtentSparse\"",
	"createType=\"twoGbMaxExtentFlat\"", "createType=\"custom\"",
	"createType=\"vmfs\"", "createType=\"vmfsSparse\"",
	"createType=\"seSparse\"", "createType=\"streamOptimized\"",
	"createType=\"fullDevice\"", "createType=\"\"",
	"changeTrackPath=\"%s\"", "ddb.longContentID = \"0123456789abcdef\"",
	"ddb.longContentID = \"0123456789abcdef012345671234abcd\"",
	"ddb.uuid.image=\"00000001-0002-0003-0004-000000000005\"",
	"ddb.uuid.modification=\"00000001-0002-0003-0004-000000000006\"",
	"ddb.uuid.parent=\"00000001-0002-0003-0004-000000000005\"",
	"ddb.uuid.parentmodification=\"00000001-0002-0003-0004-000000000006\"",
	"ddb.uuid.parent=\"00000000-0000-0000-0000-000000000000\"",
	"ddb.adapterType = \"ide\"", "ddb.adapterType = \"lsilogic\"",
	"ddb.geometry.cylinders = \"16383\"", "ddb.geometry.sectors = \"0\"",
	"ddb.geometry.heads = \"99999999999999999999\"",
	"ddb.vdisk.parentFormat = \"raw\"", "ddb.encoding = \"x\"",
	"# Disk DescriptorFile", "#DDB", "=", "\"", "RW", "keyring=x",
};

struct text {
	char		old[TEXT_MAX], new[2 * TEXT_MAX];
	size_t		len;
	struct { const char *p; size_t n; } line[LINES + 1];
	unsigned	n;
};

/* Where it is, and how long it may be; 0: no text. */
static size_t
find(const struct fz_file *f, uint64_t *at)
{
	uint64_t room = f->size;

	*at = 0;
	if (fz_get32(f, 0) == 0x564d444b) {	/* "KDMV" */
		*at = fz_get64(f, 28) * 512;
		room = fz_get64(f, 36) * 512;
	}
	return room < TEXT_MAX ? room : TEXT_MAX;
}

static void
split(struct text *t)
{
	const char *p = t->old, *end = t->old + t->len;

	for (t->n = 0; p < end && t->n < LINES; t->n++) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));

		t->line[t->n].p = p;
		t->line[t->n].n = (size_t)((nl ? nl : end) - p);
		p = nl ? nl + 1 : end;
	}
}

static void
change_line(const struct fz_input *z, struct text *t, char *made, size_t room)
{
	unsigned i = fz_any(t->n), k = fz_any(t->n), how = fz_any(8);
	const char *eq;

	snprintf(made, room, words[fz_any(sizeof(words) / sizeof(words[0]))],
		 z->file[fz_any(z->nfiles)].name);
	if (how < 3 && t->n < LINES) {		/* one more */
		memmove(&t->line[i + 1], &t->line[i],
			(t->n++ - i) * sizeof(t->line[0]));
	} else if (how == 3) {			/* one less */
		memmove(&t->line[i], &t->line[i + 1],
			(--t->n - i) * sizeof(t->line[0]));
		return;
	} else if (how == 4) {			/* two in the other order */
		t->line[t->n] = t->line[i];
		t->line[i] = t->line[k];
		t->line[k] = t->line[t->n];
		return;
	} else if (how == 5 && (eq = memchr(t->line[i].p, '=', t->line[i].n))) {
		snprintf(made, room, "%.*s%llx", (int)(eq + 1 - t->line[i].p),
			 t->line[i].p,
			 (unsigned long long)fz_nasty(&z->file[0]));
	} else if (how == 6) {			/* another number of sectors */
		snprintf(made, room, "RW %llu%s",
			 (unsigned long long)fz_nasty(&z->file[0]),
			 strchr(made, ' ') ? strrchr(made, ' ') : " ZERO");
	}
	t->line[i].p = made;
	t->line[i].n = strlen(made);
}

static void
join(struct text *t)
{
	t->len = 0;
	for (unsigned i = 0; i < t->n; i++) {
		if (t->len + t->line[i].n + 1 > sizeof(t->new))
			break;
		memcpy(t->new + t->len, t->line[i].p, t->line[i].n);
		t->len += t->line[i].n;
		t->new[t->len++] = '\n';
	}
}

bool
fz_mutate_text(struct fz_input *z, struct fz_file *f)
{
	static struct text t;
	char made[600];
	uint64_t at;
	size_t room = find(f, &at), was;

	if (!room)
		return false;
	fz_peek(f, at, t.old, room);
	was = strnlen(t.old, room);
	if (was < 20 || (t.old[0] != '#' && !memmem(t.old, was, "version", 7)))
		return false;
	t.len = was;
	split(&t);
	if (!t.n)
		return false;
	change_line(z, &t, made, sizeof(made));
	join(&t);
	if (t.len > room && at)
		t.len = room;
	if (t.len < was)
		memset(t.new + t.len, 0, was - t.len);
	if (!at && f->size == was)	/* a file of its own */
		f->size = t.len;
	return fz_poke(z, f, at, t.new, t.len < was ? was : t.len);
}
