# What the scenarios have in common: claims, pools and volumes, and the truth about them from other tools than lvpipe.
# Sizes are as LVM takes them; volumes are VG/LV.

# There is no udev: dmsetup makes the nodes under /dev/mapper itself.
export DM_DISABLE_UDEV=1

# --- claims

fail() {
	echo "FAILED: $*" >&2
	exit 1
}

# equal WHAT ACTUAL EXPECTED
equal() {
	[ "$2" = "$3" ] || fail "$1: '$2', not '$3'"
}

# at_most WHAT ACTUAL LIMIT
at_most() {
	[ "$2" -le "$3" ] || fail "$1: $2, more than $3"
}

# step TEXT: says in the log what comes next.
step() {
	echo "== $(cut -d. -f1 /proc/uptime) s: $*"
}

# exits STATUS COMMAND...: the command ends with just this status. Its stderr is in the file `err` (and shown).
exits() {
	expected=$1
	shift
	status=0
	"$@" 2>err || status=$?
	cat err >&2
	equal "exit status of $*" "$status" "$expected"
}

# says FILE TEXT: the file has this text in it.
says() {
	grep -qF -e "$2" "$1" || fail "$1 does not say '$2': $(cat "$1")"
}

# transfer SEND RECV: `lvpipe send SEND | lvpipe recv RECV`, each with its options as words. Afterwards `ended` holds
# both exit statuses, and the files send.err and recv.err what they said.
transfer() {
	ended=$(
		trap - ERR
		set +e
		lvpipe send $1 2>send.err | lvpipe recv $2 2>recv.err >&2
		echo "${PIPESTATUS[*]}"
	)
	cat send.err recv.err
}

# arrives SEND RECV: the same, and both ends are content.
arrives() {
	transfer "$1" "$2"
	equal "exit statuses of send $1 | recv $2" "$ended" '0 0'
}

# within SECONDS COMMAND...: the command becomes true in this time.
within() {
	tries=$(($1 * 10))
	shift
	until "$@"; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || fail "not in time: $*"
		sleep 0.1
	done
}

# --- networks. A scenario has a network namespace of its own, in which nothing is up.

# loopback: 127.0.0.1 can be reached.
loopback() {
	ip link set lo up
}

# far COMMAND...: runs it on the other of two hosts.
far() {
	ip netns exec far "$@"
}

# two_hosts NETEM...: another host, `far`, at 192.0.2.2; this one is 192.0.2.1. What goes either way meets what netem
# does. Packets are as small as on a wire: otherwise one loss would be that of 64 KiB.
two_hosts() {
	loopback
	ip netns add far
	far ip link set lo up
	ip link add link0 gso_max_segs 1 type veth peer name link0 gso_max_segs 1 netns far
	ip address add 192.0.2.1/24 dev link0
	far ip address add 192.0.2.2/24 dev link0
	ip link set link0 up
	far ip link set link0 up
	tc qdisc add dev link0 root netem limit 100000 "$@"
	far tc qdisc add dev link0 root netem limit 100000 "$@"
}

# receives [far] OPTION...: a receiver is started in the background, as $receiver; it says in recv.err that it listens,
# before this returns.
receives() {
	where=
	[ "$1" != far ] || { where=far && shift; }
	rm -f recv.err
	$where lvpipe recv "$@" 2>recv.err &
	receiver=$!
	within 20 grep -q 'listening on' recv.err
}

# both_end SEND RECV: the transfer between $sender and $receiver ends with these statuses.
both_end() {
	sent=0
	wait "$sender" || sent=$?
	# Without a sender, a receiver that has heard nothing yet waits for ever.
	[ "$sent" = "$1" ] || kill "$receiver" 2>/dev/null || true
	received=0
	wait "$receiver" || received=$?
	cat send.err recv.err
	equal 'exit statuses of send and recv' "$sent $received" "$1 $2"
}

