//! What the two sides of an ssh say first, and where it is to go: a request, a greeting, a URL.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lvpipe::link::address::PortRange;
use lvpipe::link::key::Key;
use lvpipe::link::ssh::{Greeting, Request, SshUrl};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = serde_json::from_slice::<Request>(bytes) {
        key(&request.key);
        let _ = request.ports.map(|ports| ports.parse::<PortRange>());
    }
    let _ = serde_json::from_slice::<Greeting>(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    key(text);
    if let Ok(url) = text.parse::<SshUrl>() {
        // Else ssh would take it for an option.
        assert!(!url.host.starts_with('-') && !url.target.is_empty());
    }
});

/// A key that is one is the same when it is written again.
fn key(text: &str) {
    if let Ok(key) = text.parse::<Key>() {
        let written = key.text();
        let again = written.parse::<Key>().expect("what is written can be read");
        assert_eq!(again.text(), written);
    }
}
