# Sources and targets that are not simply thin: an external origin, plain LVs, loop devices, pools without discards.
# seconds: 240
pool a /dev/vda 256m 64k
thin a/vm 24m
scatter a/vm 9 60
source=$(digest /dev/a/vm)

step 'an external origin is read where the volume itself has nothing'
lvcreate -qq --name base --size 24m a
fill a/base
lvchange -qq --activate n a/base
lvchange -qq --permission r a/base
lvcreate -qq --type thin --thinpool a/pool --name over a/base
dmsetup table a-over | grep -q ' thin [0-9:]* [0-9]* [0-9:/]' || fail 'it has no external origin'
scatter a/over 10 20
with_origin=$(digest /dev/a/over)
arrives a/over over.img
equal 'digest' "$(digest over.img)" "$with_origin"
says send.err 'external origin'
equal 'used' "$(lvpipe map --json a/over 2>/dev/null | sed 's/.*"used":\([0-9]*\).*/\1/')" $((24 << 20))

step 'as a target: holes are zeros, not what the origin has'
arrives a/vm a/over
equal 'digest' "$(digest /dev/a/over)" "$source"

step 'a plain LV with other data on it as the target, then as the source'
lvcreate -qq --name plain --size 24m a
fill a/plain
arrives a/vm a/plain
equal 'digest' "$(digest /dev/a/plain)" "$source"
thin a/back 24m
arrives a/plain a/back
equal 'digest' "$(digest /dev/a/back)" "$source"
at_most 'mapped' "$(mapped a/back)" "$(mapped a/vm)"

step 'loop devices'
dd if=/dev/urandom of=old.img bs=1M count=24 status=none
target=$(losetup -f)
losetup "$target" old.img
arrives a/vm "$target"
equal 'digest' "$(digest "$target")" "$source"
arrives "$target" copy.img
equal 'digest' "$(digest copy.img)" "$source"
exits 4 eval 'lvpipe send -q a/vm | lvpipe recv old.img'
says err "$target is attached to it"
losetup -d "$target"

step 'a sparse file, and back into a thin volume'
at_most 'kilobytes on disk' "$(du -k copy.img | cut -f1)" $(($(mapped a/vm) / 1024))
fill a/back
arrives copy.img a/back
equal 'digest' "$(digest /dev/a/back)" "$source"
at_most 'mapped' "$(mapped a/back)" "$(mapped a/vm)"

step 'a pool that ignores discards: zeros are written'
pool b /dev/vdb 64m 64k --discards ignore
thin b/copy 24m
fill b/copy
arrives a/vm b/copy
equal 'digest' "$(digest /dev/b/copy)" "$source"
thin b/fresh 24m
arrives a/vm b/fresh
equal 'digest' "$(digest /dev/b/fresh)" "$source"
at_most 'mapped' "$(mapped b/fresh)" "$(mapped a/vm)"
