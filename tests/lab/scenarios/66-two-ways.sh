# Two hosts with addresses of both families and a real limit on each direction: a receiver that is reached by two
# addresses at once, from two local ones, over IPv6 alone, and a rate that is the line's.
# seconds: 120
pool a /dev/vda 256m 64k
pool b /dev/vdb 256m 64k
thin a/vm 32m
fill a/vm
source=$(digest /dev/a/vm)

two_hosts_with() {
	loopback
	ip netns add far
	far ip link set lo up
	ip link add link0 type veth peer name link0 netns far
	for address in 192.0.2.1/24 192.0.2.11/24 '2001:db8::1/64 nodad'; do
		# shellcheck disable=SC2086 # an address and its option
		ip address add $address dev link0
	done
	for address in 192.0.2.2/24 192.0.2.12/24 '2001:db8::2/64 nodad'; do
		# shellcheck disable=SC2086
		far ip address add $address dev link0
	done
	ip link set link0 up
	far ip link set link0 up
	tc qdisc add dev link0 root "$@"
	far tc qdisc add dev link0 root "$@"
}
two_hosts_with tbf rate 80mbit burst 64kb latency 100ms

# The local addresses of the links that the receiver has, each once. Run while the transfer goes on.
senders() {
	far sh -c 'cat /proc/net/tcp /proc/net/tcp6' | awk '$2 ~ /:1E61$/ && $4 == "01" { split($3, of, ":"); print of[1] }' | sort -u
}

step 'over IPv6 alone'
thin b/six 32m
receives far --progress json -I '[2001:db8::2]:7777' --key-file key b/six
lvpipe send --progress json --no-snapshot a/vm -O '[2001:db8::2]:7777' --key-file key -n 4 --compress none 2>send.err &
sender=$!
within 20 sh -c '[ -s send.err ]'
senders | grep -q . || fail 'no link is seen'
both_end 0 0
equal 'digest over IPv6' "$(digest /dev/b/six)" "$source"
seconds=$(figure elapsed_seconds send.err)
# 32 MiB of which nothing is compressed take 3.4 s at 80 Mbit/s, less what is all zeros.
bytes=$(figure wire_bytes send.err)
echo "$bytes bytes in $seconds s: $(echo "$bytes $seconds" | awk '{ print $1 * 8 / $2 / 1e6 }') Mbit/s of 80"
echo "$bytes $seconds" | awk '$1 * 8 / $2 > 84e6 { exit 1 }' || fail 'faster than the line: it was not limited'
# How near it comes to that depends on what else the emulated processors do; a benchmark tells.

step 'two addresses of the receiver, from two of the sender'
thin b/two 32m
receives far --progress json -I 7777 --key-file key b/two
lvpipe send --progress json --no-snapshot a/vm -O 192.0.2.2:7777 -O 192.0.2.12:7777 --bind 192.0.2.1 --bind 192.0.2.11 \
	--key-file key -n 4 --compress none 2>send.err &
sender=$!
# 192.0.2.1 and 192.0.2.11, as the kernel writes them in hexadecimal.
both_senders() { senders >seen; grep -q '010200C0$' seen && grep -q '0B0200C0$' seen; }
within 20 both_senders
both_end 0 0
equal 'digest over two ways' "$(digest /dev/b/two)" "$source"
