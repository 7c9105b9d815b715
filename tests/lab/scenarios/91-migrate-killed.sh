# A migration that is killed before the switch, on either side, at any moment: the source goes on as if nothing had been,
# nothing is left behind, and it can be done again.
# seconds: 600
pool a /dev/vda 256m 64k
pool b /dev/vdb 256m 64k
thin a/vm 48m
loopback
no_ssh
is_used a/vm

# dies_of VICTIM: who is killed, with nothing to say for itself, after up to two seconds: migration or far.
dies_of() {
	sleep "$((RANDOM % 2)).$((RANDOM % 10))"
	case $1 in
	migration)
		kill -KILL "$migration"
		ends 137
		;;
	far)
		kill -KILL "$(cat far.pid)"
		ends 1
		;;
	esac
	goes_on
	nothing_is_made
}

for victim in migration far; do
	step "the $victim is killed amid the first round"
	begins --rate 4M
	within 60 eval '[ -n "$(temporary a)" ]'
	dies_of $victim

	step "the $victim is killed amid a later round"
	begins
	within 60 grep -q '"round":1' migrate.err
	dies_of $victim

	step "the $victim is killed amid the pause"
	cp pause the-pause
	echo 'sleep 3' >>pause
	begins
	within 100 [ -e forced-before ]
	dies_of $victim
	[ -e unpaused ] || fail 'it was not unpaused'
	mv the-pause pause
done

step 'the migration is killed while the pause command has not paused yet'
cp pause the-pause
{ echo 'touch pausing; sleep 2' && cat the-pause; } >pause
begins
within 100 [ -e pausing ]
kill -KILL "$migration"
ends 137
within 5 [ -e unpaused ]
sleep 3
[ ! -e forced-before ] || fail 'it was paused after it had been unpaused'
goes_on
nothing_is_made
mv the-pause pause

for victim in migration far; do
	step "the $victim is killed when all is ready for the switch"
	begins
	within 100 eval '[ -n "$(lvs --noheadings -o lv_name @lvpipe.incomplete)" ]'
	case $victim in
	migration) kill -KILL "$migration" && ends 137 ;;
	far) kill -KILL "$(cat far.pid)" && ends 1 ;;
	esac
	# It was not paused yet, or is not any more.
	within 10 eval '! grep -q "^State:.T" "/proc/$user/status"'
	goes_on
	nothing_is_made
done

step 'the last round breaks off'
begins
within 100 [ -e forced-before ]
kill -KILL "$(cat far.pid)"
ends 1
[ -e unpaused ] || fail 'it was not unpaused'
goes_on
nothing_is_made

step 'a signal ends it'
begins
within 60 grep -q '"round":1' migrate.err
kill -INT $migration 2>/dev/null || true
kill -TERM $migration
ends 143
goes_on
equal 'volumes in a' "$(lvs --noheadings -o lv_name a | tr -d ' ' | sort | xargs)" 'pool vm'
equal 'volumes in b' "$(lvs --noheadings -o lv_name b | tr -d ' ' | sort | xargs)" pool

step 'and again'
begins
ends 0
has_all /dev/b/made
