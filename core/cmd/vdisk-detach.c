/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdisk-detach.c - take a disk away from a running guest.
 *
 * The disk is gone when its directory is: the server removes it after the
 * image is closed, so that a detached image can be used at once.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cmd.h"
#include "guest.h"
#include "store.h"
#include "vdev.h"

#define TIMEOUT_SECONDS	30
#define POLL_US		50000

static const char help[] =
"usage: vdisk-detach [--force] [--timeout SECONDS] DOMAIN VDEV\n"
"\n"
"Take a disk that vdisk serves away from a running guest.\n"
"\n"
"  DOMAIN            name or number\n"
"  VDEV              as it was attached: xvdb, hda, 51728, 3\n"
"\n"
"      --force             do not ask the guest\n"
"      --timeout SECONDS   how long to wait (30)\n"
"  -h, --help              this text\n"
"      --version           what version this is\n"
"\n"
"Exit status: 0 done, 1 there is no such disk, or the guest did not let it\n"
"go in time, 2 wrong usage, 3 the system refused.\n";

enum { OPT_FORCE = 256, OPT_TIMEOUT, OPT_VERSION };

static const struct option options[] = {
	{ "force", no_argument, NULL, OPT_FORCE },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ 0 },
};

struct detach {
	const char     *domain;
	const char     *vdev;
	bool		force;
	uint64_t	timeout;
	struct xen     *x;
	struct guest_disk d;
};

static void
parse_arguments(struct detach *a, int argc, char **argv)
{
	int c;

	while ((c = getopt_long(argc, argv, "fh", options, NULL)) != -1) {
		switch (c) {
		case 'f':
		case OPT_FORCE: a->force = true; break;
		case OPT_TIMEOUT:
			if (store_parse(optarg, 86400, &a->timeout))
				cmd_usage("--timeout %s: expected seconds",
					  optarg);
			break;
		case 'h': cmd_help(help);
		case OPT_VERSION: cmd_version();
		default: cmd_usage("usage: vdisk-detach DOMAIN VDEV");
		}
	}
	if (argc - optind != 2)
		cmd_usage("usage: vdisk-detach DOMAIN VDEV");
	a->domain = argv[optind];
	a->vdev = argv[optind + 1];
	if (vdev_parse(a->vdev, &a->d.devid))
		cmd_usage("%s is no device: expected xvdb, hda, sda2 or a "
			  "number", a->vdev);
}

/* Exits: there is no disk of ours. */
static void
not_ours(struct detach *a)
{
	char *backend, *p;

	if (store_get(a->x, 0, a->d.front, "backend", &backend)) {
		cmd_errorf("%s has no disk %s", a->domain, a->vdev);
		exit(CMD_NO);
	}
	p = strstr(backend, "/backend/");
	if (!strcmp(a->d.type, GUEST_XL))
		cmd_errorf("%s of %s was attached by xl", a->vdev, a->domain);
	else
		cmd_errorf("%s of %s is not served by vdisk but as %s",
			   a->vdev, a->domain, p ? p + 1 : backend);
	cmd_helpf("xl block-detach %s %s", a->domain, a->vdev);
	exit(CMD_REFUSED);
}

/* As the toolstack does it: do not come back, and close now. */
static int
ask_body(struct xen *x, uint32_t t, void *ctx)
{
	struct detach *a = ctx;
	int ret = 0;

	if (!store_exists(x, t, a->d.back))
		return -ENOENT;
	if (a->force)
		ret = x->remove(x, t, a->d.front);
	if (!ret || ret == -ENOENT)
		ret = store_put(x, t, a->d.back, "online", "0");
	if (!ret)
		ret = store_put(x, t, a->d.back, "state", "%d",
				XENBUS_CLOSING);
	return ret;
}

static int
too_slow(struct detach *a, const struct guest_state *st)
{
	if (a->force) {
		/* It cannot write there again; it ends when its disk lets it. */
		guest_remove(a->x, &a->d);
		cmd_errorf("process %d did not end within %u s: its disk does "
			   "not answer", (int)st->pid, (unsigned)a->timeout);
		cmd_helpf("the guest has lost the disk; the image stays locked "
			  "until the process ends");
		return CMD_REFUSED;
	}
	cmd_errorf("%s did not let %s go within %u s: it is in state %d (%s)",
		   a->domain, a->vdev, (unsigned)a->timeout, st->front,
		   xenbus_state_name(st->front));
	cmd_helpf("it will be detached as soon as the guest closes it; "
		  "vdisk-detach --force %s %s does not wait", a->domain,
		  a->vdev);
	return CMD_NO;
}

/* It is closed, nobody serves it: the nodes are ours to remove. */
static int
remove_nodes(struct detach *a)
{
	guest_remove(a->x, &a->d);
	guest_tidy(&a->d);
	return CMD_OK;
}

/*
 * The driver closes a disk, the process behind it ends, and nobody removes what
 * vdisk-attach wrote.  Without a process the driver waits a little for another,
 * and then refuses what the guest still asks for.
 */
static bool
driver_is_done(struct detach *a, const struct guest_state *st)
{
	if (st->alive)
		return false;
	if (st->back == XENBUS_CLOSED || st->back == XENBUS_UNKNOWN)
		return true;
	if (!access(GUEST_DRIVER, F_OK))
		return false;
	cmd_errorf("note: the driver xpvtap is not loaded; removing the nodes "
		   "of %s", a->vdev);
	return true;
}

static int
wait_until_gone(struct detach *a)
{
	uint64_t end = a->x->now(a->x) + a->timeout * 1000;
	struct guest_state st;

	for (;;) {
		guest_state(a->x, &a->d, &st);
		if (!st.there) {
			guest_tidy(&a->d);
			return CMD_OK;
		}
		if (guest_by_driver(&a->d)) {
			if (driver_is_done(a, &st))
				return remove_nodes(a);
		/* Its keeper will have another one in a moment. */
		} else if (!st.alive && !guest_kept(&a->d)) {
			cmd_errorf("note: no server is running for %s; "
				   "removing its nodes", a->vdev);
			return remove_nodes(a);
		}
		if (a->x->now(a->x) >= end)
			return too_slow(a, &st);
		usleep(POLL_US);
	}
}

int
main(int argc, char **argv)
{
	struct detach a = { .timeout = TIMEOUT_SECONDS };
	struct vd_err err = { 0 };
	int ret;

	cmd_init("vdisk-detach");
	parse_arguments(&a, argc, argv);
	if (xen_store_open(&a.x, &err) ||
	    guest_find(a.x, a.domain, &a.d.domid, &err))
		cmd_die(&err);
	if (!guest_which(a.x, a.d.domid, a.d.devid, &a.d) ||
	    !strcmp(a.d.type, GUEST_XL))
		not_ours(&a);
	ret = store_transact(a.x, ask_body, &a);
	if (ret == -ENOENT)
		not_ours(&a);
	if (ret)
		cmd_dief("cannot write to %s: %s", a.d.back, strerror(-ret));
	ret = wait_until_gone(&a);
	a.x->close(a.x);
	return ret;
}
