# A copy is kept up to date by deltas, with as many snapshots on both sides as are asked for, each the same on both.
# seconds: 1500

changes() {
	scatter a/vm "$1" 12
	discards a/vm "$1" 3
}

pool a /dev/vda 256m 64k
pool b /dev/vdb 256m 64k
thin a/vm 64m
scatter a/vm 1 100
stand_in_for_ssh

step 'the first run sends all of it, into a volume that it makes'
replicates a/vm --create ssh://far/b/pool:copy --keep 2
says said ': all of it: '
as_newest a/vm b/copy

step 'the next ones send deltas'
for n in 2 3 4; do
	changes "$n"
	replicates a/vm --create ssh://root@far/b/pool:copy --keep 2
	says said ': since vm.lvpipe-'
	as_newest a/vm b/copy
	equal 'moments kept' "$(moments b/copy)" "$(moments a/vm)"
	equal 'how many' "$(kept a/vm | wc -l)" 2
done

step 'to a volume that is not active, and one that is named'
lvchange -qq -an b/copy
changes 5
replicates a/vm ssh://far/b/copy --keep 1
says said ': since vm.lvpipe-'
equal 'whether it is active' "$(active b/copy)" ''
lvchange -qq -ay b/copy
as_newest a/vm b/copy
equal 'how many' "$(kept a/vm | wc -l) $(kept b/copy | wc -l)" '1 1'

step 'a second destination does not mind the first'
thin b/second 64m
replicates a/vm ssh://far/b/second
says said ': all of it: '
as_newest a/vm b/second
changes 6
replicates a/vm ssh://far/b/copy
says said ': since vm.lvpipe-'
changes 7
replicates a/vm ssh://far/b/second
says said ': since vm.lvpipe-'
as_newest a/vm b/second

step 'a snapshot that is in use stays, one that is renamed too'
oldest=$(kept b/second | head -n 1)
lvchange -qq -ay -K "b/$oldest"
exec 8<"/dev/b/$oldest"
changes 8
replicates a/vm ssh://far/b/second --keep 1
says said "there: b/$oldest is in use: a later run removes it"
exec 8<&-
lvrename -qq b "$oldest" for-good
changes 9
replicates a/vm ssh://far/b/second --keep 1
equal 'how many' "$(kept b/second | wc -l)" 1
lvs -qq b/for-good >/dev/null || fail 'it is gone'

step 'a source that grows, and shrinks'
lvextend -qq -L 80m a/vm
scatter a/vm 10 40
replicates a/vm ssh://far/b/copy
says said 'is made larger'
as_newest a/vm b/copy
lvreduce -qqf -L 64m a/vm
scatter a/vm 11 20
replicates a/vm ssh://far/b/copy
newest=a/$(kept a/vm | tail -n 1)
lvchange -qq -ay -K "$newest"
equal 'the first 64 MiB' "$(dd if=/dev/b/copy bs=1M count=64 status=none | sha256sum)" "$(sha256sum <"/dev/$newest")"
lvchange -qq -an "$newest"
lvextend -qq -L 80m a/vm
scatter a/vm 12 20
replicates a/vm ssh://far/b/copy
as_newest a/vm b/copy
