//! Several receivers at once: the source is read once, each gets all of it, and one that fails does not matter to the
//! others.

use std::fs;
use std::path::PathBuf;

use nix::sys::signal::Signal::SIGKILL;

use crate::image::{Image, scratch_in_memory};
use crate::party::{Receiver, figure, listen, listen_as, words_of};
use crate::process::{Ran, lvpipe, start, wait_until};
use crate::proxy::{Fault, Proxy};

const MIB: u64 = 1 << 20;

/// Three targets, of which not all will be there in the end.
struct Targets {
    scratch: tempfile::TempDir,
    image: Image,
    source: PathBuf,
}

impl Targets {
    fn of(size: u64) -> Targets {
        let scratch = scratch_in_memory();
        let (image, source) = (Image::full(size), scratch.path().join("image"));
        image.write(&source);
        Targets { scratch, image, source }
    }

    fn target(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    #[track_caller]
    fn receive(&self, name: &str) -> Receiver {
        listen(&["--insecure", "--retry-for", "1"], &self.target(name))
    }

    fn send(&self, addresses: &[std::net::SocketAddr], args: &[&str]) -> std::process::Command {
        let mut command = lvpipe(["send", "--insecure", "-n", "2", "-s", "64k", "--compress", "none"]);
        addresses.iter().for_each(|address| _ = command.args(["-O", &address.to_string()]));
        command.args(args).arg(&self.source);
        command
    }
}

#[test]
fn each_receiver_gets_all_of_it_with_its_own_key() {
    let targets = Targets::of(4 * MIB);
    let keyed = |name: &str| {
        let key = targets.scratch.path().join(format!("key-{name}"));
        let mut command = lvpipe(["recv", "-I", "127.0.0.1:0", "--key-file"]);
        (listen_as(command.arg(&key).arg(targets.target(name))), key)
    };
    let (one, other) = (keyed("one"), keyed("other"));
    let mut sender = lvpipe(["send", "-n", "3", "-s", "64k", "--progress", "json"]);
    for (receiver, key) in [&one, &other] {
        sender.args(["-O", &receiver.address.to_string(), "--key-file"]).arg(key);
    }
    let sent = start(sender.arg(&targets.source)).end().expect_ok();
    for (receiver, _) in [one, other] {
        receiver.running.end().expect_ok();
    }
    assert_eq!(figure(&sent, "read_bytes"), targets.image.size, "it is read once");
    targets.image.assert_is(&targets.target("one"));
    targets.image.assert_is(&targets.target("other"));
}

#[test]
fn one_that_is_killed_in_the_middle_does_not_stop_the_other() {
    let targets = Targets::of(8 * MIB);
    let (killed, other) = (targets.receive("killed"), targets.receive("other"));
    let args = ["-r", "16M", "--retry-for", "1"];
    let proxy = Proxy::to(killed.address);
    let sending = start(&mut targets.send(&[proxy.address, other.address], &args));
    wait_until("it is under way", || proxy.passed() > MIB);
    killed.running.signal(SIGKILL);
    let address = proxy.address.to_string();
    sending.end().expect_failure(1, &[&address, "receiver lost", "1 of 2 receivers do not have it"]);
    other.running.end().expect_ok();
    targets.image.assert_is(&targets.target("other"));
    killed.running.end();
}

#[test]
fn one_that_refuses_at_the_start_does_not_stop_the_other() {
    let targets = Targets::of(MIB);
    fs::create_dir(targets.target("directory")).expect("made");
    for order in [[0, 1], [1, 0]] {
        let receivers = [targets.receive("directory"), targets.receive("other")];
        let sender = &mut targets.send(&order.map(|n| receivers[n].address), &[]);
        let sent = start(sender).end();
        let [refuses, takes] = receivers;
        let said = [&refuses.address.to_string(), "it is a directory", "1 of 2 receivers do not have it"];
        sent.expect_failure(5, &said);
        refuses.running.end().expect_failure(2, &["it is a directory"]);
        takes.running.end().expect_ok();
        targets.image.assert_is(&targets.target("other"));
    }
}

#[test]
fn where_all_are_lost_the_run_ends() {
    let targets = Targets::of(8 * MIB);
    let receivers = [targets.receive("one"), targets.receive("other")];
    let args = ["-r", "16M", "--retry-for", "0.5"];
    let proxies = [0, 1].map(|n: usize| Proxy::to(receivers[n].address));
    let sending = start(&mut targets.send(&[proxies[0].address, proxies[1].address], &args));
    wait_until("both are under way", || proxies.iter().all(|proxy| proxy.passed() > MIB));
    for receiver in receivers {
        receiver.running.signal(SIGKILL);
        receiver.running.end();
    }
    sending.end().expect_failure(1, &["receiver lost"]);
}

#[test]
fn a_slow_one_gets_it_too() {
    let targets = Targets::of(3 * MIB);
    let (slow, fast) = (targets.receive("slow"), targets.receive("fast"));
    let crawling = Proxy::start(slow.address, |_| Fault::Crawl(1_000_000));
    let sending = start(&mut targets.send(&[crawling.address, fast.address], &["-m", "8M"]));
    sending.end().expect_ok();
    for receiver in [slow, fast] {
        receiver.running.end().expect_ok();
    }
    targets.image.assert_is(&targets.target("slow"));
    targets.image.assert_is(&targets.target("fast"));
}

#[test]
fn what_one_of_them_lacks_is_sent_to_both() {
    let targets = Targets::of(4 * MIB);
    // One has half of it, by a transfer of its own.
    let one = targets.receive("one");
    let proxy = Proxy::to(one.address);
    let sending = start(&mut targets.send(&[proxy.address], &["-r", "16M", "--retry-for", "0.5"]));
    wait_until("half of it is sent", || proxy.passed() > 2 * MIB);
    proxy.down();
    sending.end();
    one.running.end();
    let go_on = |name: &str| listen(&["--insecure", "--resume", "--progress", "json"], &targets.target(name));
    let (one, other) = (go_on("one"), go_on("other"));
    let sent = start(&mut targets.send(&[other.address, one.address], &["--resume"])).end();
    sent.expect_ok();
    let received: Vec<Ran> = [one, other].map(|receiver| words_of(receiver.running.end().expect_ok())).into();
    assert!(received.iter().all(|ran| figure(ran, "held") == 0), "{}{}", received[0], received[1]);
    targets.image.assert_is(&targets.target("one"));
    targets.image.assert_is(&targets.target("other"));
}

#[test]
fn what_both_have_is_sent_to_none() {
    let targets = Targets::of(4 * MIB);
    let (one, other) = (targets.receive("one"), targets.receive("other"));
    let proxies = [Proxy::to(one.address), Proxy::to(other.address)];
    let addresses = [proxies[0].address, proxies[1].address];
    let sending = start(&mut targets.send(&addresses, &["-r", "16M", "--retry-for", "0.5"]));
    wait_until("half of it is sent", || proxies.iter().all(|proxy| proxy.passed() > 2 * MIB));
    proxies.iter().for_each(Proxy::down);
    sending.end();
    for receiver in [one, other] {
        receiver.running.end();
    }
    let go_on = |name: &str| listen(&["--insecure", "--resume", "--progress", "json"], &targets.target(name));
    let (one, other) = (go_on("one"), go_on("other"));
    start(&mut targets.send(&[one.address, other.address], &["--resume"])).end().expect_ok();
    for (receiver, name) in [(one, "one"), (other, "other")] {
        let ran = receiver.running.end().expect_ok();
        assert!(figure(&ran, "held") > 8, "{ran}");
        targets.image.assert_is(&targets.target(name));
    }
}
