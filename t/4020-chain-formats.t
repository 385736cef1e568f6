#!/bin/sh
# Every format's child over every kind of parent that it can name: it reads through,
# a first write of a part of a unit copies up, zeros hide for good, the parent
# stays untouched, and all of that after a reopen, at odd sizes, over six levels.
. "${srcdir:-.}/t/lib/tap.sh"
mkdir "$tmp/w" && cd "$tmp/w" || exit 1

# Not a whole number of anybody's units; the last sector counts.
size=5244416
last=$((size - 512))

# parent KIND: p.* of that kind, full of seed 1 but for a hole at 2 MiB.
parent() {
	rm -rf -- *
	case $1 in
	raw)		p=p.raw; vdiskadm create -s $size $p ;;
	vmdk)		p=p.vmdk; vdiskadm create -s $size $p ;;
	vmdk-flat)	p=p.vmdk; vdiskadm create -s $size -t vmdk:fixed $p ;;
	vmdk-stream)	p=p.vmdk; vdiskadm create -s $size q.raw ;;
	vdi)		p=p.vdi; vdiskadm create -s $size $p ;;
	vdi-fixed)	p=p.vdi; vdiskadm create -s $size -t vdi:fixed $p ;;
	delta)		p=p.delta; vdiskadm create -s $size q.vdi &&
			vd-io q.vdi 'fill 0 1M 1' &&
			vdiskadm create -p q.vdi $p ;;
	esac || return
	[ "$1" = vmdk-stream ] || {
		vd-io $p 'fill 0 2M 1' "fill 2112k $((size - 2162688)) 1"
		return
	}
	vd-io q.raw 'fill 0 2M 1' "fill 2112k $((size - 2162688)) 1" &&
		vmdk-pack q.raw $p
}

# What p.* and a new child of it hold.
whole="verify 0 2M 1|expect 2M 64k 0|verify 2112k $((size - 2162688)) 1"
reads() {
	(IFS='|'; set -f; vd-io -r "$1" $whole)
}

for kind in raw vmdk vmdk-flat vmdk-stream vdi vdi-fixed delta; do
	for t in vmdk vdi delta; do
		c=c.$t
		ok "$kind: a parent" parent $kind
		# A VDI names its parent by UUID, which raw bytes have not.
		case "$t $kind" in
		'vdi raw')
			fails_with "$t over $kind cannot be" 'raw\|UUID' \
				vdiskadm create -p $p $c
			is "$t over $kind: nothing is left" \
				"$(ls -A | tr '\n' ' ')" "$p "
			continue ;;
		esac
		sum=$(cat p* q* 2>/dev/null | cksum)
		if ! vdiskadm create -p $p $c >out 2>&1; then
			ok "$t over $kind: a reason is given" \
				grep -q 'UUID\|parent' out
			is "$t over $kind: is only for lack of a UUID" \
				"$t $(vdiskadm info $p | grep -ci uuid)" 'vdi 0'
			continue
		fi
		ok "$t over $kind: reads the same" reads $c
		ok "$t over $kind: parts of units" vd-io $c 'write 1000000 3 9' \
			'write 2M 1 8' "write $last 1s 7" 'zero 3M 64k' \
			'zero 4000000 1000' 'unmap 1M 64k' flush
		for n in 1 2; do
			ok "$t over $kind: reopen $n" vd-io $c \
				'verify 0 1000000 1' 'expect 1000000 3 9' \
				'verify 1000003 48573 1' 'expect 1M 64k 0' \
				'verify 1088k 960k 1' 'expect 2M 1 8' \
				'expect 2097153 65535 0' 'verify 2112k 960k 1' \
				'expect 3M 64k 0' 'verify 3136k 788736 1' \
				'expect 4000000 1000 0' \
				"verify 4001000 $((last - 4001000)) 1" \
				"expect $last 1s 7"
		done
		ok "$t over $kind: random operations" vd-model -n 300 $c
		was=$(content_of $c)
		ok "$t over $kind: a snapshot" vdiskadm snapshot $c@s
		is "$t over $kind: reads the same" "$(content_of $c)" "$was"
		vd-io $c 'write 5000 1 1'
		ok "$t over $kind: a rollback" vdiskadm rollback $c@s
		is "$t over $kind: and back" "$(content_of $c)" "$was"
		ok "$t over $kind: a merge" vdiskadm destroy $c@s
		is "$t over $kind: reads the same" "$(content_of $c)" "$was"
		is "$t over $kind: the parent is untouched" \
			"$(cat p* q* 2>/dev/null | cksum)" "$sum"
	done
