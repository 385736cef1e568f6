#!/bin/sh
# What depends on an image is found before the image is taken away, also where it
# lies in another folder: below, above, in Snapshots, where a .vbox file says.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/lib/chain.sh"
cd "$tmp" || exit 1
xml=$(grep -c 'HAVE_LIBXML2 1' "$builddir/config.h")

# fresh TYPE: vm/d.TYPE over d@a and d@b.
fresh() {
	rm -rf vm far; mkdir -p vm/Snapshots vm/deep far
	vdiskadm create -s 1m vm/d.$1 && vd-io vm/d.$1 'fill 0 1M 1' &&
	vdiskadm snapshot vm/d.$1@a && vdiskadm snapshot vm/d.$1@b
}


for t in vmdk vdi; do
	# Two children, of @a and of @b, so that each of the verbs meets one.
	both() {
		fresh $t &&
		vdiskadm create --allow-outside -p vm/d@a.$t "$1" &&
		vdiskadm create --allow-outside -p vm/d@b.$t "${1%.*}-b.$t" &&
		vd-io "${1%.*}-b.$t" size
	}
	if [ $t = vdi ]; then
		ok "$t: a child in Snapshots" both vm/Snapshots/s.$t
		rm vm/Snapshots/s-b.$t
		# Of @a only: rollback to @a does not mind it.
		fails_with "$t: destroy @a" 'depends on it.*Snapshots/s.vdi' \
			vdiskadm destroy vm/d.$t@a
		fails_with "$t: destroy -r" 'depends on it.*Snapshots/s.vdi' \
			vdiskadm destroy -r vm/d.$t
		ok "$t: its reader agrees" vd-io -r vm/Snapshots/s.$t 'verify 0 1M 1'
		fails_with "$t: a child whose parent is never looked for" \
			'would not open: .*none of the folders' \
			vdiskadm create -p vm/d@a.$t u.$t
		is "$t: is not made" "$(ls u.* .vdiskadm* 2>/dev/null)" ''
		rm vm/Snapshots/*
		mv vm/d*.$t vm/Snapshots/
		ok "$t: a child one up" sh -c "
			vdiskadm create -p vm/Snapshots/d@a.$t vm/u.$t &&
			vdiskadm create -p vm/Snapshots/d@b.$t vm/v.$t"
		fails_with "$t: destroy @a" 'depends on it.*u.vdi' \
			vdiskadm destroy vm/Snapshots/d.$t@a
		fails_with "$t: rollback over @b" 'depends on it.*v.vdi' \
			vdiskadm rollback -r vm/Snapshots/d.$t@a
		ok "$t: its reader agrees" vd-io -r vm/u.$t 'verify 0 1M 1'
		rm vm/u.$t vm/v.$t
		ok "$t: without them" vdiskadm rollback -r vm/Snapshots/d.$t@a
	else
		# Names go up and down, if allowed.
		ok "$t: a child one up" both u.$t
		fails_with "$t: destroy @a" 'depends on it.*u.vmdk' \
			vdiskadm destroy vm/d.$t@a
		fails_with "$t: rollback over @b" 'depends on it.*u-b.vmdk' \
			vdiskadm rollback -r vm/d.$t@a
		ok "$t: its reader agrees" vd-io -r u.$t 'verify 0 1M 1'
		rm u.$t u-b.$t
		ok "$t: without them" vdiskadm rollback -r vm/d.$t@a
	fi
done

if [ "$xml" = 1 ]; then
	ok 'a child where only the settings know' fresh vdi
	vdiskadm create --allow-outside -p vm/d@a.vdi vm/s.vdi
	uuid=$(vdiskadm info vm/d@a.vdi |
		sed -n 's/.*uuid[^0-9a-f]*\([-0-9a-f]\{36\}\).*/\1/p' | head -1)
	mine=$(vdiskadm info vm/s.vdi |
		sed -n 's/.*uuid[^0-9a-f]*\([-0-9a-f]\{36\}\).*/\1/p' | head -1)
	mv vm/s.vdi vm/deep/
	vbox() {
		cat >vm/m.vbox <<X
<VirtualBox><Machine><MediaRegistry><HardDisks>
<HardDisk uuid="{$uuid}" location="d@a.vdi">
<HardDisk uuid="{$mine}" location="$1"/>
</HardDisk></HardDisks></MediaRegistry></Machine></VirtualBox>
X
	}
	vbox deep/s.vdi
	fails_with 'is found' 'depends on it.*deep/s.vdi' \
		vdiskadm destroy vm/d.vdi@a
	ok 'it reads' vd-io -r vm/deep/s.vdi 'verify 0 1M 1'
	mv vm/deep/s.vdi far/
	vbox ../far/s.vdi
	fails_with 'outside, the settings are believed' \
		'depends on it.*far/s.vdi' vdiskadm destroy vm/d.vdi@a
	fails_with 'with leave, it is looked at' 'depends on it.*far/s.vdi' \
		vdiskadm destroy --allow-outside vm/d.vdi@a
	vdi-craft far/s.vdi create=0xdada 0
	ok 'and if it is no child of it, no hindrance' \
		vdiskadm destroy --allow-outside vm/d.vdi@a
	ok 'once more' fresh vdi
	vbox nothing.vdi
	ok 'what the settings list and nobody has does not count' \
		vdiskadm destroy vm/d.vdi@a
else
	skip 'a child where only the settings know' 'built without libxml2'
fi
done_testing
