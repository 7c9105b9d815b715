//! Sockets handed over as systemd does it, to a child process: this test binary again.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use super::*;
use crate::link::activation::notify;

/// Set for the child alone.
const CHILD: &str = "LVPIPE_TEST_ACTIVATED";

/// The child's part of the tests below; without its variable it is run as a test of its own, and nothing is handed
/// over.
#[test]
fn the_child() {
    let activated = Listener::activated();
    if std::env::var_os(CHILD).is_none() {
        assert!(activated.expect("nothing to fail").is_none());
        return;
    }
    match activated {
        Err(error) => println!("refused: {error}"),
        Ok(None) => println!("nothing"),
        Ok(Some(listener)) => {
            assert!(Listener::activated().expect("nothing to fail").is_none(), "they are handed over once");
            println!("listening at {:?}", listener.local_addresses());
            notify("READY=1");
            let (to, links) = bounded(1);
            let closer = listener.closer();
            thread::scope(|scope| {
                scope.spawn(|| listener.serve(&Security::Insecure, &to, &|_| {}, &Stop::new()));
                let (mut link, _) = links.recv_timeout(LONG).expect("the parent dials");
                link.writer.write_all(b"hello").expect("it is read");
                closer.close();
            });
        }
    }
}

/// Runs the child with this as descriptor 3: handed to a shell as its stdin, and on by that.
fn child(handed: OwnedFd, pid_is_its_own: bool, notify_socket: &str) -> Command {
    let pid = if pid_is_its_own { "$$" } else { "1" };
    let test = "link::tests::activation::the_child";
    let run = format!("LISTEN_PID={pid} LISTEN_FDS=1 exec \"$0\" --exact {test} --nocapture 3<&0");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &run]).arg(std::env::current_exe().expect("this program"));
    command.env(CHILD, "1").env("NOTIFY_SOCKET", notify_socket).stdin(handed).stdout(Stdio::piped());
    command
}

#[test]
fn a_socket_that_is_handed_over_is_served() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let place = listener.local_addr().expect("bound");
    let scratch = tempfile::tempdir().expect("a directory");
    let path = scratch.path().join("notify");
    let supervisor = UnixDatagram::bind(&path).expect("a socket");
    supervisor.set_read_timeout(Some(LONG)).expect("a socket");
    let running = child(listener.into(), true, path.to_str().expect("UTF-8")).spawn().expect("it runs");
    let mut said = [0; 64];
    let length = supervisor.recv(&mut said).expect("it is ready");
    assert_eq!(&said[..length], b"READY=1");
    let address = place.to_string().parse().expect("an address");
    let dialer = Dialer::new(vec![address], Vec::new(), LONG, Security::Insecure).expect("an address");
    let mut link = dialer.dial(0, &Stop::new()).expect("it listens");
    link.writer.write_all(&prelude(0).encode()).expect("it is read");
    let mut hello = [0; 5];
    link.reader.read_exact(&mut hello).expect("it is written");
    assert_eq!(&hello, b"hello");
    let output = running.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn what_is_handed_to_another_or_does_not_listen_is_not_taken() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let place = listener.local_addr().expect("bound");
    let copy = listener.try_clone().expect("a descriptor");
    let output = child(copy.into(), false, "").output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("nothing"), "{said}");
    let stream = TcpStream::connect(place).expect("it listens");
    let output = child(stream.into(), true, "").output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("descriptor 3: it is not a listening TCP socket"), "{said}");
}
