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
if [ -x "$builddir/bin/vdisk" ]; then
	scripts=$(value xenscriptdir) units=$(value systemdsystemunitdir)
	ok 'the hotplug script' test -x "$scripts/block-vdisk"
	ok 'and its other name' test "$(readlink "$scripts/tap-event")" = block-vdisk
	for f in "$units/vdisk@.service" "$(value udevrulesdir)/60-vdisk.rules" \
		"$(value tmpfilesdir)/vdisk.conf" "$(value sysusersdir)/vdisk.conf" \
		"$(value modprobedir)/xpvtap.conf"; do
		ok "hotplug: ${f##*/}" test -f "$f"
	done
	ok 'no name is left to be filled in' \
		sh -c "! grep -rE '@[a-z]+@' '$scripts' '$units' '$(value udevrulesdir)'"
	sbin=$(value sbindir)
	ok 'the unit starts what was installed' \
		grep -q "^ExecStart=${sbin#"$d"}/vdisk " "$units/vdisk@.service"
	is 'the script finds it' "$(grep -c "^PATH=.*:${sbin#"$d"}:" "$scripts/block-vdisk")" 1
	systemctl=$(command -v systemd-analyze)
	if [ -n "$systemctl" ]; then
		mkdir -p "$tmp/units"
		# As an instance, with a program that is there.
		sed "s,^ExecStart=[^ ]*,ExecStart=$sbin/vdisk," "$units/vdisk@.service" \
			>"$tmp/units/vdisk@7-51728.service"
		ok 'systemd understands the unit' sh -c "SYSTEMD_UNIT_PATH=$tmp/units: \
			systemd-analyze verify --man=no vdisk@7-51728.service 2>&1 |
				grep vdisk && exit 1; :"
	else
		skip 'systemd understands the unit' 'no systemd-analyze'
	fi
else
	skip 'hotplug' 'built without vdisk'
fi
ok 'nobody else may change a module' \
	sh -c "! find '$lib/vdisk' -name '*.so' -perm /022 | grep ."
before=$(find "$d" ! -type d | sort)
ok 'install again over it' made install
is 'adds nothing' "$(find "$d" ! -type d | sort)" "$before"
ok 'uninstall' made uninstall
is 'nothing is left' "$(find "$d" ! -type d)" ''
done_testing
