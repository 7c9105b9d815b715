# The lab itself: a pool, a thin volume, a file system, and what thin_dump says of it, as the others rely on it.
pool a /dev/vda 512m 64k
thin a/one 64m
equal 'mapped at first' "$(mapped a/one)" 0
equal 'runs at first' "$(thin_dump_runs a/one)" ''

step 'thin_dump and the kernel agree on what a file system maps'
mke2fs -q -t ext4 /dev/a/one
mount /dev/a/one /mnt
cp -a /lab /mnt/
umount /mnt
e2fsck -fn /dev/a/one
sum=$(thin_dump_runs a/one | awk '{ sum += $2 } END { print sum }')
equal 'mapped' "$sum" "$(mapped a/one)"
[ "$sum" -gt 0 ] || fail 'a file system maps something'

step 'a snapshot keeps what its origin loses'
before=$(digest /dev/a/one)
snapshot a/one kept
scatter a/one 1 50
[ "$(digest /dev/a/one)" != "$before" ] || fail 'scatter writes nothing'
lvchange --activate y --ignoreactivationskip a/kept
equal 'digest of the snapshot' "$(digest /dev/a/kept)" "$before"
