# The kernel driver serves a guest through a process that knows only its node.
. /lab/job/xpvtap.sh

ok 'the driver is loaded' load_xpvtap || return
ok 'the guest starts' guest_up || return
xp_blank /disks/tap.raw /disks/kill.raw
idle=$(guest_maps)
node=$(xp_node b)
ok 'a folder backend/tap becomes a node' xp_nodes b tap || return
ls -l $node
is 'the node is for root and its group' 660 "$(stat -c %a $node)"
ok 'a process serves a file at it' xp_serve b /disks/tap.raw || return
case ${MAP:-0} in
0)	ok 'data is copied' grep -q copies /tmp/tapcat.b ;;
1)	ok "the process works in the guest's own pages" grep -q 'pages of the guest' /tmp/tapcat.b ;;
esac
ok 'the guest sees the disk' wait_for 20 guest_sees xvdb
xenstore-ls -f $(xp_back b tap)
cat /proc/uptime
ok 'the verifier finds every sector' guest 'diskverify -n 200 -b /dev/xvdb'
cat /proc/uptime

# kill -9 under load, at the moments that matter; the guest only waits.
ok 'another, as backend/vdisk' xp_nodes c vdisk || return
ok 'a process serves it' xp_serve c /disks/kill.raw
ok 'the guest sees it' wait_for 20 guest_sees xvdc
ok 'the verifier starts' load_start xvdc -s 9 -n 300 -b
for phase in 1 2 3 4; do
	ok 'kill -9' xp_kill c
	ok "one that dies in phase $phase" xp_serve c /disks/kill.raw -x 20,$phase
	ok 'it dies' wait_for 30 xp_ended c
	ok 'the next one' xp_serve c /disks/kill.raw
	cat /tmp/tapcat.c
	usleep 300000
done
ok 'the verifier comes to its end' wait_for 120 load_ended xvdc
is 'every sector is right' 0 "$(load_status xvdc)"
guest 'cat /tmp/xvdc.out'
ok 'it is detached' xp_detach c vdisk

for name in rd_req wr_req f_req ds_req rd_sect wr_sect oo_req bad_req in_flight; do
	echo "$name $(xp_stat b tap $name)"
done >/tmp/stats
cat /tmp/stats
ok 'reads and writes were counted' test "$(xp_stat b tap rd_req)" -gt 100 -a "$(xp_stat b tap wr_sect)" -gt 1000
is 'nothing was wrong' 0 "$(xp_stat b tap bad_req)"
is 'nothing is in flight' 0 "$(xp_stat b tap in_flight)"
ok 'the disk is detached' xp_detach b tap
ok 'the process sees it and ends' wait_for 5 xp_ended b
cat /tmp/tapcat.b
ok 'the node is gone' wait_for 5 xp_no_node $node
ok 'the guest has lost it' wait_for 20 guest_lost xvdb
is 'no grant of the guest is in use' "$idle" "$(guest_maps)"
ok 'the kernel is silent' xp_quiet
xp_complaints
dmesg | tail -20
