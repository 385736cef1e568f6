/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdisk-attach.c - give a running guest a disk.
 *
 * Whatever can be wrong is looked for before anything is changed: arguments,
 * image, Xen, domain, device.  Then both directories appear in one
 * transaction, and the server is started and waited for; when it does not
 * come up, the directories go again.
 */
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vdisk/vdisk.h>
#include "cmd.h"
#include "guest.h"
#include "sandbox.h"
#include "store.h"
#include "vdev.h"

#define WAIT_SECONDS	30
#define NODE_SECONDS	10
#define POLL_US		50000

static const char help[] =
"usage: vdisk-attach [option...] DOMAIN [tap:vdisk:]PATH VDEV [r|w]\n"
"\n"
"Give a running Xen guest the virtual disk kept in PATH.\n"
"\n"
"  DOMAIN            name or number\n"
"  PATH              vmdk, vdi or raw image, an absolute name\n"
"  VDEV              xvdb, xvdb1, hda, sda, or a number (51728, 3)\n"
"  r|w               read-only or writable; w if nothing is said\n"
"\n"
"      --format NAME     do not guess the image's format\n"
"      --driver NAME     auto, sync or io_uring\n"
"      --allow-outside   extents and parents may lie outside PATH's folder\n"
"      --devices         block devices that PATH is kept on may be read\n"
"      --no-respawn      do not start the server again when it is killed\n"
"      --transport WAY   auto, xpvtap (the kernel driver) or gnttab (without)\n"
"      --wait[=SECONDS]  until the guest uses the disk (30)\n"
"  -h, --help            this text\n"
"      --version         what version this is\n"
"\n"
"Exit status: 0 done, 1 the guest did not connect in time (--wait),\n"
"2 wrong usage, 3 the system refused.\n";

enum { OPT_FORMAT = 256, OPT_DRIVER, OPT_OUTSIDE, OPT_DEVICES, OPT_WAIT,
	OPT_VERSION, OPT_NO_RESPAWN, OPT_TRANSPORT };

static const struct option options[] = {
	{ "format", required_argument, NULL, OPT_FORMAT },
	{ "driver", required_argument, NULL, OPT_DRIVER },
	{ "allow-outside", no_argument, NULL, OPT_OUTSIDE },
	{ "devices", no_argument, NULL, OPT_DEVICES },
	{ "no-respawn", no_argument, NULL, OPT_NO_RESPAWN },
	{ "transport", required_argument, NULL, OPT_TRANSPORT },
	{ "wait", optional_argument, NULL, OPT_WAIT },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ 0 },
};

struct attach {
	const char     *domain;
	const char     *path;
	const char     *vdev;
	bool		writable;
	const char     *format;
	const char     *driver;
	bool		anywhere, devices, no_respawn;
	const char     *type;		/* of backend, by --transport */
	unsigned	wait;		/* seconds; 0: do not */

	struct xen     *x;
	struct guest_disk d;
	bool		ours;		/* what is there on this device */
	char		image_format[16];
};

/* -------------------------------------------------------------- arguments */

static const char *
strip_prefix(const char *path)
{
	const char *p = guest_image(path);

	if (!strncmp(path, "tap:", 4) && p == path + 4)
		cmd_usage("%s: expected tap:vdisk:PATH", path);
	if (*p != '/')
		cmd_usage("%s: the image needs an absolute name", path);
	return p;
}

static bool
parse_mode(const char *mode)
{
	if (!strcmp(mode, "w"))
		return true;
	if (!strcmp(mode, "w!"))
		cmd_usage("mode w!: an image is never written from two sides");
	if (strcmp(mode, "r"))
		cmd_usage("mode %s: expected r or w", mode);
	return false;
}

static unsigned
parse_seconds(const char *text)
{
	uint64_t v = WAIT_SECONDS;

	if (text && (store_parse(text, 86400, &v) || !v))
		cmd_usage("--wait=%s: expected seconds", text);
	return (unsigned)v;
}

/* The driver, where it is loaded. */
static const char *
parse_transport(const char *word)
{
	bool there = !access(GUEST_DRIVER, F_OK);

	if (!strcmp(word, "gnttab") || (!strcmp(word, "auto") && !there))
		return GUEST_GRANTS;
	if (strcmp(word, "auto") && strcmp(word, "xpvtap"))
		cmd_usage("--transport %s: expected auto, xpvtap or gnttab",
			  word);
	if (!there) {
		cmd_errorf("the kernel driver xpvtap is not loaded");
		cmd_helpf("modprobe xpvtap; or let the disk be served without "
			  "it, with --transport=gnttab");
		exit(CMD_REFUSED);
	}
	return GUEST_TAP;
}

