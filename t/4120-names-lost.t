#!/bin/sh
# The power goes while names change hands: whatever part of the names that were not
# made durable is lost, the disk opens as before or as after, no state is lost,
# and the same command again finishes.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/lib/chain.sh"
need python3 ${CC:-cc}
[ "${VD_FLAVOUR:-plain}" = plain ] || skip_all 'preloads a library'
cd "$tmp" || exit 1
NAMES_SO=$tmp/names.so
export NAMES_SO
ok 'the recorder' ${CC:-cc} -shared -fPIC -Wall -Wextra -Werror -o names.so \
	"$srcdir/t/lib/names.c" -ldl || done_testing

# lost DROP TYPE WHAT ARGS: ARGS of vdiskadm, in a copy of the chain.
lost() {
	rm -rf w w.rec
	cp -a "chain-$2" w
	l_drop=$1 l_type=$2 l_what=$3
	shift 3
	python3 "$srcdir/t/lib/names.py" w "d.$l_type" "$l_what" "$l_drop" \
		vdiskadm "$@" >lost.out 2>&1
	l_rc=$?
	l_last=$(tail -1 lost.out)
	cat lost.out
	return $l_rc
}

# safe TYPE WHAT ARGS: no state is bad, and there were some.
safe() {
	ok "$1: $2" lost 0 "$@"
	is "$1: $2: states" "$(echo "$l_last" |
		grep -c '^states=\([5-9]\|[0-9]\{2,\}\) bad=0 syncs=[1-9]')" 1
	diag "$1: $2: $l_last"
}

for t in vmdk vdi delta; do
	make_chain chain-$t $t || exit 1
	safe $t snapshot snapshot d.$t@c
	safe $t rollback rollback -r d.$t@a
	[ $t = delta ] || safe $t merge destroy d.$t@b
	safe $t removal destroy -r d.$t
done
safe vmdk 'merge below' destroy d.vmdk@a
safe vmdk clone clone d.vmdk@b new.vdi
safe vmdk 'clone, of two files' clone -c x d.vmdk new.raw
safe vmdk create create -s 1m -t vmdk:fixed new.vmdk
safe vmdk 'create a child' create -p d@b.vmdk new.vdi
mkdir chain-vmdk/sub
mv chain-vmdk/d@b.vmdk chain-vmdk/sub/moved.vmdk
mv chain-vmdk/d@a.vmdk chain-vmdk/sub/
ok 'vmdk: relink changes no name' lost 0 vmdk relink relink d.vmdk sub/moved.vmdk

# Would it be seen?  Without one of its syncs of a folder each verb can lose a disk.
rm -rf chain-vmdk && make_chain chain-vmdk vmdk || exit 1
for verb in 'snapshot d.vmdk@c' 'rollback -r d.vmdk@a'; do
	n=1 seen=
	while [ $n -lt 9 ]; do
		lost $n vmdk control $verb >/dev/null || seen="$seen $n"
		[ $n -lt "${l_last##*syncs=}" ] || break
		n=$((n + 1))
	done
	diag "$verb: of $n syncs of a folder these cannot be missed:$seen"
	is "$verb: some cannot be missed" "$([ -n "$seen" ]; echo $?)" 0
done
done_testing
