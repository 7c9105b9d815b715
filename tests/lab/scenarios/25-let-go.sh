# However a run ends, the pool's metadata snapshot is released, and what was made or activated for it is undone.
# seconds: 240
pool a /dev/vda 256m 64k
thin a/vm 64m
scatter a/vm 5 100
snapshot a/vm still
lvchange -qq --activate y --ignoreactivationskip a/still
metadata_reads_take a 400
before=$(volumes a)

# reading_the_map COMMAND...: starts it, with default signals; goes on while it holds the metadata snapshot.
reading_the_map() {
	env --default-signal "$@" >out 2>err &
	run=$!
	within 20 is_held a
}

# ends RUN STATUS: the process ends so, in time, and has let go of everything.
ends() {
	status=0
	wait "$1" || status=$?
	cat err
	equal 'exit status' "$status" "$2"
	equal 'metadata snapshot' "$(held a)" -
	equal 'volumes' "$(volumes a)" "$before"
}

step 'success'
reading_the_map lvpipe map a/still
ends $run 0

step 'signals while the map is read'
for signal in INT:130 TERM:143 HUP:129 QUIT:131; do
	reading_the_map lvpipe map a/still
	kill -${signal%:*} $run
	ends $run ${signal#*:}
done

step 'SIGPIPE by hand ends nothing'
reading_the_map lvpipe map a/still
kill -PIPE $run
ends $run 0

step 'a metadata device that cannot be read'
metadata_reads_fail() {
	set -- $(dmsetup table a-pool_tmeta)
	dmsetup create bad --table "0 $2 error"
	dmsetup reload a-pool_tmeta --table "0 $2 delay $(dmsetup info -c --noheadings -o major,minor --separator : bad) 0 0 $4 $5 0"
	dmsetup suspend a-pool_tmeta
	dmsetup resume a-pool_tmeta
}
good=$(dmsetup table a-pool_tmeta)
metadata_reads_fail
exits 1 lvpipe map a/still
says err 'cannot read block'
equal 'metadata snapshot' "$(held a)" -
dmsetup reload a-pool_tmeta --table "$good"
dmsetup suspend a-pool_tmeta
dmsetup resume a-pool_tmeta
dmsetup remove bad

step 'SIGKILL while the map is read: the next run releases it, and says so'
reading_the_map lvpipe map a/still
kill -KILL $run
wait $run || true
is_held a || fail 'nothing was left to release'
lvpipe map a/still 2>err
says err 'released the metadata snapshot of pool a-pool-tpool'
equal 'metadata snapshot' "$(held a)" -

step 'a snapshot that is somebody else'"'"'s is left alone'
dmsetup message a-pool-tpool 0 reserve_metadata_snap
theirs=$(held a)
exits 4 lvpipe map a/still
says err 'another tool holds'
equal 'metadata snapshot' "$(held a)" "$theirs"
dmsetup message a-pool-tpool 0 release_metadata_snap

step 'two at once take turns'
for name in vm still; do
	lvpipe send -q a/$name >$name.lvp 2>$name.err &
	eval "run_$name=\$!"
done
wait $run_vm || fail "send a/vm: $(cat vm.err)"
wait $run_still || fail "send a/still: $(cat still.err)"
lvpipe inspect --verify vm.lvp
lvpipe inspect --verify still.lvp
equal 'metadata snapshot' "$(held a)" -
