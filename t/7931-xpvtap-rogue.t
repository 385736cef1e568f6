#!/bin/sh
# A process that breaks the rules of its node harms itself alone.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/xen/tap.sh"
lab_prepare xpvtap-rogue
truncate -s 48M "$work/disks/tap.raw"
lab_boot xpvtap-rogue
lab_done