static void
parse_arguments(struct attach *a, int argc, char **argv)
{
	const char *transport = "auto";
	uint32_t devid;
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case OPT_FORMAT: a->format = optarg; break;
		case OPT_DRIVER: a->driver = optarg; break;
		case OPT_OUTSIDE: a->anywhere = true; break;
		case OPT_DEVICES: a->devices = true; break;
		case OPT_NO_RESPAWN: a->no_respawn = true; break;
		case OPT_TRANSPORT: transport = optarg; break;
		case OPT_WAIT: a->wait = parse_seconds(optarg); break;
		case 'h': cmd_help(help);
		case OPT_VERSION: cmd_version();
		default: cmd_usage("usage: vdisk-attach DOMAIN PATH VDEV [r|w]");
		}
	}
	argc -= optind;
	argv += optind;
	if (argc < 3 || argc > 4)
		cmd_usage("usage: vdisk-attach DOMAIN tap:vdisk:PATH VDEV "
			  "[r|w]");
	a->domain = argv[0];
	a->path = strip_prefix(argv[1]);
	a->vdev = argv[2];
	a->writable = argc < 4 || parse_mode(argv[3]);
	if (vdev_parse(a->vdev, &devid))
		cmd_usage("%s is no device: expected xvdb, hda, sda2 or a "
			  "number", a->vdev);
	a->d.devid = devid;
	a->type = parse_transport(transport);
	if (a->driver && strcmp(a->driver, "auto") &&
	    strcmp(a->driver, "sync") && strcmp(a->driver, "io_uring"))
		cmd_usage("--driver %s: expected auto, sync or io_uring",
			  a->driver);
}

/* --------------------------------------------------------- before changing */

/* Opened as the server will: locks, rights and damage are found here. */
static void
check_image(struct attach *a)
{
	struct vd_open how = {
		.size = sizeof(how),
		.flags = (a->writable ? 0 : VD_DISK_RDONLY) |
			 (a->anywhere ? VD_DISK_ANYWHERE : 0) |
			 (a->devices ? VD_DISK_DEVICES : 0),
		.format = a->format,
	};
	struct vd_library *lib;
	struct vd_err err = { 0 };
	struct vd_disk *disk;

	if (vd_library_open(NULL, &lib, &err) ||
	    vd_disk_open(lib, a->path, &how, &disk, &err))
		cmd_die(&err);
	snprintf(a->image_format, sizeof(a->image_format), "%s",
		 vd_disk_format(disk, 0)->name);
	if (a->writable && vd_disk_readonly(disk))
		cmd_dief("%s can only be read: attach it with mode r",
			 a->path);
	if (vd_disk_close(disk, &err))
		cmd_die(&err);
	vd_library_close(lib);
}

static void
device_in_use(struct attach *a, const char *backend)
{
	char name[256], *p;

	guest_name(a->x, a->d.domid, name, sizeof(name));
	cmd_errorf("%s (device %u) of %s is in use", a->vdev, a->d.devid,
		   name);
	p = strstr(backend, "/backend/");
	if (a->ours)
		cmd_helpf("vdisk-detach %s %s takes it away", name, a->vdev);
	else
		cmd_helpf("it is served as %s", p ? p + 1 : backend);
	exit(CMD_REFUSED);
}

/*
 * What a dead server left on a device that the guest has closed, or never
 * used, is only litter.  A connected guest still waits for answers: that is
 * for the administrator to decide.
 */
static bool
only_litter(struct attach *a)
{
	struct guest_state st;

	guest_state(a->x, &a->d, &st);
	/* Behind the driver a disk whose process is dead may go on. */
	if (guest_by_driver(&a->d) && st.back != XENBUS_CLOSED &&
	    !access(GUEST_DRIVER, F_OK))
		return false;
	return st.there && (st.pid || guest_by_driver(&a->d)) && !st.alive &&
	       !guest_kept(&a->d) &&
	       (st.front == XENBUS_INITIALISING || st.front == XENBUS_CLOSED ||
		st.front == XENBUS_UNKNOWN);
}

