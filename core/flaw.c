/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * flaw.c - what check and repair of all modules have in common: to tell a
 * flaw, or to ask for leave to mend it; and when it has been told often enough.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "internal.h"

#define SAY_MAX	1000u	/* findings of one code that are told one by one */

static bool
said_enough(struct vd_audit *a, const struct vd_flaw *f)
{
	unsigned i;

	for (i = 0; i < VD_AUDIT_CODES && a->said[i].code; i++)
		if (!strcmp(a->said[i].code, f->code))
			break;
	if (i == VD_AUDIT_CODES)
		return false;
	a->said[i].code = f->code;
	a->said[i].severity = f->severity;
	return a->said[i].n++ >= SAY_MAX;
}

bool
vd_flaw(struct vd_audit *a, const struct vd_flaw *f, const char *fmt, ...)
{
	char text[640];
	struct vd_finding found = {
		.size = sizeof(found), .severity = f->severity,
		.code = f->code, .file = f->file, .off = f->off, .text = text,
	};
	bool ask = a->mend && f->cure, yes;
	size_t n;
	va_list ap;

	if (!ask) {
		a->left |= f->severity == VD_DAMAGE;
		if (said_enough(a, f))
			return false;
	}
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (ask) {
		n = strlen(text);
		snprintf(text + n, sizeof(text) - n, "; %s", f->cure);
		yes = a->report->may && a->report->may(a->report, &found);
		a->left |= !yes && f->severity == VD_DAMAGE;
		return yes;
	}
	if (a->report->finding)
		a->report->finding(a->report, &found);
	return false;
}

void
vd_audit_end(struct vd_audit *a)
{
	char text[64];
	struct vd_finding found = {
		.size = sizeof(found), .file = "", .off = VD_NOWHERE,
		.text = text,
	};

	for (unsigned i = 0; i < VD_AUDIT_CODES && a->said[i].code; i++) {
		if (a->said[i].n <= SAY_MAX || !a->report->finding)
			continue;
		snprintf(text, sizeof(text), "and %u more of this kind",
			 a->said[i].n - SAY_MAX);
		found.code = a->said[i].code;
		found.severity = a->said[i].severity;
		a->report->finding(a->report, &found);
	}
}
