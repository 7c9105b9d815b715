# Going on through a pipe, where the receiver cannot answer: a token says what it has.
# seconds: 240
pool a /dev/vda 256m 64k
pool b /dev/vdb 256m 64k
thin a/vm 48m
scatter a/vm 32 500
snapshot a/vm kept
lvchange --activate y --ignoreactivationskip a/kept
source=$(digest /dev/a/kept)
thin b/copy 48m
fill b/copy

for victim in send recv; do
	step "kill -9: $victim"
	from=a/kept
	[ "$victim" = send ] || from="--resume $(lvpipe recv --resume-token b/copy)"
	mkfifo pipe
	lvpipe recv -q --resume b/copy <pipe 2>recv.err &
	receiver=$!
	lvpipe send -q --compress none --no-snapshot -r 2m $from >pipe 2>send.err &
	sender=$!
	grows b/copy 3
	case $victim in
	send) kill -KILL $sender ;;
	recv) kill -KILL $receiver ;;
	esac
	both_fail
	rm pipe
done

step 'until it is done'
token=$(lvpipe recv --resume-token b/copy)
arrives "--progress json --no-snapshot --resume $token" '--progress json --resume b/copy'
arrived_in_pieces b/copy a/kept "$source"

step 'no token of a transfer that is done'
exits 4 lvpipe recv --resume-token b/copy
says err 'nothing to go on with'
