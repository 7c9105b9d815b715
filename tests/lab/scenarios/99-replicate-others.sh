# Copies in files and in plain volumes: the newest state only, applied in place; what broke off is made whole.
# seconds: 600

pool a /dev/vda 256m 64k
pool b /dev/vdb 256m 64k
thin a/vm 32m
scatter a/vm 1 60
lvcreate -qq -n plain -L 32m b
stand_in_for_ssh
mke2fs -q -t ext4 /dev/vdd 200m
mount /dev/vdd /mnt # tmpfs keeps no attributes

# same TARGET: it holds what the newest kept snapshot does.
same() {
	newest=a/$(kept a/vm | tail -n 1)
	lvchange -qq -ay -K "$newest"
	equal "what $1 holds" "$(digest "$1")" "$(digest "/dev/$newest")"
	lvchange -qq -an "$newest"
}

step 'a file'
replicates a/vm ssh://far//mnt/copy.img --keep 1
says said 'far//mnt/copy.img is no thin volume: only the newest state is there'
same /mnt/copy.img
scatter a/vm 2 10
discards a/vm 2 5
replicates a/vm ssh://far//mnt/copy.img --keep 1
says said ': since vm.lvpipe-'
same /mnt/copy.img
equal 'how many' "$(kept a/vm | wc -l)" 1
echo x >>/mnt/copy.img
exits 4 lvpipe replicate --rsh "$RSH" -q a/vm ssh://far//mnt/copy.img --rollback
says err '--full sends all of it'

step 'a plain volume: what it holds is not known'
exits 4 lvpipe replicate --rsh "$RSH" -q a/vm ssh://far/b/plain
says err 'it is not known what it holds'
replicates a/vm ssh://far/b/plain --full
same /dev/b/plain

step 'a delta to it that is killed is made whole'
fill a/vm
lvpipe replicate --rsh "$RSH" -q a/vm ssh://far/b/plain --compress none -r 2M 2>run.err &
run=$!
within 60 eval 'lvs --noheadings -o lv_tags b/plain | grep -q "#"'
sleep 3
kill -KILL $run
wait $run 2>/dev/null || true
within 30 eval '! ps -o args | grep -q "[l]vpipe attend"'
replicates a/vm ssh://far/b/plain
says said 'broke off'
same /dev/b/plain
umount /mnt

step 'sources that are none'
exits 4 lvpipe replicate --rsh "$RSH" b/plain ssh://far/b/copy
says err 'it is no thin volume'
exits 4 lvpipe replicate --rsh "$RSH" /dev/null ssh://far/b/copy
says err 'it is no logical volume'
