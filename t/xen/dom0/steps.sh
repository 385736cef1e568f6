# dom0/steps.sh - from a system that runs to scenarios, then off
#
# Sourced by what brings dom0 up: init, or systemd/lab.  Results leave line by
# line through a virtio port, because the console belongs to Xen, Linux and
# everybody's messages.

off()
{
	cd /
	sync
	umount /lab 2>/dev/null
	umount -r /lab 2>/dev/null
	echo "dom0: off"
	poweroff -f
}

# Bounded, since a hanging daemon must end as a message, not as a time-out.
until_ok()
{
	tries=$1
	shift
	while ! "$@" >/dev/null 2>&1; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
		usleep 100000
	done
}

give_up()
{
	echo "Bail out! dom0: $*" >"$results"
	echo "dom0: $*"
	dmesg | tail -40
	off
}

# The lab's disk and port: their drivers have been loaded.
open_lab()
{
	until_ok 50 test -b /dev/vda
	results=/dev/null
	until_ok 20 test -c /dev/vport1p1 || until_ok 5 test -c /dev/vport0p1
	for port in /dev/vport*p1; do
		[ -c "$port" ] && results=$port
	done
	export results
	mount -t ext4 /dev/vda /lab || give_up "cannot mount the lab's disk"
	ln -s /lab/disks /disks
	mkdir -p /lab/log
	[ ! -f /etc/vdisk-path ] || PATH=$(cat /etc/vdisk-path):$PATH
}

# save_logs: what else is to be kept, as a caller has defined it.
run_scenarios()
{
	echo "dom0: ready after $(cut -d. -f1 /proc/uptime) s"
	sh /lab/job/main >/lab/log/main.log 2>&1
	cp /var/log/xen/*.log /var/log/xen/console/*.log /lab/log/ 2>/dev/null
	dmesg >/lab/log/dom0-dmesg.log
	xl dmesg >>/lab/log/xen-dmesg.log 2>&1
	save_logs
	echo "# dom0 off" >"$results"
	off
}
