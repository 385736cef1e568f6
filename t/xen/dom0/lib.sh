# dom0/lib.sh - what scenarios are written with.  Sourced by dom0's shell.
#
#	ok TEXT COMMAND...	one result; its output goes to the log; its status
#				says whether going on makes sense
#	is TEXT WANT HAVE	one result, shows both when they differ
#	note TEXT		one line for the reader
#	guest_start		a PV guest, up and answering
#	guest_create, guest_boots	the same in two steps, and by GRUB
#	guest_up		the same, unless one is there already
#	guest COMMAND		runs there; output and exit status come back
#	attach FILE VDEV [r|w]	vdisk-attach, and wait till the guest sees it
#	detach VDEV		vdisk-detach, and wait till it is gone
#	xl_attach VDEV FILE [r|w], xl_detach VDEV	by xl with block-vdisk
#	wait_for SECONDS COMMAND...
#	domain_gone, maps, backends: what must be back to nothing

G=guest
results=${results:-/dev/null}
console=/var/log/xen/console/guest-$G.log
# Over whatever the scenario was asked for, or vdisk-attach prefers.
transport=${TRANSPORT:+--transport=$TRANSPORT}
attach_options=
# Those that are meant for this transport, if there are any.
disks=/disks
[ ! -d "/disks/${TRANSPORT:-none}" ] || disks=/disks/$TRANSPORT

emit()
{
	printf '%s\n' "$*" >"$results"
	printf '[%s] %s\n' "$(cut -d' ' -f1 /proc/uptime)" "$*"
}
note() { emit "# $*"; }

ok()
{
	text=$1
	shift
	printf '+ %s\n' "$*"
	if "$@"; then
		emit "ok - $text"
		return 0
	fi
	emit "not ok - $text"
	emit "#   failed: $*"
	return 1
}

is()
{
	if [ "$2" = "$3" ]; then
		emit "ok - $1"
	else
		emit "not ok - $1"
		printf '%s\n' "$2" | head -5 | sed 's/^/#   wanted: /' >"$results"
		printf '%s\n' "$3" | head -5 | sed 's/^/#   have:   /' >"$results"
	fi
}

# A command that must fail with one of these statuses and say WORDS.
refused()
{
	text=$1 statuses=$2 words=$3
	shift 3
	"$@" >/tmp/refused 2>&1 </dev/null
	got=$?
	cat /tmp/refused
	case " $statuses " in
	*" $got "*) ;;
	*)	emit "not ok - $text"
		emit "#   wanted status $statuses, have $got"
		sed 's/^/#   /' /tmp/refused >"$results"
		return ;;
	esac
	if ! grep -qiE "$words" /tmp/refused; then
		emit "not ok - $text"
		emit "#   nothing about '$words' in:"
		sed 's/^/#   /' /tmp/refused >"$results"
		return
	fi
	emit "ok - $text"
	head -2 /tmp/refused | sed 's/^/#   it said: /' >"$results"
}

finish() { return 0; }

wait_for()
{
	# local: a condition may wait for something itself
	local limit=$(( $(cut -d. -f1 /proc/uptime) + $1 * ${LAB_SLOW:-1} ))
	shift
	while ! "$@" >/dev/null 2>&1; do
		[ "$(cut -d. -f1 /proc/uptime)" -lt $limit ] || return 1
		usleep 200000
	done
}

# --- the guest -----------------------------------------------------------

guest_id() { xl domid $G 2>/dev/null; }

# What xl boots: Linux itself, or GRUB, which has to find one on a disk.
by_linux='kernel = "/lab/guest/vmlinux"
ramdisk = "/lab/guest/initrd"
extra = "console=hvc0 loglevel=4 rdinit=/init panic=0"'
by_grub='kernel = "/lab/guest/grub"'
by_pygrub='bootloader = "'$(cat /pygrub 2>/dev/null)'"
bootloader_args = [ "--quiet" ]'

