# Two destinations of one source do not remove each other's snapshots; what is in use or renamed is left alone; a first
# copy by send is gone on from; a name near the longest that LVM allows.
# seconds: 600

pool a /dev/vda 256m 64k
pool b /dev/vdb 256m 64k
thin a/vm 32m
scatter a/vm 1 100
thin b/first 32m
thin b/second 32m
stand_in_for_ssh

step 'a first copy by send'
snapshot a/vm s0
arrives a/s0 b/first
scatter a/vm 2 10
replicates a/vm ssh://far/b/first --keep 1
says said ': since s0: '
as_newest a/vm b/first
base=$(kept a/vm)

step 'a second destination, at the same time as the first'
scatter a/vm 3 10
lvpipe replicate --rsh "$RSH" a/vm ssh://far/b/first --keep 1 2>first.err &
one=$!
lvpipe replicate --rsh "$RSH" a/vm ssh://far/b/second --keep 1 2>second.err &
other=$!
wait $one || fail "$(cat first.err)"
wait $other || fail "$(cat second.err)"
says first.err ': since vm.lvpipe-'
says second.err ': all of it: '
equal 'how many' "$(kept a/vm | wc -l)" 2
! kept a/vm | grep -q "^$base$" || fail "$base is still there"

step 'a snapshot that is in use stays'
oldest=b/$(kept b/second)
lvchange -qq -ay -K "$oldest"
exec 8<"/dev/$oldest"
scatter a/vm 4 10
replicates a/vm ssh://far/b/second --keep 1
says said "there: $oldest is in use: a later run removes it"
as_newest a/vm b/second
exec 8<&-

step 'and one that is renamed is for good'
lvrename -qq "$oldest" b/for-good
replicates a/vm ssh://far/b/second --keep 1
equal 'how many' "$(kept b/second | wc -l)" 1
lvs -qq b/for-good >/dev/null || fail 'it is gone'

step 'the longest name'
long=$(printf 'x-%.0s' $(seq 40))y
lvrename -qq a/vm "a/$long"
replicates "a/$long" ssh://far/b/first --keep 1
says said ': since vm.lvpipe-'
equal 'how many' "$(lvs --noheadings -o lv_name --select 'vg_name=a && lv_name=~"^x-"' | wc -l)" 2
