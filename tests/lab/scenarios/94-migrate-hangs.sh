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

step 'the far side stands still while the done command runs'
rm -f done
begins --stall-timeout 10 --done 'touch done; sleep 2'
within 100 [ -e done ]
kill -STOP "$(cat far.pid)"
status=0
wait "$migration" || status=$?
kill -CONT "$(cat far.pid)"
equal 'exit status of migrate' "$status" 1
says migrate.err 'it has said nothing for 10 s'
says migrate.err 'whether the done command has run there nobody knows'
says migrate.err 'a/vm is still paused'
is_paused
within 20 eval '! [ -e /proc/$(cat far.pid) ]'
has_all /dev/b/made
lvremove -qqy b/made
sh unpause && rm unpaused
goes_on

step 'a signal while the done command runs, which comes to its end'
rm -f done
begins --done 'lvs --noheadings -o lv_tags b/made >tags; touch done; sleep 2; touch ended'
within 100 [ -e done ]
kill -INT "$migration"
wait "$migration" || true
cat migrate.err
[ -e ended ] && [ -e resumed-at ] && [ ! -e unpaused ] || fail 'it was not switched'
is_paused
has_all /dev/b/made
says tags lvpipe.incomplete
within 20 eval '! [ -e /proc/$(cat far.pid) ]'
equal 'tags' "$(lvs --noheadings -o lv_tags b/made | tr -d ' ')" ''
lvremove -qqy b/made
sh unpause && rm unpaused
goes_on

step 'a signal while the done command hangs'
rm -f done ended
begins --stall-timeout 10 --done 'touch done; sleep 24'
within 100 [ -e done ]
kill -INT "$migration"
ends 1
says migrate.err 'it is still at it 10 s after the run was ended'
says migrate.err 'whether the done command has run there nobody knows'
is_paused
has_all /dev/b/made
lvremove -qqy b/made
sh unpause && rm unpaused
goes_on

step 'what the done command has started stays, and holds nothing up'
begins --done 'sleep 30 & echo $! >left.pid'
ends 0
kill "$(cat left.pid)" || fail 'it was ended'
has_all /dev/b/made
lvremove -qqy b/made
sh unpause && rm unpaused
goes_on
