# The other order: xen-blkback was there first and takes every disk; the script
# takes its own back from it, and only its own.
loop=/dev/loop7
set -- /disks/xl/*.vmdk /disks/xl/*.vdi
guest_stop
losetup $loop /disks/phy.raw
rmmod xen-blkback 2>/dev/null
rmmod xpvtap 2>/dev/null
ok 'xen-blkback is loaded, then xpvtap' load_blkback
ok 'which comes late' load_xpvtap
ok 'xl create' guest_create "$by_linux" "disk = [ '$(spec xvdb $1)', 'phy:$loop,xvde,w' ]"
is 'the script has taken its disk from xen-blkback' xpvtap "$(of b)"
is 'and no other' vbd "$(of e)"
ok 'the guest boots' guest_boots || return
ok 'it has its disk' wait_for 20 guest_sees xvdb
ok "${2##*/}: xl block-attach" xl_attach xvdc "$2"
is 'taken over as well' xpvtap "$(of c)"
ok 'the verifier finds every sector' guest 'diskverify -s 84 -n 60 /dev/xvdb'
ok 'of the other one, too' guest 'diskverify -s 84 -n 60 /dev/xvdc'
id=$(guest_id)
ok 'the guest powers off' guest_stop
ok 'every vdisk process has ended' wait_for 30 no_servers
ok 'nothing of the disks is left in xenstore' wait_for 10 no_backends
is 'Xen counts no grant of it' 0 "$(domain_maps $id)"
ok 'the kernel of dom0 has nothing to complain about' kernel_quiet
losetup -d $loop
