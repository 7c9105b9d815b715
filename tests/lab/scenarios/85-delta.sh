# Deltas: a chain of them with random writes and discards arrives as what the source holds, mapped chunk by mapped
# chunk; and each reason to refuse one is said before a byte is written.
# seconds: 600

# as_in SNAPSHOT TARGET: both hold the same. The snapshot is not active otherwise.
as_in() {
	lvchange -qq -ay -K "$1"
	equal "what $2 holds" "$(digest "/dev/$2")" "$(digest "/dev/$1")"
}

# changes SEED: what happens to the source between two snapshots.
changes() {
	scatter a/vm "$1" 12
	discards a/vm "$1" 3
}

pool a /dev/vda 256m 64k
pool b /dev/vdb 256m 64k
thin a/vm 64m
thin b/copy 64m
scatter a/vm 1 100

step 'a chain'
snapshot a/vm s0
arrives a/s0 b/copy
for n in 1 2 3 4 5 6 7 8 9 10; do
	changes "$n"
	snapshot a/vm "s$n"
	arrives "a/s$n --since a/s$((n - 1))" b/copy
	as_in "a/s$n" b/copy
	equal 'mapped bytes' "$(mapped b/copy)" "$(mapped "a/s$n")"
	lvchange -qq -an "a/s$n"
done
equal 'what thin_delta finds between two that are the same' "$(lvpipe map --extents a/s10 --since a/s10)" ''

step 'over several snapshots, over links, while the origin is written'
snapshot b/copy before
lvchange -qq -ay -K b/before
for n in 11 12 13; do
	changes "$n"
	snapshot a/vm "s$n"
done
loopback
LVPIPE_KEY=$(printf 'x%.0s' $(seq 40))
receives --insecure -I 127.0.0.1:7777 b/copy
(while :; do scatter a/vm $RANDOM 1; done) &
writer=$!
lvpipe send a/s13 --since a/s10 -O 127.0.0.1:7777 --insecure -n 3 2>send.err &
sender=$!
both_end 0 0
kill "$writer"
wait "$writer" || true
as_in a/s13 b/copy

step 'refused: a delta was lost'
snapshot a/vm s14
changes 15
snapshot a/vm s15
was=$(digest /dev/b/copy)
transfer 'a/s15 --since a/s14' b/copy
equal 'status of recv' "${ended#* }" 4
says recv.err 'target refused: b/copy: it holds '
says recv.err 'a delta in between is missing'

step 'refused: never had the first copy'
thin b/other 64m
transfer 'a/s14 --since a/s13' b/other
equal 'status of recv' "${ended#* }" 4
says recv.err 'target refused: b/other: it has never had the first copy'
transfer 'a/s14 --since a/s13' new.img
equal 'status of recv' "${ended#* }" 4
says recv.err 'it has never had the first copy: there is no such file'
[ ! -e new.img ] || fail 'a file was made'
transfer 'a/s14 --since a/s13' '--create b/pool:new'
equal 'status of recv' "${ended#* }" 4
says recv.err 'a new volume holds no base'

step 'refused: in use'
exec 9<>/dev/b/copy
transfer 'a/s14 --since a/s13' b/copy
equal 'status of recv' "${ended#* }" 4
exec 9<&-
equal 'what it holds' "$(digest /dev/b/copy)" "$was"

step 'refused: written since, and discarded since'
lvcreate -qq --snapshot --name kept b/copy
dd if=/dev/b/copy of=one bs=64k count=1 status=none
# Even with what was there.
dd if=one of=/dev/b/copy bs=64k conv=fsync,notrunc oflag=direct status=none
lvremove -qqy b/kept
transfer 'a/s14 --since a/s13' b/copy
equal 'status of recv' "${ended#* }" 4
says recv.err 'target refused: b/copy: somebody has written to it since the last transfer'
equal 'what it holds' "$(digest /dev/b/copy)" "$was"

step 'on trust'
transfer 'a/s14 --since a/s13' '--assume-base b/copy'
equal 'exit statuses' "$ended" '0 0'
says recv.err 'it is taken on trust that b/copy holds '
as_in a/s14 b/copy
discards b/copy 3 20
transfer 'a/s15 --since a/s14' b/copy
equal 'status of recv' "${ended#* }" 4
says recv.err 'somebody has written to it'

step 'a base that somebody has written to'
lvchange -qq -ay -K a/s14
scatter a/s14 7 1
exits 4 lvpipe send a/s15 --since a/s14 >/dev/null
says err 'cannot send a delta: a/s14: it is no snapshot, or somebody has written to it since it was taken'

step 'even if nobody can write to it any more'
lvchange -qq -pr a/s14
exits 4 lvpipe send a/s15 --since a/s14 >/dev/null
says err 'cannot send a delta: a/s14: it is no snapshot, or somebody has written to it since it was taken'
