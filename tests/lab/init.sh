#!/bin/bash
# The lab's init: mounts what a system has, loads the modules, runs the scenarios of /lab/plan one after the other,
# each in namespaces of its own, and powers off. Lines that begin with @lab are read by `cargo xtask lab`.
export PATH=/usr/bin:/usr/lib/busybox HOME=/root TERM=linux

mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
mkdir -p /dev/shm /dev/pts
mount -t tmpfs shm /dev/shm
mount -t devpts pts /dev/pts
ln -sf /proc/self/fd /dev/fd
hostname -F /etc/hostname
modprobe --all $(cat /lab/modules)

# Removes whatever a scenario has made; its processes and mounts are gone with its namespaces.
# Device-mapper's devices go by force, from the top down: that ends I/O that would wait forever, too.
clean() {
	for attempt in 1 2 3; do
		dmsetup remove_all --force >/dev/null 2>&1
		losetup -a | cut -d: -f1 | xargs -r losetup -d
		[ "$(dmsetup ls)" = 'No devices found' ] && break
		sleep 1
	done
	if [ "$(dmsetup ls)" != 'No devices found' ]; then
		echo 'What the scenario left cannot be removed:'
		dmsetup ls --tree
		return 1
	fi
	for link in /dev/*/*; do
		[ ! -L "$link" ] || [ -e "$link" ] || rm "$link"
	done
	rmdir /dev/*/ 2>/dev/null
	for disk in /dev/vd?; do
		blkdiscard --force "$disk" 2>/dev/null || return 1
	done
}

echo '@lab ready'
if [ "$(cat /lab/plan)" = shell ]; then
	echo 'The functions of the scenarios: . /lab/lib.sh. The end: poweroff -f'
	setsid cttyhack bash
	poweroff -f
fi
# Not on stdin, which scenarios may read.
while read -r name seconds <&3; do
	echo "@lab begin $name"
	timeout --signal=KILL $((seconds + 20)) \
		unshare --mount --pid --net --uts --ipc --fork --kill-child --mount-proc \
		bash -c 'timeout --kill-after=10 "$0" bash /lab/one.sh "$1"; exit $?' "$seconds" "$name" \
		</dev/null 3<&-
	echo "@lab end $name $?"
	clean || poweroff -f
	echo '@lab clean'
done 3</lab/plan
echo '@lab done'
poweroff -f
