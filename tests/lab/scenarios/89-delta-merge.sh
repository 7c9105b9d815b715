# Killed around LVM's merge, a thin target holds one state or the other: which is known, what is written to it then is
# seen, and the delta comes in the next run.
# seconds: 600

# dies WHEN DELTA: the receiver of the delta is killed just before, or just after, LVM gives the target what has come.
dies() {
	received=0
	lvpipe send $2 2>send.err | WHEN=$1 PATH=$PWD/dying:$PATH lvpipe recv b/copy 2>recv.err || received=$?
	cat recv.err
	equal 'status of recv' "$received" 137
}

# holds SNAPSHOT: the target does, and it is known.
holds() {
	lvpipe inspect b/copy >held
	says held "holds    $(lvs --noheadings -o lv_uuid "a/$1" | tr -d ' '):"
	lvchange -qq -ay -K "a/$1"
	equal 'what the target holds' "$(digest /dev/b/copy)" "$(digest "/dev/a/$1")"
	equal 'mapped bytes' "$(mapped b/copy)" "$(mapped "a/$1")"
	lvchange -qq -an "a/$1"
}

# refused DELTA TEXT [TARGET]: the delta is, with this in the message, and changes nothing.
refused() {
	target=${3:-b/copy}
	was=$(digest "/dev/$target")
	transfer "$1" "$target"
	equal 'status of recv' "${ended#* }" 4
	says recv.err "target refused: $target: $2"
	equal 'what the target holds' "$(digest "/dev/$target")" "$was"
}

# is_written: somebody writes to the target, even if what is there.
is_written() {
	dd if=/dev/b/copy of=one bs=64k count=1 status=none
	dd if=one of=/dev/b/copy bs=64k conv=fsync,notrunc oflag=direct status=none
}

mkdir dying
cat >dying/lvconvert <<'EOS'
#!/bin/sh
[ "$WHEN" = before ] || /usr/bin/lvm lvconvert "$@"
kill -KILL $PPID
EOS
chmod +x dying/lvconvert
pool a /dev/vda 256m 64k
pool b /dev/vdb 256m 64k
thin a/vm 16m
thin b/copy 16m
snapshot a/vm s0
for n in 1 2; do
	scatter a/vm "$n" 10
	discards a/vm "$n" 2
	snapshot a/vm "s$n"
done
arrives a/s0 b/copy

step 'refused: mounted'
thin a/fs 16m
thin b/fs 16m
mke2fs -q -t ext4 /dev/a/fs
snapshot a/fs f0
arrives a/f0 b/fs
scatter a/fs 3 5
snapshot a/fs f1
mount -o ro /dev/b/fs /mnt
refused 'a/f1 --since a/f0' 'it is mounted on /mnt' b/fs
umount /mnt
arrives 'a/f1 --since a/f0' b/fs

step 'killed before'
dies before 'a/s1 --since a/s0'
holds s0
refused 'a/s2 --since a/s1' 'it holds '
arrives 'a/s1 --since a/s0' b/copy
holds s1

step 'killed after'
dies after 'a/s2 --since a/s1'
holds s2
arrives 'a/s2 --since a/s1' b/copy
says recv.err 'the delta to b/copy broke off when all of it was there: it is applied again'
holds s2

step 'killed before, and then written to'
arrives a/s0 b/copy
dies before 'a/s1 --since a/s0'
is_written
refused 'a/s1 --since a/s0' 'somebody has written to it since the last transfer'

step 'killed after, and then the next delta'
arrives a/s0 b/copy
dies after 'a/s1 --since a/s0'
arrives 'a/s2 --since a/s1' b/copy
holds s2

step 'put back by hand to a snapshot that was taken since'
snapshot b/copy since
is_written
lvconvert -qq --yes --merge b/since
snapshot a/vm s3
arrives 'a/s3 --since a/s2' b/copy
holds s3

step 'and to an earlier one, of which as much is mapped'
fill a/vm
snapshot a/vm s4
arrives a/s4 b/copy
snapshot b/copy earlier
fill a/vm
snapshot a/vm s5
arrives a/s5 b/copy
lvconvert -qq --yes --merge b/earlier
snapshot a/vm s6
refused 'a/s6 --since a/s5' 'somebody has written to it since the last transfer'

step 'killed after, and then written to'
arrives a/s0 b/copy
dies after 'a/s1 --since a/s0'
is_written
refused 'a/s1 --since a/s0' 'somebody has written to it since the last transfer'
refused 'a/s2 --since a/s1' 'somebody has written to it since the last transfer'
