#!/bin/sh
# Read-only where the image or a missing right says so, refused where another
# program has it; the sentence reaches the terminal before nbdkit forks.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/lib/nbd.sh"
need qemu-img qemu-io
cd "$tmp" || exit 1

is_readonly() {
	is "$1: read-only" "$(nbd_says is_read_only)" "$2"
	if [ "$2" = true ]; then
		fails_with "$1: a write fails" . \
			qemu-io -f raw -c 'write 0 512' "$uri"
	else
		ok "$1: a write" qemu-io -f raw -c 'write 0 512' "$uri"
	fi
	ok "$1: ends" serve_ends
}

vdiskadm create -s 4M a.vmdk
ok 'nothing said' serve a.vmdk
is_readonly 'nothing said' false
before=$(cksum <a.vmdk)
ok 'nbdkit -r' serve -r a.vmdk
is_readonly 'nbdkit -r' true
ok 'readonly=true' serve a.vmdk readonly=true
is_readonly 'readonly=true' true
is 'the image was not touched' "$(cksum <a.vmdk)" "$before"
ok 'readonly=false' serve file=a.vmdk readonly=false
is_readonly 'readonly=false' false

ok 'a dialect that can only be read' qemu-img convert -q -f vmdk -O vmdk \
	-o subformat=streamOptimized a.vmdk s.vmdk
ok 'is served' serve -v s.vmdk
ok 'and the log says why it is read-only' grep -q \
	'read-only: .*streamOptimized images can only be read' "$nbd_log"
is_readonly 'a stream' true
fails_with 'but not if it has to be written' 'can only be read' \
	refused s.vmdk readonly=false

