# A source that cannot be read somewhere in the middle: the message names the place, and nobody says it is done.
# seconds: 240

# first_bad FILE: the offset of the first 4096 bytes that cannot be read.
first_bad() {
	perl -e '
		open(my $file, "<:raw", $ARGV[0]) or die "$ARGV[0]: $!";
		my $offset = 0;
		while (defined(my $length = sysread($file, my $block, 4096))) {
			exit(1) if $length == 0;
			$offset += $length;
		}
		print "$offset\n"' "$1"
}

step 'a plain device'
bad=$(((5 << 20) + 12288))
dmsetup create source <<-TABLE
	0 $((bad / 512)) linear /dev/vdc 0
	$((bad / 512)) 8 error
	$((bad / 512 + 8)) $((32768 - bad / 512 - 8)) linear /dev/vdc $((bad / 512 + 8))
TABLE
equal 'the first that cannot be read' "$(first_bad /dev/mapper/source)" "$bad"
transfer /dev/mapper/source copy.img
equal 'exit statuses' "$ended" '1 3'
says send.err 'cannot read source: /dev/mapper/source'
says send.err "at offset $bad:"
says send.err 'I/O error'
[ ! -e copy.img ] || fail 'the target has appeared under its name'
dmsetup remove source

step 'a thin volume, whose pool has lost a piece'
# Not from the beginning of /dev/vda: LVM would find its label on both.
dmsetup create disk --table '0 524288 linear /dev/vda 8192'
pool a /dev/mapper/disk 128m 64k
thin a/vm 32m
fill a/vm
dmsetup suspend disk
bad=40000 # in sectors: amidst what the volume has in the pool
dmsetup reload disk <<-TABLE
	0 $bad linear /dev/vda 8192
	$bad 8 error
	$((bad + 8)) $((524288 - bad - 8)) linear /dev/vda $((8192 + bad + 8))
TABLE
dmsetup resume disk
echo 3 >/proc/sys/vm/drop_caches
bad=$(first_bad /dev/a/vm) || fail 'all of it can be read'
thin a/copy 32m
transfer a/vm 'a/copy'
equal 'exit statuses' "$ended" '1 3'
says send.err "cannot read source: a/vm at offset $bad:"
