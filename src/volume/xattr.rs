//! One extended attribute of a file, xattr(7): what is known of it stays with it when it is renamed.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use nix::errno::Errno;

const NAME: &std::ffi::CStr = c"user.lvpipe.holds";
/// More than is ever written.
const LONGEST: usize = 1024;

/// Its value; `None` where there is none, or the file system knows none.
pub(super) fn read(file: &File) -> io::Result<Option<String>> {
    let mut value = [0_u8; LONGEST];
    // SAFETY: the name ends with a NUL, and the buffer is as long as is said.
    let length =
        unsafe { libc::fgetxattr(file.as_raw_fd(), NAME.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    match Errno::result(length) {
        Ok(length) => Ok(Some(String::from_utf8_lossy(&value[..length as usize]).into_owned())),
        Err(Errno::ENODATA | Errno::EOPNOTSUPP) => Ok(None),
        Err(why) => Err(why.into()),
    }
}

/// Gives it a value.
pub(super) fn write(file: &File, value: &str) -> io::Result<()> {
    // SAFETY: the name ends with a NUL, and the value is as long as is said.
    let done = unsafe { libc::fsetxattr(file.as_raw_fd(), NAME.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    Errno::result(done)?;
    file.sync_all()
}

/// Takes it away.
pub(super) fn remove(file: &File) -> io::Result<()> {
    // SAFETY: the name ends with a NUL.
    let done = unsafe { libc::fremovexattr(file.as_raw_fd(), NAME.as_ptr()) };
    match Errno::result(done) {
        Ok(_) => file.sync_all(),
        Err(Errno::ENODATA | Errno::EOPNOTSUPP) => Ok(()),
        Err(why) => Err(why.into()),
    }
}
