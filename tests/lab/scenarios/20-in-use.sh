# A source that is written to while it is sent arrives as it was at one moment, through a temporary snapshot.
# seconds: 240
pool a /dev/vda 256m 64k
pool b /dev/vdb 256m 64k
thin a/vm 64m
populate a/vm
mount /dev/a/vm /mnt

# Writes all the time, and syncs.
keep_writing() {
	for number in $(seq 1 100000); do
		dd if=/dev/urandom of=/mnt/written-$((number % 20)) bs=64k count=$((1 + number % 7)) conv=fsync status=none
		echo "$number" >writes
	done
}
keep_writing &
writer=$!

step 'sent while it is written to'
within 20 test -s writes
before=$(cat writes)
lvpipe send -q -r 4M --compress none a/vm >vm.lvp &
sender=$!
within 20 eval '[ -n "$(temporary a)" ]'
wait $sender
after=$(cat writes)
[ $((after - before)) -gt 2 ] || fail "only $((after - before)) writes while it was sent"
equal 'temporary volumes afterwards' "$(temporary a)" ''
lvpipe inspect --verify vm.lvp
lvpipe recv -q --create b/pool:vm <vm.lvp
e2fsck -fn /dev/b/vm

step 'declined: a warning'
lvpipe send --no-snapshot a/vm 2>err >vm.lvp
kill $writer
wait $writer || true
says err 'in use'
says err 'no-snapshot'
equal 'temporary volumes' "$(temporary a)" ''

step 'what it holds is what the snapshot held'
umount /mnt
mount -o ro /dev/b/vm /mnt
cmp /mnt/lab/lib.sh /lab/lib.sh
umount /mnt

step 'active and not in use: from a snapshot all the same, so that it may be used meanwhile'
before=$(digest /dev/a/vm)
rm vm.lvp
lvpipe send -q -r 3M --compress none a/vm >vm.lvp &
sender=$!
within 20 test -s vm.lvp
[ -n "$(temporary a)" ] || fail 'there is no snapshot'
scatter a/vm 21 50
wait $sender
[ "$(digest /dev/a/vm)" != "$before" ] || fail 'nothing was written meanwhile'
lvpipe recv -q b/vm <vm.lvp
equal 'digest' "$(digest /dev/b/vm)" "$before"

step 'an inactive snapshot is sent, and is inactive afterwards'
snapshot a/vm kept
equal 'before' "$(active a/kept)" ''
arrives a/kept b/vm
equal 'after' "$(active a/kept)" ''
equal 'digest' "$(digest /dev/b/vm)" "$(digest /dev/a/vm)"

step 'an inactive target is active for the run only'
lvchange -qq --activate n b/vm
arrives a/kept b/vm
equal 'after' "$(active b/vm)" ''
