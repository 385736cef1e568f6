/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmdk-desc.t.c - the descriptor: every writer's habits, and no stranger's tricks. */
/* objects: plugins/vmdk/text.o plugins/vmdk/desc.o plugins/vmdk/edit.o plugins/vmdk/header.o */
#include <errno.h>
#include <tap.h>
#include "plugins/vmdk/vmdk.h"

static struct vmdk_desc d;
static struct vd_err err;

static int
parse(const char *text)
{
	vd_err_clear(&err);
	return vmdk_desc_parse(text, strlen(text), 0, &d, &err);
}

static bool
str_is(struct vmdk_str s, const char *want)
{
	return s.n == strlen(want) && !memcmp(s.p, want, s.n);
}

static void
test_keys(void)
{
	is_int(parse("# Disk DescriptorFile\nversion=1\nCID=0a1b2c3d\n"
		     "parentCID=ffffffff\ncreateType=\"monolithicFlat\"\n"
		     "RW 8 FLAT \"a b-flat.vmdk\" 0\n"), 0, "a plain one");
	is_int(d.cid, 0x0a1b2c3d, "CID");
	ok(str_is(d.create_type, "monolithicFlat"), "createType");
	is_int(d.sectors, 8, "sectors");
	is_int(parse("VERSION=1 \r\ncid = \"AB\"\r\nCreateType=vmfs \r\n"
		     "rw 8 vmfs x\r\n"), 0,
	       "CRLF, upper and lower case, blanks, no quotes");
	is_int(d.cid, 0xab, "a CID of two digits");
	is_int(d.version, 1, "a version with a blank behind it");
	ok(str_is(d.create_type, "vmfs"), "a bare word");
	is_int(d.nextents, 1, "an extent in lower case");
	is_int(parse("CID=1\nCID=1\n"), 0, "CID twice, alike");
	is_int(parse("CID=1\nCID=2\n"), -EINVAL, "CID twice, not alike");
	is_int(err.off, 6, "names the second one");
	is_int(parse("CID=123456789\n"), -EINVAL, "nine digits");
	is_int(parse("CID=\n"), -EINVAL, "no digits");
	is_int(parse("CID=xyz\n"), -EINVAL, "other letters");
	is_int(parse("createType=\"a\"\ncreateType=\"b\"\n"), -EINVAL,
	       "two createTypes");
	is_int(parse("createType=\"monolithicFlat"), 0, "no closing quote");
	ok(str_is(d.create_type, "monolithicFlat"), "ends with the text");
	is_int(parse("version=99999999999999999999\n"), 0, "a huge version");
	ok(d.version > 3, "is no version we know");
	is_int(parse("ddb.uuid.parent=\"00000000-0000-0000-0000-000000000000"
		     "\"\n"), 0, "VirtualBox's nil parent");
	ok(!d.vbox_child, "is none");
	parse("ddb.uuid.parent=\"00000000-0000-0000-0000-000000000001\"\n");
	ok(d.vbox_child, "another is one");
	is_int(vmdk_desc_parse("CID=1\0CID=2\n", 12, 0, &d, &err), 0,
	       "a NUL ends the text");
	is_int(d.cid, 1, "whatever follows it");
	is_int(parse("what is this\n=x\nRW\n"), 0, "lines that say nothing");
	is_int(d.unknown, 3, "are counted");
}

static int
extent(const char *text, struct vmdk_extline *x)
{
	struct vmdk_cursor c = { text, strlen(text), 0 };
	struct vmdk_line l;

	vd_err_clear(&err);
	if (!vmdk_line_next(&c, &l) || l.kind != VMDK_LINE_EXTENT)
		return -ENOENT;
	return vmdk_extline_parse(&l, 0, x, &err);
}

static void
test_extents(void)
{
	struct vmdk_extline x;

	is_int(extent("RW 4192256 SPARSE \"x y-s001.vmdk\"", &x), 0, "sparse");
	ok(x.kind == VMDK_SPARSE && x.sectors == 4192256 &&
	   str_is(x.name, "x y-s001.vmdk"), "all of it");
	is_int(extent("RW 10 FLAT \"f\" 63 uuid device", &x), 0,
	       "more operands than we need");
	is_int(x.offset, 63, "offset");
	is_int(extent("\tRDONLY   7\tFLAT f", &x), 0, "tabs and a bare name");
	ok(x.access == VMDK_RDONLY && x.sectors == 7, "are understood");
	is_int(extent("NOACCESS 7 ZERO", &x), 0, "no file is needed for zeros");
	ok(x.kind == VMDK_ZERO, "which they are");
	is_int(extent("RW 0 FLAT \"f\" 0", &x), -EINVAL, "no sectors");
	is_int(extent("RW -1 FLAT \"f\" 0", &x), -EINVAL, "less than none");
	is_int(extent("RW 0x10 FLAT \"f\" 0", &x), -EINVAL, "hexadecimal");
	is_int(extent("RW 18446744073709551617 FLAT \"f\" 0", &x), -EINVAL,
	       "2^64 + 1 is not 1");
	is_int(extent("RW 36028797018963968 FLAT \"f\" 0", &x), -EFBIG,
	       "more bytes than 2^63");
	is_int(extent("RW 8 FLAT \"f\" 99999999999999999999", &x), -EINVAL,
	       "an offset that overflows");
	is_int(extent("RW 8 FLAT", &x), -EINVAL, "no name");
	is_int(extent("RW 8 FLAT \"\" 0", &x), -EINVAL, "an empty name");
	is_int(extent("RW 8", &x), -EINVAL, "no type");
	is_int(extent("RWX 8 FLAT f", &x), -ENOENT, "RWX is no access");
}

