# What would lose something that nobody else has is refused, with the way out; a lost base is no loss.
# seconds: 900

pool a /dev/vda 256m 64k
pool b /dev/vdb 256m 64k
thin a/vm 32m
scatter a/vm 1 60
thin b/copy 32m
stand_in_for_ssh

# refused TEXT OPTION...: a run that ends with the far side's target as it was, and no snapshot more here.
refused() {
	text=$1
	shift
	was="$(digest /dev/b/copy) $(kept a/vm)"
	exits 4 lvpipe replicate --rsh "$RSH" -q a/vm "$@"
	says err "$text"
	equal 'what is there' "$(digest /dev/b/copy) $(kept a/vm)" "$was"
}

step 'a target that holds something'
scatter b/copy 7 10
refused 'it is not known what it holds' ssh://far/b/copy
replicates a/vm ssh://far/b/copy --full
as_newest a/vm b/copy

step 'one run at a time'
fill a/vm
lvpipe replicate --rsh "$RSH" -q a/vm ssh://far/b/copy --compress none -r 2M 2>run.err &
run=$!
within 60 eval '[ -n "$(lvs --noheadings @lvpipe.unsent)" ]'
exits 4 lvpipe replicate --rsh "$RSH" -q a/vm ssh://far/b/copy
says err 'another run of it to far/b/copy has not ended yet'
wait $run || fail "the first run: $(cat run.err)"
as_newest a/vm b/copy

step 'a target that somebody has written to'
scatter b/copy 8 5
refused 'somebody has written to it since the last transfer' ssh://far/b/copy
says err '--rollback'

step 'a run was killed between taking a snapshot of it and looking at it'
snapshot=b/$(kept b/copy | tail -n 1)
tags=$(lvs --noheadings -o lv_tags "$snapshot" | tr -d ' ' | sed 's/,/ --addtag /g')
lvremove -qqy "$snapshot"
# shellcheck disable=SC2086 # they are several words
lvcreate -qq --snapshot --name "${snapshot#b/}" --permission r --setactivationskip y --addtag $tags b/copy
was=$(digest /dev/b/copy)
exits 5 lvpipe replicate --rsh "$RSH" -q a/vm ssh://far/b/copy --rollback
says err "$snapshot was taken when somebody had written to the target"
says err "lvremove $snapshot there"
equal 'the target' "$(digest /dev/b/copy)" "$was"
lvremove -qqy "$snapshot"

step 'what was written is taken back'
replicates a/vm ssh://far/b/copy --rollback
says said ': since vm.lvpipe-'
as_newest a/vm b/copy

step 'the newest base is removed by hand: an earlier one does'
lvremove -qqy "a/$(kept a/vm | tail -n 1)"
scatter a/vm 3 5
replicates a/vm ssh://far/b/copy
says said 'it is put back to an earlier one'
says said ': since vm.lvpipe-'
as_newest a/vm b/copy

step 'all of them: all of it is sent'
for snapshot in $(kept a/vm); do lvremove -qqy "a/$snapshot"; done
replicates a/vm ssh://far/b/copy --keep 1
says said 'all of it is sent'
as_newest a/vm b/copy

step 'a target that is mounted'
mke2fs -q -F -t ext4 /dev/b/copy
refused 'somebody has written to it' ssh://far/b/copy
mount /dev/b/copy /mnt
before=$(kept a/vm)
exits 5 lvpipe replicate --rsh "$RSH" a/vm ssh://far/b/copy --full
says err 'mounted on /mnt'
equal 'snapshots here' "$(kept a/vm)" "$before"
umount /mnt
e2fsck -fn /dev/b/copy >fsck.out 2>&1 || fail "$(cat fsck.out)"
