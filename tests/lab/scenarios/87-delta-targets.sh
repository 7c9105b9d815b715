# Deltas to what is no thin volume, to pools with other chunks, and of a volume that grows.
# seconds: 400

# same TARGET SNAPSHOT: both hold the same. The snapshot is not active otherwise.
same() {
	lvchange -qq -ay -K "$2"
	equal "what $1 holds" "$(digest "$1")" "$(digest "/dev/$2")"
	lvchange -qq -an "$2"
}

# fits TARGET CHUNK SNAPSHOT: the target, with chunks of so many bytes, has no more of them mapped than the snapshot needs.
fits() {
	equal "chunks mapped in $1" "$(($(mapped "$1") / $2))" "$(chunks_needed "$3" "$2")"
}

pool a /dev/vda 256m 64k
pool b /dev/vdb 256m 64k
thin a/vm 48m
scatter a/vm 1 100
snapshot a/vm s0
for n in 1 2 3; do
	scatter a/vm "$n" 12
	discards a/vm "$n" 12
	snapshot a/vm "s$n"
done

step 'a file'
mke2fs -q -t ext4 /dev/vdd 200m
mount /dev/vdd /mnt # tmpfs keeps no attributes
arrives a/s0 /mnt/copy.img
arrives 'a/s1 --since a/s0' /mnt/copy.img
lvpipe inspect /mnt/copy.img >holds
says holds "$(lvs --noheadings -o lv_uuid a/s1 | tr -d ' '):"
same /mnt/copy.img a/s1
mv /mnt/copy.img /mnt/renamed.img
arrives 'a/s2 --since a/s1' /mnt/renamed.img
same /mnt/renamed.img a/s2
echo x >>/mnt/renamed.img
transfer 'a/s3 --since a/s2' /mnt/renamed.img
equal 'status of recv' "${ended#* }" 4
says recv.err 'target refused: /mnt/renamed.img: somebody has written to it since the last transfer'

step 'a plain volume, and a device that is no volume'
lvcreate -qq -n plain -L 64m b
fill b/plain
arrives a/s0 b/plain
arrives 'a/s1 --since a/s0' b/plain
says recv.err 'whether somebody has written to b/plain since the last transfer is not known'
lvchange -qq -ay -K a/s1
equal 'what the plain volume holds' "$(dd if=/dev/b/plain bs=1M count=48 status=none | sha256sum)" "$(sha256sum </dev/a/s1)"
lvchange -qq -an a/s1
umount /mnt
arrives a/s0 /dev/vdd
transfer 'a/s1 --since a/s0' /dev/vdd
equal 'status of recv' "${ended#* }" 4
says recv.err 'it is not kept for such a device what it holds'

step 'to larger chunks'
pool c /dev/vdc 256m 256k
thin c/copy 48m
arrives a/s0 c/copy
for n in 1 2 3; do
	arrives "a/s$n --since a/s$((n - 1))" c/copy
	same /dev/c/copy "a/s$n"
	fits c/copy $((256 << 10)) "a/s$n"
done

step 'and from them to smaller ones'
scatter c/copy 9 20
snapshot c/copy t0
thin b/back 48m
arrives c/t0 b/back
discards c/copy 10 40
scatter c/copy 11 10
snapshot c/copy t1
arrives 'c/t1 --since c/t0' b/back
same /dev/b/back c/t1

step 'a volume that grows'
lvextend -qq -L 64m a/vm
scatter a/vm 5 30
snapshot a/vm s4
lvextend -qq -L 64m c/copy
# Since something else was written to it, and it has another size by now.
transfer 'a/s4 --since a/s3' c/copy
equal 'status of recv' "${ended#* }" 4
arrives a/s3 c/copy
arrives 'a/s4 --since a/s3' c/copy
same /dev/c/copy a/s4
fits c/copy $((256 << 10)) a/s4
