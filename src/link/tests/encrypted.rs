//! TLS: who has the key gets in and nobody else; what is cut or changed on the way is an error.

use std::net::{Shutdown, TcpListener};

use super::*;
use crate::error::{Error, Status};
use crate::link::tests::strangers::dropped_after;
use crate::wire::Answer;

#[test]
fn links_carry_bytes_both_ways_at_once() {
    let key = new_key();
    let serving = Serving::keyed(&key);
    let (near, far) = joined(&serving, &serving.dialer(Security::Key(key)), 3);
    full_both_ways(near, far, 24 << 20);
}

#[test]
fn slices_of_any_length_arrive_in_their_order() {
    let key = new_key();
    let serving = Serving::keyed(&key);
    let (mut near, mut far) = joined(&serving, &serving.dialer(Security::Key(key)), 0);
    let lengths = [0, 1, 80, 16_383, 16_384, 16_385, 5, 40_000, 131_072, 7, 131_073, 0, 1 << 20, 3];
    let slices: Vec<Vec<u8>> = lengths.iter().zip(1..).map(|(length, seed)| pattern(*length, seed)).collect();
    let expected = slices.concat();
    let total = expected.len();
    let reading = thread::spawn(move || {
        let mut got = Vec::new();
        // In pieces that fit nothing.
        let mut piece = vec![0; 10_007];
        while got.len() < total {
            let length = far.reader.read(&mut piece).expect("it is written");
            assert!(length > 0, "the end, after {}", got.len());
            got.extend_from_slice(&piece[..length]);
        }
        got
    });
    let mut slices: Vec<_> = slices.iter().map(|slice| std::io::IoSlice::new(slice)).collect();
    let mut left = slices.as_mut_slice();
    std::io::IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        let length = near.writer.write_vectored(left).expect("it is read");
        std::io::IoSlice::advance_slices(&mut left, length);
    }
    assert!(reading.join().expect("no panic") == expected, "other bytes arrived");
}

fn refused(serving: &Serving, security: Security) -> Error {
    serving.dialer(security).dial(0, &Stop::new()).err().expect("it is not let in")
}

#[test]
fn another_key_is_told_at_both_ends() {
    let serving = Serving::keyed(&new_key());
    let error = refused(&serving, Security::Key(new_key()));
    assert_eq!(error.status(), Status::Peer);
    assert!(error.to_string().contains("the key is not this receiver's\n  take the key"), "{error}");
    serving.says("dropped: not authenticated: its key is another");
    assert!(serving.links.is_empty());
}

#[test]
fn a_sender_that_does_not_encrypt_is_sent_away_with_the_reason() {
    let serving = Serving::keyed(&new_key());
    let mut link = serving.dialer(Security::Insecure).dial(0, &Stop::new()).expect("it listens");
    link.writer.write_all(&prelude(0).encode()).expect("it is read");
    match Answer::read(&mut link.reader).expect("an answer") {
        Answer::Failed { status: Status::Peer, reason } => assert!(reason.contains("--insecure"), "{reason}"),
        other => panic!("{other:?}"),
    }
    serving.says("a sender with --insecure");
}

#[test]
fn a_receiver_that_does_not_encrypt_is_refused() {
    let serving = Serving::insecure();
    let error = refused(&serving, Security::Key(new_key()));
    assert_eq!(error.status(), Status::Peer);
    assert!(error.to_string().contains("it does not encrypt"), "{error}");
    serving.says("this receiver was started with --insecure");
}

/// What dialling with a key says of a server that does this with its connection.
fn dialled(server: impl FnOnce(TcpStream) + Send + 'static, timeout: Duration) -> Error {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.local_addr().expect("bound").to_string().parse().expect("an address");
    let serving = thread::spawn(move || server(listener.accept().expect("dialled").0));
    let dialer = Dialer::new(vec![address], Vec::new(), timeout, Security::Key(new_key())).expect("an address");
    let error = dialer.dial(0, &Stop::new()).err().expect("it is no receiver");
    serving.join().expect("no panic");
    error
}

