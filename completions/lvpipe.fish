# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_lvpipe_global_optspecs
    string join \n h/help V/version
end

function __fish_lvpipe_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_lvpipe_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_lvpipe_using_subcommand
    set -l cmd (__fish_lvpipe_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c lvpipe -n "__fish_lvpipe_needs_command" -s h -l help -d 'Print help'
complete -c lvpipe -n "__fish_lvpipe_needs_command" -s V -l version -d 'Print version'
complete -c lvpipe -n "__fish_lvpipe_needs_command" -f -a "send" -d 'Send the used blocks of a volume to standard output, or over several connections'
complete -c lvpipe -n "__fish_lvpipe_needs_command" -f -a "recv" -d 'Receive a stream from standard input, or from a sender that connects, into a volume, sparse and verified'
complete -c lvpipe -n "__fish_lvpipe_needs_command" -f -a "replicate" -d 'Keep a copy of a thin volume up to date: each run sends the next delta'
complete -c lvpipe -n "__fish_lvpipe_needs_command" -f -a "serve" -d 'Serve volumes over HTTP, read-only: to `lvpipe pull`, and to any other HTTP client'
complete -c lvpipe -n "__fish_lvpipe_needs_command" -f -a "pull" -d 'Pull a volume from a server over HTTP, over several connections at once, sparse and verified'
complete -c lvpipe -n "__fish_lvpipe_needs_command" -f -a "migrate" -d 'Move a volume that is in use to another host, with a moment\'s pause'
complete -c lvpipe -n "__fish_lvpipe_needs_command" -f -a "map" -d 'Show the used map of a volume, and how much it saves; or what changed between two snapshots'
complete -c lvpipe -n "__fish_lvpipe_needs_command" -f -a "inspect" -d 'Show what a stream holds, and whether it is whole; or which state of its source a target holds'
complete -c lvpipe -n "__fish_lvpipe_needs_command" -f -a "bench" -d 'Measure how fast a volume could be moved, and what would hold it up'
complete -c lvpipe -n "__fish_lvpipe_needs_command" -f -a "doctor" -d 'Say what this host lacks for which feature, and how to get it'
complete -c lvpipe -n "__fish_lvpipe_needs_command" -f -a "man" -d 'Show a manual page, or install all of them'
complete -c lvpipe -n "__fish_lvpipe_needs_command" -f -a "completions" -d 'Print a shell\'s completions'
complete -c lvpipe -n "__fish_lvpipe_needs_command" -f -a "buffer" -d 'Buffer a stream in memory, in mbuffer\'s place, with mbuffer\'s options'
complete -c lvpipe -n "__fish_lvpipe_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand send" -l since -d 'Send only what changed since BASE, a thin snapshot in the same pool that the receiver has already: what was written, and what was discarded. Neither of them need be active. The receiver refuses it unless its target holds just that' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand send" -l compress -d 'Compression: auto (by what the links and the processors have left), none, zstd or zstd:LEVEL (-7 to 19)' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand send" -l digest -d 'The digest of each part and of the whole' -r -f -a "blake3\t'BLAKE3: several times faster on most processors'
sha256\t'SHA-256 (FIPS 180-4): known everywhere, and where a rule asks for it'
none\t'None: only the CRC32C of each part, against accidents of transport'"
complete -c lvpipe -n "__fish_lvpipe_using_subcommand send" -s s -l part-size -d 'The unit of transfer: a power of two from 64k to 64M' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand send" -s r -l rate -d 'Send at most so many bytes a second, as in 50M' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand send" -s O -l connect -d 'Send to a receiver that listens there (lvpipe recv -I PORT). Given more than once: other ways to it, or more receivers' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand send" -l key-file -d 'The receiver\'s key, in a file; else in the environment as LVPIPE_KEY, else it is asked for. Of several receivers one for all, or one each in the order of -O' -r -F
complete -c lvpipe -n "__fish_lvpipe_using_subcommand send" -l retry-for -d 'When no link is left, try for so long to get one again [default: 60]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand send" -s W -l stall-timeout -d 'Give a link up on which nothing has moved for so long [default: 30]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand send" -s n -l links -d 'So many connections to each receiver [default: as many as help, up to 8]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand send" -l connect-timeout -d 'How long a connection may take to be made [default: 10]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand send" -l bind -d 'Connect from this local address. Given more than once, the links are spread over them' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand send" -l via -d 'With ssh://, how the data goes: over TCP where that can be had, or all of it through ssh' -r -f -a "auto\t'Over TCP links beside ssh, through ssh where none can be made'
ssh\t'Through ssh\'s own pipe'"
complete -c lvpipe -n "__fish_lvpipe_using_subcommand send" -l port-range -d 'With ssh://, where the receiver may listen, for firewalls [default: any free port]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand send" -l rsh -d 'With ssh://, the ssh to use and its options [default: ssh]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand send" -l remote-lvpipe -d 'With ssh://, where lvpipe is on the far side [default: lvpipe]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand send" -l exec -d 'With ssh://HOST/-, a command on the far side that gets the stream on its standard input' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand send" -l resume -d 'Go on with a transfer that ended early: send only what is missing. Over links the receiver tells what it has; into a pipe, TOKEN does, which `lvpipe recv --resume-token TARGET` prints, and names the source too. All that counts as sent is read again and compared; if the source is not the same any more, the receiver refuses' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand send" -l map -d 'Where the used map comes from' -r -f -a "auto\t'dm-thin\'s metadata for a thin LV, SEEK_DATA for a file'
none\t'No map: read everything, and find zeros while reading'"
complete -c lvpipe -n "__fish_lvpipe_using_subcommand send" -l thin-metadata -d 'A saved copy of the pool\'s metadata (as dd makes it, not thin_metadata_pack) to take the map from' -r -F
complete -c lvpipe -n "__fish_lvpipe_using_subcommand send" -l thin-id -d 'The source\'s device id in the pool, for --thin-metadata' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand send" -s m -l memory -d 'Memory for buffers, as in 512M, 1G or 10% of the machine\'s [default: 256M, or what parts larger than 32M need]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand send" -s j -l threads -d 'Threads that compress or decompress [default: one a processor]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand send" -l progress -d 'How progress is shown, on standard error' -r -f -a "auto\t'A bar on a terminal; elsewhere plain lines with -v, nothing without'
bar\t'A bar; plain lines where standard error is not a terminal'
plain\t'A line every 10 seconds'
json\t'A JSON object every second and one at the end, in place of the summary'
none\t'Only the summary'"
complete -c lvpipe -n "__fish_lvpipe_using_subcommand send" -l insecure -d 'Plain TCP: no encryption, and whoever can connect is believed. Both sides must say so'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand send" -l create -d 'With ssh://HOST/VG/POOL:NAME, make the thin volume there'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand send" -l no-snapshot -d 'Read a thin LV that is in use as it is, without a temporary snapshot, and an image file even if it changes. What is written meanwhile arrives in part or not at all: the copy is consistent only if nobody writes'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand send" -s v -l verbose -d 'Say more: without a terminal, a line of progress every 10 seconds'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand send" -s q -l quiet -d 'Say nothing but errors'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand send" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand recv" -l create -d 'Make a thin volume of the right size in a pool, and remove it again if the transfer fails' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand recv" -l exec -d 'Give the volume to a command on its standard input, holes as zeros. Its status counts' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand recv" -s I -l listen -d 'Wait for a sender on this port (lvpipe send -O HOST:PORT), instead of standard input. `systemd`: on the sockets that systemd hands over' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand recv" -l port-range -d 'Listen on the first free port of these' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand recv" -l key-file -d 'The key that the sender must have, in a file; made there if there is none. Else in the environment as LVPIPE_KEY, else one is made for this transfer and printed' -r -F
complete -c lvpipe -n "__fish_lvpipe_using_subcommand recv" -l wait -d 'Wait so long for the sender [default: for ever; on systemd\'s sockets, 60]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand recv" -l retry-for -d 'When no link is left, try for so long to get one again [default: 60]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand recv" -s W -l stall-timeout -d 'Give a link up on which nothing has moved for so long [default: 30]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand recv" -s m -l memory -d 'Memory for buffers, as in 512M, 1G or 10% of the machine\'s [default: 256M, or what parts larger than 32M need]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand recv" -s j -l threads -d 'Threads that compress or decompress [default: one a processor]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand recv" -l progress -d 'How progress is shown, on standard error' -r -f -a "auto\t'A bar on a terminal; elsewhere plain lines with -v, nothing without'
bar\t'A bar; plain lines where standard error is not a terminal'
plain\t'A line every 10 seconds'
json\t'A JSON object every second and one at the end, in place of the summary'
none\t'Only the summary'"
complete -c lvpipe -n "__fish_lvpipe_using_subcommand recv" -l resume -d 'Go on with a transfer that ended early, if there is one: only what is missing is sent. What the target has is read again and compared with the source'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand recv" -l assume-base -d 'Apply a delta to a target of which nothing is kept that says what it holds. It is taken on trust that it holds just the base, byte for byte, as when it was copied by other means'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand recv" -l resume-token -d 'Print what `lvpipe send --resume` needs to go on with a transfer that ended early'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand recv" -l insecure -d 'Plain TCP: no encryption, and whoever can connect is believed. Both sides must say so'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand recv" -s v -l verbose -d 'Say more: without a terminal, a line of progress every 10 seconds'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand recv" -s q -l quiet -d 'Say nothing but errors'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand recv" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand replicate" -l keep -d 'Keep so many snapshots on each side, the newest. One that is in use is kept until a later run; one that is renamed is kept for good' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand replicate" -l lock-wait -d 'Wait so long for another run with the same source and destination to end [default: not at all]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand replicate" -l compress -d 'Compression: auto (by what the links and the processors have left), none, zstd or zstd:LEVEL (-7 to 19)' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand replicate" -l digest -d 'The digest of each part and of the whole' -r -f -a "blake3\t'BLAKE3: several times faster on most processors'
sha256\t'SHA-256 (FIPS 180-4): known everywhere, and where a rule asks for it'
none\t'None: only the CRC32C of each part, against accidents of transport'"
complete -c lvpipe -n "__fish_lvpipe_using_subcommand replicate" -s s -l part-size -d 'The unit of transfer: a power of two from 64k to 64M' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand replicate" -s r -l rate -d 'Send at most so many bytes a second, as in 50M' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand replicate" -s n -l links -d 'So many connections to each receiver [default: as many as help, up to 8]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand replicate" -l connect-timeout -d 'How long a connection may take to be made [default: 10]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand replicate" -l bind -d 'Connect from this local address. Given more than once, the links are spread over them' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand replicate" -l via -d 'With ssh://, how the data goes: over TCP where that can be had, or all of it through ssh' -r -f -a "auto\t'Over TCP links beside ssh, through ssh where none can be made'
ssh\t'Through ssh\'s own pipe'"
complete -c lvpipe -n "__fish_lvpipe_using_subcommand replicate" -l port-range -d 'With ssh://, where the receiver may listen, for firewalls [default: any free port]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand replicate" -l rsh -d 'With ssh://, the ssh to use and its options [default: ssh]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand replicate" -l remote-lvpipe -d 'With ssh://, where lvpipe is on the far side [default: lvpipe]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand replicate" -l retry-for -d 'When no link is left, try for so long to get one again [default: 60]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand replicate" -s W -l stall-timeout -d 'Give a link up on which nothing has moved for so long [default: 30]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand replicate" -s m -l memory -d 'Memory for buffers, as in 512M, 1G or 10% of the machine\'s [default: 256M, or what parts larger than 32M need]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand replicate" -s j -l threads -d 'Threads that compress or decompress [default: one a processor]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand replicate" -l progress -d 'How progress is shown, on standard error' -r -f -a "auto\t'A bar on a terminal; elsewhere plain lines with -v, nothing without'
bar\t'A bar; plain lines where standard error is not a terminal'
plain\t'A line every 10 seconds'
json\t'A JSON object every second and one at the end, in place of the summary'
none\t'Only the summary'"
complete -c lvpipe -n "__fish_lvpipe_using_subcommand replicate" -l create -d 'TARGET is VG/POOL:NAME, a thin volume that is made if there is none'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand replicate" -l rollback -d 'If somebody has written to the target, put it back first to the newest snapshot that both sides hold. What was written to it is lost'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand replicate" -l full -d 'Send all of it, over whatever the target holds, which is lost'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand replicate" -s v -l verbose -d 'Say more: without a terminal, a line of progress every 10 seconds'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand replicate" -s q -l quiet -d 'Say nothing but errors'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand replicate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand serve" -l listen -d 'Where to listen: a port on all addresses, or on one. `systemd`: on the sockets that systemd hands over' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand serve" -l token-file -d 'The token that clients must have, in a file; made there if there is none. Else in the environment as LVPIPE_TOKEN, else one is made for this run and printed' -r -F
complete -c lvpipe -n "__fish_lvpipe_using_subcommand serve" -l cert -d 'The server\'s certificate, and those that vouch for it, as PEM; made there, with its key, if there is neither. Then a server that is started again is the same one to who pulls' -r -F
complete -c lvpipe -n "__fish_lvpipe_using_subcommand serve" -l cert-key -d 'The certificate\'s key, as PEM' -r -F
complete -c lvpipe -n "__fish_lvpipe_using_subcommand serve" -l max-clients -d 'The most connections at a time that have shown the token; more are told to come again' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand serve" -s W -l stall-timeout -d 'Drop a client that takes nothing of what it asked for, for so long' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand serve" -l grace -d 'When it is to end, let what is being sent take so long' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand serve" -s s -l part-size -d 'The unit of transfer: a power of two from 64k to 8M' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand serve" -l compress -d 'Compression of parts for clients that take zstd: auto, none, zstd or zstd:LEVEL (-7 to 19)' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand serve" -l map -d 'Where the used map comes from' -r -f -a "auto\t'dm-thin\'s metadata for a thin LV, SEEK_DATA for a file'
none\t'No map: read everything, and find zeros while reading'"
complete -c lvpipe -n "__fish_lvpipe_using_subcommand serve" -l thin-metadata -d 'A saved copy of the pool\'s metadata (as dd makes it, not thin_metadata_pack) to take the map from' -r -F
complete -c lvpipe -n "__fish_lvpipe_using_subcommand serve" -l thin-id -d 'The source\'s device id in the pool, for --thin-metadata' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand serve" -l insecure -d 'Plain HTTP, and whoever can connect may read. To do so for other hosts too it must be given twice'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand serve" -l no-snapshot -d 'Serve a thin LV that is in use as it is, without a temporary snapshot, and an image file even if it changes. What is read is consistent only if nobody writes'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand serve" -s v -l verbose -d 'Say every request'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand serve" -s q -l quiet -d 'Say nothing but errors, and what clients have to be given'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand pull" -l create -d 'Make a thin volume of the right size in a pool, and remove it again if the transfer fails' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand pull" -l exec -d 'Give the volume to a command on its standard input, holes as zeros. Its status counts' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand pull" -s n -l connections -d 'So many connections at once, of a server that has ranges' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand pull" -l token-file -d 'The server\'s token, in a file; else in the environment as LVPIPE_TOKEN, else none is sent' -r -F
complete -c lvpipe -n "__fish_lvpipe_using_subcommand pull" -l fingerprint -d 'Believe the server that has the certificate with this fingerprint, as `lvpipe serve` prints it, and no other. Without, one that the system trusts under the URL\'s name' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand pull" -l retry-for -d 'When nothing comes, over no connection, go on trying for so long' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand pull" -s W -l stall-timeout -d 'Give a connection up on which nothing has come for so long' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand pull" -l connect-timeout -d 'How long a connection may take to be made' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand pull" -s m -l memory -d 'Memory for buffers, as in 512M, 1G or 10% of the machine\'s [default: 256M, or what parts larger than 32M need]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand pull" -s j -l threads -d 'Threads that compress or decompress [default: one a processor]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand pull" -l progress -d 'How progress is shown, on standard error' -r -f -a "auto\t'A bar on a terminal; elsewhere plain lines with -v, nothing without'
bar\t'A bar; plain lines where standard error is not a terminal'
plain\t'A line every 10 seconds'
json\t'A JSON object every second and one at the end, in place of the summary'
none\t'Only the summary'"
complete -c lvpipe -n "__fish_lvpipe_using_subcommand pull" -l resume -d 'Go on with a transfer that ended early, if there is one and the server\'s volume is still the same: only what is missing is fetched. What the target has is read again and compared with what was written'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand pull" -l insecure -d 'Send the token over http:// too, where everybody on the way can read it'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand pull" -s v -l verbose -d 'Say more: without a terminal, a line of progress every 10 seconds'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand pull" -s q -l quiet -d 'Say nothing but errors'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand pull" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand migrate" -l pause -d 'What makes the source\'s user stand still, here: from its end on nobody writes. If somebody is seen to do so before the far side takes over, it is not switched' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand migrate" -l unpause -d 'What lets the source\'s user go on, here, when the migration fails after the pause command has begun. Without it the source stays paused then' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand migrate" -l done -d 'What uses the volume on the far side, there, when it has all of it. If it fails, what it has started is ended and the source goes on' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand migrate" -l resume -d 'What is to be done when the far side has taken over, here. If it fails, the far side has taken over all the same' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand migrate" -l downtime -d 'Pause when what is left would take no longer than this, besides what the commands take' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand migrate" -l max-downtime -d 'Where the source is written so fast that it cannot be brought down to --downtime, pause for no longer than this; else give up, with the source as if nothing had been. If the last of it is not on the far side so long after the pause has begun, the source goes on too [default: however long]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand migrate" -l compress -d 'Compression: auto (by what the links and the processors have left), none, zstd or zstd:LEVEL (-7 to 19)' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand migrate" -l digest -d 'The digest of each part and of the whole' -r -f -a "blake3\t'BLAKE3: several times faster on most processors'
sha256\t'SHA-256 (FIPS 180-4): known everywhere, and where a rule asks for it'
none\t'None: only the CRC32C of each part, against accidents of transport'"
complete -c lvpipe -n "__fish_lvpipe_using_subcommand migrate" -s s -l part-size -d 'The unit of transfer: a power of two from 64k to 64M' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand migrate" -s r -l rate -d 'Send at most so many bytes a second, as in 50M; in the pause, as fast as it goes' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand migrate" -s n -l links -d 'So many connections to each receiver [default: as many as help, up to 8]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand migrate" -l connect-timeout -d 'How long a connection may take to be made [default: 10]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand migrate" -l bind -d 'Connect from this local address. Given more than once, the links are spread over them' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand migrate" -l via -d 'With ssh://, how the data goes: over TCP where that can be had, or all of it through ssh' -r -f -a "auto\t'Over TCP links beside ssh, through ssh where none can be made'
ssh\t'Through ssh\'s own pipe'"
complete -c lvpipe -n "__fish_lvpipe_using_subcommand migrate" -l port-range -d 'With ssh://, where the receiver may listen, for firewalls [default: any free port]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand migrate" -l rsh -d 'With ssh://, the ssh to use and its options [default: ssh]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand migrate" -l remote-lvpipe -d 'With ssh://, where lvpipe is on the far side [default: lvpipe]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand migrate" -l retry-for -d 'When no link is left, try for so long to get one again [default: 60]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand migrate" -s W -l stall-timeout -d 'Give a link up on which nothing has moved for so long [default: 30]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand migrate" -s m -l memory -d 'Memory for buffers, as in 512M, 1G or 10% of the machine\'s [default: 256M, or what parts larger than 32M need]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand migrate" -s j -l threads -d 'Threads that compress or decompress [default: one a processor]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand migrate" -l progress -d 'How progress is shown, on standard error' -r -f -a "auto\t'A bar on a terminal; elsewhere plain lines with -v, nothing without'
bar\t'A bar; plain lines where standard error is not a terminal'
plain\t'A line every 10 seconds'
json\t'A JSON object every second and one at the end, in place of the summary'
none\t'Only the summary'"
complete -c lvpipe -n "__fish_lvpipe_using_subcommand migrate" -l create -d 'With ssh://HOST/VG/POOL:NAME, make the thin volume there'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand migrate" -l dry-run -d 'Look at both sides and say what would be done. Nothing is written, and no command is run'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand migrate" -s v -l verbose -d 'Say more: without a terminal, a line of progress every 10 seconds'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand migrate" -s q -l quiet -d 'Say nothing but errors'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand migrate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand map" -l since -d 'Show what changed since BASE instead, another thin volume in the same pool, as a snapshot and a later one: what was written, and what was discarded' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand map" -l since-thin-id -d 'The same with --thin-metadata: the base\'s device id in the pool' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand map" -l map -d 'Where the used map comes from' -r -f -a "auto\t'dm-thin\'s metadata for a thin LV, SEEK_DATA for a file'
none\t'No map: read everything, and find zeros while reading'"
complete -c lvpipe -n "__fish_lvpipe_using_subcommand map" -l thin-metadata -d 'A saved copy of the pool\'s metadata (as dd makes it, not thin_metadata_pack) to take the map from' -r -F
complete -c lvpipe -n "__fish_lvpipe_using_subcommand map" -l thin-id -d 'The source\'s device id in the pool, for --thin-metadata' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand map" -l json -d 'Print a JSON object: size, used, source, and extents as pairs of offset and length, all in bytes. With a base: size, written, discarded, and the extents of either'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand map" -l extents -d 'Print every extent, a line each: offset and length in bytes. With a base, what became of it follows: written or discarded'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand map" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand inspect" -s m -l memory -d 'Memory for buffers, as in 512M, 1G or 10% of the machine\'s [default: 256M, or what parts larger than 32M need]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand inspect" -s j -l threads -d 'Threads that compress or decompress [default: one a processor]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand inspect" -l progress -d 'How progress is shown, on standard error' -r -f -a "auto\t'A bar on a terminal; elsewhere plain lines with -v, nothing without'
bar\t'A bar; plain lines where standard error is not a terminal'
plain\t'A line every 10 seconds'
json\t'A JSON object every second and one at the end, in place of the summary'
none\t'Only the summary'"
complete -c lvpipe -n "__fish_lvpipe_using_subcommand inspect" -l verify -d 'Check the contents against their digests'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand inspect" -l json -d 'Print a JSON object'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand inspect" -s v -l verbose -d 'Say more: without a terminal, a line of progress every 10 seconds'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand inspect" -s q -l quiet -d 'Say nothing but errors'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand inspect" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand bench" -l time -d 'How long to measure, in all. Where a round trip takes a tenth of a second, or the link carries less than a megabyte a second, give it 30 or more' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand bench" -l digest -d 'The digest of the transfer that is to come' -r -f -a "blake3\t'BLAKE3: several times faster on most processors'
sha256\t'SHA-256 (FIPS 180-4): known everywhere, and where a rule asks for it'
none\t'None: only the CRC32C of each part, against accidents of transport'"
complete -c lvpipe -n "__fish_lvpipe_using_subcommand bench" -s s -l part-size -d 'Its unit of transfer: a power of two from 64k to 64M' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand bench" -l retry-for -d 'When no link is left, try for so long to get one again [default: 60]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand bench" -s W -l stall-timeout -d 'Give a link up on which nothing has moved for so long [default: 30]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand bench" -s n -l links -d 'So many connections to each receiver [default: as many as help, up to 8]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand bench" -l connect-timeout -d 'How long a connection may take to be made [default: 10]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand bench" -l bind -d 'Connect from this local address. Given more than once, the links are spread over them' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand bench" -l via -d 'With ssh://, how the data goes: over TCP where that can be had, or all of it through ssh' -r -f -a "auto\t'Over TCP links beside ssh, through ssh where none can be made'
ssh\t'Through ssh\'s own pipe'"
complete -c lvpipe -n "__fish_lvpipe_using_subcommand bench" -l port-range -d 'With ssh://, where the receiver may listen, for firewalls [default: any free port]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand bench" -l rsh -d 'With ssh://, the ssh to use and its options [default: ssh]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand bench" -l remote-lvpipe -d 'With ssh://, where lvpipe is on the far side [default: lvpipe]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand bench" -l map -d 'Where the used map comes from' -r -f -a "auto\t'dm-thin\'s metadata for a thin LV, SEEK_DATA for a file'
none\t'No map: read everything, and find zeros while reading'"
complete -c lvpipe -n "__fish_lvpipe_using_subcommand bench" -l thin-metadata -d 'A saved copy of the pool\'s metadata (as dd makes it, not thin_metadata_pack) to take the map from' -r -F
complete -c lvpipe -n "__fish_lvpipe_using_subcommand bench" -l thin-id -d 'The source\'s device id in the pool, for --thin-metadata' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand bench" -s m -l memory -d 'Memory for buffers, as in 512M, 1G or 10% of the machine\'s [default: 256M, or what parts larger than 32M need]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand bench" -s j -l threads -d 'Threads that compress or decompress [default: one a processor]' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand bench" -l json -d 'Print a JSON object: all figures, rates in bytes a second, times in seconds'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand bench" -s q -l quiet -d 'Say nothing but the report, and errors'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand bench" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand doctor" -l json -d 'Print a JSON array: for each check what it is for, what was found, its state, and the way out'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand man" -l install -d 'Write all pages into this directory\'s man1' -r -F
complete -c lvpipe -n "__fish_lvpipe_using_subcommand man" -s h -l help -d 'Print help'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -s b -d 'use <num> blocks for buffer' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -s s -d 'use blocks of <size> bytes for processing' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -s m -d 'memory <size> of buffer in b,k,M,G,%' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -s D -d 'assumed output device size (default: infinite/auto-detect)' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -s P -d 'start writing after buffer has been filled more than <num>%' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -s p -d 'start reading after buffer has been filled less than <num>%' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -s i -d 'use <file> for input' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -s o -d 'use <file> for output (this option can be passed MULTIPLE times)' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -s I -d 'use network port <p> as input, allow only host <h> to connect, on interface <if>' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -s O -d 'output data to host <h> and port <p> (MULTIPLE outputs supported)' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -s n -d '<num> volumes for input, \'0\' to prompt interactively' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -s T -d 'as -t but uses <file> as buffer' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -s l -d 'use <file> for logging messages' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -s u -d 'pause <num> microseconds after each write' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -s r -d 'limit read rate to <rate> B/s, where <rate> can be given in b,k,M,G' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -s R -d 'same as -r for writing; use either one, if your tape is too fast' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -s M -d 'minimum rate: -r/-R follow the buffer\'s fill between -p and -P' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -s a -d 'autoloader which needs <time> seconds to reload' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -s A -d 'issue command <cmd> to request new volume' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -s v -d 'set verbose level to <level> (valid values are 0..6)' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -s W -d 'set watchdog timeout to <time> seconds' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -l tcpbuffer -d 'size for TCP buffer' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -l tcptimeo -d 'TCP send/receive time-out limit in msec' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -l hash -d 'use algorithm <alg>, if <alg> is \'list\' possible algorithms are listed' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -l progress -d '\'bar\' shows a bar on a terminal instead of the status line' -r
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -s L -d 'lock buffer in memory (unusable with file-based buffers)'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -s d -d 'use blocksize of device for output'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -l append -d 'append to output file (must be passed before -o)'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -l truncate -d 'truncate next file (must be passed before -o)'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -s t -d 'use memory-mapped temporary file (for huge buffer)'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -s f -d 'overwrite existing files (must be passed before -o)'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -s q -d 'quiet - do not display the status on stderr'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -s Q -d 'quiet - do not log the status'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -s c -d 'write with synchronous data integrity support (must be passed before -o)'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -s e -d 'stop processing on any kind of error'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -l pid -d 'print PID of this instance'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -s 4 -d 'force use of IPv4'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -s 6 -d 'force use of IPv6'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -s 0 -d 'use IPv4 or IPv6'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -l no-direct -d 'omit use of O_DIRECT - e.g. to enable compression on btrfs'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -l tapeaware -d 'write to end of tape instead of stopping when the drive signals the media end is approaching (write until 2x ENOSPC errors)'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -l direct -d 'use direct I/O for temporary file buffer'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -s H -l md5 -d 'generate md5 hash of transferred data'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -s V -l version -d 'print version information'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand buffer" -s h -l help -d 'print this help'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand help; and not __fish_seen_subcommand_from send recv replicate serve pull migrate map inspect bench doctor man completions buffer help" -f -a "send" -d 'Send the used blocks of a volume to standard output, or over several connections'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand help; and not __fish_seen_subcommand_from send recv replicate serve pull migrate map inspect bench doctor man completions buffer help" -f -a "recv" -d 'Receive a stream from standard input, or from a sender that connects, into a volume, sparse and verified'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand help; and not __fish_seen_subcommand_from send recv replicate serve pull migrate map inspect bench doctor man completions buffer help" -f -a "replicate" -d 'Keep a copy of a thin volume up to date: each run sends the next delta'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand help; and not __fish_seen_subcommand_from send recv replicate serve pull migrate map inspect bench doctor man completions buffer help" -f -a "serve" -d 'Serve volumes over HTTP, read-only: to `lvpipe pull`, and to any other HTTP client'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand help; and not __fish_seen_subcommand_from send recv replicate serve pull migrate map inspect bench doctor man completions buffer help" -f -a "pull" -d 'Pull a volume from a server over HTTP, over several connections at once, sparse and verified'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand help; and not __fish_seen_subcommand_from send recv replicate serve pull migrate map inspect bench doctor man completions buffer help" -f -a "migrate" -d 'Move a volume that is in use to another host, with a moment\'s pause'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand help; and not __fish_seen_subcommand_from send recv replicate serve pull migrate map inspect bench doctor man completions buffer help" -f -a "map" -d 'Show the used map of a volume, and how much it saves; or what changed between two snapshots'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand help; and not __fish_seen_subcommand_from send recv replicate serve pull migrate map inspect bench doctor man completions buffer help" -f -a "inspect" -d 'Show what a stream holds, and whether it is whole; or which state of its source a target holds'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand help; and not __fish_seen_subcommand_from send recv replicate serve pull migrate map inspect bench doctor man completions buffer help" -f -a "bench" -d 'Measure how fast a volume could be moved, and what would hold it up'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand help; and not __fish_seen_subcommand_from send recv replicate serve pull migrate map inspect bench doctor man completions buffer help" -f -a "doctor" -d 'Say what this host lacks for which feature, and how to get it'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand help; and not __fish_seen_subcommand_from send recv replicate serve pull migrate map inspect bench doctor man completions buffer help" -f -a "man" -d 'Show a manual page, or install all of them'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand help; and not __fish_seen_subcommand_from send recv replicate serve pull migrate map inspect bench doctor man completions buffer help" -f -a "completions" -d 'Print a shell\'s completions'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand help; and not __fish_seen_subcommand_from send recv replicate serve pull migrate map inspect bench doctor man completions buffer help" -f -a "buffer" -d 'Buffer a stream in memory, in mbuffer\'s place, with mbuffer\'s options'
complete -c lvpipe -n "__fish_lvpipe_using_subcommand help; and not __fish_seen_subcommand_from send recv replicate serve pull migrate map inspect bench doctor man completions buffer help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
