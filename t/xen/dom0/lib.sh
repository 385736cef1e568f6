# dom0/lib.sh - what scenarios are written with.  Sourced by dom0's shell.
#
#	ok TEXT COMMAND...	one result; its output goes to the log
#	is TEXT WANT HAVE	one result, shows both when they differ
#	note TEXT		one line for the reader
#	guest_start		the PV guest, up and answering
#	guest COMMAND		runs there; output and exit status come back
#	attach FILE VDEV [r|w]	vdisk-attach, and wait till the guest sees it
#	detach VDEV		vdisk-detach, and wait till it is gone
#	wait_for SECONDS COMMAND...
#	domain_gone, maps, backends: what must be back to nothing

G=guest
results=${results:-/dev/null}
console=/var/log/xen/console/guest-$G.log

emit() { printf '%s\n' "$*" >"$results"; printf '%s\n' "$*"; }
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
	return 0
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
	limit=$(( $(cut -d. -f1 /proc/uptime) + $1 ))
	shift
	while ! "$@" >/dev/null 2>&1; do
		[ "$(cut -d. -f1 /proc/uptime)" -lt $limit ] || return 1
		usleep 200000
	done
}

# --- the guest -----------------------------------------------------------

guest_id() { xl domid $G 2>/dev/null; }

guest_start()
{
	: >"$console"
	echo 0 >/tmp/guest.n
	cat >/tmp/guest.cfg <<-CFG
		name = "$G"
		type = "pv"
		kernel = "/lab/guest/vmlinux"
		ramdisk = "/lab/guest/initrd"
		extra = "console=hvc0 loglevel=4 rdinit=/init panic=0"
		memory = 192
		vcpus = 1
		on_crash = "preserve"
	CFG
	xl create -q /tmp/guest.cfg || return 1
	wait_for 90 grep -q '^@@ 0 end' "$console" && return 0
	tail -20 "$console"
	return 1
}

guest_stop()
{
	id=$(guest_id)
	[ -n "$id" ] || return 0
	guest_send 'poweroff -f'
	wait_for 30 domain_gone $id || xl destroy $G
}

guest_send()
{
	tty=$(xenstore-read "/local/domain/$(guest_id)/console/tty") || return 1
	sent=$(( $(cat /tmp/guest.n) + 1 ))
	echo $sent >/tmp/guest.n
	printf '%s %s\n' $sent "$1" >"$tty"
}

# GUEST_TIMEOUT seconds at most; 124 when it does not answer, like timeout(1).
guest()
{
	guest_send "$1" || return 125
	if ! wait_for "${GUEST_TIMEOUT:-120}" grep -aq "^@@ $sent end" "$console"; then
		echo "guest: no answer to: $1" >&2
		tail -5 "$console" >&2
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

# Numbers a block device of the guest has, 0 when there is none.
guest_sectors() { guest "cat /sys/block/$1/size 2>/dev/null || echo 0"; }

guest_sees() { [ "$(guest_sectors "$1")" -gt 0 ]; }
guest_lost() { guest "test ! -e /sys/block/$1"; }

# --- disks ---------------------------------------------------------------

attach()
{
	vdisk-attach $G "tap:vdisk:$1" "$2" "${3:-w}" || return 1
	wait_for 20 guest_sees "$2"
}

detach()
{
	vdisk-detach $G "$1" || return 1
	wait_for 20 guest_lost "$1"
}

# Processes that serve a disk now, by name of the program.
servers() { pidof vdisk 2>/dev/null | wc -w; }
no_servers() { [ "$(servers)" -eq 0 ]; }

# Backend directories left in xenstore, of whatever type but the console's.
backends()
{
	xenstore-ls -f /local/domain/0/backend 2>/dev/null |
		sed -n 's/^\(\/local\/domain\/0\/backend\/[^/]*\/[0-9]*\/[0-9]*\) .*/\1/p' |
		grep -v -e /console/ -e /vfb/ -e /vkbd/ | sort -u
}
no_backends() { [ -z "$(backends)" ]; }

# --- what must not leak ----------------------------------------------------

# A domain whose memory somebody still holds stays as a zombie: gone means
# Xen itself does not know the number any more, not just xl's list of names.
domain_gone() { xl list | awk -v id="$1" '$2 == id { found = 1 } END { exit found || !NR }'; }

zombies() { xl list | awk 'NR > 1 && ($1 == "(null)" || $5 ~ /d/) { print }'; }
