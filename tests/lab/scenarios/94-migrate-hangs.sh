# What hangs at the switch of a migration, or does not do what it should: nobody stands still for longer than he may, what
# cannot be known is said, and a signal comes too late for what has begun on the far side.
# seconds: 600
pool a /dev/vda 256m 64k
pool b /dev/vdb 256m 64k
thin a/vm 48m
loopback
no_ssh
is_used a/vm

step 'the pause command does not end'
mv pause the-pause
echo "touch pausing; sleep 30; kill -STOP $user" >pause
begins --max-downtime 6
ends 4
says migrate.err 'the last of it was not there 6 s after the pause had begun'
[ -e pausing ] && [ -e unpaused ] || fail 'it was not unpaused'
goes_on
nothing_is_made

step 'the last round takes longer than it may, and cannot be broken off'
# The lock of the group, see vg locking in lvmlockd(8) and locking_dir in lvm.conf(5), is held in the pause and after it.
cat the-pause - >pause <<'END'
	perl -e 'open(my $group, ">>", "/run/lock/lvm/V_a"); flock($group, 2); open(my $mark, ">", "locked"); sleep 16' &
	until [ -e locked ]; do sleep 0.05; done
END
begins --max-downtime 6
within 100 [ -e locked ]
within 10 [ -e unpaused ]
[ -e /proc/$migration ] || fail 'it is not what holds it up'
ends 4
says migrate.err 'the last of it was not there 6 s after the pause had begun'
goes_on
nothing_is_made

step 'the pause command does not pause'
echo 'touch paused-at' >pause
begins --done 'touch done'
ends 4
says migrate.err 'were written after the pause command had ended'
[ -e unpaused ] && [ ! -e done ] || fail 'it was switched'
goes_on
nothing_is_made
mv the-pause pause
