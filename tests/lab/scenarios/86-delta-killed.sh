# A delta that ends in the middle leaves a thin target as it was, and any other marked as such; sent again, it is whole.
# The target keeps its name, UUID, tags and whether it is active.
# seconds: 400

# breaks_off SIGNAL TARGET: the receiver of the delta from s0 to s1 gets the signal amidst it.
breaks_off() {
	rm -f recv.err
	mkfifo stream
	lvpipe recv "$2" <stream 2>recv.err &
	receiver=$!
	# Slowly, and then not at all.
	lvpipe send a/s1 --since a/s0 --compress none -r 2M >stream 2>send.err &
	sender=$!
	within 60 eval 'lvs --noheadings -o lv_tags b | grep -qE "lvpipe.temporary|#"'
	sleep 2
	kill "-$1" "$receiver"
	received=0
	wait "$receiver" || received=$?
	wait "$sender" || true
	rm stream
	[ "$received" -ne 0 ] || fail 'it was over before it was ended'
}

identity() {
	lvs --noheadings -o lv_name,lv_uuid,lv_active,lv_permissions,lv_skip_activation "$1"
}

pool a /dev/vda 256m 64k
pool b /dev/vdb 256m 64k
thin a/vm 64m
fill a/vm
thin b/copy 64m
lvchange -qq --addtag of-the-users b/copy
snapshot a/vm s0
arrives a/s0 b/copy
fill a/vm
blkdiscard --offset 1m --length 8m /dev/a/vm
snapshot a/vm s1
snapshot a/vm s2
was=$(digest /dev/b/copy)
before=$(identity b/copy)
held=$(lvpipe inspect b/copy)

step 'the receiver is killed'
breaks_off KILL b/copy
equal 'what the target holds' "$(digest /dev/b/copy)" "$was"
equal 'what is known of it' "$(lvpipe inspect b/copy)" "$held"
[ -n "$(temporary b)" ] || fail 'nothing is left of what was killed: was it killed too early?'

step 'the receiver is told to end'
breaks_off TERM b/copy
equal 'temporary volumes' "$(temporary b)" ''
equal 'what the target holds' "$(digest /dev/b/copy)" "$was"

step 'LVM refuses to give the target what has come'
mkdir refusing
printf '#!/bin/sh\ncase "$*" in *--merge*) echo no >&2; exit 5 ;; esac\nexec /usr/bin/lvm "$(basename "$0")" "$@"\n' >refusing/lvconvert
chmod +x refusing/lvconvert
received=0
lvpipe send a/s1 --since a/s0 2>send.err | PATH=$PWD/refusing:$PATH lvpipe recv b/copy 2>recv.err || received=$?
equal 'status of recv' "$received" 1
equal 'what is known of the target' "$(lvpipe inspect b/copy)" "$held"
equal 'temporary volumes' "$(temporary b)" ''
equal 'what the target holds' "$(digest /dev/b/copy)" "$was"

step 'the same delta again, to a target that is not active'
lvchange -qq -an b/copy
arrives 'a/s1 --since a/s0' b/copy
equal 'whether it is active' "$(active b/copy)" ''
lvchange -qq -ay b/copy a/s1 -K
equal 'what the target holds' "$(digest /dev/b/copy)" "$(digest /dev/a/s1)"
equal 'mapped bytes' "$(mapped b/copy)" "$(mapped a/s1)"
equal 'its name, UUID and flags' "$(identity b/copy)" "$before"
lvs --noheadings -o lv_tags b/copy >tags
says tags of-the-users
lvchange -qq -an a/s1
arrives 'a/s2 --since a/s1' b/copy

step 'a plain volume'
lvcreate -qq -n plain -L 64m b
arrives a/s0 b/plain
breaks_off KILL b/plain
lvpipe inspect b/plain >holds
says holds 'a delta to it broke off'
transfer 'a/s2 --since a/s1' b/plain
equal 'status of recv' "${ended#* }" 4
says recv.err 'target refused: b/plain: a delta to it broke off between'
arrives 'a/s1 --since a/s0' b/plain
says recv.err 'the delta to b/plain broke off before: all of it is applied again'
lvchange -qq -ay -K a/s1
equal 'what it holds' "$(digest /dev/b/plain)" "$(digest /dev/a/s1)"
