# A delta to a plain volume or a file that broke off goes on with --resume from where it was: through a pipe by a token,
# over links by itself. Only with the delta that it was begun with.
# seconds: 400

# breaks_off TARGET: the receiver of the delta from s0 to s1 is killed amidst it, with some of it on record.
breaks_off() {
	rm -f recv.err
	mkfifo stream
	lvpipe recv "$1" <stream 2>recv.err &
	receiver=$!
	lvpipe send a/s1 --since a/s0 --compress none -r 2M >stream 2>send.err &
	sender=$!
	within 60 eval '[ "$(size '"$2"' 2>/dev/null || echo 0)" -ge 512 ]'
	sleep 1
	kill -KILL "$receiver"
	received=0
	wait "$receiver" || received=$?
	wait "$sender" || true
	rm stream
	[ "$received" -ne 0 ] || fail 'it was over before it was ended'
}

# same TARGET: it holds what s1 does.
same() {
	lvchange -qq -ay -K a/s1
	equal "what $1 holds" "$(digest "$1")" "$(digest /dev/a/s1)"
	lvchange -qq -an a/s1
}

pool a /dev/vda 256m 64k
thin a/vm 32m
scatter a/vm 1 60
snapshot a/vm s0
fill a/vm
blkdiscard --offset 1m --length 4m /dev/a/vm
blkdiscard --offset 28m --length 2m /dev/a/vm
snapshot a/vm s1
mke2fs -q -t ext4 /dev/vdd 200m
mount /dev/vdd /mnt # tmpfs keeps no attributes
vgcreate -qq b /dev/vdb
lvcreate -qq -n plain -L 32m b
journal=/var/lib/lvpipe/lv-b%2fplain.lvpipe-journal

step 'a plain volume, through a pipe'
arrives a/s0 b/plain
breaks_off b/plain $journal
token=$(lvpipe recv --resume-token b/plain)
transfer "--resume $token a/s1" '--resume b/plain'
equal 'status of recv' "${ended#* }" 4
says recv.err 'it was begun with a delta since'
arrives "--resume $token a/s1 --since a/s0" '--resume b/plain --progress json'
says recv.err 'the delta to b/plain broke off before: it is gone on with'
[ "$(figure held recv.err)" -gt 0 ] || fail 'all of it was sent again'
same /dev/b/plain
[ ! -e $journal ] || fail 'its journal is left'

step 'a file, over links'
arrives a/s0 /mnt/copy.img
breaks_off /mnt/copy.img /mnt/copy.img.lvpipe-journal
loopback
receives --insecure --resume --progress json -I 127.0.0.1:7777 /mnt/copy.img
lvpipe send --resume a/s1 --since a/s0 -O 127.0.0.1:7777 --insecure 2>send.err &
sender=$!
both_end 0 0
[ "$(figure held recv.err)" -gt 0 ] || fail 'all of it was sent again'
same /mnt/copy.img

step 'from its beginning, without'
arrives a/s0 b/plain
breaks_off b/plain $journal
arrives 'a/s1 --since a/s0' b/plain
says recv.err 'the delta to b/plain broke off before: all of it is applied again'
same /dev/b/plain
umount /mnt