static void
check_device(struct attach *a)
{
	char *backend;
	int ret;

	ret = store_get(a->x, 0, a->d.front, "backend", &backend);
	a->ours = guest_which(a->x, a->d.domid, a->d.devid, &a->d) &&
		  strcmp(a->d.type, GUEST_XL);
	if (ret && !a->ours && !store_exists(a->x, 0, a->d.back) &&
	    !store_exists(a->x, 0, a->d.front))
		return;
	if (!a->ours || !only_litter(a))
		device_in_use(a, ret ? a->d.back : backend);
	cmd_errorf("note: removing what a dead server left of %s", a->vdev);
	guest_remove(a->x, &a->d);
	guest_tidy(&a->d);
	if (!ret)
		free(backend);
}

/* ------------------------------------------------------------------ change */

struct node {
	const char     *key;
	const char     *value;
};

static int
put_nodes(struct xen *x, uint32_t t, const char *dir, unsigned owner,
	  unsigned reader, const struct node *n)
{
	int ret;

	/* Rights first: children inherit them. */
	ret = x->write(x, t, dir, "");
	if (!ret)
		ret = x->allow(x, t, dir, owner, reader);
	for (; !ret && n->key; n++)
		ret = store_put(x, t, dir, n->key, "%s", n->value);
	return ret;
}

static int
create_body(struct xen *x, uint32_t t, void *ctx)
{
	struct attach *a = ctx;
	unsigned self = guest_self(x);
	char domid[16], devid[16], us[16], vdev[24], params[XEN_VALUE_MAX];
	const struct node front[] = {
		{ "backend", a->d.back }, { "backend-id", us },
		{ "virtual-device", devid }, { "device-type", "disk" },
		{ "state", "1" }, { 0 },
	};
	const struct node back[] = {
		{ "frontend", a->d.front }, { "frontend-id", domid },
		{ "online", "1" }, { "removable", "0" }, { "bootable", "0" },
		{ "dev", vdev }, { "type", a->d.type },
		{ "mode", a->writable ? "w" : "r" },
		{ "device-type", "disk" }, { "params", params },
		{ "format", a->image_format }, { "managed-by", GUEST_OWNER },
		{ "discard-enable", a->writable ? "1" : "0" },
		{ "transport", guest_by_driver(&a->d) ? "xpvtap" : "gnttab" },
		{ "state", "1" }, { 0 },
	};
	int ret;

	snprintf(domid, sizeof(domid), "%u", a->d.domid);
	snprintf(devid, sizeof(devid), "%u", a->d.devid);
	snprintf(us, sizeof(us), "%u", self);
	vdev_name(a->d.devid, vdev, sizeof(vdev));
	/* backend/tap has its images with their kind in front. */
	if ((size_t)snprintf(params, sizeof(params), "%s%s",
			     guest_by_driver(&a->d) ? "vdisk:" : "",
			     a->path) >= sizeof(params))
		return -ENAMETOOLONG;
	/* Someone may have been faster since we looked. */
	if (store_exists(x, t, a->d.front) || store_exists(x, t, a->d.back))
		return -EEXIST;
	ret = put_nodes(x, t, a->d.back, self, a->d.domid, back);
	if (!ret)
		ret = put_nodes(x, t, a->d.front, a->d.domid, self, front);
	return ret;
}

static void
create_nodes(struct attach *a)
{
	int ret = store_transact(a->x, create_body, a);

	if (ret == -EEXIST)
		device_in_use(a, a->d.back);
	if (ret)
		cmd_dief("cannot write the disk's nodes to xenstore: %s",
			 strerror(-ret));
}

/* The server of our own build: beside us, installed or not. */
static void
server_path(char *buf, size_t len)
{
	ssize_t n = readlink("/proc/self/exe", buf, len - 8);
	char *slash;

	buf[n > 0 ? (size_t)n : 0] = '\0';
	slash = strrchr(buf, '/');
	strcpy(slash ? slash + 1 : buf, "vdisk");
}

static int
run_server(char *const argv[])
{
	extern char **environ;
	int status, ret;
	pid_t pid;

	ret = posix_spawn(&pid, argv[0], NULL, NULL, argv, environ);
	if (ret)
		return -ret;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : CMD_REFUSED;
}

