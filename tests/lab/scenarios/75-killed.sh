# Either side killed in the middle: what was recorded is not sent again, and in the end both volumes are the same.
# seconds: 240
pool a /dev/vda 256m 64k
pool b /dev/vdb 256m 64k
thin a/vm 48m
scatter a/vm 31 500
snapshot a/vm kept # the same for each run
lvchange --activate y --ignoreactivationskip a/kept
source=$(digest /dev/a/kept)
thin b/copy 48m
fill b/copy
loopback

# run RATE: both sides, going on with what there is.
run() {
	receives --progress json --resume -I 127.0.0.1:7777 --insecure --retry-for 3 b/copy
	lvpipe send --progress json --resume --no-snapshot a/kept --compress none -r "$1" -n 3 --retry-for 3 \
		-O 127.0.0.1:7777 --insecure 2>send.err &
	sender=$!
}

for victim in sender receiver both; do
	step "kill -9: $victim"
	run 2m
	grows b/copy 3
	case $victim in
	sender) kill -KILL $sender ;;
	receiver) kill -KILL $receiver ;;
	both) kill -KILL $sender $receiver ;;
	esac
	both_fail
done

step 'until it is done'
run 100m
both_end 0 0
arrived_in_pieces b/copy a/kept "$source"
equal 'parts that were not as recorded' "$(figure again recv.err)" 0
