# A disk's life: no process yet, read-only, larger, given back, guest destroyed.
. /lab/job/xpvtap.sh
GUEST_TIMEOUT=40

ok 'the driver is loaded' load_xpvtap || return
ok 'the guest starts' guest_up || return
xp_blank /disks/tap.raw
idle=$(guest_maps)
node=$(xp_node b)
b=$(xp_back b vbd)
f=/local/domain/$(guest_id)/device/vbd/$(vbd b)

# Stale features, as of xen-blkback: the frontend would use them.
ok 'backend/vbd with script=block-vdisk is ours' \
	xp_nodes b vbd script /etc/xen/scripts/block-vdisk feature-persistent 1 \
	multi-queue-max-queues 64 discard-secure 1 || return
is 'a feature of another backend is removed' '' \
	"$(xenstore-read $b/feature-persistent $b/discard-secure 2>/dev/null)"
is 'and ours is there' 4 "$(xenstore-read $b/multi-queue-max-queues)"
ok 'the frontend is ready before any process is' wait_for 20 state_is $f/state 3
is 'and waits in state' 2 "$(xenstore-read $b/state)"
ok 'a process comes' xp_serve b /disks/tap.raw -d -s 65536 -g 98304 || return
ok 'the guest sees the disk' wait_for 20 guest_sees xvdb
is 'as large as READY said' 65536 "$(guest_sectors xvdb)"
is 'no discard where the process has none' '' \
	"$(xenstore-read $b/feature-discard 2>/dev/null)"
is 'physical sectors' 4096 "$(guest 'cat /sys/block/xvdb/queue/physical_block_size')"

# READY again, from a process that lives and from one that comes.
kill -USR1 $(xp_pid b)
ok 'more sectors reach the guest' wait_for 20 guest 'test $(cat /sys/block/xvdb/size) = 98304'
ok 'it uses them' guest 'diskverify -n 60 -b /dev/xvdb'

# An empty state is one that is not known yet, not that of a guest that has gone.
xenstore-write $f/state ''
sleep 1
is 'a state that is empty closes nothing' 4 "$(xenstore-read $b/state)"
ok 'the disk goes on' guest 'dd if=/dev/xvdb of=/dev/null bs=64k count=16 iflag=direct 2>/dev/null'
xenstore-write $f/state 4

ok 'kill -9' xp_kill b
ok 'fewer sectors for a connected guest are refused' test -z "$(
	tapcat -s 65536 $node /disks/tap.raw 2>&1 | grep -v 'READY: Device or resource busy')"
ok 'and so is read-only' test -z "$(
	tapcat -r $node /disks/tap.raw 2>&1 | grep -v 'READY: Device or resource busy')"
ok 'and fewer segments' test -z "$(
	tapcat -m 32 $node /disks/tap.raw 2>&1 | grep -v 'READY: Device or resource busy')"

# Nobody serves it: the guest waits, and goes on.
ok 'the guest reads, and nobody is there' \
	guest '(dd if=/dev/xvdb of=/dev/null bs=64k count=16 iflag=direct 2>/dev/null; echo $? >/tmp/dd) &'
sleep 1
refused 'it waits' 1 '' guest 'cat /tmp/dd'
is 'its requests wait in its ring' 0 "$(xp_stat b vbd in_flight)"
ok 'a process comes' xp_serve b /disks/tap.raw
ok 'and the guest goes on' wait_for 20 guest 'test "$(cat /tmp/dd)" = 0'
kill $(xp_pid b)
ok 'SIGTERM lets the disk go' wait_for 5 xp_ended b
is 'which stays' 4 "$(xenstore-read $b/state)"

# Detach with nobody serving.
ok 'detach without a process' xp_detach b vbd
ok 'the node is gone' wait_for 5 xp_no_node $node
is 'no grant of the guest is in use' "$idle" "$(guest_maps)"

# Another driver's disk is left to it.
xenstore-write "$b" ''
ok 'backend/vbd with another script gets no node' test -z "$(
	xp_nodes b vbd script /etc/xen/scripts/block; ls $node 2>/dev/null)"
xenstore-rm $b; xenstore-rm $f
ok 'nor does backend/vdisk with transport=gnttab' test -z "$(
	xp_nodes c vdisk transport gnttab; ls $(xp_node c) 2>/dev/null)"
xenstore-rm $(xp_back c vdisk); xenstore-rm /local/domain/$(guest_id)/device/vbd/$(vbd c)
sleep 1

# Read-only because the tools say so, whatever the process says.
ok 'a disk with mode=r' xp_nodes b tap mode r
ok 'a process that would write' xp_serve b /disks/tap.raw
ok 'the guest sees it' wait_for 20 guest_sees xvdb
is 'as read-only' 1 "$(guest 'cat /sys/block/xvdb/ro')"
ok 'detach' xp_detach b tap
ok 'the process ends' wait_for 5 xp_ended b

# Nobody answers a guest that lets go: it gets errors, not silence, and goes on.
died() { xp_ended b || grep -q '^State:.T' /proc/$(xp_pid b)/status; }
for how in x z; do
	ok 'a disk again' xp_nodes b tap
	ok "a process that ends so: -$how" xp_serve b /disks/tap.raw -$how 40,1
	ok 'the guest sees it' wait_for 20 guest_sees xvdb
	ok 'load' load_start xvdb -n 1000000 -t 60
	ok 'it is not there any more' wait_for 20 died
	ok 'the disk is detached' xp_detach b tap
	ok 'the guest has lost it' wait_for 20 guest_lost xvdb
	ok 'the verifier is not left hanging' wait_for 60 load_ended xvdb
	is 'it was told (status 3, an I/O error)' 3 "$(load_status xvdb)"
	kill -CONT $(xp_pid b) 2>/dev/null
	ok 'the process ends' wait_for 5 xp_ended b
done

# The guest dies with requests that a process holds, and its next disk is new.
ok 'a disk again' xp_nodes b tap
ok 'a process that stops at a request' xp_serve b /disks/tap.raw -z 40,1
ok 'the guest sees it' wait_for 20 guest_sees xvdb
ok 'load' load_start xvdb -n 5000
ok 'it has stopped' wait_for 20 grep -q '^State:.T' /proc/$(xp_pid b)/status
ok 'requests are with the process' test "$(xp_stat b tap in_flight)" -gt 0
id=$(guest_id)
ok 'xl destroy' xl destroy $G
ok 'no zombie, though the process holds requests' wait_for 20 domain_gone $id
xenstore-rm /local/domain/0/backend/tap/$id 2>/dev/null
ok 'the node is gone' wait_for 5 xp_no_node $node
kill -CONT $(xp_pid b)
ok 'the process sees POLLHUP and ends' wait_for 5 xp_ended b
cat /tmp/tapcat.b
ok 'the kernel is silent' xp_quiet
xp_complaints
ok 'the module can be unloaded' rmmod xpvtap
ok 'and loaded with other parameters' insmod /modules/xpvtap.ko window_pages=1 max_queues=99 max_segments=1
is 'which have bounds' '514 4 11' "$(cd /sys/module/xpvtap/parameters; echo $(cat window_pages max_queues max_segments))"
ok 'the kernel is silent' xp_quiet
