/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdi-child.t.c - a child names its parent by UUID, and takes no other for it. */
/* objects: plugins/vdi/header.o plugins/vdi/probe.o plugins/vdi/image.o plugins/vdi/scan.o plugins/vdi/write.o plugins/vdi/create.o plugins/vdi/child.o plugins/vdi/resize.o plugins/vdi/audit.o plugins/vdi/audit-layout.o plugins/vdi/check.o plugins/vdi/repair.o core/error.o core/flaw.o core/file.o core/host.o core/iov.o core/journal.o core/lock.o core/table.o */
#include "t/unit/vdi-bench.h"

#define UUID	"01234567-89ab-cdef-0123-456789abcdef"
#define CONTENT	"11111111-2222-3333-4444-555555555555"
#define OTHER	"99999999-2222-3333-4444-555555555555"

static struct vd_parent parent;
static const struct vd_create usual = {
	.size = sizeof(usual), .virtual_size = 3 << 20,
};

static int
create(const char *id, const char *content, uint64_t size,
       const struct vd_create *c)
{
	struct vd_host *host;
	int ret;

	memset(&parent, 0, sizeof(parent));
	memset(&bench_err, 0, sizeof(bench_err));
	snprintf(parent.expected.id, VD_ID_MAX, "%s", id);
	snprintf(parent.expected.content, VD_ID_MAX, "%s", content);
	parent.expected.virtual_size = size;
	unlink(bench_path);
	ret = vd_host_new(bench_path, VD_DISK_BATCH, &host, &bench_err);
	if (ret)
		return ret;
	ret = vdi_create_child(host, bench_path, "vmdk", &parent, c,
			       &bench_err);
	vd_host_free(host);
	return ret;
}

static void
test_create(void)
{
	struct bench_report r;
	struct bench_image b;
	struct vd_parent p = { .size = sizeof(p) };
	struct vd_create fixed = usual;
	uint8_t head[512] = { 0 };
	struct vdi *v;

	ok(!create(UUID, CONTENT, 3 << 20, &usual), "created %s", bench_err.msg);
	ok(!bench_open(&b, 0), "opened");
	v = b.img;
	ok(b.info.flags == VD_IMG_CHILD, "as a child");
	is_str(b.info.variant, "differencing", "by its name");
	is_int(b.info.virtual_size, 3 << 20, "of its parent's size");
	is_str(bench_content(&b), "^^^", "with nothing of its own");
	vd_file_read(v->file, head, sizeof(head), 0, NULL);
	ok(vdi_get32(head + 76) == 4 && head[424] == 0x67 && head[427] == 0x01 &&
	   head[428] == 0xab && head[430] == 0xef && head[432] == 0x01 &&
	   head[439] == 0xef && head[440] == 0x11 && head[444] == 0x22,
	   "type and UUIDs stand where VirtualBox looks for them");
	ok(!vdi_parent(v, &p, &bench_err) && !p.hint[0], "no file name");
	is_str(p.expected.id, UUID, "but the parent's UUID");
	is_str(p.expected.content, CONTENT, "and its content's");
	bench_close(&b);
	ok(!bench_check(&r, NULL) && !r.findings, "check is silent (%s)", r.text);

	ok(create("", "", 0, &usual) == -ENOTSUP && bench_err.help[0],
	   "a parent without UUID: %s", bench_err.msg);
	ok(create("00000000-0000-0000-0000-000000000000", "", 0, &usual) < 0,
	   "a null UUID: %s", bench_err.msg);
	ok(create(UUID, "", 2 << 20, &usual) == -EINVAL, "another size: %s",
	   bench_err.msg);
	fixed.flags = VD_CREATE_FIXED;
	ok(create(UUID, "", 0, &fixed) == -EINVAL, "a fixed child: %s",
	   bench_err.msg);
	fixed = usual;
	fixed.variant = "dynamic";
	ok(create(UUID, "", 0, &fixed) == -EINVAL, "of variant dynamic: %s",
	   bench_err.msg);
}

static int
match(struct bench_image *b, const char *id, const char *content,
      uint64_t size)
{
	struct vd_identity i = { .size = sizeof(i), .virtual_size = size };

	snprintf(i.id, sizeof(i.id), "%s", id);
	snprintf(i.content, sizeof(i.content), "%s", content);
	memset(&bench_err, 0, sizeof(bench_err));
	return vdi_match_parent(b->img, "vmdk", &i, &bench_err);
}

