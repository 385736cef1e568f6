#!/bin/sh
# In a dom0 of systemd and udevd disks come, are restarted, killed, and go.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/xen/tap.sh"
LAB_SYSTEMD=1
export LAB_SYSTEMD
lab_prepare systemd
mkdir "$work/disks/systemd"
for type in vmdk vdi raw; do
	ok "a $type" ours vdiskadm create -s 48m -t $type \
		"$work/disks/systemd/disk.$type"
done
lab_boot systemd systemd-errors systemd-udev

for image in "$work"/disks/systemd/*; do
	lab_judge "$image" "$work/judge/raw"
	rm -f "$work/judge/raw"
done
lab_done
