//! On loop devices: root and losetup(8) are needed. A loop device's discards punch holes into the file behind it, so
//! that it can stand for a thin LV too, except that nothing lies in its new chunks: that is put there by hand.

use std::path::{Path, PathBuf};
use std::process::Command;

use std::sync::atomic::Ordering;

use super::*;

const CHUNK: u64 = 64 << 10;
const MIB: u64 = 1 << 20;

/// A loop device over a file full of old data; detached when dropped.
struct LoopDevice {
    path: PathBuf,
    /// The file behind it.
    file: PathBuf,
    _scratch: tempfile::TempDir,
}

impl LoopDevice {
    fn over_old_data(size: u64, options: &[&str]) -> LoopDevice {
        // Beside this program, which is on a disk: not every /tmp is.
        let program = std::env::current_exe().expect("this program");
        let scratch = tempfile::tempdir_in(program.parent().expect("a directory")).expect("a scratch directory");
        let file = scratch.path().join("disk");
        std::fs::write(&file, vec![0xaa; size as usize]).expect("written");
        let attached = Command::new("losetup").args(["-f", "--show"]).args(options).arg(&file).output();
        let attached = attached.expect("losetup, from the package mount");
        let said = String::from_utf8_lossy(&attached.stderr);
        assert!(attached.status.success(), "these tests need root and loop devices: {said}");
        let path = String::from_utf8(attached.stdout).expect("text").trim().into();
        LoopDevice { path, file, _scratch: scratch }
    }

    fn target(&self, discards: Discards) -> BlockTarget {
        let name = self.path.display().to_string();
        BlockTarget::open(&self.path, &name, discards, &Stop::new()).expect("it is nobody's")
    }

    /// What the file behind has, once the device is synced.
    fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.file).expect("read")
    }

    /// How much of the file behind takes up space.
    fn space(&self) -> u64 {
        std::os::linux::fs::MetadataExt::st_blocks(&self.file.metadata().expect("there")) * 512
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("-d").arg(&self.path).status();
    }
}

/// Aligned memory, as parts have it.
fn aligned(length: u64) -> MmapMut {
    MmapMut::map_anon(length as usize).expect("memory")
}

fn filled(length: u64, byte: u8) -> MmapMut {
    let mut memory = aligned(length);
    memory.fill(byte);
    memory
}

#[track_caller]
fn assert_holds(target: &BlockTarget, offset: u64, expected: &[u8]) {
    // To where a device can read, and to where it cannot.
    let mut back = aligned(expected.len() as u64 + ALIGN);
    for shift in [0, 1, 512] {
        let into = &mut back[shift..shift + expected.len()];
        into.fill(0x55);
        target.read_back(offset, into).expect("read");
        assert!(into == expected, "at offset {offset}, to an address that is {shift} off");
    }
}

#[test]
fn what_either_way_has_written_is_read_back() {
    for options in [&[][..], &["--sector-size", "4096"]] {
        let device = LoopDevice::over_old_data(4 * MIB, options);
        let target = device.target(Discards::Unknown);
        target.begin(Some(2 * MIB + 777)).expect("it fits");
        // What was read before, by whichever way, is not what is read afterwards.
        let mut cached = vec![0; 4 * MIB as usize];
        target.buffered.read_exact_at(&mut cached, 0).expect("read");
        assert_holds(&target, 0, &[0xaa; 3 << 20]);
        target.write(0, &filled(MIB, 1)).expect("written");
        target.hole(MIB, MIB).expect("zeroed");
        // Its end goes by way of the page cache.
        target.write(2 * MIB, &filled(777, 3)).expect("written");
        let expected = [&[1; 1 << 20][..], &[0; 1 << 20], &[3; 777], &[0xaa; 99]].concat();
        assert_holds(&target, 0, &expected);
        assert_holds(&target, 2 * MIB, &expected[2 << 20..]);
        assert_holds(&target, 2 * MIB - 5, &expected[(2 << 20) - 5..]);
        target.write(0, &filled(4096, 4)).expect("written");
        assert_holds(&target, 0, &[&[4; 4096][..], &[1; 4096]].concat());
        // Beyond the end there is nothing.
        let error = target.read_back(4 * MIB - 4096, &mut aligned(8192)).expect_err("it ends there");
        assert!(error.to_string().starts_with("cannot read target: /dev/loop"), "{error}");
        target.sync().expect("synced");
        assert!(device.bytes().starts_with(&[&[4; 4096][..], &expected[4096..]].concat()));
    }
}

#[test]
fn going_on_makes_holes_and_leaves_the_data_on_any_device() {
    let device = LoopDevice::over_old_data(2 * MIB, &[]);
    let size = MIB + 5000;
    let target = device.target(Discards::Unknown);
    target.resume(Some(size)).expect("it fits");
    // With help of the device and without.
    target.hole(4096, 8192).expect("zeroed");
    target.cannot_punch.store(true, Ordering::Relaxed);
    target.hole(16384, 4096).expect("zeroed");
    target.hole(MIB, 5000).expect("zeroed");
    target.finish(size).expect("finished");
    let mut expected = vec![0xaa; 2 << 20];
    expected[4096..12288].fill(0);
    expected[16384..20480].fill(0);
    expected[1 << 20..][..5000].fill(0);
    assert!(device.bytes() == expected);
}

