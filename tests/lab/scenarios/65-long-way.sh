# Over a long way, 50 ms each way with 0.1 % of the packets lost, eight connections carry what one cannot. The goal is
# 5 times mbuffer's one connection, and the ratios are printed. Which packets are lost is chance: one connection took
# from 11 to 53 s in six runs, mbuffer's from 19 to 52 s, eight 6 to 8 s, as fast as the emulated processors encrypt and
# digest. So the claim here is only that eight are clearly faster than the mean of both. The volume is as large as it is
# because a connection is fast until it has lost its first packets.
# seconds: 300
pool a /dev/vda 256m 64k
pool b /dev/vdb 256m 64k
thin a/vm 32m
fill a/vm
source=$(digest /dev/a/vm)
two_hosts delay 50ms loss 0.1%

# over LINKS: how long the receiver takes until all is verified and on its disk, in $seconds.
over() {
	thin "b/of-$1" 32m
	receives far --progress json -I 192.0.2.2:7777 --key-file key "b/of-$1"
	lvpipe send --progress json --no-snapshot a/vm -O 192.0.2.2:7777 --key-file key -n "$1" 2>send.err &
	sender=$!
	both_end 0 0
	equal "digest over $1" "$(digest "/dev/b/of-$1")" "$source"
	seconds=$(figure elapsed_seconds recv.err)
}

# mbuffer_over: the same with mbuffer, which writes to memory; its time is in the file mbuffer.seconds.
mbuffer_over() {
	far mbuffer -q -v 0 -I 7778 -o received &
	within 20 far sh -c 'grep -q ":1E62 .* 0A " /proc/net/tcp /proc/net/tcp6'
	began=$(cut -d' ' -f1 /proc/uptime)
	mbuffer -q -v 0 -i /dev/a/vm -O 192.0.2.2:7778
	wait $!
	echo "$began $(cut -d' ' -f1 /proc/uptime)" | awk '{ print $2 - $1 }' >mbuffer.seconds
}

step 'eight connections'
over 8
eight=$seconds

step 'one, and mbuffer at the same time: there is room for both'
mbuffer_over &
theirs=$!
over 1
one=$seconds
wait $theirs
mbuffer=$(cat mbuffer.seconds)
equal 'digest of mbuffer' "$(digest received)" "$source"

ratios=$(echo "$eight $one $mbuffer" | awk '{ printf "%.1f times one, %.1f times mbuffer", $2 / $1, $3 / $1 }')
echo "8 connections $eight s, 1 connection $one s, mbuffer $mbuffer s: $ratios"
echo "$ratios" | awk '$1 + $4 < 2 * 1.2 { exit 1 }' || fail 'eight connections are hardly faster'
