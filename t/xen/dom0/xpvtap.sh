# dom0/xpvtap.sh - verbs for scenarios of the kernel driver.  Sourced by them.
#
#	put_nodes VDEV TYPE [KEY VALUE]...	what the tools would write
#	xp_nodes VDEV TYPE [KEY VALUE]...	and until the driver has seen it
#	xp_blank FILE...	what scenarios before this one wrote is gone
#	xp_serve VDEV FILE [OPTION...]	tapcat at its node, till it says ready
#	xp_kill VDEV		kill -9 of it
#	xp_detach VDEV TYPE	as vdisk-detach, with xl's order of writes
#	xp_stat VDEV TYPE NAME	a number from statistics/
#	xp_quiet		the kernel had nothing to complain of

xp_node() { echo "/dev/xen/xpvtap/$(guest_id)-$(vbd $1)"; }
xp_back() { echo "/local/domain/0/backend/$2/$(guest_id)/$(vbd $1)"; }

put_nodes()
{
	id=$(vbd $1)
	d=$(guest_id)
	f=/local/domain/$d/device/vbd/$id
	b=/local/domain/0/backend/$2/$d/$id
	dev=$1 type=$2
	shift 2
	xenstore-write "$f" '' "$b" ''
	xenstore-chmod "$f" n$d r0
	xenstore-chmod "$b" n0 r$d
	while [ $# -gt 1 ]; do
		xenstore-write "$b/$1" "$2"
		shift 2
	done
	state_is "$b/mode" r || xenstore-write "$b/mode" w
	xenstore-write "$f/backend" "$b" "$f/backend-id" 0 \
		"$f/virtual-device" $id "$f/device-type" disk \
		"$f/protocol" x86_64-abi "$f/state" 1 \
		"$b/frontend" "$f" "$b/frontend-id" $d "$b/online" 1 \
		"$b/type" $type "$b/dev" "xvd$dev" "$b/state" 1
}

xp_nodes()
{
	put_nodes "$@"
	# 3: the frontend was quick.
	wait_for 10 state_is "$b/state" 2 && wait_for 5 test -c "$(xp_node $dev)"
}

xp_blank()
{
	for file; do
		size=$(stat -c %s "$file")
		truncate -s 0 "$file" && truncate -s $size "$file"
	done
}

xp_serve()
{
	dev=$1 file=$2
	shift 2
	tapcat "$@" "$(xp_node $dev)" "$file" >/tmp/tapcat.$dev 2>&1 &
	echo $! >/tmp/tapcat.$dev.pid
	wait_for 10 grep -q ^ready /tmp/tapcat.$dev && return 0
	cat /tmp/tapcat.$dev
	return 1
}

xp_pid() { cat /tmp/tapcat.$1.pid; }
xp_ended() { ! kill -0 $(xp_pid $1) 2>/dev/null; }
xp_kill() { kill -9 $(xp_pid $1) && wait_for 5 xp_ended $1; }

xp_detach()
{
	b=$(xp_back $1 $2)
	f=/local/domain/$(guest_id)/device/vbd/$(vbd $1)
	xenstore-write "$b/online" 0 "$b/state" 5
	wait_for 20 state_is "$b/state" 6 || return 1
	xenstore-rm "$b"
	xenstore-rm "$f"
}

xp_stat()
{
	cat "/sys/bus/xen-backend/devices/$2-$(guest_id)-$(vbd $1)/statistics/$3"
}

xp_no_node() { [ ! -e "$1" ]; }

# The taint of an unsigned module is expected, and that xenbus tells of each
# driver that leaves a device to another.
xp_complaints()
{
	dmesg | grep -E 'xpvtap|WARNING|BUG|Oops|Call Trace|general protection|RIP:|refcount|INFO: task|lockdep|list_(add|del)' |
		grep -vE 'loading out-of-tree|module verification|xpvtap: module license|xenbus_dev_probe on'
}
xp_quiet() { [ -z "$(xp_complaints)" ]; }
