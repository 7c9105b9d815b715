# A run that ends while it sends leaves no temporary snapshot, no LV active, and nothing that was made for it.
# seconds: 240
pool a /dev/vda 256m 64k
thin a/vm 64m
scatter a/vm 6 200
snapshot a/vm kept
exec 9<>/dev/a/vm # in use

# sending [OPTION...] LV: starts to send it, slowly; goes on when the stream has begun.
sending() {
	rm -f stream
	env --default-signal lvpipe send -r 300k --compress none "$@" >stream 2>err &
	run=$!
	within 20 test -s stream
}

# ends STATUS
ends() {
	status=0
	wait "$run" || status=$?
	cat err
	equal 'exit status' "$status" "$1"
	equal 'metadata snapshot' "$(held a)" -
	equal 'temporary volumes' "$(temporary a)" ''
	equal 'activated snapshot' "$(active a/kept)" ''
}

step 'signals'
for signal in INT:130 TERM:143 HUP:129; do
	sending a/vm
	[ -n "$(temporary a)" ] || fail 'it is not sent from a snapshot'
	kill -${signal%:*} $run
	ends ${signal#*:}
done
sending --no-snapshot a/kept
equal 'while it is sent' "$(active a/kept)" active
kill -INT $run
ends 130

step 'a reader that goes away'
status=$(
	trap - ERR
	set +e
	lvpipe send -q a/vm 2>err | head -c 1000 >/dev/null
	echo "${PIPESTATUS[0]}"
)
cat err
equal 'exit status' "$status" 1
says err 'Broken pipe'
equal 'temporary volumes' "$(temporary a)" ''

step 'no space where it is written to'
exits 1 eval 'lvpipe send -q a/vm >/dev/full'
says err 'No space left'
equal 'temporary volumes' "$(temporary a)" ''

step 'SIGKILL: the next run removes and deactivates what is left, and says so'
sending a/vm
left=$(temporary a)
kill -KILL $run
wait $run || true
[ -n "$left" ] || fail 'nothing to be left'
sending --no-snapshot a/kept
kill -KILL $run
wait $run || true
says err "removed a/$left"
lvpipe map a/vm >/dev/null 2>err
cat err
says err 'deactivated a/kept'
equal 'temporary volumes' "$(temporary a)" ''
equal 'activated snapshot' "$(active a/kept)" ''

step 'what somebody has opened meanwhile stays active'
sending --no-snapshot a/kept
exec 8</dev/a/kept
kill -KILL $run
wait $run || true
lvpipe map a/vm >/dev/null 2>err
cat err
says err 'left a/kept active, as it is open'
exec 8<&-
lvchange -qq --activate n a/kept
lvpipe send -q --no-snapshot -r 2M --compress none a/kept >stream 2>err &
run=$!
within 20 eval '[ -n "$(active a/kept)" ]'
within 20 test -b /dev/a/kept
exec 8</dev/a/kept
wait $run || fail "a good transfer fails: $(cat err)"
exec 8<&-
equal 'activated snapshot' "$(active a/kept)" active
lvchange -qq --activate n a/kept
equal 'temporary volumes' "$(temporary a)" ''
equal 'activated snapshot' "$(active a/kept)" ''