static void
test_match(void)
{
	struct bench_image b;

	ok(!create(UUID, CONTENT, 0, &usual) && !bench_open(&b, 0), "a child");
	ok(!match(&b, UUID, CONTENT, 3 << 20), "its parent");
	ok(!match(&b, "01234567-89AB-CDEF-0123-456789ABCDEF", CONTENT, 3 << 20),
	   "in capitals");
	ok(match(&b, OTHER, CONTENT, 3 << 20) == -ESTALE &&
	   strstr(bench_err.msg, UUID) && strstr(bench_err.msg, OTHER),
	   "another: %s", bench_err.msg);
	ok(match(&b, "", CONTENT, 3 << 20) == -ESTALE &&
	   strstr(bench_err.msg, "vmdk"), "one without: %s", bench_err.msg);
	ok(match(&b, UUID, OTHER, 3 << 20) == -ESTALE &&
	   strstr(bench_err.msg, OTHER), "changed: %s", bench_err.msg);
	ok(match(&b, UUID, CONTENT, 2 << 20) == -ESTALE, "shorter: %s",
	   bench_err.msg);
	ok(match(&b, UUID, CONTENT, 4 << 20) == -ESTALE, "longer: %s",
	   bench_err.msg);
	ok(!vdi_begin_write(b.img, &bench_err) &&
	   !vdi_zero(b.img, 2 << 20, 1 << 20, &bench_err) &&
	   !match(&b, UUID, CONTENT, 2 << 20),
	   "shorter, and what is missing is hidden");
	bench_close(&b);
	ok(!bench_open(&b, VD_OPEN_RDONLY) && !match(&b, UUID, CONTENT, 4 << 20),
	   "longer, to be read");
	bench_close(&b);

	/* A VMDK's content is a CID: eight digits. */
	ok(!create(UUID, "fffffffe", 0, &usual) && !bench_open(&b, 0), "over a vmdk");
	ok(!match(&b, UUID, "fffffffe", 3 << 20), "the same CID");
	ok(match(&b, UUID, "12345678", 3 << 20) == -ESTALE, "another: %s",
	   bench_err.msg);
	bench_close(&b);
}

static void
test_relink(void)
{
	struct vd_parent p = { .size = sizeof(p) };
	struct vd_identity before = { .size = sizeof(before) }, after = before;
	struct bench_image b;

	ok(!create(UUID, CONTENT, 0, &usual) && !bench_open(&b, 0), "a child");
	vdi_identity(b.img, &before, NULL);
	snprintf(p.expected.id, VD_ID_MAX, "%s", OTHER);
	snprintf(p.expected.content, VD_ID_MAX, "cid");
	ok(!vdi_relink(b.img, &p, &bench_err), "relinked %s", bench_err.msg);
	ok(!match(&b, OTHER, "cid", 3 << 20) && match(&b, UUID, CONTENT, 3 << 20),
	   "at once");
	bench_close(&b);
	ok(!bench_open(&b, 0) && !match(&b, OTHER, "cid", 3 << 20), "for good");
	vdi_identity(b.img, &after, NULL);
	ok(!strcmp(before.id, after.id) && !strcmp(before.content, after.content),
	   "and its own children still know it");
	p.expected.id[0] = '\0';
	ok(vdi_relink(b.img, &p, &bench_err) == -EINVAL, "not to nothing: %s",
	   bench_err.msg);
	snprintf(p.expected.id, VD_ID_MAX, "%s", after.id);
	memset(&bench_err, 0, sizeof(bench_err));
	ok(vdi_relink(b.img, &p, &bench_err) == -ELOOP, "nor to itself: %s",
	   bench_err.msg);
	ok(!match(&b, OTHER, "cid", 3 << 20), "a refusal changes nothing");
	ok(!vdi_relink(b.img, NULL, &bench_err), "cut loose");
	bench_close(&b);
	ok(!bench_open(&b, 0) && !b.info.flags, "it stands alone");
	is_str(b.info.variant, "dynamic", "as a dynamic image");
	is_str(bench_content(&b), "...", "of zeros");
	memset(&bench_err, 0, sizeof(bench_err));
	ok(vdi_parent(b.img, &p, &bench_err) == -ENOENT, "no parent: %s",
	   bench_err.msg);
	bench_close(&b);
	ok(!create(UUID, CONTENT, 0, &usual) && !bench_open(&b, VD_OPEN_RDONLY) &&
	   vdi_relink(b.img, NULL, &bench_err) == -EROFS, "read-only: %s",
	   bench_err.msg);
	bench_close(&b);
}

/* One sector: a power cut leaves the old reference or the new one. */
static bool
either(unsigned at)
{
	struct bench_image b;
	bool good;

	(void)at;
	good = !bench_open(&b, 0) && (!match(&b, UUID, CONTENT, 3 * 512) ||
				      !match(&b, OTHER, CONTENT, 3 * 512));
	bench_close(&b);
	return good;
}

static void
test_relink_cut(void)
{
	struct vd_parent p = { .size = sizeof(p) };
	static struct bench_file f;
	struct bench_image b;
	unsigned tried = 0, bad;

	bench_make(&f, &(struct vdi_header){ .type = VDI_DIFF,
		.link = { 0x67, 0x45, 0x23, 1, 0xab, 0x89, 0xef, 0xcd, 1, 0x23,
			  0x45, 0x67, 0x89, 0xab, 0xcd, 0xef } }, "a.b");
	snprintf(p.expected.id, VD_ID_MAX, "%s", OTHER);
	snprintf(p.expected.content, VD_ID_MAX, "%s", CONTENT);
	bench_open(&b, 0);
	bench_on = true;
	ok(!vdi_relink(b.img, &p, &bench_err), "relinked");
	bench_on = false;
	bench_close(&b);
	bad = bench_cuts(&f, &tried, either);
	is_int(bad, 0, "the old parent or the new, at %u power cuts", tried);
}

int
main(void)
{
	bench_begin();
	test_create();
	test_match();
	test_relink();
	test_relink_cut();
	return bench_end();
}
