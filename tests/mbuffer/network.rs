//! Each pairing of lvpipe and mbuffer over TCP: the other end does not notice.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::pair::{BOTH, Place, Program, bytes, code, finish, free_port, wait};

/// Starts a receiver and waits until somebody listens at the port.
#[expect(clippy::zombie_processes, reason = "whoever starts it waits for it")]
fn receiver(place: &Place, program: Program, line: &str, port: u16) -> Child {
    let args: Vec<&str> = line.split_whitespace().collect();
    let mut command = place.command(program, &args);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    let wanted = format!(":{port:04X} ");
    let start = Instant::now();
    loop {
        let tables =
            ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| std::fs::read_to_string(table).unwrap_or_default());
        // State 0A is LISTEN; the local address comes before it.
        let listens = |row: &str| row.split_whitespace().nth(3) == Some("0A") && row.contains(&wanted);
        if tables.iter().any(|table| table.lines().any(listens)) {
            return child;
        }
        if start.elapsed() > Duration::from_secs(20) {
            let _ = child.kill();
            panic!("nobody listens at port {port}: {:?}", child.wait());
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn said(child: &mut Child) -> String {
    let mut text = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut text).expect("text");
    text
}

#[test]
fn every_pairing_carries_every_byte() {
    let input = bytes(3_000_000);
    let ways = [
        ("-I", "-O 127.0.0.1:"),
        ("-4 -I", "-4 -O localhost:"),
        ("-6 -I", "-O [::1]:"),
        ("-6 -I", "-O 127.0.0.1:"),
    ];
    for to in BOTH {
        for from in BOTH {
            if (to, from) == (Program::Mbuffer, Program::Mbuffer) {
                continue;
            }
            for (listen, connect) in ways {
                let place = Place::new();
                let port = free_port();
                let mut child = receiver(&place, to, &format!("-q -s 64k {listen} {port} -o got"), port);
                place.line(from, &format!("-q -s 64k {connect}{port}"), &input).expect(0);
                assert_eq!(code(wait(&mut child, "the receiver")), 0);
                assert!(place.read("got") == input, "{from:?} to {to:?}, {listen} {connect}");
            }
        }
    }
}

#[test]
fn one_sender_may_have_many_receivers() {
    let input = bytes(1_000_000);
    let place = Place::new();
    let ports = [free_port(), free_port()];
    let mut children =
        ports.map(|port| receiver(&place, Program::Mbuffer, &format!("-q -I {port} -o got{port}"), port));
    let line = format!("-q -O 127.0.0.1:{} -O 127.0.0.1:{} -o here", ports[0], ports[1]);
    place.line(Program::Lvpipe, &line, &input).expect(0);
    for (child, port) in children.iter_mut().zip(ports) {
        assert_eq!(code(wait(child, "a receiver")), 0);
        assert!(place.read(&format!("got{port}")) == input);
    }
    assert!(place.read("here") == input);
}

#[test]
fn only_the_named_host_is_let_in() {
    for program in BOTH {
        let place = Place::new();
        let port = free_port();
        let mut child = receiver(&place, program, &format!("-q -I 127.0.0.2:{port} -o got"), port);
        let mut stranger = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        let mut end = Vec::new();
        assert!(matches!(stranger.read_to_end(&mut end), Ok(0) | Err(_)), "it is closed without a byte");
        let friend = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        friend.bind(&"127.0.0.2:0".parse::<std::net::SocketAddr>().expect("an address").into()).expect("bound");
        let there: std::net::SocketAddr = ([127, 0, 0, 1], port).into();
        friend.connect(&there.into()).expect("it listens on");
        (&friend).write_all(b"hello").expect("sent");
        drop(friend);
        assert_eq!(code(wait(&mut child, "the receiver")), 0);
        assert_eq!(place.read("got"), b"hello");
        assert!(said(&mut child).contains("mbuffer: warning: rejected connection from 127.0.0.1\n"));
    }
}

#[test]
fn an_ipv6_host_is_listened_for_without_a_6() {
    let place = Place::new();
    let port = free_port();
    let mut child = receiver(&place, Program::Lvpipe, &format!("-q -I [::1]:{port} -o got"), port);
    place.line(Program::Mbuffer, &format!("-q -6 -O [::1]:{port}"), b"hello").expect(0);
    assert_eq!(code(wait(&mut child, "the receiver")), 0);
    assert_eq!(place.read("got"), b"hello");
}

#[test]
fn nobody_there_is_named_and_other_outputs_go_on() {
    let port = free_port();
    let place = Place::new();
    let alone = place.line(Program::Lvpipe, &format!("-O 127.0.0.1:{port}"), b"").expect(1);
    let expected = format!(
        "mbuffer: warning: error connecting to tcp/127.0.0.1:{port}: Connection refused\n\
         mbuffer: error: unable to connect to 127.0.0.1:{port}\n\
         mbuffer: fatal: no output left - nothing to do\n"
    );
    assert_eq!(alone.err, expected);
    let nameless = BOTH.map(|program| place.line(program, &format!("-O :{port}"), b"").expect(1).err);
    assert_eq!(nameless[0], nameless[1]);
    // The real one crashes on this.
    let both = place.line(Program::Lvpipe, &format!("-q -O 127.0.0.1:{port} -o -"), b"data").expect(1);
    assert_eq!(both.out, b"data");
}

#[test]
fn a_port_in_use_is_named() {
    let holder = TcpListener::bind("0.0.0.0:0").expect("a port");
    let port = holder.local_addr().expect("an address").port();
    for program in BOTH {
        let place = Place::new();
        let outcome = place.line(program, &format!("-4 -I {port}"), b"").expect(1);
        let expected = format!(
            "mbuffer: warning: could not bind to socket for tcp/0.0.0.0:{port}: Address already in use\n\
             mbuffer: fatal: Unable to initialize network input.\n"
        );
        assert_eq!(outcome.err, expected);
    }
}

#[test]
fn ports_that_do_not_exist_are_refused() {
    let place = Place::new();
    for line in ["-I :", "-I 65536", "-I 0", "-O localhost:70000", "-O localhost:"] {
        let outcome = place.line(Program::Lvpipe, line, b"").expect(1);
        assert!(outcome.err.starts_with("mbuffer: fatal: invalid port '"), "{outcome}");
    }
}

#[test]
fn a_sender_that_resets_is_an_error_and_what_came_is_delivered() {
    for program in BOTH {
        let place = Place::new();
        let port = free_port();
        let mut child = receiver(&place, program, &format!("-q -s 64k -I {port} -o got"), port);
        let sender = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        (&sender).write_all(&bytes(300_000)).expect("sent");
        // Time to take it in: what the kernel still holds dies with the connection.
        thread::sleep(Duration::from_millis(500));
        let socket = socket2::Socket::from(sender);
        socket.set_linger(Some(Duration::ZERO)).expect("set");
        drop(socket);
        assert_eq!(code(wait(&mut child, "the receiver")), 1);
        assert!(place.read("got") == bytes(300_000));
        let err = said(&mut child);
        assert!(
            err.contains("inputThread: error reading at offset 0x") && err.contains("Connection reset by peer"),
            "{err}"
        );
    }
}

#[test]
fn a_receiver_that_closes_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let place = Place::new();
    let command = place.command(Program::Lvpipe, &["-q", "-O", &format!("127.0.0.1:{port}")]);
    let peer = thread::spawn(move || drop(listener.accept().expect("a connection")));
    let outcome = finish(command, &bytes(20_000_000)).expect(1);
    peer.join().expect("no panic");
    assert!(outcome.err.contains(&format!("error writing to 127.0.0.1:{port} at offset 0x")), "{outcome}");
}