# both_fail: neither $sender nor $receiver, of which one was killed, takes half a transfer for a whole one.
both_fail() {
	for process in $sender $receiver; do
		status=0
		wait "$process" || status=$?
		[ "$status" -ne 0 ] || fail "half a transfer is a success: $(cat send.err recv.err)"
	done
	cat send.err recv.err
}

# arrived_in_pieces VG/LV SOURCE DIGEST: it is what the source was, maps no more than it, has no journal any more, and
# some of it was there before the last run, as recv.err tells.
arrived_in_pieces() {
	equal digest "$(digest "/dev/$1")" "$3"
	at_most mapped "$(mapped "$1")" "$(mapped "$2")"
	# Other scenarios' failed transfers have left theirs.
	equal 'journals left' "$(ls /var/lib/lvpipe | grep "$(echo "$1" | sed 's,/,%2f,')" || true)" ''
	held=$(figure held recv.err)
	echo "$held parts were there already, $(figure parts recv.err) came"
	[ "$held" -gt 0 ] || fail 'nothing counted of what was sent before'
}

# recorded VG/LV: how long the journal of a transfer to it is, in bytes; a record takes 64.
recorded() {
	size "/var/lib/lvpipe/lv-${1%/*}%2f${1#*/}.lvpipe-journal" 2>/dev/null || echo 0
}

# grows VG/LV RECORDS: waits until there is a journal, and then until it has so many records more.
grows() {
	within 60 eval '[ "$(recorded '"$1"')" -gt 0 ]'
	goal=$(($(recorded "$1") + $2 * 64))
	within 60 eval '[ "$(recorded '"$1"')" -ge $goal ]'
}

# stand_in_for_ssh: $RSH runs here what it is to run on any host, whose TCP is loopback's.
stand_in_for_ssh() {
	loopback
	cat >rsh <<-'EOF'
		[ "$1" != -G ] || { echo 'hostname 127.0.0.1'; exit 0; }
		for command; do :; done
		eval "exec $command"
	EOF
	RSH="sh $PWD/rsh"
}

# kept VG/LV: the snapshots that replicate keeps of it, by name, the oldest first.
kept() {
	lvs --noheadings -o lv_name -O lv_name --select "vg_name=${1%/*} && lv_name=~\"^${1#*/}[.]lvpipe-2\"" | tr -d ' '
}

# moments VG/LV: the moments of those.
moments() {
	kept "$1" | sed 's/.*lvpipe-//'
}

# replicates OPTION...: a run of `lvpipe replicate` that goes well; what it says is in the file `said`.
replicates() {
	lvpipe replicate --rsh "$RSH" "$@" 2>said || fail "status $?: $(cat said)"
	cat said
}

# as_newest VG/LV VG/LV: the second holds what the newest kept snapshot of the first does, and maps as much; and so does
# its own newest, which is of the same moment.
as_newest() {
	newest=${1%/*}/$(kept "$1" | tail -n 1)
	lvchange -qq -ay -K "$newest"
	equal "what $2 holds" "$(digest "/dev/$2")" "$(digest "/dev/$newest")"
	equal 'mapped bytes' "$(mapped "$2")" "$(mapped "$newest")"
	equal 'newest moments' "$(moments "$2" | tail -n 1)" "${newest##*-}"
	lvchange -qq -an "$newest"
	copied=${2%/*}/$(kept "$2" | tail -n 1)
	lvchange -qq -ay -K "$copied"
	equal "what $copied holds" "$(digest "/dev/$copied")" "$(digest "/dev/$2")"
	lvchange -qq -an "$copied"
}

# figure NAME FILE: what the last JSON object in the file says.
figure() {
	grep '^{' "$2" | tail -n 1 | tr ',{}' '\n' | sed -n "s/^\"$1\"://p"
}

# --- pools and volumes. The disks are /dev/vda to /dev/vdd, 4 GiB each, empty.

# pool VG DISK SIZE CHUNK [OPTION...]: a volume group on the disk, with a thin pool named `pool`.
pool() {
	vg=$1 disk=$2 size=$3 chunk=$4
	shift 4
	vgcreate -qq "$vg" "$disk"
	# Not zeroed: what is mapped and never written must be told from what is not mapped.
	lvcreate -qq --type thin-pool --size "$size" --chunksize "$chunk" --zero y \
		--poolmetadatasize 8m --poolmetadataspare n --name pool "$@" "$vg"
}

# thin VG/LV SIZE: a thin volume in the pool `pool`.
thin() {
	lvcreate -qq --type thin --virtualsize "$2" --thinpool "${1%/*}/pool" --name "${1#*/}"
}

