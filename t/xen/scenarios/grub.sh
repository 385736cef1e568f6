# GRUB boots the guest from a disk of ours, and hands the disk over to Linux.
# With :pygrub xl attaches the disk to dom0, reads the kernel there, and gives the
# disk back before the guest gets it.
#
# Two frontends one after the other on the same nodes: Connected, Closed (GRUB
# leaves Closing out), Initialising, InitWait, Connected, with the keys of the
# first still there.  The guest's kernel and its init come through the first.
boot_from()
{
	name=${1##*/} by=grub
	case ${TRANSPORT:-} in
	phy)	losetup /dev/loop6 "$1"
		ok "$name: a guest is made, paused, its disk is xen-blkback's" \
			guest_create -p "$by_grub" \
			"disk = [ 'phy:/dev/loop6,xvda,w' ]" || return ;;
	pygrub)	by=pygrub
		ok "$name: a guest is made, paused, and pygrub has read its disk" \
			guest_create -p "$by_pygrub" \
			"disk = [ 'script=block-vdisk,vdev=xvda,access=w,target=$1' ]" || return
		is "$name: dom0 has given the disk back" '' \
			"$(ls /sys/block | grep xvd; xenstore-list /local/domain/0/device/vbd)"
		is "$name: with all its pages" 0 "$(domain_maps 0)" ;;
	*)	ok "$name: a guest is made, paused" \
			guest_create -p "$by_grub" || return
		ok "$name: attached before the guest runs" \
			vdisk-attach $transport $G "tap:vdisk:$1" xvda w ;;
	esac
	server=$(serving)
	ok "$name: it runs" xl unpause $G
	ok "$name: Linux boots" guest_boots || return
	[ $by = pygrub ] ||
		ok "$name: GRUB has begun it" \
			grep -q 'GRUB boots from (xen/xvda)' "$console"
	ok "$name: the kernel is the one of that disk" \
		guest "grep -q booted_by=$by /proc/cmdline"
	idle=$(guest_maps)
	ok "$name: Linux has the disk" wait_for 20 guest_sees xvda
	is "$name: from the same server, if any" "$server" "$(serving)"
	ok "$name: Linux mounts it" guest 'mount -t ext4 /dev/xvda /mnt'
	ok "$name: every known file is as it was made" \
		guest 'cd /mnt && sha256sum -c KNOWN.sha256 && cd /'
	ok "$name: the guest writes" guest \
		'mkdir /mnt/new && cd /mnt/new && dd if=/dev/urandom of=noise bs=64k count=24 2>/dev/null && mv ../known/moved ../new/ && sha256sum * >../WRITTEN.sha256 && cd /'
	guest 'cat /mnt/WRITTEN.sha256' >"/lab/log/written-$name.sha256"
	ok "$name: it syncs and unmounts" guest 'sync && umount /mnt'
	is "$name: the guest kernel saw nothing odd" '' \
		"$(guest_complaints)"
	id=$(guest_id)
	ok "$name: the guest powers off" guest_stop
	ok "$name: every vdisk process has ended" wait_for 30 no_servers
	is "$name: no zombie" '' "$(zombies)"
	is "$name: Xen counts no grant of it" 0 "$(domain_maps $id)"
	ok "$name: nothing of the disk is left in xenstore" wait_for 10 swept
}

guest_stop
case ${TRANSPORT:-} in
xpvtap)	boot_from /disks/boot/boot.vdi ;;
phy)	ok 'the kernel backend is loaded' load_blkback
	boot_from /disks/boot/boot.raw
	losetup -d /dev/loop6 ;;
pygrub)	ok 'the driver xpvtap is loaded' load_xpvtap
	ok 'and dom0 can have a disk itself' load_blkfront
	boot_from /disks/boot/pygrub.vdi ;;
*)	boot_from /disks/boot/boot.vmdk ;;
esac
