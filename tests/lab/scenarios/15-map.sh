# The used map is thin_dump's, for fragmented, snapshotted and discarded volumes, under every name of a volume.
# seconds: 240
pool a /dev/vda 256m 64k
thin a/vm 128m

# agrees NAME VG/LV: `lvpipe map NAME` says what thin_dump says of the volume.
agrees() {
	thin_dump_runs "$2" >truth
	lvpipe map --extents "$1" >map
	cmp truth map || fail "the map of $1 is not thin_dump's: $(diff truth map | head)"
}

step 'nothing mapped'
agrees a/vm a/vm
equal 'extents' "$(wc -l <map)" 0

step 'fragmented'
scatter a/vm 2 300
agrees a/vm a/vm
[ "$(wc -l <map)" -gt 100 ] || fail 'it is not fragmented'
lvpipe map --json a/vm >json
says json "\"used\":$(mapped a/vm),"
says json "\"size\":$((128 << 20)),"

step 'by other names'
agrees /dev/a/vm a/vm
agrees /dev/mapper/a-vm a/vm
agrees "/dev/dm-$(dmsetup info -c --noheadings -o minor a-vm)" a/vm

step 'with snapshots, and written to since'
snapshot a/vm one
scatter a/vm 3 100
snapshot a/vm two
scatter a/vm 4 100
agrees a/vm a/vm

step 'an inactive snapshot is active for the run only'
equal 'before' "$(active a/one)" ''
agrees a/one a/one
agrees /dev/a/two a/two
equal 'after' "$(active a/one)$(active a/two)" ''

step 'discarded'
blkdiscard --offset $((16 << 20)) --length $((40 << 20)) /dev/a/vm
blkdiscard --offset $(((64 << 20) + 4096)) --length $((1 << 20)) /dev/a/vm
agrees a/vm a/vm
agrees a/one a/one

step 'in use: without a temporary snapshot'
mke2fs -q -t ext4 /dev/a/vm
# Nothing quiesces it for the map, and thin_dump comes later: ext4 is to write nothing of its own accord in between.
mount -o noinit_itable,commit=1000 /dev/a/vm /mnt
cp -a /lab /mnt/
sync
changes=$(vgs --noheadings -o vg_seqno a)
lvpipe map --extents a/vm >map
equal 'changes to the volume group' "$(vgs --noheadings -o vg_seqno a)" "$changes"
thin_dump_runs a/vm >truth
cmp truth map
rm -r /mnt/lab
fstrim /mnt
umount /mnt
agrees a/vm a/vm

step 'from a copy of the metadata of a pool that is not active'
agrees a/two a/two
id=$(thin_id a/two)
vgchange -qq --activate n a
lvchange -qq --yes --activate y a/pool_tmeta
dd if=/dev/a/pool_tmeta of=saved bs=1M status=none
lvchange -qq --activate n a/pool_tmeta
truncate -s $((128 << 20)) image
lvpipe map --extents --thin-metadata saved --thin-id "$id" image >map
cmp truth map
