/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmdk-child.t.c - who is whose parent: every way to be one, and not to be. */
/* objects: plugins/vmdk/text.o plugins/vmdk/desc.o plugins/vmdk/edit.o plugins/vmdk/header.o plugins/vmdk/child.o plugins/vmdk/compose.o plugins/vmdk/write.o plugins/vmdk/rewrite.o plugins/vmdk/discard.o plugins/vmdk/resize.o plugins/vmdk/split.o plugins/vmdk/create.o plugins/vmdk/custom.o plugins/vmdk/image.o plugins/vmdk/extent.o plugins/vmdk/sparse.o plugins/vmdk/stream.o plugins/vmdk/cowd.o plugins/vmdk/sesparse.o plugins/vmdk/verify.o */
#include <errno.h>
#include <tap.h>
#include "plugins/vmdk/vmdk.h"

#define A "11111111-2222-4333-8444-555555555555"
#define B "aaaaaaaa-2222-4333-8444-555555555555"
#define C "cccccccc-2222-4333-8444-555555555555"

static struct vd_err err;
static struct vmdk v = { .size = 1 << 20,
			 .text_lock = PTHREAD_MUTEX_INITIALIZER };

/* No file is opened here; messages want a name. */
const char *
vd_file_name(struct vd_file *f)
{
	return f ? "a file" : "x.vmdk";
}

static void
image(const char *text)
{
	static char copy[4096];

	vd_err_clear(&err);
	snprintf(copy, sizeof(copy), "%s", text);
	is_int(vmdk_desc_parse(copy, strlen(copy), 0, &v.desc, &err), 0,
	       "parsed: %s", err.msg);
}

static int
match(const char *format, const char *id, const char *content)
{
	struct vd_identity i = { .size = sizeof(i), .virtual_size = 1 << 20 };

	vd_err_clear(&err);
	snprintf(i.id, sizeof(i.id), "%s", id);
	snprintf(i.content, sizeof(i.content), "%s", content);
	return vmdk_match_parent(&v, format, &i, &err);
}

static void
test_vmware(void)
{
	struct vd_identity small = { .virtual_size = 512,
				     .content = "1234abcd" };
	struct vd_parent p = { .size = sizeof(p) };

	image("parentCID=1234ABCD\nparentFileNameHint=\"b.vmdk\"\n");
	is_int(vmdk_parent(&v, &p, &err), 0, "a child of VMware's kind");
	is_str(p.hint, "b.vmdk", "names a file");
	is_str(p.expected.content, "1234abcd", "and a CID");
	is_str(p.expected.id, "", "and no more");
	is_int(match("vmdk", "", "1234abcd"), 0, "that is it");
	is_int(match("vmdk", A, "1234abcd+" B), 0, "VirtualBox was there");
	is_int(match("vmdk", "", "1234abce"), -ESTALE, "it was written to");
	ok(strstr(err.msg, "1234abce") && strstr(err.msg, "1234abcd"),
	   "found and expected are told: %s", err.msg);
	is_int(match("vmdk", "", ""), -ESTALE, "one without a CID");
	is_int(match("raw", "", "1048576-77"), -ESTALE, "a raw disk");
	vd_err_clear(&err);
	is_int(vmdk_match_parent(&v, "vmdk", &small, &err), -ESTALE,
	       "a smaller one");
	ok(strstr(err.msg, "512") && strstr(err.msg, "1048576"),
	   "both sizes are told: %s", err.msg);
}

