# A pool that runs full ends a transfer with an error, whether the pool then fails writes or keeps them waiting.
# seconds: 240
pool a /dev/vda 128m 64k
pool fails /dev/vdb 16m 64k
pool waits /dev/vdc 16m 64k
lvchange -qq --errorwhenfull y fails/pool
timeout=/sys/module/dm_thin_pool/parameters/no_space_timeout # in seconds, and the machine's
echo 4 >$timeout
thin a/vm 32m
fill a/vm

for vg in fails waits; do
	step "a pool that $vg"
	thin $vg/vm 32m
	began=$(cut -d. -f1 /proc/uptime)
	transfer '--compress none a/vm' "$vg/vm"
	at_most 'seconds' $(($(cut -d. -f1 /proc/uptime) - began)) 40
	equal 'exit status of recv' "${ended#* }" 1
	says recv.err 'pool'
	says recv.err 'full'
done

step 'made for the transfer: it is removed'
transfer '--compress none a/vm' '--create fails/pool:new'
equal 'exit status of recv' "${ended#* }" 1
! lvs fails/new >/dev/null 2>&1 || fail 'it is still there'

step 'made for the transfer, and the kernel holds back what is written: it is left, and that is said'
echo 0 >$timeout # for ever
lvremove -qq --yes waits/vm
(lvpipe send -q --compress none a/vm | lvpipe recv -q --create waits/pool:new 2>err) &
run=$!
within 90 grep -q 'waits/new is left' err
cat err
says err 'the next run of lvpipe removes it'
lvextend -qq --size +64m waits/pool
wait $run || true
lvpipe map a/vm >/dev/null 2>err
says err 'removed waits/new'
! lvs waits/new >/dev/null 2>&1 || fail 'it is still there'
echo 60 >$timeout