# guest_create [-p] HOW [LINE...]: created, with these lines in its config.
guest_create()
{
	local paused=
	[ "$1" != -p ] || { paused=-p; shift; }
	: >"$console"
	echo 0 >/tmp/guest.n
	rm -f /tmp/guest.hangs
	{
		printf 'name = "%s"\ntype = "pv"\n%s\n' "$G" "$1"
		shift
		printf 'memory = %s\nvcpus = 1\non_crash = "preserve"\n' ${LAB_GUEST_MIB:-192}
		[ $# -eq 0 ] || printf '%s\n' "$@"
	} >/tmp/guest.cfg
	xl create -q $paused /tmp/guest.cfg
}

guest_boots()
{
	wait_for 90 grep -q '^@@ 0 end' "$console" && return 0
	tail -20 "$console"
	return 1
}

guest_start() { guest_create "$by_linux" && guest_boots; }

guest_up()
{
	if [ -n "$(guest_id)" ]; then
		guest true && return 0
		xl destroy $G
	fi
	guest_start
}

guest_stop()
{
	id=$(guest_id)
	[ -n "$id" ] || return 0
	guest_send 'poweroff -f'
	wait_for 30 domain_gone $id && return 0
	xl destroy $G
	return 1
}

guest_send()
{
	tty=$(xenstore-read "/local/domain/$(guest_id)/console/tty") || return 1
	sent=$(( $(cat /tmp/guest.n) + 1 ))
	echo $sent >/tmp/guest.n
	printf '%s %s\n' $sent "$1" >"$tty"
}

# GUEST_TIMEOUT seconds at most; 124 when it does not answer, like timeout(1).
# A guest that once did not answer is not asked again: its blocked tasks go to
# the log, and what needs it fails at once.
guest()
{
	[ ! -e /tmp/guest.hangs ] || return 124
	guest_send "$1" || return 125
	if ! wait_for "${GUEST_TIMEOUT:-120}" grep -aq "^@@ $sent end" "$console"; then
		emit "# the guest does not answer any more, last to: $1" >&2
		: >/tmp/guest.hangs
		xl sysrq $G w
		sleep 3
		tail -60 "$console" >&2
		return 124
	fi
	tr -d '\r' <"$console" | awk -v n=$sent '
		$1 == "@@" && $2 == n && $3 == "begin" { show = 1; next }
		$1 == "@@" && $2 == n && $3 == "end" { exit }
		show { if (held) print line; line = $0; held = 1 }
		END { if (held && line != "") print line }'
	return $(tr -d '\r' <"$console" | awk -v n=$sent '
		$1 == "@@" && $2 == n && $3 == "end" { print $4; exit }')
}

# What its kernel should not have said; of what came before it is not asked.
guest_listen() { guest 'dmesg -c >/dev/null'; }
guest_complaints()
{
	guest "dmesg | grep -iE 'i/o error|ext4.*error|still in use|BUG:|Oops|hung task'"
}

# Numbers a block device of the guest has, 0 when there is none.
guest_sectors() { guest "cat /sys/block/$1/size 2>/dev/null || echo 0"; }

guest_sees() { [ "$(guest_sectors "$1")" -gt 0 ]; }
guest_lost() { guest "test ! -e /sys/block/$1"; }

# --- disks ---------------------------------------------------------------

attach()
{
	vdisk-attach $transport $attach_options $G "tap:vdisk:$1" "$2" "${3:-w}" || return 1
	wait_for 20 guest_sees "$2"
}

detach()
{
	vdisk-detach $G "$1" || return 1
	wait_for 20 guest_lost "$1"
}

# By xl and its script.
spec() { printf 'script=block-vdisk,vdev=%s,access=%s,target=%s' $1 ${3:-w} "$2"; }
xl_attach()
{
	xl block-attach $G "$(spec "$@")" && wait_for 20 guest_sees $1
}
xl_detach()
{
	xl block-detach $G $1 && wait_for 20 guest_lost $1
}

# --- other backends ------------------------------------------------------

load_modules()
{
	for mod; do
		while read -r ko; do
			insmod "/modules/$ko" 2>/dev/null
		done <"/modules/$mod.order"
	done
}

load_blkback()
{
	load_modules loop xen-blkback
	grep -q '^xen_blkback ' /proc/modules
}

load_blkfront()
{
	load_modules xen-blkfront
	grep -q '^xen_blkfront ' /proc/modules
}

# With MAP=1 it maps pages for disks that are opened from now on.
xpvtap_way() { echo ${MAP:-0} >/sys/module/xpvtap/parameters/map; }

load_xpvtap()
{
	grep -q '^xpvtap ' /proc/modules || insmod /modules/xpvtap.ko "$@" || return 1
	xpvtap_way
}

# The number of xvdX, by its letter.
vbd() { echo $(( (202 << 8) | (($(printf '%d' "'$1") - 97) << 4) )); }
# Which driver of dom0 has a backend's device, vbd-7-51728.
driver_of() { basename "$(readlink "/sys/bus/xen-backend/devices/$1/driver")"; }
# Of xvdX, by its letter.
of() { driver_of vbd-$(guest_id)-$(vbd $1); }
state_is() { [ "$(xenstore-read "$1" 2>/dev/null)" = "$2" ]; }

# xen-blkback on a loop device, attached by hand as xl would do it.
phy_attach()
{
	loop=$(losetup -f) && losetup "$loop" "$1" || return 1
	id=$(vbd "$2")
	d=$(guest_id)
	f=/local/domain/$d/device/vbd/$id
	b=/local/domain/0/backend/vbd/$d/$id
	node=$(printf '%x:%x' $(stat -c '0x%t 0x%T' "$loop"))
	xenstore-write "$f" '' "$b" ''
	xenstore-chmod "$f" n$d r0
	xenstore-chmod "$b" n0 r$d
	xenstore-write "$f/backend" "$b" "$f/backend-id" 0 \
		"$f/virtual-device" $id "$f/device-type" disk "$f/state" 1 \
		"$b/frontend" "$f" "$b/frontend-id" $d "$b/online" 1 \
		"$b/mode" w "$b/type" phy "$b/dev" "xvd$2" "$b/state" 1 \
		"$b/physical-device" "$node"
	wait_for 20 guest_sees "xvd$2"
}

phy_detach()
{
	id=$(vbd "$1")
	d=$(guest_id)
	b=/local/domain/0/backend/vbd/$d/$id
	xenstore-write "$b/online" 0 "$b/state" 5
	wait_for 20 state_is "$b/state" 6 || return 1
	xenstore-rm "$b"
	xenstore-rm "/local/domain/$d/device/vbd/$id"
	losetup -d "$loop"
	wait_for 20 guest_lost "xvd$1"
}

# Processes that serve a disk now, as opposed to those that look after them:
# what is in the sandbox.
serving()
{
	for pid in $(pidof vdisk); do
		grep -q '^Seccomp:.*2' /proc/$pid/status 2>/dev/null && echo $pid
	done
}
servers() { serving | wc -w; }
no_servers() { ! pidof vdisk >/dev/null; }

# status_of PID WORD: what the kernel says of a process.
status_of() { sed -n "s/^$2:[[:space:]]*//p" /proc/$1/status | tr -s '\t ' ' '; }

# One process serves, and not this one.
another() { [ -n "$(serving)" ] && [ "$(serving)" != "$1" ]; }
# This very process has written for the guest.  Of io_uring only the pages count
# that it made dirty.
writes()
{
	awk '/^(wchar|write_bytes):/ { n += $2 } END { exit n <= 65536 }' \
		/proc/$1/io 2>/dev/null
}

# Of xvdX, by its letter: what its pid file names; another server for it.
pidfile() { echo /run/vdisk/vbd-$(guest_id)-$(vbd $1).pid; }
keeper() { cat $(pidfile $1); }
replaced()
{
	old=$(serving)
	kill -HUP $(keeper $1) && wait_for 30 another "$old"
}

# Backend directories left in xenstore, of whatever type but the console's.
backends()
{
	xenstore-ls -f /local/domain/0/backend 2>/dev/null |
		sed -n 's/^\(\/local\/domain\/0\/backend\/[^/]*\/[0-9]*\/[0-9]*\) .*/\1/p' |
		grep -v -e /console/ -e /vfb/ -e /vkbd/ | sort -u
}
no_backends() { [ -z "$(backends)" ]; }
# What a destroyed guest leaves behind the driver is removed by udev's tap-event,
# which the lab has not, or by the next vdisk-list.
swept()
{
	[ "${TRANSPORT:-}" != xpvtap ] || vdisk-list
	no_backends
}

# The verifier in the background of the guest, on DISK, with ARGS; later its
# exit status, and its last line with what a later run needs to know.
load_start()
{
	disk=$1
	shift
	guest "rm -f /tmp/$disk.*; (diskverify $* /dev/$disk >/tmp/$disk.out 2>&1; echo \$? >/tmp/$disk.rc) &"
}

load_runs() { guest "test ! -e /tmp/$1.rc && pidof diskverify >/dev/null"; }
load_ended() { guest "test -e /tmp/$1.rc"; }
load_status() { guest "cat /tmp/$1.rc"; }

# Its summary as arguments for --check-only.
load_args()
{
	guest "tail -1 /tmp/$1.out" >/tmp/load.last
	echo $(sed -n 's/.* seed=\([0-9]*\) ops=\([0-9]*\) .*/-s \1 -n \2/p' /tmp/load.last) \
		$(sed -n 's/.* pending=\([0-9,]*\).*/-p \1/p' /tmp/load.last)
}

# One that would go on for ever is stopped; $args is for a later run.
load_ends()
{
	ok "$2: the verifier is told to stop" \
		guest 'kill -TERM $(pidof diskverify)'
	ok "$2: it comes to its end" wait_for 120 load_ended $1
	is "$2: no I/O error, every sector is right" 0 "$(load_status $1)"
	guest "cat /tmp/$1.out"
	args=$(load_args $1)
}

# Where blocks are counted, so that "under load" is a fact, not a hope.
guest_io()
{
	guest "cat /sys/block/$1/stat" | awk '{ print $1 + $5 }'
}

moves()
{
	io=$(guest_io "$1")
	wait_for 20 moved_since "$1" "$io"
}
moved_since() { [ "$(guest_io "$1")" -gt "$2" ]; }

# For the log: where the requests of a disk that stands still may be.
stall_report()
{
	for pid in $(serving); do
		cat /proc/$pid/io
		for task in /proc/$pid/task/*; do
			echo "$task: $(cat $task/wchan) $(cat $task/syscall)"
		done
	done
	grep . /sys/bus/xen-backend/devices/*/statistics/* 2>/dev/null
	guest "cat /sys/block/$1/stat /sys/block/$1/inflight; cat /proc/uptime"
	sleep 2
	guest "cat /sys/block/$1/stat /sys/block/$1/inflight; cat /proc/uptime"
	tail -40 "$console"
}

# --- what must not leak ----------------------------------------------------

# A domain whose memory somebody still holds stays as a zombie: gone means
# Xen itself does not know the number any more, not just xl's list of names.
domain_gone() { xl list | awk -v id="$1" '$2 == id { found = 1 } END { exit found || !NR }'; }

# Pages of a domain that somebody else holds now, as Xen itself counts them:
# the console and xenstore rings while it runs, and what backends map.
domain_maps()
{
	xl dmesg -c >>/lab/log/xen-dmesg.log
	xl debug-keys g
	xl dmesg -c >/tmp/grants
	cat /tmp/grants >>/lab/log/xen-dmesg.log
	awk -v remote="d$1" '
		/grant-table for remote/ { mine = $5 == remote }
		mine && /\[0x[0-9a-f]+\]/ { n++ }
		END { print n + 0 }' /tmp/grants
}

guest_maps() { domain_maps "$(guest_id)"; }

# What the kernel of dom0 should never have said, since the lab began; 1326 is
# a process that seccomp has ended.
kernel_quiet()
{
	! dmesg | grep -E 'WARNING|BUG|Oops|Call Trace|general protection|hung_task|blocked for more|unregister_netdevice|refcount|type=1326'
}

zombies() { xl list | awk 'NR > 1 && ($1 == "(null)" || $5 ~ /d/) { print }'; }

case ${TRANSPORT:-} in
xpvtap)	ok 'the driver xpvtap is loaded' load_xpvtap ;;
esac
