//! Images whose blocks are stamped with their own place, so that a block in the wrong place cannot pass.

use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

const BLOCK: u64 = 4096;
const KIB: u64 = 1 << 10;

/// What a volume holds: all else is a hole.
#[derive(Debug, Clone)]
pub struct Image {
    pub size: u64,
    pub data: Vec<Range<u64>>,
    /// Two images with different seeds differ in every block.
    pub seed: u64,
}

impl Image {
    pub fn new(size: u64, data: &[Range<u64>]) -> Image {
        Image { size, data: data.to_vec(), seed: 1 }
    }

    /// One run of data.
    pub fn with_one_run(size: u64, data: Range<u64>) -> Image {
        Image { size, data: vec![data], seed: 1 }
    }

    /// All of it is data.
    pub fn full(size: u64) -> Image {
        Image::with_one_run(size, 0..size)
    }

    pub fn seed(self, seed: u64) -> Image {
        Image { seed, ..self }
    }

    /// 2.3 MiB: data and holes of several sizes, on and off the grid, a hole at the end.
    pub fn sample() -> Image {
        let data = [0..100 * KIB, 256 * KIB..260 * KIB, 600 * KIB..1100 * KIB + 17, 1600 * KIB..2100 * KIB];
        Image::new(2300 * KIB, &data)
    }

    /// Makes a sparse file of it.
    pub fn write(&self, path: &Path) {
        let file = File::create(path).expect("an image file");
        file.set_len(self.size).expect("its size");
        for range in &self.data {
            for piece in pieces(range) {
                file.write_all_at(&self.content(&piece), piece.start).expect("written");
            }
        }
        // Delayed allocation gone, SEEK_DATA and the space taken are what they will stay.
        file.sync_all().expect("synced");
    }

    /// All of its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.size as usize];
        for range in &self.data {
            bytes[range.start as usize..range.end as usize].copy_from_slice(&self.content(range));
        }
        bytes
    }

    fn content(&self, range: &Range<u64>) -> Vec<u8> {
        let blocks = range.start / BLOCK..range.end.div_ceil(BLOCK);
        let mut bytes = Vec::with_capacity((blocks.end - blocks.start) as usize * BLOCK as usize);
        blocks.clone().for_each(|number| bytes.extend_from_slice(&self.block(number)));
        let begin = (range.start - blocks.start * BLOCK) as usize;
        bytes.drain(..begin);
        bytes.truncate((range.end - range.start) as usize);
        bytes
    }

    /// Half of the blocks, by runs of 256 KiB, compress well; the others hardly.
    fn block(&self, number: u64) -> [u8; BLOCK as usize] {
        let stamp = (number << 16 | self.seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let compresses = (number / 64).is_multiple_of(2);
        let mut state = stamp;
        let mut block = [0; BLOCK as usize];
        for word in block.chunks_exact_mut(8) {
            if !compresses {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
            }
            word.copy_from_slice(&state.to_le_bytes());
        }
        block
    }

    /// The file at `path` is byte for byte this image.
    #[track_caller]
    pub fn assert_is(&self, path: &Path) {
        let found = fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        self.assert_bytes(&found);
    }

    /// These bytes are this image's.
    #[track_caller]
    pub fn assert_bytes(&self, found: &[u8]) {
        assert_eq!(found.len() as u64, self.size, "size");
        let expected = self.bytes();
        // At once first: byte by byte takes its time in a test's build.
        if found != expected {
            let at = (0..found.len()).find(|at| found[*at] != expected[*at]).expect("they differ");
            panic!("first difference at byte {at} (block {}), in {self:?}", at as u64 / BLOCK);
        }
    }
}

/// A long range in pieces that are written one by one, so that the test's own memory stays small.
fn pieces(range: &Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let end = range.end;
    (range.start..end).step_by(BLOCK as usize * 256).map(move |begin| begin..(begin + BLOCK * 256).min(end))
}

/// Bytes that a file takes on its file system, as du(1) counts.
pub fn space(path: &Path) -> u64 {
    fs::metadata(path).expect("a file").blocks() * 512
}

/// The copy takes no more space than the source.
#[track_caller]
pub fn assert_takes_no_more(copy: &Path, source: &Path) {
    // ext4 keeps a block for a list of extents that once, while it was written, did not fit into the inode.
    let (copy, most) = (space(copy), space(source) + BLOCK);
    assert!(copy <= most, "takes {copy} bytes, and no more than {most} are due");
}

/// The names in a directory, sorted.
pub fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
    names.sort();
    names
}

/// What a transfer to `copy` leaves that can be gone on with.
pub const UNFINISHED: [&str; 2] = ["copy.lvpipe-journal", "copy.partial"];

/// Of a transfer to `copy` that failed there is nothing in the directory besides `others`, or what it can be gone on
/// with: never a file under the name itself.
#[track_caller]
pub fn assert_not_there(directory: &Path, others: &[&str]) {
    let mut found = names(directory);
    if UNFINISHED.iter().all(|name| found.iter().any(|found| found == name)) {
        found.retain(|found| !UNFINISHED.contains(&found.as_str()));
    }
    assert_eq!(found, others);
}

/// A scratch directory in memory, for what is about bytes and not about a disk: nothing waits for a sync there.
pub fn scratch_in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").expect("a scratch directory in memory")
}

/// A scratch directory on the disk that the tests are built on.
pub fn scratch_on_disk() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a scratch directory on a disk")
}
