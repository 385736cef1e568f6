#!/bin/sh
# Random writes between snapshots, rollbacks and merges: every state of a chain
# is what a model says, of every format and of formats mixed.
. "${srcdir:-.}/t/lib/tap.sh"
cd "$tmp" || exit 1

size=16m

# churn FILE SEED: random operations, held against a copy in memory.
churn() {
	vd-model -D -s "$2" -n "${VD_MODEL_OPS:-250}" "$1"
}

# all DISK: the content of each state, "name=hash", the oldest first.
all() {
	a_ext=${1##*.}
	for a_s in $(vdiskadm list "$1" | sed -n 's/.*@//p'); do
		a_f=${1%.*}@$a_s.$a_ext
		[ -e "$a_f" ] || a_f=${1%/*}/$a_s
		printf '%s=%s ' "$a_s" "$(content_of "$a_f")"
	done
	printf 'top=%s' "$(content_of "$1")"
}

for t in vmdk vdi delta; do
	d=$t/d.$t seed=1
	mkdir $t
	if [ $t = delta ]; then
		vdiskadm create -s $size $t/base.raw &&
		churn $t/base.raw 77 && vdiskadm create -p $t/base.raw $d
	else
		vdiskadm create -s $size $d
	fi || exit 1
	for s in a b c d e; do
		seed=$((seed + 1))
		ok "$t: model before @$s" churn $d $seed
		was=$(content_of $d)
		ok "$t: snapshot @$s" vdiskadm snapshot $d@$s
		is "$t: the disk is the same" "$(content_of $d)" "$was"
	done
	ok "$t: model over five snapshots" churn $d 99
	was=$(all $d)
	is "$t: six states, all different" \
		"$(echo "$was" | tr ' ' '\n' | grep -v raw | cut -d= -f2 |
			sort -u | wc -l)" 6
	# From the middle, from next to the top, and with the base below.
	for s in c e; do
		want=$(echo "$was" | sed "s/\<$s=[0-9a-f]* //")
		ok "$t: merge @$s" vdiskadm destroy $d@$s
		was=$(all $d)
		is "$t: no other state changed" "$was" "$want"
	done
	if [ $t != delta ]; then
		want=$(echo "$was" | sed "s/\<a=[0-9a-f]* //")
		ok "$t: merge the base" vdiskadm destroy $d@a
		is "$t: no other state changed" "$(all $d)" "$want"
	fi
	ok "$t: model again" churn $d 100
	b=$(all $d | sed 's/.*\<b=\([0-9a-f]*\) .*/\1/')
	ok "$t: rollback -r @b" vdiskadm rollback -r $d@b
	is "$t: back at @b" "$(content_of $d)" "$b"
	ok "$t: model after the rollback" churn $d 101
	is "$t: @b is what it was" "$(content_of $t/d@b.$t)" "$b"
	ok "$t: snapshot again" vdiskadm snapshot $d@b2
	ok "$t: model" churn $d 102
	ok "$t: clone of a snapshot" vdiskadm clone $d@b $t/one.vmdk
	is "$t: has its content" "$(content_of $t/one.vmdk)" "$b"
	ok "$t: clone of the top" vdiskadm clone $d $t/two.vdi
	is "$t: has its content" "$(content_of $t/two.vdi)" "$(content_of $d)"
done

# Formats above one another, as far as they can name each other.
mkdir mixed
make_image mixed/base.raw $size
churn mixed/base.raw 7
below=mixed/base.raw
for link in one.delta two.vmdk three.delta four.vmdk; do
	if vdiskadm create -p $below mixed/$link >out 2>&1; then
		was=$(content_of $below)
		is "$link over ${below##*/} reads like it" \
			"$(content_of mixed/$link)" "$was"
		ok "$link: model" churn mixed/$link 8
		is "${below##*/} did not change" "$(content_of $below)" "$was"
		below=mixed/$link
	else
		ok "$link over ${below##*/} is refused with a reason" \
			grep -q 'parent' out
	fi
done
is 'the chain has these links' "$(vdiskadm list $below | wc -l)" 5
done_testing
