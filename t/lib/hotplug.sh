# hotplug.sh - a machine with xl, xenstore, systemd and the driver, all of paper.
#
# Sourced after tap.sh by tests of block-vdisk and tap-event.  The store is a
# tree of files, sysfs another; programs are scripts in front of the real ones
# and write down what they were asked ($tmp/calls).

script=$builddir/hotplug/block-vdisk
[ -x "$script" ] || skip_all 'built without vdisk'
need flock timeout readlink

machine=$tmp/machine
store=$machine/store
bin=$machine/bin
calls=$tmp/calls
VDISK_RUN=$machine/run VDISK_SYS=$machine/sys VDISK_NODES=$machine/nodes
VDISK_BOOTED=$machine/systemd VDISK_SECONDS=12
export VDISK_RUN VDISK_SYS VDISK_NODES VDISK_BOOTED VDISK_SECONDS store machine calls
B=backend/vbd/7/51728
bus=$VDISK_SYS/bus/xen-backend
node=$VDISK_NODES/7-51728
ln -s "$script" "$tmp/tap-event"
cleanup 'end_processes'

# program NAME: the script on stdin.
program() {
	{ echo '#!/bin/sh'; cat; } >"$bin/$1"
	chmod +x "$bin/$1"
}

# Values are files named "=" in their directories: a key may have keys below.
programs() {
	program xenstore-read <<-'P'
		while :; do case ${1:-} in -R|--) shift ;; *) break ;; esac; done
		cat "$store/$1/=" 2>/dev/null
	P
	program xenstore-write <<-'P'
		while :; do case ${1:-} in -R|--) shift ;; *) break ;; esac; done
		echo "write ${1##*/} $2" >>"$calls"
		mkdir -p "$store/$1" && printf %s "$2" >"$store/$1/="
	P
	program xenstore-rm <<-'P'
		[ "$1" != -t ] || shift
		rm -rf "${store:?}/$1"
	P
	program modprobe <<-'P'
		echo "modprobe $*" >>"$calls"
		[ ! -f "$machine/no-module" ] || { cat "$machine/no-module" >&2; exit 1; }
		mkdir -p "$VDISK_SYS/bus/xen-backend/drivers/xpvtap"
		[ ! -f "$machine/on-modprobe" ] || . "$machine/on-modprobe"
	P
	# vdisk: what the real one does as far as a script can see it.
	program vdisk <<-'P'
		printf "%s\n" "vdisk $*" >>"$calls"
		[ ! -f "$machine/vdisk-says" ] || { cat "$machine/vdisk-says" >&2; exit 3; }
		[ ! -f "$machine/vdisk-hangs" ] || exec sleep 60
		for a; do case ${last:-} in -p) pidfile=$a ;; -x) node=$a ;; esac; last=$a; done
		[ ! -f "$machine/on-vdisk" ] || . "$machine/on-vdisk"
		"$machine/bin/served/vdisk" "$node" </dev/null >/dev/null 2>&1 &
		echo $! >"$pidfile"
	P
	mkdir -p "$bin/served"
	# Ends with its node, as on POLLHUP; or on SIGTERM; or not at all.
	program served/vdisk <<-'P'
		trap 'rm -f "$machine/no-end"; exit 0' TERM
		ls -l /proc/$$/fd >"$machine/fds"
		while [ -e "$1" ] || [ -f "$machine/no-end" ]; do sleep 0.05; done
	P
	# systemctl: starts what the unit would, with the settings it would read.
	program systemctl <<-'P'
		echo "systemctl $*" >>"$calls"
		while :; do case $1 in -q|--no-block) shift ;; *) break ;; esac; done
		id=${2#vdisk@} id=${id%.service}
		case $1 in
		start)	[ -s "$VDISK_RUN/$id.conf" ] || exit 1
			[ ! -f "$machine/unit-fails" ] || { echo "Job for $2 failed."; exit 1; }
			[ -e "$VDISK_NODES/$id" ] || exit 0
			[ ! -f "$machine/vdisk-hangs" ] || exec sleep 60
			vdisk -x "$VDISK_NODES/$id" -p "$VDISK_RUN/vbd-$id.pid" || exit ;;
		is-active)
			read -r pid <"$VDISK_RUN/vbd-$id.pid" && kill -0 $pid ;;
		stop)	read -r pid <"$VDISK_RUN/vbd-$id.pid" && kill $pid ;;
		esac 2>/dev/null
	P
	program journalctl <<-'P'
		case $* in *--since\ @[0-9]*_SYSTEMD_UNIT=vdisk@7-51728.service*)
			cat "$machine/journal" ;;
		esac 2>/dev/null
	P
	# What only root may.
	program chgrp <<-'P'
		echo "chgrp $*" >>"$calls"
	P
}

end_processes() {
	for f in "$VDISK_RUN"/*.pid; do
		[ ! -s "$f" ] || kill -KILL "$(cat "$f")" 2>/dev/null
	done
	[ -z "${kernel:-}" ] || kill "$kernel" 2>/dev/null
}

# set_key KEY VALUE; key KEY
set_key() {
	mkdir -p "$store/$B/$1"
	printf %s "$2" >"$store/$B/$1/="
}
key() {
	cat "$store/$B/$1/=" 2>/dev/null
}

# The kernel's part: bound to DRIVER, with its node.
bound_to() {
	mkdir -p "$bus/devices/real" "$bus/drivers/$1"
	ln -sfn "$bus/devices/real" "$bus/devices/${type:-vbd}-7-51728"
	ln -sfn "$bus/drivers/$1" "$bus/devices/real/driver"
	[ "$1" != xpvtap ] || : >"$node"
}

# What happens at a write to drivers/vbd/unbind and drivers/xpvtap/bind.
rebinding() {
	mkdir -p "$bus/drivers/vbd" "$bus/drivers/xpvtap"
	mkfifo "$bus/drivers/vbd/unbind" "$bus/drivers/xpvtap/bind"
	(
		read -r d <"$bus/drivers/vbd/unbind"
		echo "unbind $d" >>"$calls"
		rm -f "$bus/devices/real/driver"
		read -r d <"$bus/drivers/xpvtap/bind"
		echo "bind $d" >>"$calls"
		bound_to xpvtap
	) &
	kernel=$!
}

# A fresh machine with one new disk: [DRIVER [IMAGE]]
boot() {
	end_processes
	rm -rf "$machine"
	: >"$calls"
	mkdir -p "$bin" "$store" "$bus/devices" "$bus/drivers/xpvtap" "$VDISK_NODES"
	programs
	set_key frontend-id 7
	set_key frontend /local/domain/7/device/vbd/51728
	set_key online 1
	set_key state 2
	set_key mode w
	set_key device-type disk
	set_key params "${2-$tmp/disk.vmdk}"
	[ "${1:-xpvtap}" = none ] || bound_to "${1:-xpvtap}"
}

# As libxl and udev start it.
xl() {
	env PATH="$bin:$PATH" XENBUS_PATH=$B XENBUS_TYPE=vbd script="$script" \
		"$script" "$@"
}
udev() {
	env PATH="$bin:$PATH" XENBUS_PATH=$B XENBUS_TYPE=tap ACTION="$1" "$tmp/tap-event"
}

# running: the process that the pid file names; ended.
running() {
	kill -0 "$(cat "$VDISK_RUN/vbd-7-51728.pid" 2>/dev/null)" 2>/dev/null
}
ended() {
	! running
}

# called TEXT PATTERN [TIMES]: a program was started so.
called() {
	is "$1" "$(grep -c -e "$2" "$calls")" "${3:-1}" || diag "$(cat "$calls")"
}
