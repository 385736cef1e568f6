# A process that breaks the rules gets an errno, and the guest its answers.
. /lab/job/xpvtap.sh
GUEST_TIMEOUT=30

# Its lines are results like ours.
rogue()
{
	timeout $((100 * LAB_SLOW)) taprogue "$@" >/tmp/rogue.out 2>&1
	rogue_status=$?
	cat /tmp/rogue.out
	while read -r line; do
		case $line in
		'ok - '*|'not ok - '*|'# '*) emit "$line" ;;
		*)	emit "not ok - $line" ;;
		esac
	done </tmp/rogue.out
	return $rogue_status
}

ok 'the driver is loaded' load_xpvtap || return
ok 'the guest starts' guest_up || return
idle=$(guest_maps)
node=$(xp_node b)
sectors=$(( $(stat -c %s /disks/tap.raw) / 512 ))
ok 'a node' xp_nodes b tap || return
ok 'rogue without requests: all as it was documented' rogue $node $sectors
ok 'a process that behaves' xp_serve b /disks/tap.raw || return
ok 'the guest sees the disk' wait_for 20 guest_sees xvdb
guest 'echo "while [ ! -e /tmp/stop ]; do dd if=/dev/xvdb of=/dev/null bs=64k count=64 iflag=direct skip=\$1; dd if=/dev/zero of=/dev/xvdb bs=4k count=64 oflag=direct seek=\$1; done 2>/dev/null; echo \$1 >>/tmp/done" >/tmp/loop'
ok 'it works on it' guest 'for i in 1 2 3; do sh /tmp/loop $i & done'
ok 'it is killed' xp_kill b
ok 'rogue amid requests: all as it was documented' rogue $node $sectors amid
guest ': >/tmp/stop'
ok 'one that behaves again' xp_serve b /disks/tap.raw
ok 'every request of the guest came to its end' \
	wait_for 60 guest 'test $(wc -l </tmp/done) = 3'
ok 'the guest writes and finds it again' guest 'diskverify -n 60 /dev/xvdb'
is 'the guest did nothing wrong' 0 "$(xp_stat b tap bad_req)"
is 'nothing is in flight' 0 "$(xp_stat b tap in_flight)"
ok 'the disk is detached' xp_detach b tap
ok 'the process ends' wait_for 5 xp_ended b
is 'no grant of the guest is in use' "$idle" "$(guest_maps)"
ok 'the kernel is silent' xp_quiet
xp_complaints
