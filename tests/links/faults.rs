//! Connections that break, lie, die and crawl: what was sent arrives, and the run ends.

use crate::image::{Image, scratch_in_memory};
use crate::party::{expect_ok, listen, send_to, transfer};
use crate::proxy::{Fault, Proxy};

/// Sends 24 MiB over `links` plain connections through a proxy with this plan.
fn through(links: &str, args: &[&str], plan: impl Fn(usize) -> Fault + Send + Sync + 'static) -> Proxy {
    let scratch = scratch_in_memory();
    let (source, target) = (scratch.path().join("image"), scratch.path().join("copy"));
    let image = Image::full(24 << 20);
    image.write(&source);
    let receiver = listen(&[&["--insecure"], args].concat(), &target);
    let proxy = Proxy::start(receiver.address, plan);
    let all = [&["--insecure", "-n", links, "-s", "64k", "--compress", "none"], args].concat();
    expect_ok(transfer(receiver, &mut send_to(proxy.address, &all, &source)));
    image.assert_is(&target);
    proxy
}

#[test]
fn links_that_are_cut_at_200_places_lose_nothing() {
    // Pseudo-random, the same in every run: from inside the prelude to half a megabyte on.
    let place = |n: usize| (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 45;
    let proxy = through("6", &[], move |n| if n < 200 { Fault::CutAfter(place(n)) } else { Fault::None });
    assert!(proxy.connections() > 150, "{} connections", proxy.connections());
}

#[test]
fn bits_that_turn_over_on_the_way_are_found() {
    // 24 MiB are 201 million bits.
    let proxy = through("6", &[], |_| Fault::FlipEvery(150_001));
    assert!(proxy.flipped() >= 1000, "{} bits", proxy.flipped());
}

#[test]
fn half_of_the_links_may_go_silent() {
    through("6", &["-W", "2"], |n| if n % 2 == 1 { Fault::SilentAfter(300_000) } else { Fault::None });
}