/* udev's rule gives the node to the group; here and now it may be too late. */
static void
give_node(const char *node)
{
	struct group *g = getgrnam(SANDBOX_USER);

	if (g && (chown(node, (uid_t)-1, g->gr_gid) || chmod(node, 0660)))
		cmd_errorf("note: cannot give %s to group %s: %s", node,
			   SANDBOX_USER, strerror(errno));
}

/* The driver has seen the nodes, and taken the disk. */
static int
wait_for_node(struct attach *a, const char *node)
{
	uint64_t end = a->x->now(a->x) + NODE_SECONDS * 1000;

	while (access(node, F_OK)) {
		if (a->x->now(a->x) >= end) {
			cmd_errorf("%s did not appear within %u s", node,
				   NODE_SECONDS);
			cmd_helpf("dmesg tells what the driver xpvtap has "
				  "against it; --transport=gnttab does without");
			return CMD_REFUSED;
		}
		usleep(POLL_US);
	}
	give_node(node);
	return 0;
}

/* Ready means: the image is open and the guest has been told (InitWait). */
static int
start_server(struct attach *a)
{
	char exe[4096], pidfile[GUEST_PATH_MAX], node[GUEST_PATH_MAX];
	const char *argv[20];
	unsigned n = 0;
	int ret;

	guest_node(&a->d, node);
	ret = guest_by_driver(&a->d) ? wait_for_node(a, node) : 0;
	if (ret)
		return ret;

	server_path(exe, sizeof(exe));
	mkdir(GUEST_RUN_FOLDER, 0755);
	guest_pidfile(&a->d, pidfile);
	argv[n++] = exe;
	argv[n++] = "--daemon";
	if (!a->no_respawn)
		argv[n++] = "--respawn";
	argv[n++] = "-f";
	argv[n++] = a->path;
	argv[n++] = "-x";
	argv[n++] = guest_by_driver(&a->d) ? node : a->d.back;
	argv[n++] = "-p";
	argv[n++] = pidfile;
	if (!a->writable)
		argv[n++] = "--read-only";
	if (a->anywhere)
		argv[n++] = "--allow-outside";
	if (a->devices)
		argv[n++] = "--devices";
	if (a->format) {
		argv[n++] = "--format";
		argv[n++] = a->format;
	}
	if (a->driver) {
		argv[n++] = "--driver";
		argv[n++] = a->driver;
	}
	argv[n] = NULL;
	ret = run_server((char *const *)argv);
	if (ret < 0)
		cmd_errorf("cannot start %s: %s", exe, strerror(-ret));
	return ret;
}

static int
wait_for_guest(struct attach *a)
{
	uint64_t end = a->x->now(a->x) + (uint64_t)a->wait * 1000;
	struct guest_state st;

	do {
		guest_state(a->x, &a->d, &st);
		if (st.back == XENBUS_CONNECTED &&
		    st.front == XENBUS_CONNECTED)
			return CMD_OK;
		if (!st.there || (st.pid && !st.alive && !guest_kept(&a->d)))
			break;
		usleep(POLL_US);
	} while (a->x->now(a->x) < end);
	if (!st.there || (st.pid && !st.alive)) {
		cmd_errorf("the disk went away before the guest used it");
		return CMD_NO;
	}
	cmd_errorf("%s is attached, but the guest did not connect within %u s",
		   a->vdev, a->wait);
	cmd_helpf("its side is in state %d (%s): does it have a driver for "
		  "Xen disks, and for this device number?", st.front,
		  xenbus_state_name(st.front));
	return CMD_NO;
}

int
main(int argc, char **argv)
{
	struct attach a = { 0 };
	struct vd_err err = { 0 };
	int ret;

	cmd_init("vdisk-attach");
	parse_arguments(&a, argc, argv);
	check_image(&a);
	if (xen_store_open(&a.x, &err) ||
	    guest_find(a.x, a.domain, &a.d.domid, &err))
		cmd_die(&err);
	guest_disk(a.x, GUEST_GRANTS, a.d.domid, a.d.devid, &a.d);
	check_device(&a);
	guest_disk(a.x, a.type, a.d.domid, a.d.devid, &a.d);
	create_nodes(&a);
	if (start_server(&a)) {
		guest_remove(a.x, &a.d);
		guest_tidy(&a.d);
		cmd_dief("%s is not attached", a.path);
	}
	ret = a.wait ? wait_for_guest(&a) : CMD_OK;
	a.x->close(a.x);
	return ret;
}