# snapshot VG/LV NAME: a thin snapshot, not activated.
snapshot() {
	lvcreate -qq --snapshot --name "$2" "$1"
}

# dm VG/LV: its name for dmsetup.
dm() {
	echo "$(echo "${1%/*}" | sed 's/-/--/g')-$(echo "${1#*/}" | sed 's/-/--/g')"
}

# scatter VG/LV SEED COUNT: writes COUNT runs of noise, 4 to 64 KiB each, at places that SEED chooses.
scatter() {
	perl -e '
		my ($file, $seed, $count) = @ARGV;
		srand($seed);
		open(my $volume, "+<:raw", $file) or die "$file: $!";
		open(my $random, "<:raw", "/dev/urandom") or die "urandom: $!";
		my $pages = sysseek($volume, 0, 2) / 4096;
		while ($count--) {
			my $length = 4096 * (1 + int(rand(16)));
			sysread($random, my $noise, $length) == $length or die "urandom: $!";
			sysseek($volume, 4096 * int(rand($pages - 15)), 0) or die "$file: $!";
			syswrite($volume, $noise) == $length or die "$file: $!";
		}' "/dev/$1" "$2" "$3"
	sync "/dev/$1"
}

# discards VG/LV SEED COUNT: discards COUNT runs of whole chunks of 64 KiB.
discards() {
	perl -e '
		my ($seed, $count, $chunks) = @ARGV;
		srand($seed);
		print int(rand($chunks - 8)) * 65536, " ", 65536 * (1 + int(rand(8))), "\n" while $count--' \
		"$2" "$3" $(($(size "/dev/$1") / 65536)) |
		while read -r offset length; do
			blkdiscard --offset "$offset" --length "$length" "/dev/$1"
		done
}

# fill VG/LV: all of it is mapped and holds noise.
fill() {
	perl -e '
		open(my $volume, "+<:raw", $ARGV[0]) or die "$ARGV[0]: $!";
		open(my $random, "<:raw", "/dev/urandom") or die "urandom: $!";
		my $left = sysseek($volume, 0, 2);
		sysseek($volume, 0, 0);
		sysread($random, my $noise, 1 << 20) == 1 << 20 or die "urandom: $!";
		while ($left > 0) {
			my $written = syswrite($volume, $noise, $left < 1 << 20 ? $left : 1 << 20) or die "$ARGV[0]: $!";
			$left -= $written;
		}' "/dev/$1"
	sync "/dev/$1"
}

# populate VG/LV: an ext4 with a few files of noise, gaps where others were, and 6 MiB that became zeros.
populate() {
	mke2fs -q -t ext4 "/dev/$1"
	mount "/dev/$1" /mnt
	cp -a /lab /mnt/
	for file in 1 2 3 4 5 6 7 8; do
		dd if=/dev/urandom of=/mnt/noise-$file bs=256k count=$file conv=fsync status=none
	done
	dd if=/dev/urandom of=/mnt/became-zeros bs=1M count=6 conv=fsync status=none
	dd if=/dev/zero of=/mnt/became-zeros bs=1M count=6 conv=fsync,notrunc status=none
	rm /mnt/noise-2 /mnt/noise-4
	umount /mnt
}

