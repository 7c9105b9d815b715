//! Block devices as targets and sources, on loop devices: root and losetup(8) are needed. One test at a time: the
//! kernel has only so many of them (see .config/nextest.toml).

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::image::{Image, scratch_on_disk};
use crate::process::{LVPIPE, Ran, lvpipe, recv, run, run_pair, run_with_input, send, start, wait_until};

const MIB: u64 = 1 << 20;

/// A loop device; detached when dropped.
struct LoopDevice {
    path: PathBuf,
}

impl LoopDevice {
    /// Attaches a file of this size, full of old data.
    fn over_old_data(file: &Path, size: u64) -> LoopDevice {
        old_data(size).write(file);
        LoopDevice::attach(file, &[])
    }

    fn attach(file: &Path, options: &[&str]) -> LoopDevice {
        let attached = Command::new("losetup").args(["-f", "--show"]).args(options).arg(file).output();
        let attached = attached.expect("losetup, from the package mount");
        let said = String::from_utf8_lossy(&attached.stderr);
        assert!(attached.status.success(), "these tests need root and loop devices: {said}");
        LoopDevice { path: String::from_utf8(attached.stdout).expect("text").trim().into() }
    }

    /// All bytes, past what the page cache of this process' view may hold.
    fn bytes(&self) -> Vec<u8> {
        let device = File::open(&self.path).expect("a device");
        // SAFETY: BLKFLSBUF takes no argument; the descriptor is open.
        unsafe { nix::libc::ioctl(device.as_raw_fd(), 0x1261) };
        fs::read(&self.path).expect("read")
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("-d").arg(&self.path).status();
    }
}

fn old_data(size: u64) -> Image {
    Image::full(size).seed(2)
}

/// The stream of an image.
fn stream_of(image: &Image, directory: &Path) -> Vec<u8> {
    let path = directory.join("image");
    image.write(&path);
    run(&mut send(&["-s", "64k"], &path)).expect_ok().stdout
}

fn receive(stream: &[u8], target: &Path) -> Ran {
    run_with_input(&mut recv(&[], target), stream)
}

#[test]
fn an_image_replaces_old_data_and_its_holes_read_as_zeros() {
    let scratch = scratch_on_disk();
    let image = Image::sample();
    let stream = stream_of(&image, scratch.path());
    let device = LoopDevice::over_old_data(&scratch.path().join("disk"), image.size);
    receive(&stream, &device.path).expect_ok();
    image.assert_bytes(&device.bytes());
}

#[test]
fn what_lies_behind_a_smaller_volume_is_not_touched() {
    let scratch = scratch_on_disk();
    // Ends off every grid, in data and in a hole.
    for image in [Image::full(MIB + 5), Image::with_one_run(2 * MIB + 100, 0..4096), Image::full(512 * 7)] {
        let stream = stream_of(&image, scratch.path());
        let device = LoopDevice::over_old_data(&scratch.path().join("disk"), 3 * MIB);
        receive(&stream, &device.path).expect_ok();
        let found = device.bytes();
        let (volume, behind) = found.split_at(image.size as usize);
        image.assert_bytes(volume);
        assert!(behind == &old_data(3 * MIB).bytes()[image.size as usize..], "changed behind {} bytes", image.size);
    }
}

#[test]
fn a_byte_stream_goes_to_a_device() {
    let scratch = scratch_on_disk();
    let image = Image::full(MIB + 77);
    let stream = run_with_input(&mut lvpipe(["send", "-s", "64k", "-"]), &image.bytes()).expect_ok().stdout;
    let device = LoopDevice::over_old_data(&scratch.path().join("disk"), 2 * MIB);
    receive(&stream, &device.path).expect_ok();
    image.assert_bytes(&device.bytes()[..image.size as usize]);
}

#[test]
fn a_device_goes_to_a_file_and_its_zeros_become_holes() {
    let scratch = scratch_on_disk();
    let image = Image::sample();
    let (disk, copy) = (scratch.path().join("disk"), scratch.path().join("copy"));
    fs::write(&disk, image.bytes()).expect("written");
    let device = LoopDevice::attach(&disk, &[]);
    run_pair(&mut send(&[], &device.path), &mut recv(&[], &copy)).expect_ok();
    image.assert_is(&copy);
    assert!(crate::image::space(&copy) < image.size * 3 / 4);
}