static void
test_bounds(void)
{
	size_t n = (VMDK_EXTENTS_MAX + 1) * 12;
	char *big = malloc(n + 1), *p = big;
	char name[VD_NAME_MAX + 64];
	struct vmdk_extline x;

	for (unsigned i = 0; i <= VMDK_EXTENTS_MAX; i++, p += 12)
		memcpy(p, "RW 1 FLAT f\n", 12);
	*p = '\0';
	is_int(parse(big), -EFBIG, "one extent too many");
	big[n - 12] = '\0';
	is_int(parse(big), 0, "as many as we allow");
	is_int(parse("RW 18014398509481984 FLAT a\nRW 1 FLAT b\n"), -EFBIG,
	       "extents that add up too far");
	memset(big, 'x', VMDK_LINE_MAX + 1);
	big[VMDK_LINE_MAX + 1] = '\0';
	is_int(parse(big), -EFBIG, "a line without end");
	free(big);
	memcpy(name, "RW 1 FLAT ", 10);
	memset(name + 10, 'n', VD_NAME_MAX);
	name[10 + VD_NAME_MAX] = '\0';
	is_int(extent(name, &x), -ENAMETOOLONG, "a name too long");
	name[10 + VD_NAME_MAX - 1] = '\0';
	is_int(extent(name, &x), 0, "a name just not too long");
}

