//! What was sent is what is received, over one link and over many, encrypted and not.

use crate::image::{Image, assert_takes_no_more, scratch_in_memory};
use crate::party::{expect_ok, listen, send_to, transfer};

#[test]
fn an_image_arrives_over_any_number_of_links() {
    for links in ["1", "2", "8", "30"] {
        let scratch = scratch_in_memory();
        let (source, target) = (scratch.path().join("image"), scratch.path().join("copy"));
        Image::sample().write(&source);
        let receiver = listen(&["--insecure"], &target);
        let args = ["--insecure", "-n", links, "-s", "64k"];
        let mut sender = send_to(receiver.address, &args, &source);
        expect_ok(transfer(receiver, &mut sender));
        Image::sample().assert_is(&target);
        assert_takes_no_more(&target, &source);
    }
}

#[test]
fn with_its_key_a_sender_is_let_in() {
    let scratch = scratch_in_memory();
    let (source, target) = (scratch.path().join("image"), scratch.path().join("copy"));
    Image::sample().write(&source);
    let receiver = listen(&[], &target);
    let mut sender = send_to(receiver.address, &["-n", "4"], &source);
    sender.env("LVPIPE_KEY", receiver.key());
    expect_ok(transfer(receiver, &mut sender));
    Image::sample().assert_is(&target);
}
