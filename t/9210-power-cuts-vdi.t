#!/bin/sh
# Power cuts in every scenario: what was promised is there, and verify is silent.
. "${srcdir:-.}/t/lib/crash.sh"

power_cuts vdi base child discard discard-child resize snapshot merge
done_testing
