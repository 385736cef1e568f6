#!/bin/sh
# The images of more than 4 GiB that other people's software made, as in 8500.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/lib/corpus.sh"

rows large
done_testing