# Root may write everything; on a file system that is mounted read-only nobody.
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
	chmod 755 "$tmp"
	chmod 444 a.vmdk
	# What was built may lie where that user cannot go: in root's home.
	cp -RL "$builddir/lib" lib
	built=$plugin built_lib=$LD_LIBRARY_PATH built_modules=$VDISK_PLUGIN_PATH
	plugin=$tmp/lib/${plugin##*/}
	LD_LIBRARY_PATH=$tmp/lib
	VDISK_PLUGIN_PATH=$tmp/lib/vdisk
	nbd_under="setpriv --reuid 65534 --regid 65534 --clear-groups"
	mkdir s; chmod 777 s
	real=$tmp
	tmp=$tmp/s
	ok 'a user who may only read' serve -v "$real/a.vmdk"
	tmp=$real
	ok 'the log says why' grep -q 'read-only: .*a.vmdk: .*Permission denied' \
		"$nbd_log"
	is_readonly 'a missing right' true
	nbd_under=
	fails_with 'a user who may only read, but must write' 'Permission denied' \
		timeout 60 setpriv --reuid 65534 --regid 65534 --clear-groups \
		nbdkit -f -U "$tmp/s/none" "$plugin" "$tmp/a.vmdk" readonly=false
	chmod 644 a.vmdk
	plugin=$built LD_LIBRARY_PATH=$built_lib VDISK_PLUGIN_PATH=$built_modules
else
	skip 'a user who may only read' 'needs root and setpriv'
fi

# In use: never read-only behind the user's back.
ok 'a server' serve a.vmdk
fails_with 'a second one' 'a.vmdk: in use by another program' refused a.vmdk
says 'names a way' 'lsof'
fails_with 'also read-only' 'open for writing in another program' \
	refused a.vmdk readonly=true
fails_with 'QEMU, too' 'lock' qemu-io -f vmdk -c 'read 0 512' a.vmdk
fails_with 'and our own tools' 'in use' vd-io a.vmdk 'write 0 512 1'
ok 'ends' serve_ends
ok 'a reader' serve a.vmdk readonly=true
first=$nbd_pid first_job=$nbd_job
ok 'and another reader' serve a.vmdk readonly=true
ok 'ends' serve_ends
fails_with 'a writer beside a reader' 'in use by another program' refused a.vmdk
says 'readonly=true would do' 'readonly=true'
nbd_pid=$first nbd_job=$first_job
ok 'ends' serve_ends

# What cannot be served is told before nbdkit goes into the background.
fails_with 'no file' 'which disk' timeout 60 env LD_PRELOAD="$nbd_preload" \
	nbdkit -U "$tmp/none" "$plugin"
fails_with 'a file that is not there' 'nowhere.vmdk: No such file' \
	timeout 60 env LD_PRELOAD="$nbd_preload" \
	nbdkit -U "$tmp/none" "$plugin" nowhere.vmdk
fails_with 'two files' 'one disk' refused a.vmdk s.vmdk
fails_with 'a parameter of no meaning' 'unknown parameter colour' \
	refused a.vmdk colour=red
fails_with 'a chain of no meaning' 'beneath or anywhere' refused a.vmdk chain=up
fails_with 'a readonly of no meaning' . refused a.vmdk readonly=perhaps
fails_with 'a cache of nothing' 'something is needed' refused a.vmdk cache=0
fails_with 'a cache of no meaning' . refused a.vmdk cache=much
fails_with 'a format that is none' 'no module for format qcow9' \
	refused a.vmdk format=qcow9
printf 'neither this nor that' >x.vmdk
truncate -s 1M x.vmdk
fails_with 'a file that is no vmdk' 'its name says vmdk' refused x.vmdk
ok 'unless it is said to be raw' serve x.vmdk format=raw
is 'then it is' "$(nbd_says export-size)" 1048576
ok 'ends' serve_ends

# In the background, where nbdkit usually is: what was opened before the fork
# works after it, locks and all.  A dead process has left it something to do.
vd-io a.vmdk 'write 3M 64k 7' die
ok 'into the background' timeout 60 env LD_PRELOAD="$nbd_preload" nbdkit \
	-U "$tmp/bg" -P "$tmp/bg.pid" "$plugin" a.vmdk
i=0
while [ ! -s bg.pid ] && [ $i -lt 600 ]; do
	sleep 0.05
	i=$((i + 1))
done
bg=$(cat bg.pid)
cleanup "kill -9 $bg 2>/dev/null"
ok 'writes, a flush' qemu-io -f raw -c 'write -P 9 1M 200k' -c flush \
	-c 'write -P 8 2M 64k' "nbd+unix:///?socket=$tmp/bg"
fails_with 'it is locked' 'in use by another program' vd-io a.vmdk 'write 0 512 1'
kill $bg
i=0
while kill -0 $bg 2>/dev/null && [ $i -lt 600 ]; do
	sleep 0.05
	i=$((i + 1))
done
ok 'it ends by itself' test $i -lt 600
ok 'all of it is there' vd-io a.vmdk 'expect 1M 200k 9' 'expect 2M 64k 8' \
	'expect 3M 64k 7'

# A parent outside the folder of its child.
mkdir in out
vdiskadm create -s 4M out/p.vmdk
vd-io out/p.vmdk 'write 1M 1M 7'
vdiskadm create --allow-outside -p out/p.vmdk in/c.vmdk
fails_with 'a parent elsewhere' 'outside its own folder' refused in/c.vmdk
fails_with 'stays refused when beneath is asked for' 'outside its own folder' \
	refused in/c.vmdk chain=beneath
ok 'chain=anywhere' serve in/c.vmdk chain=anywhere
ok 'reads the parent' qemu-io -r -f raw -c 'read -P 7 1M 1M' "$uri"
ok 'ends' serve_ends
is 'the description tells of it' "$(timeout 60 nbdkit -U - "$plugin" in/c.vmdk \
	chain=anywhere --run 'nbdinfo "$uri"' 2>/dev/null |
	sed -n 's/.*description: //p')" 'vmdk monolithicSparse, a chain of 2 images'
done_testing
