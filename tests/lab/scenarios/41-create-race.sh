# A volume of the wanted name that somebody else makes at the last moment is left alone.
# seconds: 240
pool a /dev/vda 256m 64k
pool b /dev/vdb 256m 128k
thin a/vm 16m
scatter a/vm 12 60
lvpipe send -q a/vm >vm.lvp
source=$(digest /dev/a/vm)

# lvpipe has looked for the name when this runs: $before makes the race certain.
mkdir bin
cat >bin/lvcreate <<-SCRIPT
	#!/bin/sh
	eval "\$before"
	exec $(command -v lvcreate) "\$@"
SCRIPT
chmod +x bin/lvcreate
PATH=/tmp/bin:$PATH
export before=

step 'two at once: one makes it, the other is refused'
for number in 1 2; do
	before='sleep 2' lvpipe recv -q --create b/pool:same <vm.lvp 2>$number.err &
	runs[number]=$!
done
statuses=
for number in 1 2; do
	status=0
	wait ${runs[number]} || status=$?
	cat $number.err
	statuses="$statuses $status"
done
equal 'exit statuses' "$(echo $statuses | tr ' ' '\n' | sort | xargs)" '0 4'
cat 1.err 2.err >both
says both 'it exists already'
equal 'digest' "$(digest /dev/b/same)" "$source"
equal 'tags' "$(lvs --noheadings -o lv_tags b/same | tr -d ' ')" ''

step 'one that an admin makes'
export before='PATH=/usr/sbin:/usr/bin:/sbin:/bin lvcreate -qq --type thin --virtualsize 8m --thinpool b/pool --name theirs'
exits 4 lvpipe recv -q --create b/pool:theirs <vm.lvp
says err 'it exists already'
equal 'size' "$(size /dev/b/theirs)" $((8 << 20))