# digest FILE: SHA-256 of a volume's or file's whole content; a volume's is read past the page cache. By way of a copy in
# memory: through a pipe, which two emulated processors hand to and fro, it takes several times as long.
digest() {
	if [ -b "$1" ]; then
		whole=$(mktemp /dev/shm/digest.XXXXXX)
		dd if="$1" of="$whole" bs=1M iflag=direct status=none
		sha256sum <"$whole" | cut -d' ' -f1
		rm "$whole"
	else
		sha256sum <"$1" | cut -d' ' -f1
	fi
}

# --- migrations: a volume whose user never stops

# no_ssh: --rsh that runs what the far side is to run here, as `sh rsh`. Its process is in the file far.pid.
no_ssh() {
	cat >rsh <<-'EOF'
		[ "$1" != -G ] || { echo 'hostname 127.0.0.1'; exit; }
		for command; do :; done
		echo $$ >far.pid
		eval "exec $command"
	EOF
}

# is_used VG/LV [OPTION...]: from now on $user writes to it, through a file system that is made with these options:
# numbered records at the end of one file, each forced to the disk before its number is put into the file `forced`;
# noise to random places of another; and a third comes and goes, its blocks being discarded.
is_used() {
	volume=$1
	shift
	mke2fs -q -t ext4 "$@" "/dev/$volume"
	# No thread of the kernel's is to write to it when nobody else does.
	mount -o discard,noinit_itable "/dev/$volume" /mnt
	dd if=/dev/urandom of=/mnt/noise bs=1M count=4 conv=fsync status=none
	dd if=/dev/urandom of=/mnt/still bs=64k count=16 conv=fsync status=none
	still=$(digest /mnt/still)
	perl -e '
		open(my $records, ">", "/mnt/records") or die "records: $!";
		open(my $forced, ">", "forced") or die "forced: $!";
		open(my $noise, "+<:raw", "/mnt/noise") or die "noise: $!";
		open(my $random, "<:raw", "/dev/urandom") or die "urandom: $!";
		for (my $n = 1; ; $n++) {
			syswrite($records, sprintf("%9d\n", $n)) or die "records: $!";
			syscall(74, fileno($records)) == 0 or die "fsync: $!";
			sysseek($forced, 0, 0);
			syswrite($forced, sprintf("%9d\n", $n)) or die "forced: $!";
			if ($n % 20 == 0) {
				sysread($random, my $block, 16384);
				sysseek($noise, 16384 * int(rand(256)), 0);
				syswrite($noise, $block) or die "noise: $!";
			}
			if ($n % 100 == 0) {
				open(my $other, ">:raw", "/mnt/comes-and-goes") or die "other: $!";
				syswrite($other, "x" x 1048576) or die "other: $!";
			}
			unlink("/mnt/comes-and-goes") if $n % 100 == 50;
			select(undef, undef, undef, 0.01);
		}' &
	user=$!
	within 20 [ -s forced ]
	# Stopped amid a call it comes to that call's end first.
	cat >pause <<-EOF
		cut -d' ' -f1 /proc/uptime >paused-at
		kill -STOP $user
		until grep -q '^State:.T' /proc/$user/status; do sleep 0.01; done
		cp forced forced-before
	EOF
	cat >unpause <<-EOF
		kill -CONT $user
		echo unpaused >>unpaused
	EOF
	echo "cut -d' ' -f1 /proc/uptime >resumed-at" >resume
	rm -f forced-before unpaused resumed-at
}

# migrates [STATUS] OPTION...: a migration of a/vm with these options; by default it ends well. What it said is in the
# file `err`.
migrates() {
	status=0
	case $1 in [0-9] | [0-9][0-9][0-9]) status=$1 && shift ;; esac
	exits "$status" lvpipe migrate a/vm --rsh 'sh rsh' --pause 'sh pause' --unpause 'sh unpause' --resume 'sh resume' \
		--progress json "$@"
}

