# A target that is in use, read-only or too small is refused with status 4 before anything is written to it.
# seconds: 240
pool a /dev/vda 256m 64k
thin a/vm 16m
scatter a/vm 7 50
thin a/target 16m
mke2fs -q -t ext4 /dev/a/target
lvpipe send -q a/vm >vm.lvp
before=$(digest /dev/a/target)
held_before=$(mapped a/target)

# refused TARGET TEXT: receiving into it is, and the message has the text.
refused() {
	exits 4 lvpipe recv -q "$1" <vm.lvp
	says err "$2"
}

# untouched: the target is as it was.
untouched() {
	equal 'digest' "$(digest /dev/a/target)" "$before"
	equal 'mapped' "$(mapped a/target)" "$held_before"
}

step 'mounted'
mount -o ro /dev/a/target /mnt
refused a/target 'mounted on /mnt'
refused /dev/mapper/a-target 'mounted on /mnt'
umount /mnt
untouched

step 'open for writing in another process'
sleep 1000 7<>/dev/a/target &
refused /dev/a/target 'sleep'
kill %1
wait %1 || true

step 'a device of another device'
dmsetup create upper --table "0 8 linear /dev/a/target 0"
refused a/target 'in use by /dev/mapper/upper'
dmsetup remove upper

step 'read-only'
lvchange -qq --permission r a/target
refused a/target 'read-only'
lvchange -qq --permission rw a/target
untouched

step 'too small'
thin a/small 12m
refused a/small "$((4 << 20)) bytes are missing"
equal 'mapped' "$(mapped a/small)" 0

step 'the source itself, or its origin while a snapshot of it is sent'
source=$(digest /dev/a/vm)
transfer a/vm a/vm
equal 'exit status of recv' "${ended#* }" 4
says recv.err 'it is the source'
exec 9<>/dev/a/vm
transfer a/vm a/vm
equal 'exit status of recv' "${ended#* }" 4
exec 9<&-
equal 'digest of the source' "$(digest /dev/a/vm)" "$source"

step 'a pool'
refused a/pool 'thin pool'
untouched

step 'not refused: a backup restored into its own source'
fill a/vm
lvpipe recv -q a/vm <vm.lvp
equal 'digest of the source' "$(digest /dev/a/vm)" "$source"
