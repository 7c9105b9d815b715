//! Those who connect and are not the sender: dropped in time and told of, while the sender gets through.

use std::net::Shutdown;

use super::*;
use crate::wire::Answer;

/// How long the stranger was left in, from now on.
pub(super) fn dropped_after(mut stranger: TcpStream) -> Duration {
    let started = Instant::now();
    // Closed with bytes unread is a reset.
    while matches!(stranger.read(&mut [0; 4096]), Ok(1..)) {}
    started.elapsed()
}

#[test]
fn silence_is_dropped_after_two_seconds() {
    for serving in [Serving::insecure(), Serving::keyed(&new_key())] {
        let waited = dropped_after(serving.stranger());
        assert!(waited >= Duration::from_millis(1900), "{waited:?}");
        assert!(waited < Duration::from_secs(5), "{waited:?}");
        serving.says("dropped: it said nothing within 2 s");
    }
}

#[test]
fn what_is_not_lvpipe_is_dropped_at_once() {
    let rows: [(&[u8], &str); 3] = [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "an HTTP request"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "it speaks ssh"),
        (&[0xa5; 100_000], "what it sent is not lvpipe's"),
    ];
    let key = new_key();
    for (bytes, said) in rows {
        for serving in [Serving::insecure(), Serving::keyed(&key)] {
            let mut stranger = serving.stranger();
            // It may be dropped before all of it is sent.
            let _ = stranger.write_all(bytes);
            assert!(dropped_after(stranger) < Duration::from_millis(1500), "{said}");
            serving.says(said);
        }
    }
}

#[test]
fn half_a_prelude_is_dropped_in_time() {
    let serving = Serving::insecure();
    let mut slow = serving.stranger();
    slow.write_all(&prelude(0).encode()[..50]).expect("it is read");
    let waited = dropped_after(slow);
    assert!(waited < Duration::from_secs(5), "{waited:?}");
    serving.says("its prelude did not come within 2 s");

    let mut gone = serving.stranger();
    gone.write_all(&prelude(0).encode()[..50]).expect("it is read");
    gone.shutdown(Shutdown::Write).expect("connected");
    dropped_after(gone);
    serving.says("before its prelude was whole");
}

#[test]
fn a_byte_now_and_then_does_not_keep_a_place() {
    let serving = Serving::insecure();
    let stranger = serving.stranger();
    let mut writing = stranger.try_clone().expect("a descriptor");
    let dripping = thread::spawn(move || {
        for byte in prelude(0).encode() {
            if writing.write_all(&[byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
    });
    assert!(dropped_after(stranger) < Duration::from_secs(5));
    dripping.join().expect("no panic");
}

#[test]
fn a_sender_of_another_version_is_told() {
    let serving = Serving::insecure();
    let mut other = serving.stranger();
    let mut bytes = prelude(0).encode();
    bytes[8] = 9;
    other.write_all(&bytes).expect("it is read");
    let answer = Answer::read(&mut other).expect("an answer");
    assert!(matches!(answer, Answer::Failed { reason, .. } if reason.contains("version 9")));
    serving.says("version 9");
}

#[test]
fn a_flood_of_silent_connections_does_not_keep_the_sender_out() {
    let key = new_key();
    let serving = Serving::keyed(&key);
    let flood: Vec<_> = (0..200).map(|_| serving.stranger()).collect();
    let started = Instant::now();
    let (near, far) = joined(&serving, &serving.dialer(Security::Key(key)), 0);
    // 200 that are silent, 16 places, a tenth of a second each.
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
    full_both_ways(near, far, 1 << 20);
    for stranger in flood {
        dropped_after(stranger);
    }
    assert!(serving.said().len() <= 10, "{:?}", serving.said());
}

#[test]
fn many_links_of_one_sender_all_get_in() {
    let key = new_key();
    let serving = Serving::keyed(&key);
    let dialer = serving.dialer(Security::Key(key));
    let near: Vec<_> = thread::scope(|scope| {
        let dial = |number| {
            let mut link = dialer.dial(number, &Stop::new()).expect("it listens");
            link.writer.write_all(&prelude(number).encode()).expect("it is read");
            link
        };
        let dialling: Vec<_> = (0..64).map(|number| scope.spawn(move || dial(number))).collect();
        dialling.into_iter().map(|link| link.join().expect("no panic")).collect()
    });
    let mut numbers: Vec<_> = near.iter().map(|_| serving.next().1.link).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..64).collect::<Vec<_>>());
    assert_eq!(serving.said(), Vec::<String>::new());
}
