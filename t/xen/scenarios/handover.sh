# The process that serves a disk is replaced in order, again and again, under
# load: the guest sees a pause, never an error, and nothing is lost.
#
# Behind the driver as systemctl does it: SIGTERM, status 0, and the unit's
# command once more.  On the guest's own ring SIGTERM ends the disk (sigterm.sh);
# there it is the keeper that replaces its server.
rounds=${LAB_LONG:+50}
rounds=${rounds:-5}
ok 'a guest is there' guest_up || return
guest_listen
idle=$(guest_maps)

set -- /disks/load/*.vdi
image=$1 name=${1##*/}
[ "${TRANSPORT:-}" != xpvtap ] || attach_options=--no-respawn
ok "$name: attach" attach "$image" xvdb w || return
node=/dev/xen/xpvtap/$(guest_id)-$(vbd b)

# As hotplug/vdisk@.service.in has it; the one that attach began is no child.
unit_starts()
{
	: >/tmp/ready
	vdisk -f "$image" -x $node -p $(pidfile b) --ready-fd 3 3>/tmp/ready &
	unit=$!
	wait_for 30 test -s /tmp/ready
}

unit_stops()
{
	kill -TERM $unit && wait $unit
}

restart()
{
	case ${TRANSPORT:-} in
	xpvtap)	unit_stops && unit_starts ;;
	*)	replaced b ;;
	esac
}

listed() { vdisk-list | grep "^$G .* xvdb .* $1 "; }

restarts()
{
	n=0
	while [ $n -lt $rounds ]; do
		n=$((n + 1))
		restart && moves xvdb || return 1
		usleep $((n * 37 % 10 * 100000))
	done
}

ok "$name: the verifier starts" \
	load_start xvdb -s 95 -n 100000000 -d 16 -t 100000
ok "$name: requests are moving" moves xvdb
case ${TRANSPORT:-} in
xpvtap)	kill -TERM $(serving)
	ok "$name: SIGTERM ends the process" wait_for 20 no_servers
	is "$name: not the disk" 4 \
		"$(xenstore-read /local/domain/0/backend/tap/$(guest_id)/$(vbd b)/state)"
	# Long enough that the guest has all its requests out, and waits.
	sleep 3
	ok "$name: the unit is started" unit_starts ;;
esac
ok "$name: $rounds restarts in order, and requests move after each" restarts
load_ends xvdb "$name"
ok "$name: detach" detach xvdb
ok "$name: every vdisk process has ended" wait_for 20 no_servers
is "$name: no grant of the guest is still in use" "$idle" "$(guest_maps)"
attach_options=
ok "$name: attach again" attach "$image" xvdb w
ok "$name: every acknowledged sector is there" \
	guest "diskverify -c $args /dev/xvdb"
ok "$name: kill -9, of the keeper" kill -9 $(keeper b)
ok "$name: vdisk-list finds the server" wait_for 20 listed $(serving)
ok "$name: which serves" guest 'dd if=/dev/xvdb of=/dev/null bs=64k count=16 iflag=direct'
ok "$name: detach" detach xvdb
is 'the guest kernel saw nothing odd' '' \
	"$(guest_complaints)"
ok 'the kernel of dom0 has nothing to complain about' kernel_quiet
