#!/bin/sh
# VMDKs of every kind, and chains of them, live two thousand random operations each;
# QEMU, 7-Zip and libvmdk see at any time what a copy in memory says.
in_memory=yes
. "${srcdir:-.}/t/lib/tap.sh"
need vd-life qemu-img
PYVMDK=
. "$srcdir/t/lib/variants.sh"
. "$srcdir/t/lib/life.sh"

lives $v_vmdk_all
done_testing