# begins OPTION...: the same in the background, as $migration, to a new volume b/made. It says in migrate.err what it does.
begins() {
	rm -f migrate.err unpaused paused-at forced-before resumed-at
	lvpipe migrate a/vm --create ssh://far/b/pool:made --rsh 'sh rsh' --downtime 3 --pause 'sh pause' \
		--unpause 'sh unpause' --resume 'sh resume' --progress json "$@" 2>migrate.err &
	migration=$!
}

# ends STATUS: that migration does, and the far side too.
ends() {
	status=0
	wait "$migration" || status=$?
	grep -v '"role":"send"' migrate.err || true
	equal 'exit status of migrate' "$status" "$1"
	within 20 eval '! [ -e /proc/$(cat far.pid) ]'
}

# goes_on: $user does, and what it does not write is as it was.
goes_on() {
	before=$(cat forced)
	within 20 eval '[ $(cat forced) -gt $before ]'
	echo 1 >/proc/sys/vm/drop_caches
	equal 'what nobody writes' "$(digest /mnt/still)" "$still"
}

# is_paused: $user is, still.
is_paused() {
	grep -q '^State:.T' "/proc/$user/status" || fail 'it goes on'
}

# nothing_is_made: of what was killed the next run leaves nothing on either side, and the metadata is sound.
nothing_is_made() {
	lvpipe migrate a/vm --create ssh://far/b/pool:made --rsh 'sh rsh' --pause true --dry-run 2>looked.err ||
		fail "it cannot be done again: $(cat looked.err)"
	cat looked.err
	equal 'volumes in a' "$(lvs --noheadings -o lv_name a | tr -d ' ' | sort | xargs)" 'pool vm'
	equal 'volumes in b' "$(lvs --noheadings -o lv_name b | tr -d ' ' | sort | xargs)" pool
	within 10 eval '! dmsetup status a-pool-tpool | grep -q needs_check'
}

# stops_being_used: the end of $user.
stops_being_used() {
	kill -KILL "$user"
	wait "$user" || true
	umount /mnt
}

# has_all FILE: a copy of the volume has all records that were forced to the disk before the pause, and no other gaps;
# its file system is clean.
has_all() {
	e2fsck -f -n "$1" >fsck.log 2>&1 || fail "e2fsck: $(cat fsck.log)"
	mkdir -p /media
	mount -o ro "$1" /media
	perl -e '
		my $last = 0;
		while (<STDIN>) { die "record $_ after $last\n" if $_ != $last + 1; $last = $_ + 0 }
		die "$last is the last record, $ARGV[0] was forced before the pause\n" if $last < $ARGV[0];
		print "$last records, the last one forced before the pause being $ARGV[0]\n"' \
		"$(tr -d ' ' <forced-before)" </media/records || fail 'records are missing'
	umount /media
}

# downtime_is_true: what was reported is what the commands have measured, from within the first to within the last: no
# less than that, and without what the two took no more. In milliseconds, as $downtime.
downtime_is_true() {
	measured=$(awk '{ at[NR] = $1 } END { print int((at[2] - at[1]) * 1000) }' paused-at resumed-at)
	downtime=$(figure downtime_seconds err | awk '{ print int($1 * 1000) }')
	between=$(for piece in snapshot transfer done; do figure "${piece}_seconds" err; done |
		awk '{ sum += $1 } END { print int(sum * 1000) }')
	echo "downtime: $downtime ms reported, $between ms of it between the commands, $measured ms measured"
	[ "$downtime" -ge $((measured - 100)) ] && [ "$between" -le $((measured + 100)) ] || fail 'the report is not true'
}

# --- the truth

# mapped VG/LV: how many bytes of an active thin volume are mapped, by the kernel.
mapped() {
	dmsetup status "$(dm "$1")" | awk '$3 == "thin" { print $4 * 512 }'
}

