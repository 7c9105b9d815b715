//! A supervisor's part: listening sockets that it hands over (sd_listen_fds(3)), and telling it how the service is
//! (sd_notify(3)). Both are nothing where there is no supervisor.

use std::env;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use socket2::{SockRef, Type};

use crate::error::{Error, Result};

/// The first descriptor that is handed over; SD_LISTEN_FDS_START.
const FIRST: RawFd = 3;

/// The listening sockets handed over to this process: once, later calls get none.
pub(super) fn sockets() -> Result<Option<Vec<TcpListener>>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let number = |name| env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    let count = number("LISTEN_FDS").unwrap_or(0);
    // A process started by the one that was meant has the variables too, but another id.
    if number("LISTEN_PID") != Some(std::process::id()) || count == 0 || TAKEN.swap(true, Ordering::SeqCst) {
        return Ok(None);
    }
    let count = RawFd::try_from(count).unwrap_or(RawFd::MAX - FIRST);
    (FIRST..FIRST.saturating_add(count)).map(take).collect::<Result<Vec<_>>>().map(Some)
}

fn take(number: RawFd) -> Result<TcpListener> {
    let refused = |why: &str| {
        Error::usage("cannot listen", format!("LISTEN_FDS: descriptor {number}"), why)
            .way_out("a socket unit hands over ListenStream= of an address and port, with Accept=no")
    };
    // SAFETY: only looked at: F_GETFD is safe to ask of any number, open or not.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    if flags < 0 {
        return Err(refused("it is not open"));
    }
    // SAFETY: it is open, and by the supervisor's word, which names this process, it is this process's to own;
    // it is taken once (`TAKEN`).
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    if !listens(fd.as_fd()) {
        return Err(refused("it is not a listening TCP socket"));
    }
    // Programs started from here must not hold the port.
    let kept = fcntl(&fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
    kept.map_err(|e| Error::io("cannot listen", format!("descriptor {number}"), &e.into()))?;
    Ok(TcpListener::from(fd))
}

fn listens(fd: BorrowedFd<'_>) -> bool {
    let socket = SockRef::from(&fd);
    let tcp = socket.r#type().is_ok_and(|kind| kind == Type::STREAM)
        && socket.domain().is_ok_and(|domain| domain == socket2::Domain::IPV4 || domain == socket2::Domain::IPV6);
    tcp && socket.is_listener().unwrap_or(false)
}

/// Tells the supervisor, if there is one that listens: `READY=1`, `STATUS=...`, `STOPPING=1`, a line each.
///
/// A supervisor that is not there any more is no reason to end: what it is not told is lost.
pub fn notify(state: &str) {
    let Some(path) = env::var_os("NOTIFY_SOCKET") else { return };
    let address = match path.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(&path),
    };
    if let (Ok(address), Ok(socket)) = (address, UnixDatagram::unbound()) {
        let _ = socket.send_to_addr(state.as_bytes(), &address);
    }
}
