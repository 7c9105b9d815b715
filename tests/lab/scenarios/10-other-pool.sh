# A thin LV with a file system arrives in pools with other chunk sizes: each byte as it was, and no more mapped.
# seconds: 240
pool a /dev/vda 256m 64k
pool b /dev/vdb 256m 192k
pool c /dev/vdc 256m 128k
thin a/vm 48m
populate a/vm
source=$(digest /dev/a/vm)
zeros=$((5 << 20)) # of the 6 MiB that became zeros, what no chunk shares with anything else

step 'larger chunks; the target is larger, and all of it held other data'
thin b/copy 60m
fill b/copy
equal 'mapped before' "$(mapped b/copy)" "$(size /dev/b/copy)"
arrives a/vm b/copy
equal 'digest' "$(dd if=/dev/b/copy bs=1M count=48 iflag=direct status=none | sha256sum | cut -d' ' -f1)" "$source"
needed=$(chunks_needed a/vm $((192 << 10)))
at_most 'mapped, beyond what the source needs' "$(mapped b/copy)" $((needed * (192 << 10) - zeros))
at_most 'chunks' $(($(mapped b/copy) / (192 << 10))) $(($(mapped a/vm) / (64 << 10)))

step 'larger chunks, into a new volume'
arrives a/vm '--create c/pool:copy'
equal 'digest' "$(digest /dev/c/copy)" "$source"
at_most 'mapped' "$(mapped c/copy)" $(($(chunks_needed a/vm $((128 << 10))) * (128 << 10) - zeros))

step 'chunks that do not divide each other'
thin b/second 48m
arrives c/copy b/second
equal 'digest' "$(digest /dev/b/second)" "$source"
at_most 'mapped' "$(mapped b/second)" $(($(chunks_needed c/copy $((192 << 10))) * (192 << 10)))

step 'smaller chunks, over other data'
thin a/back 48m
fill a/back
arrives c/copy a/back
equal 'digest' "$(digest /dev/a/back)" "$source"
at_most 'mapped' "$(mapped a/back)" "$(mapped c/copy)"
at_most 'mapped, of what the first source had' "$(mapped a/back)" $(($(mapped a/vm) - zeros))
e2fsck -fn /dev/a/back

step 'xfs, whose size is no multiple of the chunk'
thin a/xfs 300m
mkfs.xfs -q /dev/a/xfs
mount -t xfs /dev/a/xfs /mnt
cp -a /lab /mnt/
dd if=/dev/urandom of=/mnt/noise bs=1M count=4 conv=fsync status=none
umount /mnt
arrives a/xfs '--create b/pool:xfs'
at_most 'mapped' "$(mapped b/xfs)" $(($(chunks_needed a/xfs $((192 << 10))) * (192 << 10)))
xfs_repair -n /dev/b/xfs
mount -t xfs -o ro,norecovery /dev/a/xfs /mnt
(cd /mnt && find . -type f | sort | xargs sha256sum) >files
umount /mnt
mount -t xfs -o ro,norecovery /dev/b/xfs /mnt
(cd /mnt && sha256sum -c --quiet /tmp/files)
umount /mnt