static void
test_vbox(void)
{
	struct vd_parent p = { .size = sizeof(p) };

	image("CID=12\nparentCID=ffffffff\nddb.uuid.parent=\"" A "\"\n"
	      "ddb.uuid.parentmodification=\"" B "\"\n");
	is_int(vmdk_parent(&v, &p, &err), 0, "a child of VirtualBox's kind");
	is_str(p.hint, "", "names no file");
	is_str(p.expected.id, A, "but an identity");
	is_int(match("vmdk", A, "77777777+" B), 0, "that is it");
	is_int(match("vmdk", A, "77777777"), 0,
	       "a parent that has forgotten its modification");
	is_int(match("vmdk", B, "77777777+" B), -ESTALE, "another one");
	is_int(match("vmdk", "", "77777777"), -ESTALE, "one of no identity");
	is_int(match("vmdk", A, "77777777+" C), -ESTALE, "it was written to");
	is_int(match("vdi", A, B), 0, "a VDI of that identity");
	is_int(match("vdi", A, C), -ESTALE, "a VDI that was written to");
	is_int(match("vdi", B, B), -ESTALE, "another VDI");
}

static void
test_half(void)
{
	struct vd_parent p = { .size = sizeof(p) };

	image("parentCID=12345678\n");
	is_int(vmdk_parent(&v, &p, &err), -EINVAL, "a CID and no name");
	ok(strstr(err.help, "relink") != NULL, "the way out: %s", err.help);
	image("parentCID=ffffffff\nparentFileNameHint=\"b\"\n");
	is_int(vmdk_parent(&v, &p, &err), -EINVAL, "a name and no CID");
}

/* Link, write as a descriptor would have it, read back, match. */
static void
there_and_back(const char *format, const char *id, const char *content)
{
	struct vd_parent p = { .size = sizeof(p), .hint = "base.x" }, q = p;
	struct vd_create c = { .size = sizeof(c), .virtual_size = 1 << 20 };
	struct vmdk_link up, again;
	struct vmdk_text t;

	vd_err_clear(&err);
	snprintf(p.expected.id, sizeof(p.expected.id), "%s", id);
	snprintf(p.expected.content, sizeof(p.expected.content), "%s",
		 content);
	is_int(vmdk_link_to(&up, format, &p, &err), 0, "%s: linked", format);
	ok(up.cid != VMDK_NO_PARENT, "with a parentCID");
	vmdk_text_new(&t, 10240, NULL);
	is_int(vmdk_compose(&t, "monolithicSparse", "RW 2048 SPARSE \"x\"\n",
			    &up, &c, &err), 0, "written: %s", err.msg);
	image(t.buf);
	is_int(vmdk_parent(&v, &q, &err), 0, "a child");
	is_str(q.hint, "base.x", "of that name");
	is_str(q.format, strcmp(format, "vmdk") ? format : "", "and format");
	is_int(match(format, id, content), 0, "which matches: %s", err.msg);
	is_int(match(format, id, "99999999+" C), -ESTALE,
	       "and no other content");
	/* What parent() says is enough to say it again. */
	is_int(vmdk_link_to(&again, q.format[0] ? q.format : "vmdk", &q, &err),
	       0, "linked once more");
	is_int(again.cid, up.cid, "the same CID");
	is_str(again.id, up.id, "the same identity");
	is_str(again.modified, up.modified, "the same modification");
	is_str(again.format, up.format, "the same format");
	free(t.buf);
}

static void
test_names(void)
{
	struct vd_parent p = { .size = sizeof(p), .hint = "a\"b" };
	struct vmdk_link up;

	is_int(vmdk_link_to(&up, "vmdk", &p, &err), -EINVAL,
	       "a quote in the name");
	strcpy(p.hint, "a\nRW 1 ZERO");
	is_int(vmdk_link_to(&up, "vmdk", &p, &err), -EINVAL,
	       "a line in the name");
	strcpy(p.hint, "a");
	strcpy(p.expected.id, "11111111-2222-4333-8444-55555555555\"");
	is_int(vmdk_link_to(&up, "vmdk", &p, &err), 0,
	       "an identity that is none");
	is_str(up.id, VMDK_UUID_NIL, "is left out");
}

int
main(void)
{
	test_vmware();
	test_vbox();
	test_half();
	there_and_back("vmdk", A, "1234abcd+" B);
	there_and_back("vmdk", "", "1234abcd");
	there_and_back("vmdk", "", "");
	there_and_back("vdi", A, B);
	there_and_back("raw", "", "1048576-1700000000.5");
	test_names();
	return done_testing();
}
