#!/bin/sh
# A repair killed before any of its changes leaves what a second one finishes.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/lib/damage.sh"
need perl vd-kill
# A leak check cannot run under ptrace.
ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0
cd "$tmp" || exit 1
vd-kill 99999 true || skip_all 'no ptrace here'

mkdir w
vdiskadm create -s 40m w/x.vmdk
vd-io w/x.vmdk 'fill 0 256k 1' 'fill 33M 128k 2' flush
pristine hosted
garbage=$(printf 'f%.0s' $(seq 64))
damage_killed hosted 'the header lost' same 0=$(printf '%01024d' 0)
damage_killed hosted 'a directory outside' same 56=ffffff7f 48=ffffff7f
damage_killed hosted 'tables of garbage' same 15872=$garbage 13312=$garbage
damage_killed hosted 'lost tables' same 15360=ffffff7f 10756=ffffff7f 72=01
damage_killed hosted 'a tail, and not closed' same size=900000 72=01
damage_killed hosted 'no text' same 512=$(printf '%020480d' 0)
damage_killed hosted 'grains at one another' - 15876=80000000 11268=80000000 \
	15880=80000000 11272=80000000

rm -rf w; mkdir w
truncate -s 73401344 raw
vd-io -f raw raw 'fill 0 1M 1' 'fill 73400832 512 2' || exit 1
vmdk-pack -e footer raw w/x.vmdk
pristine stream
n=$(stat -c %s w/x.vmdk)
damage_killed stream 'no footer' same $((n - 1536))=$(printf '%03072d' 0)
damage_killed stream 'a marker, and no end' same size=$((n - 512)) \
	65536=ffffffffffffffffffffffff

rm -rf w; mkdir w
vmdk-make twoGbMaxExtentSparse 2300000256 w/x.vmdk
vd-io w/x.vmdk 'fill 0 128k 1' 'fill 2147M 128k 2' flush
pristine split
damage_killed split 'no text, and a part without header' same size=0 \
	"x-s001.vmdk@512=ffffff7f"
done_testing