done

# Six levels, five formats of unit, one odd size.
rm -rf -- *
vdiskadm create -s $size l0.raw && vd-io l0.raw 'fill 0 end 1'
below=l0.raw seed=1
for l in l1.delta l2.vmdk l3.vdi l4.delta l5.vmdk l6.vdi; do
	vdiskadm create -p $below $l || exit 1
	seed=$((seed + 1))
	# A piece of its own at seed * 700,000, and one byte at the end.
	vd-io $l "fill $((seed * 700000)) 1000 $seed" "write $((size - seed)) 1 $seed"
	below=$l
done
sums=$(cksum l[0-5].*)
ok 'six levels' vd-io -r l6.vdi 'verify 0 1400000 1' 'verify 1400000 1000 2' \
	'verify 1401000 699000 1' 'verify 2100000 1000 3' 'verify 2800000 1000 4' \
	'verify 3500000 1000 5' 'verify 4200000 1000 6' 'verify 4900000 1000 7' \
	"verify 4901000 $((size - 7 - 4901000)) 1"
for seed in 2 3 4 5 6 7; do
	ok "the byte of level $((seed - 1))" vd-io -r l6.vdi \
		"expect $((size - seed)) 1 $seed"
done
was=$(content_of l6.vdi)
ok 'one byte in each mebibyte brings the rest up' vd-io l6.vdi 'write 0 1 9' \
	'write 1M 1 9' 'write 2M 1 9' 'write 3M 1 9' 'write 4M 1 9' \
	"write $((size - 1)) 1 9" flush
ok 'and nothing else changed' vd-io l6.vdi 'expect 0 1 9' 'verify 1 1048575 1' \
	'expect 1M 1 9' 'verify 1400000 1000 2' 'verify 2100000 1000 3' \
	"expect $((size - 2)) 1 2" "expect $((size - 7)) 1 7"
is 'below all is as it was' "$(cksum l[0-5].*)" "$sums"
ok 'it needs nobody now' sh -c "mkdir x; vdiskadm clone l6.vdi x/one.vmdk"
is 'a clone is the same' "$(content_of x/one.vmdk)" "$(content_of l6.vdi)"

# Longer and shorter than its parent: what a child becomes by resizing.
rm -rf -- *
for b in raw vmdk vdi; do
	[ $b = raw ] && mid=delta || mid=vdi
	vdiskadm create -s 2500k b.$b && vd-io b.$b 'fill 0 end 1'
	vdiskadm create -p b.$b m.$mid
	vdiskadm create -p m.$mid c.vdi
	ok "$b: a child grows" vdiskadm resize c.vdi 5m
	ok "$b: behind the parent are zeros" vd-io c.vdi 'verify 0 2500k 1' \
		'expect 2500k 2620k 0'
	ok "$b: a byte behind its end, one before" vd-io c.vdi \
		'write 2600k 1 5' 'write 2499k 1 6' 'write 4M 1 7' flush
	ok "$b: reopened" vd-io -r c.vdi 'verify 0 2499k 1' 'expect 2499k 1 6' \
		'verify 2558977 1023 1' 'expect 2500k 100k 0' 'expect 2600k 1 5' \
		'expect 2662401 1000k 0' 'expect 4M 1 7'
	ok "$b: a snapshot of it" vdiskadm snapshot c.vdi@s
	ok "$b: reads the same" vd-io c.vdi 'verify 0 2499k 1' 'expect 4M 1 7' \
		'expect 2500k 100k 0' 'write 2500k 1 3'
	ok "$b: and merges" vdiskadm destroy c.vdi@s
	ok "$b: reads the same" vd-io -r c.vdi 'verify 0 2499k 1' 'expect 4M 1 7' \
		'expect 2560001 1000 0' 'expect 2500k 1 3'
	fails_with "$b: no child is shorter than its parent" \
		'parent, which has 2560000' \
		vdiskadm resize --shrink --shrink c.vdi 1500k
	rm -f -- *
done
done_testing
