#!/bin/sh
# Power cuts in every scenario: what was promised is there, and verify is silent.
. "${srcdir:-.}/t/lib/crash.sh"

power_cuts delta base child discard discard-child snapshot merge
done_testing
