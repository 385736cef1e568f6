#!/bin/sh
# configure says what it found, what is missing and how to get it.
. "${srcdir:-.}/t/lib/tap.sh"
need pkg-config
unset CC CFLAGS CPPFLAGS LDFLAGS PKG_CONFIG MAKEFLAGS MAKELEVEL MFLAGS 2>/dev/null

mkdir "$tmp/b" && cd "$tmp/b" || exit 1
conf() {
	sh "$srcdir/configure" "$@"
}

ok 'help'			conf --help
exits 'an option that is none'	1 conf --enable-speed
fails_with 'and says which'	'unknown option --enable-speed' conf --enable-speed
fails_with 'no compiler: the package is named' 'apt-get install gcc' \
	conf CC=/nonexistent/cc
fails_with 'no libraries: what they are for' 'liburing: asynchronous' \
	env PKG_CONFIG_LIBDIR=/nonexistent sh "$srcdir/configure"
fails_with 'and the packages on one line' \
	'apt-get install.* liburing-dev libjson-c-dev libdeflate-dev libxen-dev' \
	env PKG_CONFIG_LIBDIR=/nonexistent sh "$srcdir/configure" --with-xen
ok 'nothing half-made is left'	test ! -e Makefile
ok 'without Xen it goes on'	conf --without-xen --without-kmod
says 'and says why it is off'	'off (--without-xen was given)'
ok 'and config.h agrees'	sh -c '! grep HAVE_XEN config.h'

ok 'a kernel to build the driver for'	conf --without-xen --with-kmod=/opt/kernel
says 'is what make kmod takes'	'make kmod KDIR=/opt/kernel'

ok 'without nbdkit, too'	conf --without-nbdkit --without-xen
says 'and says so'	'nbdkit plugin.*off (--without-nbdkit was given)'
fails_with 'nbdkit wanted, and missing' 'apt-get install.* nbdkit-plugin-dev' \
	env PKG_CONFIG_LIBDIR=/nonexistent sh "$srcdir/configure" --with-nbdkit
ok 'without what only options need' conf --without-nettle --without-zlib --without-xen
says 'and says so'	'translate --hash.*off (--without-nettle was given)'
ok 'and config.h agrees'	sh -c '! grep "NETTLE\|ZLIB" config.h'
fails_with 'zlib wanted, and missing' 'apt-get install.* zlib1g-dev' \
	env PKG_CONFIG_LIBDIR=/nonexistent sh "$srcdir/configure" --with-zlib
ok 'its plugins in a private prefix' conf --prefix=/opt/v --without-xen
is 'stay there'	"$(sed -n 's/^nbdplugindir[^=]*= //p' Makefile)" \
	"$(sed -n 's/^WITH_NBD[^=]*= yes$/${libdir}\/nbdkit\/plugins/p' Makefile)"

ok 'folders, flags with odd characters' conf --prefix=/opt/a+b \
	--libdir='${exec_prefix}/lib/x86' 'CFLAGS=-O0 -DX="a\&b|c"'
ok 'modules are looked for there' \
	grep -q '"/opt/a+b/lib/x86/vdisk"' config.h
is 'the flags arrive in the Makefile' \
	"$(sed -n 's/^CFLAGS[^=]*= //p' Makefile)" '-O0 -DX="a\&b|c"'
cp Makefile first
ok 'config.status says the same again' ./config.status
ok 'with the same result'	cmp first Makefile
ok 'pkg-config reads vdisk.pc' \
	env PKG_CONFIG_PATH=. pkg-config --exists --print-errors vdisk
is 'and it names the folder for modules' \
	"$(PKG_CONFIG_PATH=. pkg-config --variable=plugindir vdisk)" \
	/opt/a+b/lib/x86/vdisk

mkdir "$tmp/two words" && cd "$tmp/two words" || exit 1
fails_with 'a folder make cannot handle' 'cannot work in a folder' conf
is 'each test has a number of its own' "$(ls "$srcdir"/t/[0-9]*.t |
	sed 's,.*/\(....\).*,\1,' | uniq -d)" ''
ok 'it stays small'	test "$(wc -l <"$srcdir/configure")" -lt 400
done_testing