static void
test_looks(void)
{
	static const struct {
		const char *text;
		bool yes;
		const char *name;
	} t[] = {
		{ "# Disk DescriptorFile\nversion=1\n", true, "title" },
		{ "#Disk Descriptor File\r\n\r\nversion=3\r\n", true,
		  "another title" },
		{ "version=1 ;\nCID=1\ncreateType=\"vmfs\"\n", true,
		  "no title, junk behind the version" },
		{ "version=1\nname=some program's settings\n", false,
		  "somebody's settings" },
		{ "version=one\ncreateType=\"vmfs\"\n", false, "no digit" },
		{ "CID=1\nversion=1\ncreateType=\"vmfs\"\n", false,
		  "version is not first" },
		{ "# Disk DescriptorFile\n", false, "title only" },
		{ "", false, "nothing" },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		is_int(vmdk_desc_looks(t[i].text, strlen(t[i].text)), t[i].yes,
		       "looks: %s", t[i].name);
}

static void
set(const char *before, const char *key, const char *value, bool quoted,
    const char *after, const char *name)
{
	char text[256];
	size_t len = strlen(before);

	vd_err_clear(&err);
	memcpy(text, before, len + 1);
	is_int(vmdk_desc_set(text, &len, sizeof(text) - 1, key, value, quoted,
			     &err), 0, "set: %s", name);
	text[len] = '\0';
	is_str(text, after, "result: %s", name);
}

static void
test_set(void)
{
	char text[32] = "CID=1\n";
	size_t len = 6;

	set("version=1\nCID=00000001\nx=y\n", "CID", "deadbeef", false,
	    "version=1\nCID=deadbeef\nx=y\n", "in place");
	set("# CID=1\nparentCID=ffffffff\nCID=12 # mine\n", "CID", "deadbeef",
	    false, "# CID=1\nparentCID=ffffffff\nCID=deadbeef\n",
	    "neither the comment nor the parent's");
	set("cid = \"1\"\r\nx\r\n", "CID", "deadbeef", false,
	    "cid = \"deadbeef\"\r\nx\r\n", "quotes, blanks and CRLF stay");
	set("CID=1\nCID=1", "CID", "deadbeef", false,
	    "CID=deadbeef\nCID=deadbeef", "both of two, and no last newline");
	set("#t\nversion=1\nx=y\n", "CID", "deadbeef", false,
	    "#t\nversion=1\nCID=deadbeef\nx=y\n", "a new one behind version");
	set("x=y\nz=1", "ddb.longContentID", "ab", true,
	    "x=y\nz=1\nddb.longContentID = \"ab\"\n", "a new ddb at the end");
	set("CID=\nx", "CID", "deadbeef", false, "CID=deadbeef\nx",
	    "an empty value");
	set("a=\"\"\n", "a", "b", true, "a=\"b\"\n", "empty quotes");
	is_int(vmdk_desc_set(text, &len, 10, "CID", "deadbeef", false, &err),
	       -ENOSPC, "no room is an error");
	is_str(text, "CID=1\n", "and changes nothing");
}

static int
supported(const char *text, bool embedded)
{
	if (parse(text))
		return 1;
	return vmdk_desc_supported(&d, embedded, 0, &err);
}

#define HEAD(type) "version=1\nCID=1\nparentCID=ffffffff\n" \
		   "createType=\"" type "\"\n"
#define FLATS "RW 8 FLAT \"x-flat.vmdk\" 0\n"
#define SPARSES "RW 8 SPARSE \"x.vmdk\"\n"

static void
test_supported(void)
{
	static const char *const no[] = { "brandNew", "diskless" };
	static const char *const devices[] = {
		"fullDevice", "partitionedDevice", "vmfsRDM", "vmfsRawDeviceMap",
		"vmfsRDMP", "vmfsPassthroughRawDeviceMap", "vmfsRaw",
	};
	char text[512];

	is_int(supported(HEAD("monolithicFlat") FLATS, false), 0, "flat");
	is_int(supported(HEAD("2gbmaxextentflat") FLATS, false), 0,
	       "the name that old papers print");
	is_int(supported(HEAD("monolithicSparse") SPARSES, true), 0, "sparse");
	is_int(supported(SPARSES, true), 0,
	       "embedded: the header says what it is");
	is_int(supported(HEAD("custom") FLATS SPARSES "RW 1 ZERO\n", false),
	       0, "a mixture");
	is_int(supported(HEAD("streamOptimized") SPARSES, true), 0,
	       "compressed");
	for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++) {
		snprintf(text, sizeof(text), "version=1\ncreateType=\"%s\"\n"
			 FLATS, devices[i]);
		is_int(supported(text, false), 0, "%s is known", devices[i]);
		ok(vmdk_type_find(d.create_type)->device, "as one of devices");
		is_int(supported(text, true), -EINVAL, "but not embedded");
	}
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
		snprintf(text, sizeof(text), "version=1\ncreateType=\"%s\"\n"
			 FLATS, no[i]);
		is_int(supported(text, false), -ENOTSUP, "%s is refused",
		       no[i]);
		ok(strcasestr(err.msg, vmdk_variant(NULL, &d)) ||
		   strstr(err.msg, no[i]), "by its name: %s", err.msg);
	}
	is_int(supported("version=1\n" FLATS, false), -EINVAL,
	       "text without createType");
	is_int(supported(HEAD("monolithicFlat"), false), -EINVAL,
	       "text without extents");
	is_int(supported("version=1\nparentCID=12\n" SPARSES, true), 0,
	       "a child");
	ok(vmdk_desc_is_child(&d), "is one");
	is_int(supported("version=1\nparentFileNameHint=\"base.vmdk\"\n"
			 SPARSES, true), 0, "a child without parentCID");
	ok(vmdk_desc_is_child(&d), "is one");
	is_int(supported("ddb.uuid.parent=\"1-2\"\n" SPARSES, true), 0,
	       "a child of VirtualBox's kind");
	ok(vmdk_desc_is_child(&d), "is one");
	is_int(supported(HEAD("monolithicSparse") SPARSES, true), 0,
	       "parentCID=ffffffff");
	ok(!vmdk_desc_is_child(&d), "is none");
	is_int(supported("parentFileNameHint=\"b\"\n"
			 HEAD("monolithicFlat") FLATS, false), -ENOTSUP,
	       "a flat child has no holes");
	is_int(supported("isNativeSnapshot=\"yes\"\n" SPARSES, true),
	       -ENOTSUP, "an array's snapshot");
	is_int(supported("encryption.keySafe = \"x\"\n" SPARSES, true),
	       -ENOTSUP, "an encrypted one");
	is_int(supported(SPARSES SPARSES, true), -ENOTSUP,
	       "two extents in an embedded one");
	is_int(supported("", true), -ENOTSUP, "no text in a sparse file");
}

/* Lines that become comments, in place. */
static void
test_drop(void)
{
	char t[] = "version=1\nchangeTrackPath=\"a\"\n ChangeTrackPath = b\n";

	vmdk_desc_drop(t, strlen(t), "changeTrackPath");
	is_str(t, "version=1\n#hangeTrackPath=\"a\"\n #hangeTrackPath = b\n",
	       "all of them, and nothing else");
}

int
main(void)
{
	test_drop();
	test_keys();
	test_extents();
	test_bounds();
	test_looks();
	test_set();
	test_supported();
	return done_testing();
}
