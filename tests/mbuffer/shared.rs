//! Pipes that several processes share: each byte goes to exactly one reader.

use std::io::Write;
use std::process::Stdio;

use crate::pair::{BOTH, Place, code, wait};

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
