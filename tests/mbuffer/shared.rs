//! Pipes that several processes share: each byte goes to exactly one reader, and no small block is torn by another
//! writer. Sockets that keep messages apart: a block is a message.

use std::io::{Read, Write};
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Duration;

use crate::pair::{BOTH, Place, Program, bytes, code, wait};

/// So many blocks, each filled with its number.
fn numbered(blocks: usize, size: usize) -> impl Iterator<Item = Vec<u8>> {
    (0..blocks as u32).map(move |number| number.to_le_bytes().iter().copied().cycle().take(size).collect())
}

/// The number of each block, and whether the whole block says so.
fn number(block: &[u8]) -> Option<u32> {
    let first = u32::from_le_bytes(block.get(..4)?.try_into().ok()?);
    block.iter().eq(first.to_le_bytes().iter().cycle().take(block.len())).then_some(first)
}

#[test]
fn two_readers_of_one_pipe_get_each_block_once() {
    for program in BOTH {
        for _ in 0..3 {
            let place = Place::new();
            let (reader, mut producer) = std::io::pipe().expect("a pipe");
            let children = ["a", "b"].map(|name| {
                let mut command = place.command(program, &["-q", "-s", "4k", "-m", "1M", "-o", name]);
                command.stdin(reader.try_clone().expect("a descriptor")).stderr(Stdio::null());
                command.spawn().expect("it starts")
            });
            drop(reader);
            for block in numbered(3000, 4096) {
                producer.write_all(&block).expect("somebody reads");
            }
            drop(producer);
            for mut child in children {
                assert_eq!(code(wait(&mut child, "a reader")), 0);
            }
            let (mut got, b) = (place.read("a"), place.read("b"));
            got.extend(b);
            let mut numbers: Vec<_> = got.chunks(4096).map(number).collect();
            numbers.sort_unstable();
            assert!(numbers == (0..3000).map(Some).collect::<Vec<_>>(), "{program:?}: {} blocks", numbers.len());
        }
    }
}

#[test]
fn two_writers_of_one_pipe_tear_no_small_block() {
    for program in BOTH {
        for (size, options) in
            [(1000, "-b 3000"), (1000, "-b 3000 -R 20M"), (512, "-b 6000"), (512, "-b 6000 -R 20M")]
        {
            let place = Place::new();
            let input: Vec<u8> = numbered(3000, size).flatten().collect();
            place.write("in", &input);
            let (mut reader, writer) = std::io::pipe().expect("a pipe");
            let line = format!("-q -v 0 -s {size} {options} -i in");
            let args: Vec<&str> = line.split_whitespace().collect();
            let children = [(); 2].map(|()| {
                let mut command = place.command(program, &args);
                command
                    .stdin(Stdio::null())
                    .stdout(writer.try_clone().expect("a descriptor"))
                    .stderr(Stdio::null());
                command.spawn().expect("it starts")
            });
            drop(writer);
            // Both come to wait for room.
            std::thread::sleep(Duration::from_millis(200));
            let mut out = Vec::new();
            reader.read_to_end(&mut out).expect("data");
            for mut child in children {
                assert_eq!(code(wait(&mut child, &line)), 0, "{program:?} {line}");
            }
            let torn = out.chunks(size).filter(|block| number(block).is_none()).count();
            assert_eq!((torn, out.len()), (0, 2 * input.len()), "{program:?} {line}");
        }
    }
}

/// Runs it with this socket as standard output; the lengths of the messages that come out at `there`.
fn messages(program: Program, here: OwnedFd, there: &socket2::Socket, input: &[u8]) -> Vec<usize> {
    let place = Place::new();
    place.write("in", input);
    let mut command = place.command(program, &["-q", "-s", "1316", "-i", "in"]);
    let mut child = command.stdin(Stdio::null()).stdout(here).stderr(Stdio::null()).spawn().expect("it starts");
    drop(command);
    there.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
    let (mut got, mut lengths) = (Vec::new(), Vec::new());
    let mut space = vec![0; 1 << 16];
    while got.len() < input.len() {
        let len = (&*there).read(&mut space).expect("a message");
        got.extend_from_slice(&space[..len]);
        lengths.push(len);
    }
    assert!(got == input, "{program:?}");
    assert_eq!(code(wait(&mut child, "mbuffer")), 0);
    lengths
}

#[test]
fn a_block_is_a_datagram() {
    // No more than a socket's buffer takes: the network may lose what comes after that.
    let mut expected = vec![1316; 40];
    expected.push(700);
    for program in BOTH {
        let there = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let here = UdpSocket::bind("127.0.0.1:0").expect("a port");
        here.connect(there.local_addr().expect("an address")).expect("it is there");
        assert_eq!(messages(program, here.into(), &there.into(), &bytes(40 * 1316 + 700)), expected, "{program:?}");
    }
}

#[test]
fn a_block_is_a_sequenced_packet() {
    let mut expected = vec![1316; 1000];
    expected.push(700);
    for program in BOTH {
        let (here, there) =
            socket2::Socket::pair(socket2::Domain::UNIX, socket2::Type::SEQPACKET, None).expect("sockets");
        assert_eq!(messages(program, here.into(), &there, &bytes(1000 * 1316 + 700)), expected, "{program:?}");
    }
}
