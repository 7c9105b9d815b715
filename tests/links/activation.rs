//! A supervisor that opens the socket, starts the receiver with it, and hears how it goes: sd_listen_fds(3),
//! sd_notify(3).

use std::net::TcpListener;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use crate::image::{Image, scratch_in_memory};
use crate::party::send_to;
use crate::process::{LVPIPE, lvpipe, start};

/// A receiver that is started with these sockets from descriptor 3 on.
fn activated(sockets: Vec<TcpListener>) -> Command {
    // The process that the variables are meant for has the id of the shell that becomes it.
    let mut command = Command::new("sh");
    let script = format!("LISTEN_PID=$$ LISTEN_FDS={} exec \"$0\" \"$@\"", sockets.len());
    command.args(["-c", &script, LVPIPE, "recv", "-I", "systemd"]);
    // Far from those that they are moved to.
    let high: Vec<i32> = sockets
        .into_iter()
        .map(|socket| {
            // SAFETY: F_DUPFD takes a number; the descriptor is open.
            let copy = unsafe { nix::libc::fcntl(socket.as_raw_fd(), nix::libc::F_DUPFD_CLOEXEC, 100) };
            assert!(copy >= 100);
            copy
        })
        .collect();
    let moved = move || {
        for (number, from) in (3..).zip(&high) {
            // SAFETY: dup2(2) is async-signal-safe; what was at 3 and above in this child is nobody's after the exec.
            if unsafe { nix::libc::dup2(*from, number) } < 0 {
                return Err(std::io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: only dup2(2) is called between fork and exec.
    unsafe { command.pre_exec(moved) };
    command
}

#[test]
fn a_receiver_takes_the_sockets_that_are_handed_over_and_says_how_it_goes() {
    let scratch = scratch_in_memory();
    let (source, target) = (scratch.path().join("image"), scratch.path().join("copy"));
    Image::sample().write(&source);
    let sockets = ["127.0.0.1:0", "[::1]:0"].map(|address| TcpListener::bind(address).expect("a free port"));
    let addresses = sockets.each_ref().map(|socket| socket.local_addr().expect("bound"));
    let notify = scratch.path().join("notify");
    let supervisor = UnixDatagram::bind(&notify).expect("a socket");
    supervisor.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
    let mut command = activated(sockets.into());
    let receiving = start(command.arg("--insecure").arg(&target).env("NOTIFY_SOCKET", &notify));
    let hear = || {
        let mut bytes = [0; 1024];
        let length = supervisor.recv(&mut bytes).expect("a notification");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    assert!(hear().contains("READY=1"));
    // Over both of them.
    let mut sender =
        send_to(addresses[0], &["--insecure", "-n", "2", "-s", "64k", "-O"], addresses[1].to_string().as_ref());
    start(sender.arg(&source)).end().expect_ok();
    receiving.end().expect_ok();
    Image::sample().assert_is(&target);
    let mut said = String::new();
    while !said.contains("STOPPING=1") {
        said += &hear();
    }
    assert!(said.contains("STATUS="), "{said}");
}

#[test]
fn without_sockets_it_says_so() {
    let scratch = scratch_in_memory();
    let ran = start(lvpipe(["recv", "-I", "systemd"]).arg(scratch.path().join("copy"))).end();
    ran.expect_failure(2, &["no socket was handed over", "-I PORT"]);
    let file = std::fs::File::create(scratch.path().join("file")).expect("a file");
    // SAFETY: the descriptor was just taken out of the file, which is a socket in name only.
    let pretended = unsafe { <TcpListener as std::os::fd::FromRawFd>::from_raw_fd(file.into_raw_fd()) };
    let mut command = activated(vec![pretended]);
    start(command.arg(scratch.path().join("copy"))).end().expect_failure(2, &["it is not a listening TCP socket"]);
}
