#!/bin/sh
# VDIs, raw disks, raw deltas and mixed chains live two thousand random operations each;
# QEMU and 7-Zip see at any time what a copy in memory says.
in_memory=yes
. "${srcdir:-.}/t/lib/tap.sh"
need vd-life qemu-img
PYVMDK=
. "$srcdir/t/lib/variants.sh"
. "$srcdir/t/lib/life.sh"

lives $v_rest
done_testing
