# What fails at the switch of a migration: before anything there may run, the source goes on; from then on it does not,
# unless it is known that nothing runs there. And what is refused from the start.
# seconds: 600
pool a /dev/vda 256m 64k
pool b /dev/vdb 256m 64k
thin a/vm 48m
loopback
no_ssh

step 'refused'
lvcreate -qq -n plain -L 8m a
thin a/off 8m
lvchange -qq -an a/off
for volume in a/plain a/pool a/off /dev/vdc; do
	exits 4 lvpipe migrate "$volume" ssh://far/b/x --rsh 'sh rsh' --pause 'touch paused'
done
says err '/dev/vdc: it is no logical volume'
[ ! -e paused ] && [ ! -e far.pid ] || fail 'something was done'
lvremove -qqy a/plain a/off
is_used a/vm

step 'the pause command fails'
cp pause the-pause
echo 'exit 3' >>pause
begins
ends 1
says migrate.err 'the pause command failed: sh pause: exit status: 3'
mv the-pause pause
[ -e unpaused ] || fail 'it was not unpaused'
goes_on
nothing_is_made

step 'the done command fails'
begins --done 'touch done; exit 7'
ends 1
says migrate.err 'not switched: far: the done command failed: touch done; exit 7'
[ -e done ] && [ -e unpaused ] || fail 'it was not unpaused'
goes_on
nothing_is_made

step 'the done command fails, and has left somebody there who has a session of his own'
rm -f done
begins --done 'setsid sleep 4 <>"/dev/$LVPIPE_TARGET" & sleep 1; touch done; exit 7'
ends 1
[ -e done ] || fail 'it has not run'
says migrate.err 'switched, or not: far: the done command failed: '
says migrate.err 'b/made is in use there: '
says migrate.err 'a/vm is still paused'
is_paused
sleep 5
has_all /dev/b/made
lvremove -qqy b/made
sh unpause && rm unpaused
goes_on

step 'two at a time'
begins --done 'sleep 1; false'
within 60 eval '[ -n "$(temporary a)" ]'
exits 4 lvpipe migrate a/vm ssh://far/b/x --rsh 'sh other-rsh' --pause false
says err 'cannot migrate: a/vm: another lvpipe is migrating it'
ends 1
goes_on

step 'the far side is lost while the done command runs'
rm -f done
begins --done 'touch done; sleep 2; touch ended'
within 100 [ -e done ]
kill -KILL "$(cat far.pid)"
ends 1
says migrate.err 'whether the done command has run there nobody knows'
says migrate.err 'a/vm is still paused'
is_paused
within 10 [ -e ended ]
has_all /dev/b/made
equal 'what the next run makes of it' "$(lvpipe map a/vm >/dev/null && active b/made)" active
lvremove -qqy b/made
sh unpause && rm unpaused
goes_on

step 'the sender is killed while the done command runs'
rm -f done ended
begins --done 'touch done; sleep 2; touch ended'
within 100 [ -e done ]
kill -KILL "$migration"
ends 137
is_paused
[ -e ended ] || fail 'the command was ended'
[ ! -e unpaused ] || fail 'it was unpaused'
has_all /dev/b/made
lvremove -qqy b/made
sh unpause && rm unpaused
goes_on

step 'the resume command fails'
echo 'exit 9' >>resume
begins
ends 1
says migrate.err 'the resume command failed: sh resume: exit status: 9'
says migrate.err 'all of a/vm is in b/made at far: resume it there'
says migrate.err 'a/vm here is still paused, and must not go on'
is_paused
has_all /dev/b/made
equal 'tags' "$(lvs --noheadings -o lv_tags b/made | tr -d ' ')" ''
lvremove -qqy b/made
sh unpause && rm unpaused
goes_on

step 'it is resized meanwhile'
begins --rate 4M
within 60 eval '[ -n "$(temporary a)" ]'
lvextend -qq -L +4m a/vm
ends 4
says migrate.err 'a/vm: it was resized from 50331648 to 54525952 bytes meanwhile'
[ ! -e paused-at ] || fail 'it was paused'
goes_on
nothing_is_made

step 'the pool there runs full'
pool c /dev/vdc 8m 64k
timeout=/sys/module/dm_thin_pool/parameters/no_space_timeout # in seconds, and the machine's
echo 4 >$timeout
exits 1 lvpipe migrate a/vm --create ssh://far/c/pool:made --rsh 'sh rsh' --pause 'touch never'
says err 'it has run full'
[ ! -e never ] || fail 'the pause command was run'
goes_on
equal 'volumes in c' "$(lvs --noheadings -o lv_name c | tr -d ' ' | sort | xargs)" pool

step 'the pool here runs full'
echo 60 >$timeout
thin a/other 512m
begins --rate 200k
within 60 eval '[ -n "$(temporary a)" ]'
dd if=/dev/zero of=/dev/a/other bs=1M oflag=direct status=none &
filler=$!
within 60 eval '[ -z "$(temporary a)" ]'
lvextend -qq -L +512m a/pool
ends 1
says migrate.err "the source's pool a-pool-tpool: it has run full"
goes_on
kill $filler 2>/dev/null || true
wait $filler || true
