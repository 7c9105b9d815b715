//! Plain TCP: what is written arrives, either side can end it, and addresses are what was asked for.

use super::*;
use crate::error::{Error, Status};

#[test]
fn links_carry_bytes_both_ways_at_once() {
    let serving = Serving::insecure();
    let (near, far) = joined(&serving, &serving.dialer(Security::Insecure), 3);
    full_both_ways(near, far, 24 << 20);
}

#[test]
fn a_hang_up_wakes_who_reads() {
    let serving = Serving::insecure();
    let (near, mut far) = joined(&serving, &serving.dialer(Security::Insecure), 0);
    let reading = thread::spawn(move || far.reader.read(&mut [0; 8]));
    near.hang_up.hang_up();
    near.hang_up.hang_up();
    assert_eq!(reading.join().expect("no panic").ok(), Some(0));
}

#[test]
fn links_go_through_addresses_and_binds_in_rotation() {
    let (one, two) = (Serving::insecure(), Serving::insecure());
    let addresses = [one.place, two.place].map(|place| place.to_string().parse().expect("an address"));
    let binds = ["127.0.0.5", "127.0.0.6", "127.0.0.7"].map(|ip| ip.parse().expect("an address"));
    let dialer = Dialer::new(addresses.into(), binds.into(), LONG, Security::Insecure).expect("addresses");
    for number in 0..4 {
        let serving = if number % 2 == 0 { &one } else { &two };
        let (_near, far) = joined(serving, &dialer, number);
        assert!(far.name.starts_with(&format!("127.0.0.{}:", 5 + number % 3)), "{}", far.name);
    }
}

#[test]
fn an_address_that_fails_gives_way_to_the_next() {
    let mut gone = Serving::insecure();
    gone.close();
    let serving = Serving::insecure();
    let addresses = [gone.place, serving.place].map(|place| place.to_string().parse().expect("an address"));
    let dialer = Dialer::new(addresses.into(), Vec::new(), LONG, Security::Insecure).expect("addresses");
    let _link = joined(&serving, &dialer, 0);
}

#[test]
fn both_families_reach_a_bare_port() {
    let serving = Serving::at("0", Security::Insecure);
    for host in ["127.0.0.1", "[::1]", "localhost"] {
        let address = format!("{host}:{}", serving.place.port()).parse().expect("an address");
        let dialer = Dialer::new(vec![address], Vec::new(), LONG, Security::Insecure).expect("an address");
        let (near, far) = joined(&serving, &dialer, 0);
        assert!(near.name.starts_with(host), "{}", near.name);
        assert!(far.name.starts_with(if host == "[::1]" { "[::1]:" } else { "" }), "{}", far.name);
        assert!(!far.name.contains("ffff"), "an IPv4 peer is shown as one: {}", far.name);
    }
}

fn failure(address: &str, binds: &[&str], timeout: Duration, stop: &Stop) -> Error {
    let binds = binds.iter().map(|ip| ip.parse().expect("an address")).collect();
    let addresses = vec![address.parse().expect("an address")];
    let dialer = Dialer::new(addresses, binds, timeout, Security::Insecure).expect("an address");
    dialer.dial(0, stop).err().expect("it leads nowhere")
}

#[test]
fn failures_are_told_apart_and_have_a_way_out() {
    let (stop, short) = (Stop::new(), Duration::from_millis(100));
    let mut gone = Serving::insecure();
    gone.close();
    let refused = failure(&gone.place.to_string(), &[], LONG, &stop);
    assert_eq!(refused.status(), Status::Io);
    assert!(refused.to_string().contains("Connection refused\n  start the receiver"), "{refused}");
    let foreign = failure("127.0.0.1:9", &["192.0.2.1"], LONG, &stop);
    assert_eq!(foreign.status(), Status::Usage);
    assert!(foreign.to_string().contains("192.0.2.1 is not an address of this host"), "{foreign}");
    let family = failure("127.0.0.1:9", &["::1"], LONG, &stop);
    assert!(family.to_string().contains("no IPv6 address"), "{family}");
    // TEST-NET-1 leads nowhere: dropped on the way, or no route at all.
    let nowhere = failure("192.0.2.1:9", &[], short, &stop);
    assert_eq!(nowhere.status(), Status::Io);
}

#[test]
fn connecting_ends_with_the_run() {
    let stop = Stop::new();
    let ends = stop.clone();
    let ending = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        ends.fail(Error::signal(2));
    });
    // A listener whose backlog is full does not answer.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("loopback");
    socket.listen(0).expect("bound");
    let place = socket.local_addr().expect("bound").as_socket().expect("IPv4");
    let mut filling = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&place, Duration::from_millis(20)) {
        filling.push(stream);
    }
    let started = Instant::now();
    assert_eq!(failure(&place.to_string(), &[], Duration::from_secs(60), &stop), Error::signal(2));
    assert!(started.elapsed() < LONG);
    ending.join().expect("no panic");
}

#[test]
fn serving_ends_with_the_run() {
    let listener = Listener::bind(&"127.0.0.1:0".parse().expect("a place")).expect("loopback");
    let (stop, (to, _links)) = (Stop::new(), bounded(1));
    let place = listener.local_addresses()[0];
    thread::scope(|scope| {
        let serving = scope.spawn(|| listener.serve(&Security::Insecure, &to, &|_| {}, &stop));
        let _silent = TcpStream::connect(place).expect("it listens");
        thread::sleep(Duration::from_millis(50));
        let ended = Instant::now();
        stop.fail(Error::signal(15));
        serving.join().expect("no panic").expect("it is no failure of the listener");
        assert!(ended.elapsed() < Duration::from_secs(1), "the silent connection was not waited for");
    });
}