#[test]
fn a_device_of_another_sector_size_is_written() {
    let scratch = scratch_on_disk();
    let image = Image::full(MIB + 4097);
    let stream = stream_of(&image, scratch.path());
    old_data(2 * MIB).write(&scratch.path().join("disk"));
    let device = LoopDevice::attach(&scratch.path().join("disk"), &["--sector-size", "4096"]);
    receive(&stream, &device.path).expect_ok();
    image.assert_bytes(&device.bytes()[..image.size as usize]);
}

#[test]
fn a_mounted_device_is_refused_untouched() {
    let scratch = scratch_on_disk();
    let (disk, mount_point, saved) =
        (scratch.path().join("disk"), scratch.path().join("mnt"), scratch.path().join("stream"));
    File::create(&disk).and_then(|file| file.set_len(4 * MIB)).expect("a disk");
    let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&disk).status().expect("mkfs.ext4");
    assert!(made.success());
    let before = fs::read(&disk).expect("the disk");
    fs::create_dir(&mount_point).expect("made");
    fs::write(&saved, stream_of(&Image::sample(), scratch.path())).expect("written");
    let device = LoopDevice::attach(&disk, &[]);
    // Read-only, so that nothing but lvpipe could change it; in a mount namespace that ends with the command.
    let script = "mount -o ro \"$1\" \"$2\" && \"$0\" recv \"$1\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script, LVPIPE]).args([&device.path, &mount_point]);
    let ran = run(command.stdin(File::open(&saved).expect("the stream")));
    let mounted = format!(": it is mounted on {0}\n  umount {0}", mount_point.display());
    ran.expect_failure(4, &["lvpipe: target refused: /dev/loop", &mounted]);
    assert!(fs::read(&disk).expect("the disk") == before, "the device was changed");
}

#[test]
fn a_device_that_is_too_small_is_refused_untouched_by_how_much() {
    let scratch = scratch_on_disk();
    let image = Image::sample();
    let stream = stream_of(&image, scratch.path());
    let device = LoopDevice::over_old_data(&scratch.path().join("disk"), image.size - 4096);
    let said = format!(
        "it has {} bytes, the source has {}: 4096 bytes are missing\n  for a logical volume: lvextend -L +4096b ",
        image.size - 4096,
        image.size
    );
    receive(&stream, &device.path).expect_failure(4, &["lvpipe: target refused: /dev/loop", &said]);
    old_data(image.size - 4096).assert_bytes(&device.bytes());
}

/// How long it is, nobody knows before.
#[test]
fn a_byte_stream_that_is_longer_than_the_device_fails() {
    let scratch = scratch_on_disk();
    let bytes = Image::full(2 * MIB).bytes();
    let stream = run_with_input(&mut lvpipe(["send", "-s", "64k", "-"]), &bytes).expect_ok().stdout;
    let device = LoopDevice::over_old_data(&scratch.path().join("disk"), MIB);
    receive(&stream, &device.path).expect_failure(
        1,
        &[
            "lvpipe: cannot write target: /dev/loop",
            ": the stream is longer than the device's 1048576 bytes\n  name a larger",
        ],
    );
}

#[test]
fn a_read_only_device_is_refused() {
    let scratch = scratch_on_disk();
    let stream = stream_of(&Image::sample(), scratch.path());
    let disk = scratch.path().join("disk");
    old_data(4 * MIB).write(&disk);
    let attached_so = LoopDevice::attach(&disk, &["-r"]);
    receive(&stream, &attached_so.path).expect_failure(4, &["target refused: /dev/loop", ": it is read-only\n  "]);
    drop(attached_so);
    let set_so = LoopDevice::attach(&disk, &[]);
    let set = Command::new("blockdev").arg("--setro").arg(&set_so.path).status().expect("blockdev");
    assert!(set.success());
    receive(&stream, &set_so.path).expect_failure(4, &["target refused: /dev/loop", ": it is read-only\n  "]);
    let set = Command::new("blockdev").arg("--setrw").arg(&set_so.path).status().expect("blockdev");
    assert!(set.success());
    old_data(4 * MIB).assert_is(&disk);
}

#[test]
fn a_device_that_another_process_has_open_for_writing_is_refused() {
    let scratch = scratch_on_disk();
    let stream = stream_of(&Image::sample(), scratch.path());
    let device = LoopDevice::over_old_data(&scratch.path().join("disk"), 4 * MIB);
    // As a virtual machine has its disk open: not exclusively.
    let disk = OpenOptions::new().write(true).open(&device.path).expect("open");
    receive(&stream, &device.path).expect_failure(4, &["target refused: /dev/loop", "has it open for writing\n"]);
    drop(disk);
    receive(&stream, &device.path).expect_ok();
}

