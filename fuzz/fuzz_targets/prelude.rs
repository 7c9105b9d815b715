//! A link's first bytes. What is believed says the same when it is written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lvpipe::wire::Prelude;
use lvpipe_fuzz::mend_prelude;

fuzz_target!(|bytes: &[u8]| {
    for bytes in [bytes.to_vec(), mend_prelude(bytes)] {
        if let Ok(prelude) = Prelude::read(&mut &bytes[..]) {
            let again = Prelude::read(&mut &prelude.encode()[..]).expect("what is written can be read");
            assert_eq!(again, prelude);
        }
    }
});
