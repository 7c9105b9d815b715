# Byte streams: out of a volume, dense; and of unknown length into one.
# seconds: 240
pool a /dev/vda 128m 64k
thin a/vm 24m
scatter a/vm 11 60
source=$(digest /dev/a/vm)

step 'dense, on stdout'
equal 'digest' "$(lvpipe send -q a/vm | lvpipe recv -q - | sha256sum | cut -d' ' -f1)" "$source"
equal 'without the map' "$(lvpipe send -q --map none a/vm | lvpipe recv -q - | sha256sum | cut -d' ' -f1)" "$source"

step 'a stream of unknown length into a thin volume that held other data'
dd if=/dev/urandom bs=1000003 count=5 iflag=fullblock status=none >stream
thin a/copy 24m
fill a/copy
lvpipe send -q - <stream | lvpipe recv -q a/copy
cmp -n 5000015 stream /dev/a/copy
at_most 'mapped' "$(mapped a/copy)" $((5 << 20))

step 'one that is too long for it'
thin a/tiny 4m
exits 1 eval 'lvpipe send -q - <stream | lvpipe recv -q a/tiny'
says err 'longer than the device'

step 'one of unknown length makes no volume'
exits 2 eval 'lvpipe send -q - <stream | lvpipe recv -q --create a/pool:new'
says err 'how large'

step 'an image whose size no sector divides'
truncate -s 10000001 image
dd if=stream of=image bs=1 seek=9999000 count=1001 conv=notrunc status=none
fill a/copy
arrives image a/copy
cmp -n 10000001 image /dev/a/copy
arrives image '--create a/pool:image'
cmp -n 10000001 image /dev/a/image
at_most 'mapped' "$(mapped a/image)" $((64 << 10))
