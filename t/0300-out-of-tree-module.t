#!/bin/sh
# A module and a program built from the installed headers and pkg-config alone
# work with the installed programs.
. "${srcdir:-.}/t/lib/tap.sh"
need cc make pkg-config
unset CC CFLAGS CPPFLAGS LDFLAGS MAKEFLAGS MAKELEVEL MFLAGS 2>/dev/null
unset VDISK_PLUGIN_PATH

install_vdisk() {
	mkdir "$tmp/build" && cd "$tmp/build" &&
	sh "$srcdir/configure" --prefix="$tmp/usr" --without-xen CFLAGS=-O0 &&
	make -s -j2 install
}
ok 'configure, make, make install' install_vdisk
is 'nothing of the build is needed any more' "$(cd / && rm -rf "$tmp/build"; echo $?)" 0

# From here on: what is installed, and nothing of the source tree.
PATH=$tmp/usr/bin:$tmp/usr/sbin:/usr/bin:/bin
LD_LIBRARY_PATH=
PKG_CONFIG_PATH=$tmp/usr/lib/pkgconfig
export PKG_CONFIG_PATH
cp -r "$srcdir/t/module" "$tmp/mine" && cd "$tmp/mine" || exit 1
rm -f ./*.so

ok 'the installed modules are found' vdisk-probe --modules
says 'vmdk among them' '^ *vmdk'
ok 'the module builds without a warning' make CFLAGS='-O2 -Wall -Wextra -Werror'
ok 'it is told where to go' make install
is 'beside ours' "$(ls "$tmp/usr/lib/vdisk")" 'boxed.so
delta.so
raw.so
vdi.so
vmdk.so'
ok 'the installed vdisk-probe lists modules' vdisk-probe --modules
says 'the new one too' '^ *boxed'

ok 'its create is used by extension' vdiskadm create -s 3M "$tmp/a.boxed"
is 'the header is what the module wrote' \
	"$(head -c 8 "$tmp/a.boxed")" VDBOXED1
ok 'its probe knows it' vdisk-probe "$tmp/a.boxed"
says 'by its name' 'boxed'
ok 'its info is shown' vdiskadm info "$tmp/a.boxed"
says 'the module tells its part' 'one to one, from byte 4096'

# Known bytes in, the same bytes out through translation to our formats.
i=0
while [ $i -lt 3072 ]; do
	printf '%08d%1016s' $i x
	i=$((i + 1))
done >"$tmp/want"
{ head -c 4096 "$tmp/a.boxed" && cat "$tmp/want"; } >"$tmp/b.boxed"
ok 'translated to raw' vdiskadm translate -I "$tmp/b.boxed" -x raw -d "$tmp/b.raw"
ok 'byte for byte' cmp "$tmp/want" "$tmp/b.raw"
ok 'translated to vmdk' vdiskadm translate -I "$tmp/b.boxed" -x vmdk -d "$tmp/b.vmdk"
ok 'and back into the new format' \
	vdiskadm translate -I "$tmp/b.vmdk" -x boxed -d "$tmp/c.boxed"
ok 'which is the same file again' cmp "$tmp/b.boxed" "$tmp/c.boxed"

head -c 2M "$tmp/b.boxed" >"$tmp/cut.boxed"
exits 'a cut one is called broken' 1 vdisk-probe "$tmp/cut.boxed"
says 'in the words of the module' 'does not fit into the file'

# A program: opens through the same module, reads, writes, flushes.
cat >"$tmp/mine/prog.c" <<'P'
#include <stdio.h>
#include <string.h>
#include <vdisk/vdisk.h>

int
main(int argc, char **argv)
{
	struct vd_library *lib;
	struct vd_disk *disk;
	struct vd_err err = { 0 };
	char buf[512], back[512], text[1200];

	if (argc != 2 ||
	    vd_library_open(NULL, &lib, &err) < 0 ||
	    vd_disk_open(lib, argv[1], NULL, &disk, &err) < 0 ||
	    vd_disk_read(disk, buf, 9, 1024 * 5, &err) < 0)
		goto fail;
	printf("%.8s %s\n", buf, vd_disk_format(disk, 0)->name);
	memset(buf, 'y', sizeof(buf));
	if (vd_disk_write(disk, buf, sizeof(buf), 4096, 0, &err) < 0 ||
	    vd_disk_flush(disk, &err) < 0 ||
	    vd_disk_read(disk, back, sizeof(back), 4096, &err) < 0 ||
	    memcmp(buf, back, sizeof(buf)) ||
	    vd_disk_close(disk, &err) < 0)
		goto fail;
	vd_library_close(lib);
	return 0;
fail:
	puts(vd_err_text(&err, text, sizeof(text)));
	return 1;
}
P
ok 'a program builds' sh -c 'cc -Wall -Werror prog.c $(pkg-config --cflags --libs vdisk) \
	-Wl,-rpath,"$(pkg-config --variable=libdir vdisk)" -o prog'
is 'and reads through the module' "$(./prog "$tmp/b.boxed")" '00000005 boxed'
is 'its write is where it belongs' \
	"$(tail -c +8193 "$tmp/b.boxed" | head -c 512 | tr -d y | wc -c)" 0
done_testing