#[test]
fn a_receiver_that_resets_is_an_error_also_while_the_input_is_idle() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let place = Place::new();
    let mut command = place.command(Program::Lvpipe, &["-q", "-s", "64k", "-O", &format!("127.0.0.1:{port}")]);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(&bytes(64 << 10)).expect("taken");
    let (mut peer, _) = listener.accept().expect("a connection");
    peer.read_exact(&mut vec![0; 64 << 10]).expect("a block");
    let socket = socket2::Socket::from(peer);
    socket.set_linger(Some(Duration::ZERO)).expect("set");
    drop(socket);
    assert_eq!(code(wait(&mut child, "mbuffer")), 1);
    let expected = format!("error writing to 127.0.0.1:{port} at offset 0x10000: Connection reset by peer\n");
    let err = said(&mut child);
    assert!(err.contains(&expected), "{err}");
    drop(stdin);
}

/// Closes a connection with a reset.
fn reset(peer: TcpStream) {
    socket2::Socket::from(peer).set_linger(Some(Duration::ZERO)).expect("set");
}

/// A sender that has one peer beside other outputs; its peer has got the first block.
fn beside(place: &Place, others: &str) -> (Child, std::process::ChildStdin, TcpStream, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let line = format!("-q -s 64k -O 127.0.0.1:{port} {others}");
    let args: Vec<&str> = line.split_whitespace().collect();
    let mut command = place.command(Program::Lvpipe, &args);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(&bytes(64 << 10)).expect("taken");
    let (mut peer, _) = listener.accept().expect("a connection");
    peer.read_exact(&mut vec![0; 64 << 10]).expect("a block");
    (child, stdin, peer, port)
}

#[test]
fn a_receiver_that_resets_beside_a_plain_output_is_an_error_and_the_output_is_complete() {
    // The real one ends with 0. Found by a look while nothing comes; or at the end, when there was no time for one.
    for idle in [Duration::from_millis(1500), Duration::ZERO] {
        let place = Place::new();
        let (mut child, mut stdin, peer, port) = beside(&place, "-o out");
        reset(peer);
        thread::sleep(idle);
        if !idle.is_zero() {
            // More than the peer got: only the file takes it.
            stdin.write_all(&bytes(100_000)).expect("taken");
        }
        drop(stdin);
        assert_eq!(code(wait(&mut child, "mbuffer")), 1);
        let err = said(&mut child);
        let told = format!(
            "mbuffer: error: error writing to 127.0.0.1:{port}: Connection reset by peer\n\
             mbuffer: warning: error during output to 127.0.0.1:{port}: Connection reset by peer\n"
        );
        assert!(err.ends_with(&told), "{err}");
        let expected = if idle.is_zero() { bytes(64 << 10) } else { [bytes(64 << 10), bytes(100_000)].concat() };
        assert!(place.read("out") == expected);
    }
}

