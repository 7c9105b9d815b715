# Killed at any moment, on either side: the next run goes on, by a delta where there is a base, ends equal, and nothing
# piles up.
# seconds: 900

# killed SECONDS WHO: a run in which one side is killed after so long. `over`: it had ended by then.
killed() {
	lvpipe replicate --rsh "$RSH" -q a/vm ssh://far/b/copy --keep 2 2>run.err &
	run=$!
	sleep "$1"
	if [ "$2" = here ]; then
		kill -KILL $run 2>/dev/null || true
	else
		far=$(ps -o pid,args | awk '$3 == "attend" { print $1 }')
		[ -z "$far" ] || kill -KILL $far 2>/dev/null || true
	fi
	wait $run 2>/dev/null || true
	within 30 eval '! ps -o args | grep -q "[l]vpipe attend"'
}

# no_more_than_a_run_leaves: but for the kept ones there is one snapshot at most on this side.
no_more_than_a_run_leaves() {
	at_most 'unsent snapshots' "$(lvs --noheadings -o lv_name @lvpipe.unsent | wc -l)" 1
}

pool a /dev/vda 256m 64k
pool b /dev/vdb 256m 64k
thin a/vm 32m
fill a/vm
thin b/copy 32m
stand_in_for_ssh

step 'amid the first copy: it is gone on with'
lvpipe replicate --rsh "$RSH" -q a/vm ssh://far/b/copy --compress none -r 2M 2>run.err &
run=$!
grows b/copy 3
kill -KILL $run
wait $run 2>/dev/null || true
within 30 eval '! ps -o args | grep -q "[l]vpipe attend"'
first=$(kept a/vm)
replicates a/vm ssh://far/b/copy --keep 2 --progress json
says said 'a copy to far/b/copy broke off: it is gone on with'
says said ": since $first: "
[ "$(grep -o '"held":[0-9]*' said | cut -d: -f2 | sort -n | tail -n 1)" -gt 0 ] || fail 'all of it was sent again'
as_newest a/vm b/copy

step 'at any moment of a delta'
took=$(cut -d. -f1 /proc/uptime)
scatter a/vm 2 10
replicates a/vm ssh://far/b/copy --keep 2
took=$(($(cut -d. -f1 /proc/uptime) - took))
for n in 1 2 3 4; do
	scatter a/vm "$n" 10
	discards a/vm "$n" 2
	[ $((n % 2)) = 0 ] && who=there || who=here
	after=$((RANDOM % (took + 1)))
	echo "$who after $after s of $took"
	killed $after $who
	no_more_than_a_run_leaves
done
replicates a/vm ssh://far/b/copy --keep 2
says said ': since vm.lvpipe-'
! grep -q ': all of it: ' said || fail 'all of it was sent again'
as_newest a/vm b/copy
equal 'moments kept' "$(moments b/copy)" "$(moments a/vm)"
equal 'how many' "$(kept a/vm | wc -l)" 2
equal 'unsent' "$(lvs --noheadings -o lv_name @lvpipe.unsent)" ''