#[test]
fn going_on_discards_nothing_but_holes_of_a_thin_volume() {
    for zeroed in [true, false] {
        let device = LoopDevice::over_old_data(4 * MIB, &[]);
        let size = 3 * MIB + 512;
        let target = device.target(Discards::Unmap { chunk: CHUNK, zeroed });
        target.resume(Some(size)).expect("it fits");
        // A hole with a share of two chunks at its ends; one within a chunk; one that ends with the volume.
        target.hole(CHUNK - 4096, 10 * CHUNK + 8192).expect("a hole");
        target.hole(20 * CHUNK + 8192, 4096).expect("a hole");
        target.hole(3 * MIB, 512).expect("a hole");
        target.finish(size).expect("finished");
        let mut expected = vec![0xaa; 4 << 20];
        expected[CHUNK as usize - 4096..][..10 * CHUNK as usize + 8192].fill(0);
        expected[20 * CHUNK as usize + 8192..][..4096].fill(0);
        // Behind the volume, in its last chunk, what a pool that does not zero has brought up is nobody's.
        let tail = if zeroed { 512 } else { CHUNK as usize };
        expected[3 << 20..][..tail].fill(0);
        assert!(device.bytes() == expected, "zeroed: {zeroed}");
        let whole_chunks = 10 * CHUNK;
        assert!(device.space() <= 4 * MIB - whole_chunks, "the whole chunks are not unmapped: {}", device.space());
    }
}

/// What data maps later, in a pool that does not zero new chunks, is zeroed at the end where a hole was told before;
/// and what is not mapped then stays so, for the zeros are only read.
#[test]
fn a_holes_share_of_a_chunk_that_is_mapped_later_reads_as_zeros() {
    for resumes in [true, false] {
        let device = LoopDevice::over_old_data(4 * MIB, &[]);
        let size = 4 * MIB;
        let target = device.target(Discards::Unmap { chunk: 4 * CHUNK, zeroed: false });
        if resumes {
            // All of it was discarded by the earlier run.
            target.discard_all(4 * CHUNK).expect("discarded");
            target.resume(Some(size)).expect("it fits");
        } else {
            target.begin(Some(size)).expect("it fits");
        }
        // The hole ends in the middle of a chunk, and there is another after the data; all else is holes.
        target.hole(0, 6 * CHUNK).expect("a hole");
        target.hole(7 * CHUNK, size - 7 * CHUNK).expect("a hole");
        // Somebody has read it: the page cache has zeros of the whole chunk.
        target.buffered.read_exact_at(&mut vec![0; 8 * CHUNK as usize], 0).expect("read");
        // What the pool held comes up with the data, behind the page cache's back.
        let behind = OpenOptions::new().write(true).open(&device.file).expect("the file");
        behind.write_all_at(&filled(4 * CHUNK, 0xee), 4 * CHUNK).expect("written");
        target.write(6 * CHUNK, &filled(CHUNK, 1)).expect("written");
        target.finish(size).expect("finished");
        let mut expected = vec![0; size as usize];
        expected[6 * CHUNK as usize..7 * CHUNK as usize].fill(1);
        assert!(device.bytes() == expected, "resumes: {resumes}");
        assert!(device.space() <= 4 * CHUNK, "more is mapped than the data's chunk: {}", device.space());
    }
}

#[test]
fn a_device_that_is_too_small_is_not_gone_on_with() {
    let device = LoopDevice::over_old_data(MIB, &[]);
    let error = device.target(Discards::Unknown).resume(Some(MIB + 1)).expect_err("it does not fit");
    assert_eq!(error.status(), Status::Guard);
    assert!(device.bytes() == vec![0xaa; MIB as usize]);
}

/// The place of a device's journal names the device, and tells another one that is attached as it later on.
#[test]
fn a_device_has_a_place_for_a_journal_of_its_own() {
    let of = |path: &Path| crate::volume::find_journal(path.as_os_str()).expect("fine").expect("a device");
    let device = LoopDevice::over_old_data(MIB, &[]);
    let place = of(&device.path);
    let name = format!("device-%2fdev%2f{}.lvpipe-journal", device.path.file_name().expect("a name").display());
    assert!(place.path().ends_with(&name), "{place:?}");
    assert!(place.identity().contains("/disk 2048"), "{place:?}");
    let other = LoopDevice::over_old_data(MIB, &[]);
    assert_ne!(of(&other.path).identity(), place.identity());
    let link = device.file.with_file_name("link");
    std::os::unix::fs::symlink(&device.path, &link).expect("linked");
    assert_eq!(of(&link).path(), place.path());
}