#[test]
fn servers_that_are_not_lvpipe_are_named() {
    let says = |what: &'static [u8]| {
        move |mut stream: TcpStream| {
            let _ = stream.read(&mut [0; 4096]);
            stream.write_all(what).expect("it is read");
            dropped_after(stream);
        }
    };
    let rows: [(&[u8], &str); 4] = [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it is an HTTP server"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "it speaks ssh"),
        // A fatal alert: handshake failure.
        (b"\x15\x03\x03\x00\x02\x02\x28", "it speaks TLS, but is no lvpipe receiver"),
        (&[0; 64], "what it sent is not lvpipe's"),
    ];
    for (bytes, said) in rows {
        let error = dialled(says(bytes), LONG);
        assert_eq!(error.status(), Status::Peer, "{error}");
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[test]
fn a_server_that_closes_or_says_nothing_may_be_tried_again() {
    let error = dialled(drop, LONG);
    assert_eq!(error.status(), Status::Io, "{error}");
    let started = Instant::now();
    let error = dialled(|stream| _ = dropped_after(stream), Duration::from_millis(200));
    assert_eq!(error.status(), Status::Io);
    assert!(error.to_string().contains("no handshake within 0.2 s"), "{error}");
    assert!(started.elapsed() < LONG);
}

#[test]
fn a_hello_and_nothing_more_is_dropped_in_time() {
    let key = new_key();
    // A sender's first message, taken from one.
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.local_addr().expect("bound").to_string().parse().expect("an address");
    let dialer = Dialer::new(vec![address], Vec::new(), LONG, Security::Key(key.clone())).expect("an address");
    let hello = thread::scope(|scope| {
        scope.spawn(|| drop(dialer.dial(0, &Stop::new())));
        let mut hello = vec![0; 16 << 10];
        let length = listener.accept().expect("dialled").0.read(&mut hello).expect("a hello");
        hello.truncate(length);
        hello
    });
    let serving = Serving::keyed(&key);
    for bytes in [&hello[..], &hello[..hello.len() / 2], &hello[..1]] {
        let mut stranger = serving.stranger();
        stranger.write_all(bytes).expect("it is read");
        let waited = dropped_after(stranger);
        assert!(waited < Duration::from_secs(5), "{waited:?}");
    }
    serving.says("its handshake was not done within 2 s");
    // Replayed with something else after it, it is of no use either.
    let mut stranger = serving.stranger();
    stranger.write_all(&[&hello[..], &hello[..]].concat()).expect("it is read");
    dropped_after(stranger);
    serving.says("it has no key");
    assert!(serving.links.is_empty());
}

#[test]
fn a_clean_end_is_told_from_a_cut() {
    let key = new_key();
    let serving = Serving::keyed(&key);
    let dialer = serving.dialer(Security::Key(key));
    let (mut near, mut far) = joined(&serving, &dialer, 0);
    near.writer.write_all(b"last").expect("it is read");
    drop(near.writer);
    let mut got = Vec::new();
    far.reader.read_to_end(&mut got).expect("a clean end");
    assert_eq!(got, b"last");
    // The other direction goes on.
    far.writer.write_all(b"answer").expect("it is read");
    let mut answer = [0; 6];
    near.reader.read_exact(&mut answer).expect("it is written");
    assert_eq!(&answer, b"answer");

    let (near, mut far) = joined(&serving, &dialer, 1);
    near.hang_up.hang_up();
    let error = far.reader.read(&mut [0; 8]).expect_err("a cut");
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{error}");
}

/// Both ends of a link with a proxy between, that passes on what the sender sends as `pass` does.
fn through(pass: impl FnOnce(TcpStream, TcpStream) + Send + 'static) -> (Link, Link, Serving) {
    let key = new_key();
    let serving = Serving::keyed(&key);
    let proxy = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = proxy.local_addr().expect("bound").to_string().parse().expect("an address");
    let place = serving.place;
    thread::spawn(move || {
        let near = proxy.accept().expect("dialled").0;
        let far = TcpStream::connect(place).expect("it listens");
        let (mut from, mut to) = (far.try_clone().expect("a descriptor"), near.try_clone().expect("a descriptor"));
        thread::spawn(move || std::io::copy(&mut from, &mut to));
        pass(near, far);
    });
    let dialer = Dialer::new(vec![address], Vec::new(), LONG, Security::Key(key)).expect("an address");
    let (near, far) = joined(&serving, &dialer, 0);
    (near, far, serving)
}

#[test]
fn a_connection_cut_within_a_record_is_an_error() {
    let (mut near, mut far, _serving) = through(|mut near, mut far| {
        std::io::copy(&mut Read::by_ref(&mut near).take(60_000), &mut far).expect("it passes");
        far.shutdown(Shutdown::Write).expect("connected");
        dropped_after(near);
    });
    let sent = pattern(100_000, 1);
    // It may be cut before all of it is sent.
    let _ = near.writer.write_all(&sent);
    let mut got = Vec::new();
    let error = far.reader.read_to_end(&mut got).expect_err("a cut");
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{error}");
    assert!(got.len() > 16_384 && got.len().is_multiple_of(16_384), "whole records: {}", got.len());
    assert!(sent.starts_with(&got));
}

#[test]
fn a_bit_that_is_flipped_on_the_way_is_an_error_for_good() {
    let (mut near, mut far, _serving) = through(|mut near, mut far| {
        std::io::copy(&mut Read::by_ref(&mut near).take(60_000), &mut far).expect("it passes");
        let mut byte = [0];
        near.read_exact(&mut byte).expect("more comes");
        far.write_all(&[byte[0] ^ 0x10]).expect("it passes");
        let _ = std::io::copy(&mut near, &mut far);
    });
    let sent = pattern(200_000, 1);
    let _ = near.writer.write_all(&sent);
    let mut got = Vec::new();
    let error = far.reader.read_to_end(&mut got).expect_err("changed on the way");
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{error}");
    assert!(sent.starts_with(&got) && got.len() < 60_000);
    assert!(far.reader.read(&mut [0; 8]).is_err(), "nothing more is believed");
}
