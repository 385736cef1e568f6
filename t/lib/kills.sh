# kills.sh - disks for the tests that kill who serves them: see t/tools/kill-lab.c.
#
# VD_KILLS is how many times, VD_CRASH_SEED when.  d.FORMAT for each of $formats.

. "${srcdir:-.}/t/lib/tap.sh"
need vdiskadm kill-lab

seed=${VD_CRASH_SEED:-1}
formats='vmdk vdi delta raw'
work_in_memory
vdiskadm create -s 32M parent.raw
vdiskadm create -p parent.raw d.delta
for f in vmdk vdi raw; do
	vdiskadm create -s 32M d.$f
done
