# A volume whose user never stops is migrated: no record that was forced to the disk before the pause is missing, the
# file system is clean, and the downtime in the report is true. To a thin volume, a new one, a file and a plain volume.
# seconds: 600
pool a /dev/vda 512m 64k
pool b /dev/vdb 512m 64k
thin a/vm 64m
thin b/copy 64m
fill b/copy
loopback
no_ssh

# only_the_volume_is_left: nothing that was made on the way.
only_the_volume_is_left() {
	equal 'volumes in a' "$(lvs --noheadings -o lv_name a | tr -d ' ' | sort | xargs)" 'pool vm'
	equal 'tags' "$(lvs --noheadings -o lv_tags a b | tr -d ' \n')" ''
	[ ! -e unpaused ] || fail 'it was unpaused'
}

step 'only looked at'
is_used a/vm
was=$(digest /dev/b/copy)
exits 0 lvpipe migrate a/vm ssh://far/b/copy --rsh 'sh rsh' --pause 'touch paused' --dry-run >said
cat said
says said 'what b/copy holds would be overwritten'
[ ! -e paused ] || fail 'the pause command was run'
equal 'what the target holds' "$(digest /dev/b/copy)" "$was"
exits 5 lvpipe migrate a/vm ssh://far/a/vm --rsh 'sh rsh' --pause true --dry-run
exits 5 lvpipe migrate a/vm ssh://far/b/pool:copy --create --rsh 'sh rsh' --pause true --dry-run
says err 'b/copy: it exists already'

step 'to a volume that held something else'
migrates --downtime 3 ssh://far/b/copy --done 'echo "$LVPIPE_SOURCE $LVPIPE_TARGET $LVPIPE_HOST" >done'
downtime_is_true
equal 'what the done command was told' "$(cat done)" 'a/vm b/copy far'
has_all /dev/b/copy
at_most 'mapped in the copy' "$(mapped b/copy)" $(($(mapped a/vm) + (1 << 20)))
only_the_volume_is_left

step 'to a new one'
sh unpause && rm unpaused
migrates --downtime 3 --create ssh://far/b/pool:made
has_all /dev/b/made
equal 'whether it is active' "$(active b/made)" active
only_the_volume_is_left

step 'to a file'
sh unpause && rm unpaused
migrates --downtime 3 "ssh://far/$PWD/copy.img" --via ssh
losetup /dev/loop7 copy.img
has_all /dev/loop7
losetup -d /dev/loop7
equal 'files' "$(ls copy.img*)" copy.img
only_the_volume_is_left

step 'to a plain volume that is not active, as people read it'
sh unpause && rm unpaused
lvcreate -qq -n plain -L 68m b
fill b/plain
lvchange -qq -an b/plain
exits 0 lvpipe migrate a/vm ssh://far/b/plain --rsh 'sh rsh' --pause 'sh pause' --resume 'sh resume' --downtime 3
says err 'without --unpause, a/vm stays paused if the last of it fails'
says err 'lvpipe migrate: round 2: '
says err 'lvpipe migrate: a/vm is b/plain at far now: downtime '
has_all /dev/b/plain
only_the_volume_is_left
