//! A resume token, as somebody typed it. What is believed says the same when it is written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lvpipe::journal::Token;
use lvpipe_fuzz::mend_token;

fuzz_target!(|bytes: &[u8]| {
    for text in [String::from_utf8_lossy(bytes).into_owned(), mend_token(bytes)] {
        if let Ok(token) = text.parse::<Token>() {
            let mut least = 0;
            for (offset, length) in token.extents() {
                assert!(*offset >= least && *length > 0, "{offset}, {length} after {least}");
                least = offset + length;
            }
            assert_eq!(token.to_string().parse::<Token>().as_ref(), Ok(&token));
        }
    }
});
