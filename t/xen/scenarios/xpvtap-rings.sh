# Rings of many pages and queues, long requests, discard.  dom0 is its own guest: no domain to start.
. /lab/job/xpvtap.sh
guest_id() { echo 0; }

front_none() { ! rmmod xen-blkfront 2>/dev/null && ! grep -q '^xen_blkfront ' /proc/modules; }
front_load()
{
	wait_for 10 front_none || return 1
	insmod /modules/xen-blkfront.ko "$@"
}
front_size() { cat /sys/block/xvdb/size 2>/dev/null || echo 0; }
front_there() { [ "$(front_size)" -gt 0 ]; }

ok 'the driver is loaded' load_xpvtap || return
b=$(xp_back b tap)
f=/local/domain/0/device/vbd/$(vbd b)
ok 'a frontend that wants all it can get' front_load max_ring_page_order=4 \
	max_queues=4 max_indirect_segments=256 || return
ok 'a node' xp_nodes b tap || return
ok 'a process' xp_serve b /disks/tap.raw || return
ok 'the disk is there' wait_for 20 front_there || return
xenstore-ls $f
is 'with 16 pages a ring' 4 "$(xenstore-read $f/ring-page-order)"
queues=$(xenstore-read $f/multi-queue-num-queues 2>/dev/null || echo 1)
is 'and as many queues as processors, 4 at most' "$(nproc)" "$queues"
ok 'every sector is right' diskverify -n 120 -b /dev/xvdb

# Four at once, each in its quarter, from all queues.
for i in 0 1 2 3; do
	dd if=/dev/urandom of=/tmp/quarter.$i bs=1M count=2 2>/dev/null
	dd if=/tmp/quarter.$i of=/dev/xvdb bs=1M seek=$((i * 8)) oflag=direct 2>/dev/null &
done
wait %2 %3 %4 %5 2>/dev/null
sleep 1
sync
for i in 0 1 2 3; do
	dd if=/dev/xvdb of=/tmp/back bs=1M skip=$((i * 8)) count=2 iflag=direct 2>/dev/null
	ok "what was written by dd $i is read" cmp /tmp/quarter.$i /tmp/back
done
ok 'discard' blkdiscard -o 8M -l 4M /dev/xvdb
ok 'was counted' test "$(xp_stat b tap ds_req)" -gt 0
dd if=/dev/xvdb of=/tmp/back bs=1M skip=8 count=1 iflag=direct 2>/dev/null
dd if=/dev/zero of=/tmp/zero bs=1M count=1 2>/dev/null
ok 'and reached the file' cmp /tmp/zero /tmp/back

ok 'the disk is detached' xp_detach b tap
ok 'the process ends' wait_for 5 xp_ended b
cat /tmp/tapcat.b
ok 'it saw requests of 256 segments' grep -q 'longest 256 segments' /tmp/tapcat.b

# Other frontends with other rings find the same data.
for order in 0 3; do
	ok "a frontend with rings of order $order" front_load \
		max_ring_page_order=$order max_queues=1 max_indirect_segments=32
	ok 'a node' xp_nodes b tap
	ok 'a process' xp_serve b /disks/tap.raw
	ok 'the disk is there' wait_for 20 front_there
	is 'with that ring' $order \
		"$(xenstore-read $f/ring-page-order 2>/dev/null || echo 0)"
	ok 'its data too' cmp -n 2097152 /tmp/quarter.0 /dev/xvdb
	[ $order = 3 ] || ok 'detached' xp_detach b tap
done
ok 'every sector is right' diskverify -n 50 /dev/xvdb
is 'nothing was wrong' 0 "$(xp_stat b tap bad_req)"
ok 'the disk is detached' xp_detach b tap
ok 'the process ends' wait_for 5 xp_ended b

# xen-blkback was there first and has taken it: the tools move it.
move() { echo $1 >/sys/bus/xen-backend/drivers/vbd/unbind &&
	echo $1 >/sys/bus/xen-backend/drivers/xpvtap/bind; }
ok 'no frontend, no driver of ours' wait_for 10 front_none
rmmod xpvtap
for ko in $(cat /modules/xen-blkback.order); do insmod /modules/$ko 2>/dev/null; done
xp_nodes c vbd script block-vdisk
b=$(xp_back c vbd)
is 'xen-blkback takes a disk that is for vdisk' vbd "$(driver_of vbd-0-$(vbd c))"
ok 'and offers persistent grants or more queues' \
	xenstore-read $b/multi-queue-max-queues $b/feature-max-indirect-segments
ok 'the driver is loaded' load_xpvtap max_segments=11
ok 'the disk is moved to it' move vbd-0-$(vbd c)
is 'and is its own' xpvtap "$(driver_of vbd-0-$(vbd c))"
is 'without features of the other' '' \
	"$(xenstore-read $b/feature-max-indirect-segments 2>/dev/null)"
ok 'a process' xp_serve c /disks/tap.raw
ok 'a frontend' front_load
ok 'the disk is there' wait_for 20 test -e /sys/block/xvdc
ok 'with its data' cmp -n 2097152 /disks/tap.raw /dev/xvdc
ok 'the disk is detached' xp_detach c vbd
ok 'the process ends' wait_for 5 xp_ended c
ok 'it saw no indirect request' grep -q 'longest 0 segments' /tmp/tapcat.c

ok 'the kernel is silent' xp_quiet
xp_complaints
