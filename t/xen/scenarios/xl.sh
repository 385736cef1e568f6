# xl alone: disks of a domain config and of xl block-attach, served by vdisk,
# next to one that xen-blkback serves.
ok 'xpvtap is loaded, then xen-blkback' load_xpvtap || return
ok 'which takes what is left' load_blkback || return

loop=/dev/loop7
# All four at once; each tells its exit status.
run_load()
{
	is "the verifiers on $1 find every sector" "$(echo $1 | sed 's/[^ ]*/0/g')" \
		"$(guest "for d in $1; do (diskverify -s $2 -n 100 -d 8 $3 /dev/\$d >/tmp/\$d.out 2>&1; echo \$? >/tmp/\$d.rc) & done; wait; cd /tmp; for d in $1; do cat \$d.rc; tail -3 \$d.out >/dev/hvc0; done" |
			grep -x '[0-9]*' | tr '\n' ' ' | sed 's/ $//')"
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
done
is 'xl block-list shows them' '51728 51744 51760 51776' \
	"$(xl block-list $G | awk '/^[0-9]/ { print $1 }' | sort | tr '\n' ' ' | sed 's/ $//')"
is 'three of them are xpvtap'\''s' 'xpvtap xpvtap xpvtap' \
	"$(of b) $(of c) $(of d)"
is 'and one is xen-blkback'\''s' vbd "$(of e)"
is 'as many processes' 3 "$(servers)"
run_load 'xvdb xvdc xvdd xvde' 81 -b
for c in b c d e; do
	ok "xl block-detach xvd$c" xl_detach xvd$c
done
ok 'every vdisk process has ended' wait_for 10 no_servers
is 'nothing of them is left in xenstore' '' "$(backends)"
ok 'nor in /run/vdisk' sh -c '! ls /run/vdisk | grep -qE "pid|conf|said|inflight"'

n=0
for image; do
	n=$((n + 1))
	c=$(echo bcd | cut -c$n)
	ok "${image##*/}: xl block-attach while it runs" xl_attach xvd$c $image
done
ok 'phy.raw: xl block-attach' xl block-attach $G "phy:$loop,xvde,w"
ok 'the guest sees it' wait_for 20 guest_sees xvde
is 'it is xen-blkback'\''s again' vbd "$(of e)"
ok 'what was written before is there' guest 'diskverify -c -b -s 81 -n 100 /dev/xvdb'
run_load 'xvdb xvdc xvdd xvde' 82 ''

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
losetup -d $loop