# size FILE: its length in bytes, a device's too.
size() {
	perl -e 'open(my $file, "<", $ARGV[0]) or die "$ARGV[0]: $!"; print sysseek($file, 0, 2) + 0, "\n"' "$1"
}

# held VG: the block of the pool's metadata snapshot, or -.
held() {
	dmsetup status "$(dm "$1/pool")-tpool" | awk '{ print $7 }'
}

# is_held VG: there is a metadata snapshot of the pool.
is_held() {
	[ "$(held "$1")" != - ]
}

# temporary VG: the volumes in it that bear lvpipe's mark.
temporary() {
	lvs --noheadings -o lv_name --select "vg_name=$1 && lv_tags=lvpipe.temporary" | tr -d ' '
}

# volumes VG: all of them, which have a device, and their tags.
volumes() {
	lvs --noheadings -o lv_name,lv_active,lv_tags "$1"
}

# active VG/LV: whether it has a device: `active` or nothing.
active() {
	lvs --noheadings -o lv_active "$1" | tr -d ' '
}

# metadata_reads_take VG MILLISECONDS: so long each read of the pool's metadata takes from now on; writes do not.
metadata_reads_take() {
	name="$(dm "$1/pool")_tmeta"
	set -- "$2" $(dmsetup table "$name")
	dmsetup reload "$name" --table "$2 $3 delay $5 $6 $1 $5 $6 0"
	dmsetup suspend "$name"
	dmsetup resume "$name"
}

# thin_id VG/LV: its number in the pool.
thin_id() {
	lvs --noheadings -o thin_id "$1" | tr -d ' '
}

# thin_dump_runs VG/LV: `OFFSET LENGTH` in bytes of each mapped run, by thin_dump, neighbours joined.
# Takes and releases the pool's metadata snapshot.
thin_dump_runs() {
	vg=${1%/*}
	dmsetup message "$(dm "$vg/pool")-tpool" 0 reserve_metadata_snap
	thin_dump --metadata-snap --dev-id "$(thin_id "$1")" "/dev/mapper/$(dm "$vg/pool")_tmeta" >dump.xml
	dmsetup message "$(dm "$vg/pool")-tpool" 0 release_metadata_snap
	chunk=$(sed -n 's/.*data_block_size="\([0-9]*\)".*/\1/p' dump.xml)
	awk -F'"' -v chunk=$((chunk * 512)) '
		function run(begin, length_) {
			if (begin == end) { end += length_; return }
			if (end > start) print start * chunk, (end - start) * chunk
			start = begin; end = begin + length_
		}
		BEGIN { start = 0; end = 0 }
		/<single_mapping/ { run($2, 1) }
		/<range_mapping/ { run($2, $6) }
		END { if (end > start) print start * chunk, (end - start) * chunk }
	' dump.xml
}

# chunks_needed VG/LV BYTES: how many chunks of so many bytes the mapped runs of a thin volume touch.
chunks_needed() {
	thin_dump_runs "$1" | awk -v chunk="$2" '
		BEGIN { last = -1 }
		{
			first = int($1 / chunk); end = int(($1 + $2 - 1) / chunk)
			if (first <= last) first = last + 1
			if (end >= first) { count += end - first + 1; last = end }
		}
		END { print count + 0 }'
}

# --- what must hold after each scenario, said to have ended well or not

# No process, no metadata snapshot, no temporary volume and no record of one is left.
nothing_left() {
	left=$(ps -o pid,args | grep '[l]vpipe ' || true)
	equal 'processes left' "$left" ''
	dmsetup status --target thin-pool >pools
	left=$(awk '$8 != "-" && $4 == "thin-pool"' pools)
	equal 'metadata snapshots left' "$left" ''
	left=$(lvs --noheadings -o lv_full_name @lvpipe.temporary)
	equal 'temporary volumes left' "$left" ''
	left=$(find /run/lvpipe -type f -size +0 2>/dev/null || true)
	equal 'records left' "$left" ''
}
