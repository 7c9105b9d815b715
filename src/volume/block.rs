//! What the kernel tells of a block device, and does with ranges of it: the ioctls of `linux/fs.h`.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

mod ioctl {
    // From linux/fs.h.
    nix::ioctl_read!(get_size, 0x12, 114, u64); // BLKGETSIZE64
    nix::ioctl_read_bad!(get_read_only, nix::request_code_none!(0x12, 94), libc::c_int); // BLKROGET
    nix::ioctl_read_bad!(get_sector_size, nix::request_code_none!(0x12, 104), libc::c_int); // BLKSSZGET
    nix::ioctl_write_ptr_bad!(discard, nix::request_code_none!(0x12, 119), [u64; 2]); // BLKDISCARD
    nix::ioctl_write_ptr_bad!(zero_out, nix::request_code_none!(0x12, 127), [u64; 2]); // BLKZEROOUT
}

/// Bytes of the device.
pub(super) fn size(device: &File) -> io::Result<u64> {
    let mut size = 0;
    // SAFETY: BLKGETSIZE64 writes one u64, which `size` is.
    unsafe { ioctl::get_size(device.as_raw_fd(), &mut size) }?;
    Ok(size)
}

/// Whether the device refuses writes.
pub(super) fn is_read_only(device: &File) -> io::Result<bool> {
    let mut answer = 0;
    // SAFETY: BLKROGET writes one int, which `answer` is.
    unsafe { ioctl::get_read_only(device.as_raw_fd(), &mut answer) }?;
    Ok(answer != 0)
}

/// Bytes of a logical sector: what direct I/O is aligned to.
pub(super) fn sector_size(device: &File) -> io::Result<u64> {
    let mut size = 0;
    // SAFETY: BLKSSZGET writes one int, which `size` is.
    unsafe { ioctl::get_sector_size(device.as_raw_fd(), &mut size) }?;
    Ok(u64::try_from(size).unwrap_or(512).max(512))
}

/// Tells the device that the range is not needed: offset and length are multiples of the sector size.
pub(super) fn discard(device: &File, offset: u64, length: u64) -> io::Result<()> {
    // SAFETY: BLKDISCARD reads two u64, which the array is.
    unsafe { ioctl::discard(device.as_raw_fd(), &[offset, length]) }?;
    Ok(())
}

/// Makes the range read as zeros, by unmapping where the device can and by writing where it cannot: offset and
/// length are multiples of the sector size.
pub(super) fn zero_out(device: &File, offset: u64, length: u64) -> io::Result<()> {
    // SAFETY: BLKZEROOUT reads two u64, which the array is.
    unsafe { ioctl::zero_out(device.as_raw_fd(), &[offset, length]) }?;
    Ok(())
}
