# `lvpipe bench` on thin volumes: writing is measured in a temporary volume of the pool, nothing that exists is written
# to, nothing is left however it ends; and a link of a known rate is found to have it.
# seconds: 240
pool a /dev/vda 256m 64k
pool b /dev/vdb 512m 64k
thin a/vm 32m
scatter a/vm 97 60
thin b/copy 32m
scatter b/copy 98 20
lvcreate -qq --name plain --size 32m b
lvcreate -qq --name small --size 8m b
source=$(digest /dev/a/vm)
copy=$(digest /dev/b/copy)
before=$(volumes b)

# bench SECONDS OPTION...: the report is in the file `report`.
bench() {
	seconds=$1
	shift
	lvpipe bench --json -s 64k -m 16M --time "$seconds" "$@" >report 2>bench.err || fail "status $?: $(cat bench.err)"
	cat bench.err
}

# of NAME: what the report's JSON says behind the first "NAME": text or a number.
of() {
	grep -o "\"$1\":[^,}]*" report | head -n 1 | cut -d: -f2- | tr -d '"'
}

# untouched: all is as it was.
untouched() {
	equal 'volumes in b' "$(volumes b)" "$before"
	equal 'digest of the source' "$(digest /dev/a/vm)" "$source"
	equal 'digest of the target' "$(digest /dev/b/copy)" "$copy"
	! is_held a && ! is_held b || fail 'a metadata snapshot is held'
}

step 'a pool as the target'
bench 2 a/vm b/pool
equal 'used' "$(of used)" "$(mapped a/vm)"
says report 'a temporary thin volume in b/pool'
says report '| lvpipe recv --create b/pool:vm'
[ "$(grep -o '"written":{"bytes":[0-9]*' report | grep -o '[0-9]*$')" -gt 0 ] || fail "nothing was written: $(cat report)"
untouched

step 'a volume in it'
bench 1 a/vm b/copy
says report 'a temporary thin volume in b/pool'
untouched

step 'a volume that is not thin is left alone; a source that is not active stays so'
lvchange -qq -an a/vm
bench 1 a/vm b/plain
says report 'not measured: b/plain is there already'
says report '"written":null'
equal 'active' "$(active a/vm)" ''
lvchange -qq -ay a/vm
untouched

# measuring: one is started, as $run, and writes. The time before goes to the processors.
measuring() {
	env --default-signal lvpipe bench -q -s 64k -m 16M --time 8 a/vm b/pool:new >/dev/null 2>bench.err &
	run=$!
	within 60 eval '[ -n "$(temporary b)" ]'
}

step 'a target that is not fit is refused at once'
refuses() {
	status=0
	lvpipe bench --json -s 64k -m 16M --time 100 a/vm "$1" >report 2>bench.err || status=$?
	equal "exit status for $1" "$status" 4
	says bench.err "$2"
}
refuses b/small 'bytes are missing'
refuses a/vm 'it is the source that is being sent'
refuses b/pool:copy 'there is such a volume already'
untouched

step 'ended by a signal'
measuring
kill -INT $run
status=0
wait $run || status=$?
equal 'exit status' "$status" 130
untouched

step 'killed: the next run removes it, and says so; and finds a link of 8 Mbit/s, 10 ms each way'
measuring
kill -KILL $run
wait $run || true
[ -n "$(temporary b)" ] || fail 'nothing to be left'
# Slower than the emulated processors encrypt.
two_hosts delay 10ms rate 8mbit
cat >rsh <<-'END'
	[ "$1" != -G ] || { echo 'hostname 192.0.2.2'; exit 0; }
	for command; do :; done
	eval "ip netns exec far $command"
END
bench 14 -n 1 --rsh "sh $PWD/rsh" a/vm ssh://far/b/pool
says bench.err 'removed b/lvpipe-bench-'
link=$(grep -o '"links":1,"rate":[0-9]*' report | grep -o '[0-9]*$')
echo "one connection: $link bytes a second"
# It is seen in parts of 256 KiB.
at_most 'what a link carries' "$link" 1150000
[ "$link" -ge 700000 ] || fail "one connection carries $link bytes a second"
# In seconds: 20 ms, and what the machine takes.
case $(of round_trip) in
0.0[2-9]*) ;;
*) fail "round trip: $(of round_trip)" ;;
esac
says report '"far-processors"'
untouched
