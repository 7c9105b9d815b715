# A run that ends while it sends leaves no temporary snapshot, no LV active, and nothing that was made for it.
# seconds: 240
pool a /dev/vda 256m 64k
thin a/vm 64m
scatter a/vm 6 200
snapshot a/vm kept
before=$(volumes a)
exec 9<>/dev/a/vm # in use

# sending LV: starts to send it, at $rate; goes on when the stream has begun.
rate=300k
sending() {
	rm -f stream
	env --default-signal lvpipe send -r "$rate" --compress none "$1" >stream 2>err &
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
	equal 'volumes' "$(volumes a)" "$before"
}

step 'signals'
for signal in INT:130 TERM:143 HUP:129; do
	sending a/vm
	[ -n "$(temporary a)" ] || fail 'it is not sent from a snapshot'
	kill -${signal%:*} $run
	ends ${signal#*:}
done
sending a/kept
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
equal 'volumes' "$(volumes a)" "$before"

step 'no space where it is written to'
exits 1 eval 'lvpipe send -q a/vm >/dev/full'
says err 'No space left'
equal 'volumes' "$(volumes a)" "$before"

step 'SIGKILL: the next run removes and deactivates what is left, and says so'
sending a/vm
left=$(temporary a)
kill -KILL $run
wait $run || true
[ -n "$left" ] || fail 'nothing to be left'
sending a/kept
kill -KILL $run
wait $run || true
says err "removed a/$left"
lvpipe map a/vm >/dev/null 2>err
cat err
says err 'deactivated a/kept'
equal 'volumes' "$(volumes a)" "$before"

step 'what a power cut left is removed, another host'"'"'s is not'
marked() {
	lvcreate -qq --type thin --virtualsize 4m --thinpool a/pool --name "$1" \
		--addtag lvpipe.temporary --addtag "lvpipe.host.$2" --addtag lvpipe.boot.earlier
}
marked ours "$(hostname)"
marked theirs another
lvpipe map a/vm >/dev/null 2>err
cat err
says err 'removed a/ours'
equal 'temporary volumes' "$(temporary a)" theirs
lvremove -qq --yes a/theirs

step 'two at once from a snapshot that is not active'
rate=1m
sending a/kept
lvpipe send -q a/kept >second.lvp
lvpipe inspect --verify second.lvp
wait $run
lvpipe inspect --verify stream
equal 'activated snapshot' "$(active a/kept)" ''

step 'somebody else opens what was activated: it stays until nobody has it open'
sending a/kept
sleep 1000 7</dev/a/kept &
other=$!
wait $run || fail "the transfer has failed: $(cat err)"
equal 'activated snapshot' "$(active a/kept)" active
kill $other
wait $other || true
lvpipe map a/vm >/dev/null
equal 'activated snapshot' "$(active a/kept)" ''
