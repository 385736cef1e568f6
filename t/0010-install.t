#!/bin/sh
# make install puts everything below DESTDIR; make uninstall takes it all away.
. "${srcdir:-.}/t/lib/tap.sh"
need make pkg-config
unset MAKEFLAGS MAKELEVEL MFLAGS

d=$tmp/root
made() {
	make -s -C "$builddir" "$@" DESTDIR="$d"
}
folder() {
	sed -n "s/^$1[	 ]*= //p" "$builddir/Makefile"
}
value() {	# a folder with what it is made of
	v=$(folder "$1")
	while :; do
		case $v in
		*\$\{*)	n=${v#*\$\{}
			n=${n%%\}*}
			v=$(folder "$n")${v#*\}} ;;
		*)	break ;;
		esac
	done
	echo "$d$v"
}

ok 'install' made install
lib=$(value libdir) inc=$(value includedir) man=$(value mandir)
for f in vdisk.h format.h error.h; do
	ok "header $f" test -f "$inc/vdisk/$f"
done
ok 'the library, under its three names' \
	test -L "$lib/libvdisk.so" -a -L "$lib/libvdisk.so.1" -a \
		-f "$lib/libvdisk.so.1"
for m in "$srcdir"/plugins/*/; do
	m=$(basename "$m")
	ok "module $m" test -f "$lib/vdisk/$m.so"
done
for p in "$builddir"/bin/*; do
	p=${p##*/}
	ok "program $p" sh -c "ls '$(value bindir)/$p' || ls '$(value sbindir)/$p'"
	ok "manual of $p" sh -c "ls '$man'/man*/$p.[1-8]"
	LD_LIBRARY_PATH= ok "$p runs from there, without a hint" sh -c \
		"\$(ls '$(value bindir)/$p' '$(value sbindir)/$p' 2>/dev/null) --version"
done
if [ "$(folder WITH_NBD)" = yes ] && command -v nbdkit >/dev/null; then
	LD_LIBRARY_PATH= ok 'nbdkit takes its plugin from there' \
		nbdkit --dump-plugin "$(value nbdplugindir)/nbdkit-vdisk-plugin.so"
	says 'which finds the formats' 'vdisk_formats=.*vmdk'
else
	skip 'nbdkit takes its plugin from there' 'no nbdkit'
fi
ok 'nobody else may change a module' \
	sh -c "! find '$lib/vdisk' -name '*.so' -perm /022 | grep ."
before=$(find "$d" ! -type d | sort)
ok 'install again over it' made install
is 'adds nothing' "$(find "$d" ! -type d | sort)" "$before"
ok 'uninstall' made uninstall
is 'nothing is left' "$(find "$d" ! -type d)" ''
done_testing
