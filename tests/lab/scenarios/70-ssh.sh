# A receiver over a real ssh: sshd on loopback, a key made for it.
# seconds: 240
pool a /dev/vda 256m 64k
thin a/vm 32m
scatter a/vm 21 100
source=$(digest /dev/a/vm)
thin a/copy 32m
fill a/copy

loopback
mount -t tmpfs -o mode=700 root /root
mkdir -m 700 /root/.ssh /run/sshd
ssh-keygen -q -t ed25519 -N '' -f host
ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519
cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys
echo "127.0.0.1 $(cut -d' ' -f1,2 host.pub)" >/root/.ssh/known_hosts
cat >sshd_config <<-EOF
	ListenAddress 127.0.0.1
	HostKey $PWD/host
	PidFile $PWD/sshd.pid
	UsePAM no
	PasswordAuthentication no
	LogLevel VERBOSE
EOF
$(command -v sshd) -f "$PWD/sshd_config" -E sshd.log || fail "sshd: $(cat sshd.log)"
ssh -o BatchMode=yes root@127.0.0.1 true || fail "ssh: $(cat sshd.log)"

# sends OPTION...: the source, to a target over ssh.
sends() {
	lvpipe send --progress json --no-snapshot a/vm "$@" 2>send.err || fail "status $?: $(cat send.err)"
	cat send.err
}

step 'into a volume, over connections beside ssh'
sends -n 2 ssh://root@127.0.0.1/a/copy
equal digest "$(digest /dev/a/copy)" "$source"
at_most mapped "$(mapped a/copy)" "$(mapped a/vm)"

step 'into a new one'
sends --create ssh://root@127.0.0.1/a/pool:made
equal digest "$(digest /dev/a/made)" "$source"

step 'all through ssh'
fill a/copy
sends --via ssh ssh://root@127.0.0.1/a/copy
equal digest "$(digest /dev/a/copy)" "$source"
at_most mapped "$(mapped a/copy)" "$(mapped a/vm)"

step 'a file, into a command'
sends "ssh://root@127.0.0.1/$PWD/image"
equal digest "$(digest image)" "$source"
sends ssh://root@127.0.0.1/- --exec "sha256sum >$PWD/sum"
equal digest "$(cut -d' ' -f1 sum)" "$source"

step 'refused there, told here'
mke2fs -q -F -t ext4 /dev/a/made
mount -o ro /dev/a/made /mnt
before=$(digest /dev/a/made)
exits 5 lvpipe send -q --no-snapshot a/vm ssh://root@127.0.0.1/a/made
says err 'mounted on /mnt'
exits 5 lvpipe send -q --no-snapshot a/vm --via ssh ssh://root@127.0.0.1/a/made
says err 'mounted on /mnt'
umount /mnt
equal 'digest of what was refused' "$(digest /dev/a/made)" "$before"

step 'nobody there, nothing there'
exits 5 lvpipe send -q --no-snapshot a/vm --remote-lvpipe no-such-lvpipe ssh://root@127.0.0.1/a/copy
says err 'there is no lvpipe there'
exits 1 lvpipe send -q --no-snapshot a/vm ssh://root@127.0.0.1/a/no-such-volume
says err 'no such volume: a/no-such-volume'

step 'a signal ends both sides'
env --default-signal lvpipe send -q --no-snapshot a/vm -r 200k --compress none ssh://root@127.0.0.1/a/copy 2>send.err &
sender=$!
within 20 eval 'ps -o args | grep -q "[l]vpipe recv --from-ssh"'
sleep 1
kill -INT $sender
status=0
wait $sender || status=$?
equal 'exit status' "$status" 130
within 10 eval '! ps -o args | grep -q "[l]vpipe recv"'
kill "$(cat sshd.pid)"