#[test]
fn a_receiver_that_resets_with_the_last_bytes_still_on_their_way_is_an_error() {
    // The real one has ended with 0 long before.
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    listener.set_recv_buffer_size(32 << 10).expect("set");
    listener.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().expect("an address").into()).expect("a port");
    listener.listen(1).expect("set");
    let port = listener.local_addr().expect("an address").as_socket().expect("of TCP").port();
    let place = Place::new();
    let command = place.command(Program::Lvpipe, &["-q", "-O", &format!("127.0.0.1:{port}")]);
    let peer = thread::spawn(move || {
        let (peer, _) = listener.accept().expect("a connection");
        thread::sleep(Duration::from_millis(700));
        reset(peer.into());
    });
    let outcome = finish(command, &bytes(500_000)).expect(1);
    peer.join().expect("no panic");
    assert!(outcome.err.contains("error writing to 127.0.0.1:"), "{outcome}");
}

#[test]
fn a_slow_receiver_is_not_given_up_while_it_takes_something() {
    // The real one gives it up: a write that waits is woken only when a third of the socket's buffer is free.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let place = Place::new();
    let line = format!("-q -s 64k --tcptimeo 400ms -O 127.0.0.1:{port}");
    let args: Vec<&str> = line.split_whitespace().collect();
    let command = place.command(Program::Lvpipe, &args);
    let peer = thread::spawn(move || {
        let (mut peer, _) = listener.accept().expect("a connection");
        let (start, mut got, mut some) = (Instant::now(), Vec::new(), vec![0; 8000]);
        loop {
            let len = peer.read(&mut some).expect("data");
            got.extend_from_slice(&some[..len]);
            if len == 0 {
                return got;
            }
            if start.elapsed() < Duration::from_secs(5) {
                thread::sleep(Duration::from_millis(50));
            }
        }
    });
    let outcome = finish(command, &bytes(30_000_000)).expect(0);
    assert_eq!(outcome.err, "");
    assert!(peer.join().expect("no panic") == bytes(30_000_000));
}

#[test]
fn a_time_out_of_less_than_nothing_is_none() {
    for program in BOTH {
        let place = Place::new();
        let port = free_port();
        let line = format!("-q --tcptimeo 100ms --tcptimeo -1 -I {port} -o got");
        let mut child = receiver(&place, program, &line, port);
        let mut sender = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        thread::sleep(Duration::from_millis(600));
        sender.write_all(b"hello").expect("sent");
        drop(sender);
        assert_eq!(code(wait(&mut child, "the receiver")), 0, "{program:?}");
        assert_eq!(place.read("got"), b"hello");
    }
}

#[test]
fn several_peers_that_reset_end_it_with_status_1() {
    // The real one hangs in one of seven such runs.
    for _ in 0..10 {
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
        let ports = listeners.each_ref().map(|listener| listener.local_addr().expect("an address").port());
        let place = Place::new();
        let line = format!("-q -s 64k -O 127.0.0.1:{} -O 127.0.0.1:{}", ports[0], ports[1]);
        let peers = listeners.map(|listener| {
            thread::spawn(move || {
                let (mut peer, _) = listener.accept().expect("a connection");
                peer.read_exact(&mut [0; 1000]).expect("data");
                socket2::Socket::from(peer).set_linger(Some(Duration::ZERO)).expect("set");
            })
        });
        place.line(Program::Lvpipe, &line, &bytes(20_000_000)).expect(1);
        for peer in peers {
            peer.join().expect("no panic");
        }
    }
}

#[test]
fn a_silent_peer_is_given_up_after_the_time_out() {
    let place = Place::new();
    let port = free_port();
    let mut child = receiver(&place, Program::Lvpipe, &format!("-q --tcptimeo 300ms -I {port}"), port);
    let silent = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    assert_eq!(code(wait(&mut child, "the receiver")), 1);
    assert!(said(&mut child).contains("Resource temporarily unavailable"));
    drop(silent);
}

#[test]
fn an_interface_limits_who_comes_in() {
    let place = Place::new();
    let port = free_port();
    let mut child = receiver(&place, Program::Lvpipe, &format!("-q -I {port}@lo -o got"), port);
    place.line(Program::Mbuffer, &format!("-q -O 127.0.0.1:{port}"), b"hello").expect(0);
    assert_eq!(code(wait(&mut child, "the receiver")), 0);
    assert_eq!(place.read("got"), b"hello");
    let outcome = place.line(Program::Lvpipe, &format!("-I {port}@nosuch0"), b"").expect(1);
    assert!(outcome.err.contains("No such device"), "{outcome}");
}
