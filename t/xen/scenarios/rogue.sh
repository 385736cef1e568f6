# A frontend that breaks every rule, next to a guest that keeps them.
#
# The rogue is a program in dom0 (t/xen/rogue); the guest's verifier runs all
# the while.  What the rogue gets is its own affair; nobody else may notice.
ok 'a guest is there' guest_up || return
idle=$(guest_maps)
own=$(domain_maps 0)
rounds=${LAB_LONG:+200}
rounds=${rounds:-8}
devid=51744				# xvdc

uptime_s() { cut -d' ' -f1 /proc/uptime; }
# per_second BEFORE SINCE: requests that the guest's verifier got done.
per_second()
{
	echo "$(( $(guest_io xvdb) - $1 )) $2 $(uptime_s)" |
		awk '{ printf "%.1f\n", $1 / ($3 - $2) }'
}

rogue_attach()
{
	vdisk-attach $transport 0 "tap:vdisk:$1" xvdc $2 || return 1
	rogue_pid=$(cat /run/vdisk/vbd-0-$devid.pid)
}

rogue_detach()
{
	vdisk-detach 0 xvdc && wait_for 20 served_by_nobody
}
served_by_nobody() { ! kill -0 $rogue_pid 2>/dev/null; }

misbehave()
{
	printf '+ rogue %s\n' "$*"
	timeout ${LAB_LONG:-$((250 * LAB_SLOW))} rogue 0 $devid $rounds "$@" >/tmp/rogue.out 2>&1
	rogue_status=$?
	while read -r line; do
		emit "$line"
	done </tmp/rogue.out
	is "rogue $*: ran to its end" 0 $rogue_status
}

# What the driver counts; nobody asks vdisk in the other transport.
bad_requests()
{
	cat /sys/bus/xen-backend/devices/tap-0-$devid/statistics/bad_req 2>/dev/null
}

size_of() { sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' /proc/$1/status; }
fds_of() { ls /proc/$1/fd | wc -l; }

set -- /disks/blank/*.vmdk
ok 'an honest disk' attach "$1" xvdb w || return
ok 'the verifier starts on it' load_start xvdb -s 71 -n 100000000 -t 100000 -d 1
ok 'requests are moving' moves xvdb
since=$(guest_io xvdb) began=$(uptime_s)
sleep 5
alone=$(per_second $since $began)
# Xen counts: of the guest's data nothing is mapped, whoever looks, whenever.
front=/local/domain/$(guest_id)/device/vbd/$(vbd b)
order=$(xenstore-read $front/ring-page-order 2>/dev/null || echo 0)
queues=$(xenstore-read $front/multi-queue-num-queues 2>/dev/null || echo 1)
most=0
for n in 1 2 3 4 5; do
	now=$(guest_maps)
	[ $now -le $most ] || most=$now
done
if [ -z "${MAP:-}" ]; then
	is 'R-29: under load the ring is mapped, and no page of data' \
		$((idle + (queues << order))) $most
else
	ok "R-29: under load ($most mapped) no more than the window's pages are" \
		test $most -le $((idle + (queues << order) + 4096))
fi

ok 'a disk for the rogue' rogue_attach /disks/rogue/rogue.vmdk w || return
misbehave requests
bad=$(bad_requests)
misbehave full
if [ "${TRANSPORT:-}" = xpvtap ]; then
	bad=$(( $(bad_requests) - bad ))
	ok "R-39: a grant that is none counts as a bad request ($bad)" \
		test $bad -ge 96
fi
size=$(size_of $rogue_pid) fds=$(fds_of $rogue_pid)
misbehave indirect index full
is 'requests move' 0 "$(moves xvdb; echo $?)"
since=$(guest_io xvdb) began=$(uptime_s)
misbehave races events
beside=$(per_second $since $began)
# What t/unit/xenbus-* try without Xen is tried here through the driver.
if [ "${TRANSPORT:-}" = xpvtap ] || [ -n "${LAB_LONG:-}" ]; then
	misbehave states
	misbehave nodes
fi
grown=$(( $(size_of $rogue_pid) - size ))
ok "the server has not grown (by $grown KiB)" test $grown -lt 4096
is 'it has as many files open' $fds "$(fds_of $rogue_pid)"
ok 'the rogue has its disk taken away' rogue_detach
is 'no grant of its pages is in use' $own "$(domain_maps 0)"

ok 'a read-only disk for the rogue' rogue_attach /disks/rogue/rogue.vdi r
misbehave readonly
ok 'it is taken away' rogue_detach
ok 'another one' rogue_attach /disks/rogue/rogue.vmdk w
misbehave vanish
ok 'its server has ended' wait_for 20 served_by_nobody
vdisk-list
ok 'another one' rogue_attach /disks/rogue/rogue.vmdk w
misbehave removal
ok 'its server has ended' wait_for 20 served_by_nobody
is 'no grant of its pages is in use' $own "$(domain_maps 0)"

note "the honest disk: $alone requests/s alone, $beside beside the rogue"
ok 'the honest disk still works' moves xvdb
ok 'the verifier stops' guest 'kill -TERM $(pidof diskverify)'
ok 'it comes to its end' wait_for 90 load_ended xvdb
is 'every sector of it is right' 0 "$(load_status xvdb)"
ok 'detach' detach xvdb
ok 'every vdisk process has ended' wait_for 10 no_servers
# Now that nobody else works here.
ok 'another one for the rogue' rogue_attach /disks/rogue/rogue.vmdk w
misbehave stuck
ok 'it is taken away' rogue_detach
ok 'nothing of the disks is left in xenstore' wait_for 10 swept
is 'no grant of the guest is in use' "$idle" "$(guest_maps)"
is 'no zombie' '' "$(zombies)"
ok 'the log holds nothing but text' sh -c \
	"! tr -d '\011\012\040-\176' </lab/log/syslog.log | grep -q ."
ok 'the kernel of dom0 has nothing to complain about' kernel_quiet
