//! The one-time key: 32 random bytes that the receiver makes for a run, and that the sender must have.
//!
//! From it both sides derive the same two Ed25519 seeds: who has the key has both identities, and nobody else has
//! either. Its text is `lvk1-`, then base32 of the bytes and of a check of three bytes, so that a typo is told from
//! a key that is another receiver's. It is not shown by `Debug`, and zeroed in memory when dropped.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE32_NOPAD_NOCASE;
use zeroize::Zeroizing;

use crate::error::{Error, Result, Status};

const PREFIX: &str = "lvk1-";
const BYTES: usize = 32;
const CHECK: usize = 3;
/// Characters after the prefix: 35 bytes by 5 bits, no rest.
const LENGTH: usize = (BYTES + CHECK) * 8 / 5;

/// What each derived value is for (blake3's key derivation: a context is used for one purpose only).
const CHECK_CONTEXT: &str = "lvpipe 2026 one-time key: check against typos";
const RECEIVER_CONTEXT: &str = "lvpipe 2026 one-time key: Ed25519 seed of the receiver";
const SENDER_CONTEXT: &str = "lvpipe 2026 one-time key: Ed25519 seed of the sender";

/// The secret that the sender and the receiver of a transfer share.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Zeroizing<[u8; BYTES]>);

/// The secret half of an identity.
pub(super) type Seed = Zeroizing<[u8; BYTES]>;

impl Key {
    /// A new one, from the system's random numbers.
    ///
    /// # Errors
    /// When there are none.
    pub fn generate() -> Result<Self> {
        let mut bytes = Zeroizing::new([0; BYTES]);
        getrandom::fill(&mut *bytes).map_err(|e| Error::new(Status::Io, "cannot make a key", "getrandom", e))?;
        Ok(Key(bytes))
    }

    /// Its text, zeroed when dropped: what `Display` shows.
    pub fn text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0; BYTES + CHECK]);
        bytes[..BYTES].copy_from_slice(&*self.0);
        bytes[BYTES..].copy_from_slice(&self.check());
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + LENGTH));
        text.push_str(PREFIX);
        BASE32_NOPAD_NOCASE.encode_append(&*bytes, &mut text);
        text.make_ascii_lowercase();
        text
    }

    pub(super) fn receiver_seed(&self) -> Seed {
        self.derive(RECEIVER_CONTEXT)
    }

    pub(super) fn sender_seed(&self) -> Seed {
        self.derive(SENDER_CONTEXT)
    }

    fn derive(&self, context: &str) -> Seed {
        Zeroizing::new(blake3::derive_key(context, &*self.0))
    }

    fn check(&self) -> [u8; CHECK] {
        let derived = self.derive(CHECK_CONTEXT);
        [derived[0], derived[1], derived[2]]
    }
}

impl FromStr for Key {
    type Err = String;

    /// Spaces around it and capitals do no harm. The error does not repeat what was given.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = Zeroizing::new(text.trim().to_ascii_lowercase());
        let Some(digits) = text.strip_prefix(PREFIX) else {
            return Err(format!("that is not a key: it does not begin with {PREFIX}"));
        };
        if digits.len() != LENGTH {
            let (long, length) = (PREFIX.len() + LENGTH, text.chars().count());
            return Err(format!("a key has {long} characters, this has {length}: some are missing or too many"));
        }
        let decoded = BASE32_NOPAD_NOCASE.decode(digits.as_bytes());
        let decoded = Zeroizing::new(decoded.map_err(|_| "there is a typo in it: a key is of a to z and 2 to 7")?);
        let mut bytes = Zeroizing::new([0; BYTES]);
        bytes.copy_from_slice(&decoded[..BYTES]);
        let key = Key(bytes);
        if decoded[BYTES..] == key.check() { Ok(key) } else { Err("there is a typo in it".into()) }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "lvk1-aeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaea5fhfw";

    fn key(byte: u8) -> Key {
        Key(Zeroizing::new([byte; BYTES]))
    }

    #[test]
    fn text_and_seeds_are_these_for_ever() {
        // A key that was written down, and a peer of another version, must go on working.
        assert_eq!(key(1).to_string(), TEXT);
        let hex = |seed: Seed| data_encoding::HEXLOWER.encode(&seed[..8]);
        assert_eq!(hex(key(1).receiver_seed()), "6e9c2c59edeab511");
        assert_eq!(hex(key(1).sender_seed()), "bc3b45139d384d9b");
    }

    #[test]
    fn keys_are_read_as_people_hand_them_on() {
        for text in [TEXT.to_owned(), format!("  {TEXT}\n"), TEXT.to_uppercase()] {
            assert_eq!(text.parse(), Ok(key(1)));
        }
        let made = Key::generate().expect("random numbers");
        assert_eq!(made.to_string().parse(), Ok(made.clone()));
        assert_ne!(made, Key::generate().expect("random numbers"));
    }

    #[test]
    fn what_is_wrong_is_named_and_not_repeated() {
        let rows = [
            ("", "does not begin with lvk1-"),
            ("hunter2", "does not begin with lvk1-"),
            (&TEXT[..60], "61 characters, this has 60"),
            (&TEXT.replace("aeaq", "aea1"), "a to z and 2 to 7"),
            (&TEXT.replace("5fhf", "5fhg"), "a typo"),
        ];
        for (text, why) in rows {
            let error = text.parse::<Key>().expect_err(text);
            assert!(error.contains(why), "{error}");
            assert!(text.is_empty() || !error.contains(text), "{error}");
        }
    }

    #[test]
    fn debug_does_not_show_it() {
        assert_eq!(format!("{:?}", key(1)), "Key(..)");
    }

    proptest! {
        #[test]
        fn one_wrong_character_is_a_typo(at in PREFIX.len()..TEXT.len(), with in "[a-z2-7]") {
            let mut wrong = TEXT.to_owned();
            wrong.replace_range(at..=at, &with);
            prop_assert_eq!(wrong.parse::<Key>().is_ok(), wrong == TEXT);
        }

        #[test]
        fn no_text_panics(text in "(lvk1-)?\\PC{0,70}") {
            let _ = text.parse::<Key>();
        }
    }
}
