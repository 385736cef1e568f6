/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdisk-list.c - which disks vdisk serves to which guests.
 *
 * Nobody else cleans below backend/vdisk and backend/tap: what was left there
 * is removed here, with a note, once no guest waits behind it.  So is, without
 * one, what was left empty in /run/vdisk.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cmd.h"
#include "guest.h"
#include "store.h"
#include "vdev.h"

static const char help[] =
"usage: vdisk-list [--json] [DOMAIN]\n"
"\n"
"List the disks that vdisk serves, of all guests or of one.\n"
"\n"
"      --json        one JSON array for programs\n"
"  -h, --help        this text\n"
"      --version     what version this is\n"
"\n"
"Exit status: 0 done, 2 wrong usage, 3 the system refused.\n";

enum { OPT_JSON = 256, OPT_VERSION };

static const struct option options[] = {
	{ "json", no_argument, NULL, OPT_JSON },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ 0 },
};

struct list {
	bool		json;
	bool		one;		/* only domid */
	unsigned	domid;
	unsigned	shown;
};

/* B/KEY, or "" - never NULL; free it. */
static char *
value(struct xen *x, const struct guest_disk *d, const char *key)
{
	char *v;

	if (store_get(x, 0, d->back, key, &v))
		v = strdup("");
	if (!v)
		cmd_dief("no memory");
	return v;
}

static bool
remove_litter(struct xen *x, const struct guest_disk *d,
	      const struct guest_state *st, const char *vdev)
{
	if (st->alive || guest_kept(d) || !strcmp(d->type, GUEST_XL))
		return false;
	/* Of those behind the driver a process may be about to come. */
	if (guest_by_driver(d) ? x->introduced(x, d->domid) : !st->pid)
		return false;
	if (x->introduced(x, d->domid) &&
	    (st->front == XENBUS_INITIALISED ||
	     st->front == XENBUS_CONNECTED || st->front == XENBUS_CLOSING))
		return false;
	if (guest_remove(x, d))
		return false;
	guest_tidy(d);
	if (st->pid)
		cmd_errorf("note: removed what dead server %d left of %u/%s",
			   (int)st->pid, d->domid, vdev);
	else
		cmd_errorf("note: removed what was left of %u/%s", d->domid,
			   vdev);
	return true;
}

/* How it is served, and who attached it. */
static const char *
way(const struct guest_disk *d)
{
	return guest_by_driver(d) ? "xpvtap" : "gnttab";
}

static const char *
by(const struct guest_disk *d)
{
	return strcmp(d->type, GUEST_XL) ? GUEST_OWNER : "xl";
}

static void
show_text(struct list *l, const struct guest_disk *d, const char *domain,
	  const char *vdev, const struct guest_state *st, const char *mode,
	  const char *format, const char *path)
{
	char pid[32];

	if (!l->shown)
		printf("%-16s %-8s %-12s %-4s %-6s %-8s %-10s %s\n", "DOMAIN",
		       "VDEV", "STATE", "MODE", "FORMAT", "PID", "WAY", "PATH");
	snprintf(pid, sizeof(pid), !st->pid ? "-" : st->alive ? "%d" :
		 "%d(dead)", (int)st->pid);
	cmd_print_safe(stdout, domain);
	printf("%*s %-8s %-12s %-4s %-6s %-8s %-10s ",
	       strlen(domain) < 16 ? 16 - (int)strlen(domain) : 0, "", vdev,
	       xenbus_state_name(st->back), mode, *format ? format : "-", pid,
	       !strcmp(by(d), "xl") ? "xpvtap,xl" : way(d));
	cmd_print_safe(stdout, path);
	putchar('\n');
}

static void
member(const char *key, const char *text)
{
	printf(", \"%s\": ", key);
	cmd_json_string(stdout, text);
}

static void
show_json(struct list *l, const struct guest_disk *d, const char *domain,
	  const char *vdev, const struct guest_state *st, const char *mode,
	  const char *format, const char *path)
{
	printf("%s\n  {\"domid\": %u", l->shown ? "," : "[", d->domid);
	member("domain", domain);
	printf(", \"devid\": %u", d->devid);
	member("vdev", vdev);
	member("state", xenbus_state_name(st->back));
	member("guest_state", xenbus_state_name(st->front));
	member("mode", mode);
	member("format", format);
	member("path", path);
	member("way", way(d));
	member("by", by(d));
	printf(", \"pid\": %d, \"alive\": %s}", (int)st->pid,
	       st->alive ? "true" : "false");
}

static int
show(struct xen *x, const struct guest_disk *d, void *ctx)
{
	struct list *l = ctx;
	char *mode, *format, *path, domain[256], vdev[24];
	const char *image;
	struct guest_state st;

	if (l->one && d->domid != l->domid)
		return 0;
	guest_state(x, d, &st);
	vdev_name(d->devid, vdev, sizeof(vdev));
	if (remove_litter(x, d, &st, vdev))
		return 0;
	guest_name(x, d->domid, domain, sizeof(domain));
	mode = value(x, d, "mode");
	format = value(x, d, "format");
	path = value(x, d, "params");
	image = guest_image(path);
	if (l->json)
		show_json(l, d, domain, vdev, &st, mode, format, image);
	else
		show_text(l, d, domain, vdev, &st, mode, format, image);
	l->shown++;
	free(mode);
	free(format);
	free(path);
	return 0;
}

int
main(int argc, char **argv)
{
	struct list l = { 0 };
	struct vd_err err = { 0 };
	struct xen *x;
	int c;

	cmd_init("vdisk-list");
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case OPT_JSON: l.json = true; break;
		case 'h': cmd_help(help);
		case OPT_VERSION: cmd_version();
		default: cmd_usage("usage: vdisk-list [--json] [DOMAIN]");
		}
	}
	if (argc - optind > 1)
		cmd_usage("usage: vdisk-list [--json] [DOMAIN]");
	if (xen_store_open(&x, &err))
		cmd_die(&err);
	l.one = optind < argc;
	if (l.one && guest_find(x, argv[optind], &l.domid, &err))
		cmd_die(&err);
	if (guest_each(x, show, &l, &err))
		cmd_die(&err);
	guest_tidy_journals();
	if (l.json)
		puts(l.shown ? "\n]" : "[]");
	x->close(x);
	return cmd_finish(CMD_OK);
}