#[test]
fn of_two_lvpipes_on_one_device_the_second_is_refused() {
    let scratch = scratch_on_disk();
    let image = Image::sample();
    let stream = stream_of(&image, scratch.path());
    let device = LoopDevice::over_old_data(&scratch.path().join("disk"), image.size);
    let mut first = start(recv(&[], &device.path).stdin(Stdio::piped()));
    let mut writer = first.stdin();
    let (begin, rest) = stream.split_at(stream.len() / 2);
    writer.write_all(begin).expect("it reads");
    let disk = File::open(scratch.path().join("disk")).expect("the disk");
    wait_until("its first block is written", || {
        let mut block = vec![0; 4096];
        disk.read_exact_at(&mut block, 0).expect("a block");
        block == image.bytes()[..4096]
    });
    receive(&stream, &device.path).expect_failure(4, &["target refused: /dev/loop", ": it is in use by "]);
    writer.write_all(rest).expect("it still reads");
    drop(writer);
    first.end().expect_ok();
    image.assert_bytes(&device.bytes());
}

/// `lvpipe send /dev/loop0 | lvpipe recv /dev/loop0`.
#[test]
fn the_source_itself_is_refused_as_the_target() {
    let scratch = scratch_on_disk();
    let device = LoopDevice::over_old_data(&scratch.path().join("disk"), 4 * MIB);
    run_pair(&mut send(&["-r", "4M", "-s", "64k"], &device.path), &mut recv(&[], &device.path))
        .expect_recv_failure(4, &["target refused: /dev/loop", "it is the source that is being sent"]);
    old_data(4 * MIB).assert_bytes(&device.bytes());
    let itself = OpenOptions::new().write(true).open(&device.path).expect("open");
    start(send(&[], &device.path).stdout(itself))
        .end()
        .expect_failure(4, &["standard output is the source itself"]);
    old_data(4 * MIB).assert_bytes(&device.bytes());
}

#[test]
fn the_file_behind_a_loop_device_is_refused() {
    let scratch = scratch_on_disk();
    let disk = scratch.path().join("disk");
    let stream = stream_of(&Image::sample(), scratch.path());
    let device = LoopDevice::over_old_data(&disk, 4 * MIB);
    let said = format!("{0} is attached to it\n  losetup -d {0}", device.path.display());
    receive(&stream, &disk).expect_failure(4, &["target refused: ", &said]);
    old_data(4 * MIB).assert_is(&disk);
}

#[test]
fn who_may_write_a_device_that_is_sent_is_told() {
    let scratch = scratch_on_disk();
    let (disk, mount_point) = (scratch.path().join("disk"), scratch.path().join("mnt"));
    File::create(&disk).and_then(|file| file.set_len(4 * MIB)).expect("a disk");
    let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&disk).status().expect("mkfs.ext4");
    assert!(made.success());
    fs::create_dir(&mount_point).expect("made");
    let device = LoopDevice::attach(&disk, &[]);
    let nobody = run(&mut send(&[], &device.path)).expect_ok();
    assert!(!nobody.stderr.contains("in use"), "{nobody}");

    let said = |ran: Ran, who: &str| {
        let ran = ran.expect_ok();
        let told =
            format!(": {who}: what is written to it now arrives in part or not at all; take a snapshot of it");
        assert!(ran.stderr.contains(&told), "expected {told:?}: {ran}");
    };
    // In a mount namespace that ends with the command.
    let mut mounted = Command::new("unshare");
    mounted.args(["-m", "sh", "-c", "mount -o ro \"$1\" \"$2\" && \"$0\" send \"$1\"", LVPIPE]);
    said(run(mounted.args([&device.path, &mount_point])), &format!("it is mounted on {}", mount_point.display()));

    let open = OpenOptions::new().write(true).open(&device.path).expect("open");
    let myself = fs::read_to_string("/proc/self/comm").expect("a name");
    let writer = format!("{} (process {}) has it open for writing", myself.trim_end(), std::process::id());
    said(run(&mut send(&[], &device.path)), &writer);
    drop(open);

    let behind = run(&mut send(&[], &disk)).expect_ok();
    let attached = format!("disk is in use: {} is attached to it: if it changes while", device.path.display());
    assert!(behind.stderr.contains(&attached), "{behind}");
}
