# `recv --create` makes a volume of the right size; it stays only if all of it has arrived.
# seconds: 240
pool a /dev/vda 256m 64k
pool b /dev/vdb 256m 128k
thin a/vm 32m
scatter a/vm 8 200
lvpipe send -q --compress none a/vm >vm.lvp
source=$(digest /dev/a/vm)

# made: whether b/new is there.
made() {
	lvs b/new >/dev/null 2>&1
}

# receiving: starts to receive from a pipe that stays open; goes on when the volume is there.
receiving() {
	rm -f pipe
	mkfifo pipe
	env --default-signal lvpipe recv --create b/pool:new <pipe 2>err &
	run=$!
	exec 8>pipe
	head -c 2000000 vm.lvp >&8
	within 20 made
}

step 'made, and like any other afterwards'
arrives a/vm '--create b/pool:good'
equal 'digest' "$(digest /dev/b/good)" "$source"
equal 'size' "$(size /dev/b/good)" $((32 << 20))
equal 'tags' "$(lvs --noheadings -o lv_tags b/good | tr -d ' ')" ''

step 'a name that is taken'
exits 4 lvpipe recv --create b/pool:good <vm.lvp
says err 'it exists already'
equal 'digest' "$(digest /dev/b/good)" "$source"
exits 4 lvpipe recv --create b/nopool:new <vm.lvp
says err 'there is no pool b/nopool'

step 'a truncated stream'
head -c 3000000 vm.lvp >short.lvp
exits 3 lvpipe recv --create b/pool:new <short.lvp
! made || fail 'it is still there'

step 'a stream that is damaged'
cp vm.lvp damaged.lvp
perl -e '
	open(my $stream, "+<:raw", "damaged.lvp") or die $!;
	seek($stream, 1500000, 0);
	read($stream, my $byte, 1);
	seek($stream, 1500000, 0);
	print $stream chr(ord($byte) ^ 4);'
exits 3 lvpipe recv --create b/pool:new <damaged.lvp
says err 'damaged'
! made || fail 'it is still there'

step 'SIGINT and SIGTERM'
for signal in INT:130 TERM:143; do
	receiving
	kill -${signal%:*} $run
	status=0
	wait $run || status=$?
	exec 8>&-
	cat err
	equal 'exit status' "$status" "${signal#*:}"
	! made || fail 'it is still there'
done

step 'SIGKILL: the next run removes it, and says so'
receiving
kill -KILL $run
wait $run || true
exec 8>&-
made || fail 'nothing to be left'
lvpipe recv --create b/pool:new <vm.lvp 2>err
cat err
says err 'removed b/new'
equal 'digest' "$(digest /dev/b/new)" "$source"
