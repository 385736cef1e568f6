# xl alone: disks of a domain config and of xl block-attach, served by vdisk,
# next to one that xen-blkback serves.
ok 'xpvtap is loaded, then xen-blkback' load_xpvtap || return
ok 'which takes what is left' load_blkback || return

loop=/dev/loop7
spec() { echo "script=block-vdisk,vdev=$1,access=w,target=$2"; }
driver_of() { basename "$(readlink /sys/bus/xen-backend/devices/vbd-$(guest_id)-$(vbd $1)/driver)"; }
listed() { xl block-list $G | grep -q "^$(vbd $1) "; }
xl_attach()
{
	xl block-attach $G "$(spec $1 $2)" && wait_for 20 guest_sees $1
}
xl_detach()
{
	xl block-detach $G $1 && wait_for 20 guest_lost $1
}
run_load()
{
	for c in b c d e; do
		ok "the verifier starts on xvd$c" \
			load_start xvd$c -s $1 -n 200 -d 8 $2
	done
	for c in b c d e; do
		ok "xvd$c: it comes to its end" wait_for 200 load_ended xvd$c
		is "xvd$c: every sector is right" 0 "$(load_status xvd$c)"
	done
}

set -- /disks/xl/*.vmdk /disks/xl/*.vdi /disks/xl/*.raw
guest_stop
losetup $loop /disks/phy.raw
ok 'xl create, with a vmdk, a vdi, a raw disk and one for xen-blkback' \
	guest_create "$by_linux" \
	"disk = [ '$(spec xvdb $1)', '$(spec xvdc $2)', '$(spec xvdd $3)', 'phy:$loop,xvde,w' ]" || return
ok 'the guest boots' guest_boots || return
idle=$(guest_maps)
for c in b c d e; do
	ok "it has xvd$c" wait_for 20 guest_sees xvd$c
	ok "xl block-list shows xvd$c" listed $c
done
is 'three of them are xpvtap'\''s' 'xpvtap xpvtap xpvtap' \
	"$(driver_of b) $(driver_of c) $(driver_of d)"
is 'and one is xen-blkback'\''s' vbd "$(driver_of e)"
is 'as many processes' 3 "$(servers)"
run_load 81 -b
for c in b c d e; do
	ok "xl block-detach xvd$c" xl_detach xvd$c
done
ok 'every vdisk process has ended' wait_for 10 no_servers
is 'nothing of them is left in xenstore' '' "$(backends)"
ok 'nor in /run/vdisk' sh -c '! ls /run/vdisk | grep -qE "pid|conf|said"'

n=0
for image; do
	n=$((n + 1))
	c=$(echo bcd | cut -c$n)
	ok "${image##*/}: xl block-attach while it runs" xl_attach xvd$c $image
done
ok 'phy.raw: xl block-attach' xl block-attach $G "phy:$loop,xvde,w"
ok 'the guest sees it' wait_for 20 guest_sees xvde
is 'it is xen-blkback'\''s again' vbd "$(driver_of e)"
ok 'what was written before is there' guest 'diskverify -c -b -s 81 -n 200 /dev/xvdb'
run_load 82 ''

# --- what is wrong is told by xl ------------------------------------------

mkdir -p /disks/bad
head -c 100000 /dev/urandom >/disks/bad/garbage.vmdk
wrong()
{
	refused "$1" 1 "$3" xl block-attach $G "$(spec xvdf $2)"
	xl block-detach $G xvdf
	is "$1: nothing is left" "$before" "$(backends)"
}
before=$(backends)
wrong 'no such file' /disks/bad/nothing.vmdk 'nothing.vmdk: no such file|nothing.vmdk.*No such file'
wrong 'garbage named vmdk' /disks/bad/garbage.vmdk 'garbage.vmdk'
wrong 'an image that is in use' "$1" 'lock|in use|use by'
wrong 'a relative name' disks/x.vmdk 'absolute'
is 'the guest has as many disks as before' 4 \
	"$(guest 'ls /sys/block | grep -c xvd')"
is 'as many processes' 3 "$(servers)"

# --- and all of it goes at once ---------------------------------------------

id=$(guest_id)
for c in b c d; do
	ok "the verifier starts on xvd$c" load_start xvd$c -s 83 -n 1000000 -t 60
	ok "requests are moving" moves xvd$c
done
ok 'xl destroy under load' xl destroy $G
ok 'the domain is gone for good' wait_for 30 domain_gone $id
is 'no zombie' '' "$(zombies)"
ok 'every vdisk process has ended' wait_for 30 no_servers
ok 'nothing of the disks is left in xenstore' wait_for 10 no_backends
is 'Xen counts no grant of it' 0 "$(domain_maps $id)"
ok 'the kernel of dom0 has nothing to complain about' kernel_quiet

# --- the other order: xen-blkback takes everything, the script takes it back

rmmod xen-blkback && rmmod xpvtap
ok 'xen-blkback is loaded, then xpvtap' load_blkback
ok 'which comes late' load_xpvtap
ok 'xl create' guest_create "$by_linux" "disk = [ '$(spec xvdb $1)', 'phy:$loop,xvde,w' ]"
is 'the script has taken its disk from xen-blkback' xpvtap "$(driver_of b)"
is 'and no other' vbd "$(driver_of e)"
ok 'the guest boots' guest_boots || return
ok 'it has its disk' wait_for 20 guest_sees xvdb
ok "${2##*/}: xl block-attach" xl_attach xvdc "$2"
is 'taken over as well' xpvtap "$(driver_of c)"
for c in b c; do
	ok "xvd$c: the verifier finds every sector" \
		guest "diskverify -s 84 -n 60 /dev/xvd$c"
done
id=$(guest_id)
ok 'the guest powers off' guest_stop
ok 'every vdisk process has ended' wait_for 30 no_servers
ok 'nothing of the disks is left in xenstore' wait_for 10 no_backends
is 'Xen counts no grant of it' 0 "$(domain_maps $id)"
ok 'the kernel of dom0 has nothing to complain about' kernel_quiet
losetup -d $loop
