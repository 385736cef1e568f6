# The lab against the kernel's own backend: what fails here is not vdisk.
#
# A guest, the verifier and the exchange of files are proved with xen-blkback
# on a loop device, attached by hand as xl would do it.
ok 'the kernel backend is loaded' load_blkback
ok 'the guest starts' guest_start
before=$(guest_maps)
ok 'a disk is attached' phy_attach /disks/lab.raw b
cat /proc/uptime
ok 'the verifier finds every sector' guest 'diskverify -n 300 -b /dev/xvdb'
cat /proc/uptime
ok 'grants are in use meanwhile' test "$(guest_maps)" -gt "$before"
ok 'the disk is detached' phy_detach b
is 'no grant is left' "$before" "$(guest_maps)"
ok 'the guest stops' guest_stop
