# Everything that can be wrong with an attach is told to the administrator,
# leaves nothing behind, and the guest does not notice.
#
# Exit 1: the image is not fit; 2: the command was not; 3: the system said no.
# /dev/vdb answers every read with EIO; named raw or not, it is a device and
# would be served as raw, so one attach says vmdk, which must read it.
ok 'a guest is there' guest_up || return
idle=$(guest_maps)
try() { vdisk-attach $transport "$@"; }
# By xl, which tells what the hotplug script says; xl.sh tries others.
try_xl()
{
	xl block-attach $G "script=block-vdisk,vdev=xvdb,access=w,target=$1"
	xl_rc=$?
	xl block-detach $G xvdb
	return $xl_rc
}

mkdir -p /disks/bad/folder
head -c 100000 /dev/urandom >/disks/bad/garbage.vmdk
head -c 100000 /dev/urandom >/disks/bad/garbage.vdi
: >/disks/bad/empty.vmdk
good=$(ls $disks/*.vmdk | head -1) other=$(ls $disks/*.vdi | head -1)
head -c 4096 "$good" >/disks/bad/cut.vmdk
ln -s /disks/bad/loop /disks/bad/loop

refused 'the disk that answers reads with EIO does so here' '1' 'input/output error' \
	dd if=/dev/vdb of=/dev/null bs=4k count=1
refused 'a file that is not there' '1 3' 'no such file' \
	try $G tap:vdisk:/disks/bad/nothing.vmdk xvdb w
refused 'a file that cannot be read' '1 3' 'input/output error|i/o error' \
	try --format vmdk $G tap:vdisk:/dev/vdb xvdb w
refused 'a link that leads nowhere' '1 3' 'link' \
	try $G tap:vdisk:/disks/bad/loop xvdb w
refused 'a folder' '1 2 3' 'directory|folder|regular' \
	try $G tap:vdisk:/disks/bad/folder xvdb w
refused 'garbage named vmdk' '1 3' 'garbage.vmdk' \
	try $G tap:vdisk:/disks/bad/garbage.vmdk xvdb w
refused 'garbage named vdi' '1 3' 'garbage.vdi' \
	try $G tap:vdisk:/disks/bad/garbage.vdi xvdb w
refused 'an empty vmdk' '1 3' 'empty.vmdk' \
	try $G tap:vdisk:/disks/bad/empty.vmdk xvdb w
refused 'a vmdk cut short' '1 3' 'cut.vmdk' \
	try $G tap:vdisk:/disks/bad/cut.vmdk xvdb w
refused 'a guest that does not exist' '1 2 3' 'nobody' \
	try nobody tap:vdisk:"$good" xvdb w
refused 'a device name that is none' '2' 'bogus' \
	try $G tap:vdisk:"$good" bogus w
refused 'a mode that is none' '2' 'x' \
	try $G tap:vdisk:"$good" xvdb x
refused 'too few arguments' '2' 'usage' try $G
case ${TRANSPORT:-} in
xpvtap)	refused 'xl block-attach: a vmdk cut short' '1' 'cut.vmdk' \
		try_xl /disks/bad/cut.vmdk
	refused 'xl block-attach: a folder' '1' 'directory|folder|regular' \
		try_xl /disks/bad/folder
	refused 'xl block-attach: a link that leads nowhere' '1' 'link' \
		try_xl /disks/bad/loop
	refused 'xl block-attach: a name that leads up' '1' '\.\.' \
		try_xl /disks/../disks/x ;;
esac
refused 'detach of what is not attached' '1 2 3' 'xvdb' vdisk-detach $G xvdb
is 'no server was left behind' 0 "$(servers)"
is 'nothing was left in xenstore' '' "$(backends)"
ok 'the guest still answers' guest true
is 'and has no disk' '' "$(guest 'ls /sys/block | grep xvd')"

ok 'the good one still goes' attach "$good" xvdb w
refused 'the same device twice' '1 2 3' 'xvdb|51728' \
	try $G tap:vdisk:"$other" xvdb w
refused 'the same image twice' '1 3' 'lock|use' \
	try $G tap:vdisk:"$good" xvdc w
ok 'vdisk-list shows it' sh -c "vdisk-list | grep -q ${good##*/}"
is 'one server' 1 "$(servers)"
ok 'the first one still works' \
	guest 'dd if=/dev/xvdb of=/dev/null bs=64k count=16 iflag=direct'
ok 'detach' detach xvdb
is 'vdisk-list shows nothing of it' '' "$(vdisk-list | grep "${good##*/}")"

# Raw needs nothing of a disk to serve it: the guest is told, read by read.
ok 'a dying disk, as raw' attach /dev/vdb xvdb r
refused 'the guest gets its read error' '1' 'input/output error' \
	guest 'dd if=/dev/xvdb of=/dev/null bs=4k count=1 iflag=direct'
ok 'and still answers' guest true
ok 'detach of the dying disk' detach xvdb
ok 'every vdisk process has ended' wait_for 10 no_servers
is 'no grant of the guest is still in use' "$idle" "$(guest_maps)"
