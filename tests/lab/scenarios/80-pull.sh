# A thin LV that is in use is served from a snapshot, and pulled into thin LVs: each byte as it was, no more mapped.
# seconds: 300
pool a /dev/vda 256m 64k
pool b /dev/vdb 256m 64k
pool c /dev/vdc 256m 128k
thin a/vm 48m
populate a/vm
source=$(digest /dev/a/vm)
needed=$(chunks_needed a/vm $((128 << 10)))
zeros=$((5 << 20)) # of the 6 MiB that became zeros, what no chunk shares with anything else
loopback

step 'served while it is in use'
mount /dev/a/vm /mnt
mounted=$(sha256sum /mnt/noise-*)
lvpipe serve a/vm --listen 127.0.0.1:8080 2>serve.err &
server=$!
within 30 grep -q 'lvpipe pull' serve.err
cat serve.err
export LVPIPE_TOKEN=$(grep -o 'lvt1-[a-z0-9]*' serve.err | head -n 1)
print=$(grep -o 'sha256:[0-9a-f]*' serve.err | head -n 1)
url=https://127.0.0.1:8080/vm
equal 'temporary volumes' "$(temporary a | wc -l)" 1
# pulls TARGET...: a pull, from the server that is known by its fingerprint.
pulls() {
	lvpipe pull --fingerprint "$print" "$url" "$@"
}
dd if=/dev/urandom of=/mnt/later bs=1M count=3 conv=fsync status=none
rm /mnt/noise-8

step 'into a volume that held other data'
thin b/copy 48m
fill b/copy
pulls b/copy --progress json 2>pull.err
cat pull.err
at_most 'bytes that came' "$(figure wire_bytes pull.err)" $((30 << 20))
at_most mapped "$(mapped b/copy)" $(($(chunks_needed a/"$(temporary a)" $((64 << 10))) * (64 << 10)))
mount -o ro,norecovery /dev/b/copy /media 2>/dev/null || { mkdir -p /media && mount -o ro,norecovery /dev/b/copy /media; }
equal 'files' "$(cd /media && sha256sum noise-* | cut -d' ' -f1)" "$(echo "$mounted" | cut -d' ' -f1)"
[ ! -e /media/later ] || fail 'what was written later has come'
umount /media
umount /mnt

step 'to a pipe, and by somebody else: the same'
piped=$(pulls - | sha256sum | cut -d' ' -f1)
equal 'digest of the pipe' "$piped" "$(digest /dev/b/copy)"

step 'larger chunks, into a new volume'
lvpipe pull --fingerprint "$print" "$url" --create c/pool:copy
equal 'digest' "$(digest /dev/c/copy)" "$piped"
# Mounted, the file system has written a few blocks more.
at_most mapped "$(mapped c/copy)" $(((needed + 16) * (128 << 10) - zeros))

step 'kill -9 of the puller, and on'
thin b/second 48m
fill b/second
tc qdisc add dev lo root netem rate 30mbit limit 10000
pulls b/second &
puller=$!
grows b/second 3
kill -KILL $puller
wait $puller 2>/dev/null || true
tc qdisc del dev lo root
pulls --resume b/second --progress json 2>pull.err
cat pull.err
[ "$(figure held pull.err)" -gt 0 ] || fail 'nothing counted of what had come'
equal 'parts that were not as recorded' "$(figure again pull.err)" 0
equal digest "$(digest /dev/b/second)" "$piped"
at_most mapped "$(mapped b/second)" "$(mapped b/copy)"

step 'the end of the server'
kill -TERM $server
status=0
wait $server || status=$?
equal 'exit status of serve' "$status" 0
exits 1 pulls b/second
says err 'Connection refused'
