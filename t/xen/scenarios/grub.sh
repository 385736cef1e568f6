# GRUB boots the guest from a disk of ours, and hands the disk over to Linux.
#
# Two frontends one after the other on the same nodes: Connected, Closed (GRUB
# leaves Closing out), Initialising, InitWait, Connected, with the keys of the
# first still there.  The guest's kernel and its init come through the first.
boot_from()
{
	name=${1##*/}
	ok "$name: a guest is made, paused" guest_create -p "$by_grub" || return
	ok "$name: attached before the guest runs" \
		vdisk-attach $transport $G "tap:vdisk:$1" xvda w
	server=$(serving)
	ok "$name: it runs" xl unpause $G
	ok "$name: GRUB boots Linux from it" guest_boots || return
	ok "$name: it was GRUB" grep -q 'GRUB boots from (xen/xvda)' "$console"
	ok "$name: and the kernel is the one that GRUB started" \
		guest 'grep -q booted_by=grub /proc/cmdline'
	idle=$(guest_maps)
	ok "$name: Linux has the disk" wait_for 20 guest_sees xvda
	is "$name: from the same server" "$server" "$(serving)"
	ok "$name: Linux mounts it" guest 'mount -t ext4 /dev/xvda /mnt'
	ok "$name: every known file is as it was made" \
		guest 'cd /mnt && sha256sum -c KNOWN.sha256 && cd /'
	ok "$name: the guest writes" guest \
		'mkdir /mnt/new && cd /mnt/new && dd if=/dev/urandom of=noise bs=64k count=24 2>/dev/null && mv ../known/moved ../new/ && sha256sum * >../WRITTEN.sha256 && cd /'
	guest 'cat /mnt/WRITTEN.sha256' >"/lab/log/written-$name.sha256"
	ok "$name: it syncs and unmounts" guest 'sync && umount /mnt'
	is "$name: the guest kernel saw nothing odd" '' \
		"$(guest "dmesg | grep -iE 'i/o error|ext4.*error|still in use|BUG:|Oops|hung task'")"
	id=$(guest_id)
	ok "$name: the guest powers off" guest_stop
	ok "$name: every vdisk process has ended" wait_for 30 no_servers
	is "$name: no zombie" '' "$(zombies)"
	is "$name: Xen counts no grant of it" 0 "$(domain_maps $id)"
	is "$name: nothing of the disk is left in xenstore" '' "$(backends)"
}

guest_stop
case ${TRANSPORT:-} in
xpvtap)	boot_from /disks/boot/boot.vdi ;;
*)	boot_from /disks/boot/boot.vmdk ;;
esac
