# The journal is never ahead of the data: from some moment on nothing reaches the disk that holds both, and nobody is
# told. What the journal says after that is true, part by part: the next run reads it all back and finds it so.
# seconds: 240
pool a /dev/vda 256m 64k
thin a/vm 48m
fill a/vm
lvchange -qq --permission r a/vm
source=$(digest /dev/a/vm)
sectors=$(blockdev --getsz /dev/vdb)

# disk KIND: `up`, or `down`: writes are dropped, and said to be done.
disk() {
	case $1 in
	up) table="0 $sectors flakey /dev/vdb 0 1000 0" ;;
	down) table="0 $sectors flakey /dev/vdb 0 0 1000 1 drop_writes" ;;
	esac
	if [ -e /dev/mapper/disk ]; then
		dmsetup reload disk --table "$table"
		dmsetup suspend --noflush --nolockfs disk
		dmsetup resume disk
	else
		dmsetup create disk --table "$table"
	fi
}

# LVM would see the same volume group twice.
mkdir lvm
sed 's|^devices {|devices { filter = [ "r!/dev/vdb$!" ]|' /etc/lvm/lvm.conf >lvm/lvm.conf
export LVM_SYSTEM_DIR=$PWD/lvm
disk up
pool b /dev/mapper/disk 256m 64k
thin b/copy 48m
lvcreate -qq --yes --wipesignatures n --size 64m --name state b
mke2fs -q -t ext4 /dev/b/state
mkdir -p /var/lib/lvpipe
mount /dev/b/state /var/lib/lvpipe
sync
loopback

# run RATE
run() {
	receives --progress json --resume -I 127.0.0.1:7777 --insecure --retry-for 3 b/copy
	lvpipe send --progress json --resume --no-snapshot a/vm --compress none -r "$1" --retry-for 3 \
		-O 127.0.0.1:7777 --insecure 2>send.err &
	sender=$!
}

for delay in 0.1 0.6; do
	step "the power goes $delay s after a record"
	run 2m
	grows b/copy 4
	sleep "$delay"
	disk down
	echo "the journal has $(recorded b/copy) bytes"
	sleep 1.5 # in which the journal goes on, as far as its writer knows
	kill -KILL $sender $receiver
	wait $sender || true
	wait $receiver || true
	umount /var/lib/lvpipe
	vgchange -qq --activate n b
	disk up
	vgchange -qq --activate y b
	mount /dev/b/state /var/lib/lvpipe
	echo "the journal has $(recorded b/copy) bytes"
done

step 'it comes back'
run 100m
both_end 0 0
equal digest "$(digest /dev/b/copy)" "$source"
held=$(figure held recv.err)
echo "$held parts were there already, $(figure parts recv.err) came"
[ "$held" -gt 0 ] || fail 'nothing counted of what was sent before'
equal 'parts that were not as recorded' "$(figure again recv.err)" 0
umount /var/lib/lvpipe
