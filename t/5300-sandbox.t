#!/bin/sh
# A disk is served to its end by a process that has no rights, with no forbidden call.
. "${srcdir:-.}/t/lib/tap.sh"
need vdiskadm vd-jail
grep -q 'define HAVE_SECCOMP' "$builddir/config.h" || skip_all 'built without libseccomp'
user=$(id -un)
[ "$(id -u)" -ne 0 ] || user=nobody
cd "$tmp" || exit 1

# whole FILE: its own checker finds nothing, where it has one.
whole() {
	case $1 in
	*.raw)	;;
	*)	vdiskadm verify "$1" ;;
	esac
}

# serve TYPE EXTENSION: with each driver, where a forbidden call is deadly.
serve() {
	for driver in sync io_uring; do
		f=$driver-$(printf %s "$1" | tr : -).$2
		ok "a new disk, $1" vdiskadm create -s 8M -t "$1" "$f"
		ok "$1, $driver: served to the end" vd-jail $driver "$f" kill "$user"
		says "$1, $driver: all of it" served
		ok "$1, $driver: whole" whole "$f"
		# What was left may be used by the next, and says nothing.
		is "$1, $driver: no journal with anything in it" \
			"$(find "$VDISK_RUN_DIR" -type f -size +0 2>/dev/null)" ''
		ok "$1, $driver: opens again" vd_io "$f" 'write 0 4k 0x01' flush
	done
}

serve vmdk vmdk
serve vmdk:fixed vmdk
serve vdi vdi
serve vdi:fixed vdi
serve raw raw

# Copy on write: units that are there in the parent, all zeros.
for format in vmdk vdi raw; do
	for driver in sync io_uring; do
		mkdir $format-$driver && cd $format-$driver || exit 1
		ok "a parent, $format" make_image base.$format 8M 0
		top=base.$format
		if [ $format = raw ]; then
			top=child.delta
			ok 'and its child' vdiskadm create -p base.raw child.delta
		else
			ok 'and its child' vdiskadm snapshot base.$format@before
		fi
		ok "child of $format, $driver: served to the end" \
			vd-jail $driver $top kill "$user"
		ok "child of $format, $driver: whole" vdiskadm verify $top
		cd ..
	done
done

# ------------------------------------------------------- vdisk says what it holds

if command -v vdisk >/dev/null; then
	ok 'vdisk --show-sandbox' vdisk --show-sandbox -x /dev/xen/xpvtap/7-51728 \
		--user "$user"
	cp "$tmp/.out" shown
	is 'no capability at all' "$(grep '^capabilities:' shown)" \
		'capabilities: inheritable none, permitted none, effective none, bounding none, ambient none' ||
		[ "$(id -u)" -eq 0 ]
	says 'no new privileges' '^no new privileges: yes'
	says 'it cannot open a file' '^  open a file: Operation not permitted'
	says 'nor start a process' '^  start a process: Operation not permitted'
	says 'the driver is spoken to' 'XPVTAP_IOC_PUSH'
	is 'no ioctl of the other way' "$(grep -c GNTDEV shown)" 0
	is 'no call that opens' \
		"$(sed '1,/^system calls/d' shown | grep -cE '^  (open|openat|socket|execve|fork)( |:|\$)')" 0
	if [ "$(id -u)" -eq 0 ]; then
		says 'another user' "^user: $(id -u nobody)"
		says 'in no other group' '^other groups: none'
		says 'namespaces of its own' 'own: mnt net ipc uts'
		says 'where no name leads anywhere, filter or not' \
			'no filter: reading /etc/passwd: [NP][^ ]* .* /tmp: [NP]'
	else
		skip 'another user, namespaces' 'needs root'
	fi
	exits 'with --sandbox=off it says so' 1 vdisk --show-sandbox --sandbox off
	says 'in a word' '^sandbox: off'
	says 'and that nothing is filtered' 'no filter is in force'
	fails_with 'a user who is not there' 'no user nosuchuser' \
		vdisk --show-sandbox --user nosuchuser || [ "$(id -u)" -ne 0 ]
	fails_with 'a word that is none' 'expected on, kill or off' \
		vdisk --show-sandbox --sandbox maybe
else
	skip 'vdisk --show-sandbox' 'built without vdisk'
fi
done_testing
