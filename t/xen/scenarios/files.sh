# The main job: a guest uses the file systems it finds on its disks.
#
# Every $disks/*.* holds an ext4 with known files and KNOWN.sha256.  What
# the guest writes, and the sums as the guest itself saw them, leave by two
# roads: the disk and the console.
ok 'a guest boots' guest_up || return
guest_listen
idle=$(guest_maps)

use_disk()
{
	file=$1 name=${1##*/}
	ok "$name: vdisk-attach guest tap:vdisk:$file xvdb w" attach "$file" xvdb w || return
	ok "$name: the guest mounts its ext4" \
		guest 'mount -t ext4 /dev/xvdb /mnt'
	ok "$name: every known file is as it was made" \
		guest 'cd /mnt && sha256sum -c KNOWN.sha256 && cd /'
	ok "$name: the guest writes new files" guest \
		'mkdir /mnt/new && cd /mnt/new && seq 1 60000 >numbers && dd if=/dev/urandom of=noise bs=64k count=48 2>/dev/null && cat ../known/numbers ../known/binary >together && for i in $(seq 1 40); do echo "file $i" >small.$i; done && mv ../known/moved ../new/ && sha256sum * >../WRITTEN.sha256 && cd /'
	guest 'cat /mnt/WRITTEN.sha256' >"/lab/log/written-$name.sha256"
	ok "$name: it syncs and unmounts" guest 'sync && umount /mnt'
	ok "$name: hot detach" detach xvdb
	ok "$name: its vdisk process has ended" wait_for 10 no_servers
}

for image in $disks/*.*; do
	use_disk "$image"
done
is 'nothing of the disks is left in xenstore' '' "$(backends)"
is 'no grant of the guest is still in use' "$idle" "$(guest_maps)"
is 'the guest kernel saw nothing odd' '' \
	"$(guest_complaints)"
