# A copy is kept up to date by deltas, with as many snapshots on both sides as are asked for, each the same on both.
# seconds: 600

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
for n in 2 3; do
	scatter a/vm "$n" 12
	discards a/vm "$n" 3
	replicates a/vm --create ssh://root@far/b/pool:copy --keep 2
	says said ': since vm.lvpipe-'
	as_newest a/vm b/copy
	equal 'moments kept' "$(moments b/copy)" "$(moments a/vm)"
	equal 'how many' "$(kept a/vm | wc -l)" 2
done

step 'a volume that grows, to one that is not active, and is named as it is'
lvchange -qq -an b/copy
lvextend -qq -L 80m a/vm
scatter a/vm 5 30
replicates a/vm ssh://far/b/copy --keep 1
says said 'is made larger'
says said ': since vm.lvpipe-'
equal 'whether it is active' "$(active b/copy)" ''
lvchange -qq -ay b/copy
as_newest a/vm b/copy
equal 'how many' "$(kept a/vm | wc -l) $(kept b/copy | wc -l)" '1 1'

step 'one that shrinks, and grows again'
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
