#!/bin/sh
# The images of more than 4 GiB that other people's software made, as in 8500.
#
# VD_LONG=1 asks for it: to hash that many zeros takes a quarter of an hour.
. "${srcdir:-.}/t/lib/tap.sh"
[ -n "${VD_LONG:-}" ] || skip_all 'takes long: VD_LONG=1 asks for it'
. "$srcdir/t/lib/corpus.sh"

rows large
done_testing
