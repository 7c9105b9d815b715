//! Any name as the name of a file.

use std::fmt::Write;

/// What is no plain letter, digit or one of `-_.+` is written as `%2f`. Different names stay different.
pub(crate) fn encoded(name: &[u8]) -> String {
    let mut encoded = String::new();
    for byte in name {
        if byte.is_ascii_alphanumeric() || b"-_.+".contains(byte) {
            encoded.push(char::from(*byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(encoded, "%{byte:02x}");
        }
    }
    encoded
}
