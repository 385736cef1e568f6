#!/bin/sh
# Images that other people's software made: read to the recorded hash, or refused
# for the recorded reason; a healthy one gives verify nothing to say.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/lib/corpus.sh"

rows small
done_testing
