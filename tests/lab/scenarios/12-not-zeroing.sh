# Pools that do not zero new chunks: what a removed volume left in them shows neither in holes nor behind the end.
# seconds: 120
pool a /dev/vda 256m 64k
pool b /dev/vdb 160m 256k
lvchange -qq --zero n b/pool

step 'all of the pool has held noise'
thin b/removed 150m
fill b/removed
lvremove -qq -f b/removed

step 'runs of some KiB, far from filling their chunks'
thin a/vm 32m
scatter a/vm 7 120
source=$(digest /dev/a/vm)
for parts in 64k 1M; do
	thin b/copy 48m
	arrives "-s $parts a/vm" b/copy
	equal "digest, parts of $parts" "$(dd if=/dev/b/copy bs=1M count=32 iflag=direct status=none | sha256sum | cut -d' ' -f1)" "$source"
	at_most 'mapped' "$(mapped b/copy)" $(($(chunks_needed a/vm $((256 << 10))) * (256 << 10)))
	lvremove -qq -f b/copy
done

step 'a volume that ends within a chunk, in a volume made for it'
thin a/odd 20m
scatter a/odd 8 60
arrives a/odd '--create b/pool:odd'
equal 'digest' "$(digest /dev/b/odd)" "$(digest /dev/a/odd)"

step 'a byte stream of odd length'
head -c 1000001 /dev/urandom >stream
thin b/stream 4m
lvpipe send - <stream | lvpipe recv b/stream
equal 'the stream' "$(head -c 1000001 /dev/b/stream | sha256sum)" "$(sha256sum <stream)"
dd if=/dev/b/stream of=chunks bs=1M count=1 status=none
equal 'behind it, in its last chunk' "$(tail -c +1000002 chunks | tr -d '\0' | wc -c)" 0
