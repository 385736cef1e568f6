# The lab works at all: a guest starts and answers with words and a status.
ok 'the guest starts' guest_start
guest 'echo two words; false' >/tmp/out
is 'it answers with a status' 1 $?
is 'and with words' 'two words' "$(cat /tmp/out)"
ok 'it stops' guest_stop
