# The downtime of a migration does not grow with the volume: the same user on one that is ten times larger.
# seconds: 600
pool a /dev/vda 1g 64k
pool b /dev/vdb 1g 64k
loopback
no_ssh

# stands_still_for MIB: how long the user of a volume of this size does, without the commands, in milliseconds, as
# $still_for. All of the volume is mapped.
stands_still_for() {
	step "$1 MiB"
	thin a/vm "$1m"
	dd if=/dev/zero of=/dev/a/vm bs=1M count="$1" oflag=direct status=none
	is_used a/vm -E nodiscard
	rm -f paused-at resumed-at
	migrates --downtime 3 --create ssh://far/b/pool:made
	downtime_is_true
	has_all /dev/b/made
	still_for=$(($(ms snapshot) + $(ms transfer) + $(ms done)))
	stops_being_used
	lvremove -qqy a/vm b/made
}

# ms PIECE: of the downtime that was reported, in milliseconds.
ms() {
	figure "$1_seconds" err | awk '{ print int($1 * 1000) }'
}

stands_still_for 48
small=$still_for
stands_still_for 480
echo "48 MiB: $small ms, 480 MiB: $still_for ms"
# Ten times as much would be seen.
at_most 'milliseconds of standing still' "$still_for" $((small * 3 + 1000))
