#!/bin/sh
# Every source is clean under every compiler here, with and without Xen.
. "${srcdir:-.}/t/lib/tap.sh"
need make
unset CC CFLAGS CPPFLAGS LDFLAGS MAKEFLAGS MAKELEVEL MFLAGS 2>/dev/null

# compile FOLDER CONFIGURE-ARGUMENT...
compile() {
	mkdir "$tmp/$1" && cd "$tmp/$1" || return
	shift
	sh "$srcdir/configure" --enable-werror "$@" && make -s -k tests
}

for cc in gcc clang; do
	if command -v $cc >/dev/null; then
		# gcc finds more when it optimizes, clang does not.
		[ $cc = gcc ] && o=-O2 || o=-O0
		ok "$cc" compile $cc CC=$cc CFLAGS=$o
	else
		skip "$cc" "needs $cc"
	fi
done
ok 'without Xen' compile noxen --without-xen CFLAGS=-O0
is 'which leaves files, and the driver' "$(ls "$tmp/noxen/bin" | tr '\n' ' ')" \
	'vdisk vdisk-probe vdiskadm '
done_testing
