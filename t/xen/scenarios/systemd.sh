# systemd is PID 1 and its udevd runs: what an administrator does and sees there.
#
# Nothing is loaded, made or started by hand.  LAB_SYSTEMD boots such a dom0.
. /lab/job/units.sh

# --- how it came up ---------------------------------------------------------

is 'PID 1 is systemd' systemd "$(cat /proc/1/comm)"
is 'no unit of the system has failed' '' "$(failed)"
ok 'systemd-sysusers has made the user xvm' grep -q '^xvm:.*:/usr/sbin/nologin$' /etc/passwd
is 'systemd-tmpfiles has made /run/vdisk' 'root root 755' \
	"$(stat -c '%U %G %a' /run/vdisk)"
is 'no driver is loaded before there is a disk' '' "$(loaded)"
ok 'a guest boots' guest_start || return
guest_listen
idle=$(guest_maps)

# --- the first disk -----------------------------------------------------------

# What the unit leaves a process, tried by one that the unit starts: systemd
# looks into the folder of such changes of an administrator.
tries=/run/systemd/system/vdisk@.service.d
mkdir -p $tries
cat >/tmp/tries <<-'T'
	grep -E '^(CapBnd|NoNewPrivs)' /proc/self/status
	for file in /usr/written /etc/written /proc/sys/kernel/printk \
		/sys/fs/cgroup/cgroup.procs /dev/hvc0 /dev/xen/xenbus; do
		(echo >$file) 2>/dev/null && echo "can write $file"
	done
	busybox hostname written 2>/dev/null && echo 'can name the host'
	busybox ping -c 1 127.0.0.1 2>&1 | grep -iq 'not supported' || echo 'has sockets'
	insmod /modules/loop.ko 2>/dev/null && echo 'can load modules'
	dd if=/dev/vda of=/dev/null bs=512 count=1 2>/dev/null || echo 'no block device'
	(echo >/disks/tried) 2>/dev/null || echo 'no folder of images'
T
printf '[Service]\nExecStartPre=/bin/sh -c "sh /tmp/tries >/tmp/tried 2>&1"\n' \
	>$tries/lab.conf
ok "an administrator's change of the unit" systemctl daemon-reload

set -- /disks/systemd/*.vmdk /disks/systemd/*.vdi /disks/systemd/*.raw
ok 'xl block-attach' xl_attach xvdb "$1" || {
	words "$(unit_of b)"
	return
}
unit=$(unit_of b)
is 'udevd has loaded both drivers' 'xen_blkback xpvtap ' "$(loaded)"
is 'the disk is xpvtap'\''s' xpvtap "$(of b)"
is 'its unit is there, under its name' $unit "$(units)"
is 'active' active "$(systemctl is-active $unit)"
systemctl status $unit
ok 'as systemctl status says' \
	sh -c "systemctl status $unit | grep -q 'Active: active (running)'"
pid=$(serving)
is 'its process is the one that serves' "$pid" "$(prop $unit MainPID)"
ok 'the journal has its words' sh -c "journalctl -q -u $unit | grep -q 'serving $1 '"
is 'udevd gave the node to its group' 'root:xvm 660' "$(stat -c '%U:%G %a' $(xp_node b))"
sed 's/^/# tried: /' /tmp/tried
is 'what the unit leaves: eight capabilities, nothing else that was tried' \
	'CapBnd: 00000000012441c2 NoNewPrivs: 1' "$(tr -s '\t\n' ' ' </tmp/tried | sed 's/ $//')"
rm -rf $tries /tmp/tries /disks/tried
ok 'the change is taken back' systemctl daemon-reload
xvm=$(id -u xvm)
is 'it is xvm' "$xvm $xvm $xvm $xvm" "$(status_of $pid Uid)"
is 'without a capability' '0000000000000000 0000000000000000' \
	"$(status_of $pid CapPrm) $(status_of $pid CapBnd)"
is 'behind a filter' 2 "$(status_of $pid Seccomp)"
ok 'with mounts of its own' test \
	"$(readlink /proc/$pid/ns/mnt)" != "$(readlink /proc/1/ns/mnt)"
is 'spared when memory is short' -500 "$(cat /proc/$pid/oom_score_adj)"
ok 'in a control group of its unit' grep -q "/$unit\$" /proc/$pid/cgroup

# --- under load -------------------------------------------------------------

ok 'the verifier starts' load_start xvdb -s 96 -n 100000000 -d 8 -t 100000
ok 'requests are moving' moves xvdb
old=$(serving)
ok "systemctl restart 'vdisk@*'" systemctl restart 'vdisk@*'
ok 'another process serves' another "$old"
ok 'requests are moving' moves xvdb
is 'which was no failure' 0 "$(prop $unit NRestarts)"
for n in 1 2; do
	old=$(serving)
	ok "systemctl kill -s KILL, $n" systemctl kill -s KILL $unit
	ok 'systemd starts another' wait_for 60 another "$old"
	ok 'requests are moving' moves xvdb
done
is 'each was noted' 2 "$(prop $unit NRestarts)"
ok 'systemctl stop' systemctl stop $unit
ok 'no process serves' no_servers
is 'the unit is inactive' inactive "$(prop $unit ActiveState)"
ok 'its settings stay' test -s /run/vdisk/$(guest_id)-$(vbd b).conf
io=$(guest_io xvdb)
sleep 2
is 'the guest waits' "$io" "$(guest_io xvdb)"
ok 'systemctl start' systemctl start $unit
ok 'requests are moving' moves xvdb
# The image is not to be had for a while: it is tried again until it is.
mv "$1" "$1.away"
ok 'killed while the image is away' systemctl kill -s KILL $unit
ok 'it is tried again, and again' wait_for 60 tried_again $unit 2
mv "$1.away" "$1"
ok 'once it is back a process serves' wait_for 60 is_now $unit active
ok 'requests are moving' moves xvdb
load_ends xvdb "$unit"

ok 'xl block-detach' xl_detach xvdb
all_gone 'xl block-detach'
ok 'xl block-detach: of the script no empty ones either' \
	sh -c '! ls /run/vdisk | grep -E "pid|conf|said|inflight|lock"'
ok 'the journal says why it ended' sh -c "journalctl -q -u $unit | tail -n 5 | grep -q 'taken away'"
is 'no grant of the guest is still in use' "$idle" "$(guest_maps)"
ok 'attach again' xl_attach xvdb "$1"
ok 'every acknowledged sector is there' guest "diskverify -c $args /dev/xvdb"
ok 'systemctl stop' systemctl stop $unit
ok 'xl block-detach of a disk that nobody serves' xl_detach xvdb
all_gone 'detached while it is stopped'
is 'the guest kernel saw nothing odd' '' "$(guest_complaints)"
ok 'the kernel of dom0 has nothing to complain about' kernel_quiet
