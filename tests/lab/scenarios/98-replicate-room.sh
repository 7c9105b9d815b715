# A copy in a pool that runs full: the run fails, what was there stays, and the next one succeeds once there is room. A run
# waits for another. What is noticed on the far side is told here. What cannot be a target has the status that it has here.
# seconds: 400

echo 4 >/sys/module/dm_thin_pool/parameters/no_space_timeout # in seconds, and the machine's
pool a /dev/vda 128m 64k
pool b /dev/vdb 16m 64k
lvchange -qq --errorwhenfull y b/pool
thin a/vm 16m
scatter a/vm 1 60
thin b/copy 16m
stand_in_for_ssh
replicates a/vm ssh://far/b/copy
as_newest a/vm b/copy

step 'a delta for which there is no room'
was="$(digest /dev/b/copy) $(lvpipe inspect b/copy)"
fill a/vm
status=0
lvpipe replicate --rsh "$RSH" -q a/vm ssh://far/b/copy --compress none 2>err || status=$?
cat err
equal 'exit status' "$status" 1
says err full
equal 'what is there' "$(digest /dev/b/copy) $(lvpipe inspect b/copy)" "$was"

step 'and then there is'
lvextend -qq --size +64m b/pool
replicates a/vm ssh://far/b/copy
says said ': since vm.lvpipe-'
as_newest a/vm b/copy
equal 'moments kept' "$(moments b/copy)" "$(moments a/vm)"

step 'one waits for the other'
scatter a/vm 2 10
lvpipe replicate --rsh "$RSH" a/vm ssh://far/b/copy 2>first.err &
run=$!
within 60 eval '[ -n "$(lvs --noheadings @lvpipe.unsent)" ]'
replicates a/vm ssh://far/b/copy --lock-wait 60
wait $run || fail "the first run: $(cat first.err)"
as_newest a/vm b/copy
equal 'moments kept' "$(moments b/copy)" "$(moments a/vm)"

step 'what is put back is put back with what there is to be known of it'
mkdir refusing
cat >refusing/lvcreate <<'EOS'
#!/bin/sh
case "$*" in *copy.lvpipe-*.lvpipe-*) echo 'no more snapshots' >&2; exit 5 ;; esac
exec /usr/bin/lvm lvcreate "$@"
EOS
chmod +x refusing/lvcreate
scatter b/copy 3 5
PATH=$PWD/refusing:$PATH replicates a/vm ssh://far/b/copy --rollback
says said 'there: cannot take a snapshot: '
as_newest a/vm b/copy

step 'targets that cannot be'
transfer a/vm none/copy
equal 'status of recv' "${ended#* }" 1
exits 1 lvpipe replicate --rsh "$RSH" -q a/vm ssh://far/none/copy
says err 'there is neither a logical volume nor a file of this name'
transfer a/vm '--create none/pool:copy'
equal 'status of recv' "${ended#* }" 4
exits 5 lvpipe replicate --rsh "$RSH" -q a/vm --create ssh://far/none/pool:copy
says err 'there is no pool none/pool'
equal 'moments kept' "$(moments b/copy)" "$(moments a/vm)"
