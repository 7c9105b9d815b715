//! Who may read: whoever has the token.
//!
//! The token goes in each request, as `Authorization: Bearer TOKEN` (RFC 6750), or as the password of `Basic` with any
//! user name (RFC 7617), which is what browsers can do. One that is made here is 256 random bits as `lvt1-` and
//! base32; one that is given may be any text of [`SHORTEST`] to [`LONGEST`] visible ASCII characters. It is compared
//! in a time that does not depend on it, by digests keyed at random.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use data_encoding::{BASE32_NOPAD_NOCASE, BASE64};
use zeroize::Zeroizing;

use crate::command::TOKEN_VARIABLE;
use crate::error::{Error, Result, Status};

const PREFIX: &str = "lvt1-";
/// The shortest token that is taken from a file: shorter ones can be guessed.
const SHORTEST: usize = 16;
const LONGEST: usize = 512;

/// The secret.
#[derive(Clone)]
pub struct Token {
    text: Zeroizing<String>,
    /// For comparing.
    salt: [u8; 32],
}

/// A token, and what is to be done about it.
#[derive(Debug)]
pub enum FoundToken {
    /// The user knows where to find it.
    Known(Token),
    /// Made for this run; it must be shown.
    New(Token),
    /// Made for this run, and written to the file that was named.
    Written(Token),
}

impl FoundToken {
    /// The token of this run: in the file if one is named, and made there if there is none; else in the environment;
    /// else a new one.
    ///
    /// # Errors
    /// A usage error for what is no token, or whose file others can read; the system's.
    pub fn find(file: Option<&Path>) -> Result<Self> {
        match file {
            Some(path) if path.exists() => read_file(path).map(FoundToken::Known),
            Some(path) => {
                let token = Token::generate()?;
                write_file(path, &token)?;
                Ok(FoundToken::Written(token))
            }
            None => match std::env::var(TOKEN_VARIABLE) {
                Ok(text) if !text.is_empty() => {
                    Token::new(&Zeroizing::new(text), TOKEN_VARIABLE).map(FoundToken::Known)
                }
                Err(std::env::VarError::NotUnicode(_)) => Token::new("", TOKEN_VARIABLE).map(FoundToken::Known),
                Ok(_) | Err(std::env::VarError::NotPresent) => Token::generate().map(FoundToken::New),
            },
        }
    }

    /// The token itself.
    pub fn token(&self) -> &Token {
        match self {
            FoundToken::Known(token) | FoundToken::New(token) | FoundToken::Written(token) => token,
        }
    }
}

impl Token {
    /// A new one, from the system's random numbers.
    ///
    /// # Errors
    /// When there are none.
    pub fn generate() -> Result<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        random(&mut *bytes)?;
        let mut text = Zeroizing::new(String::with_capacity(64));
        text.push_str(PREFIX);
        BASE32_NOPAD_NOCASE.encode_append(&*bytes, &mut text);
        text.make_ascii_lowercase();
        Self::with(text)
    }

    /// A token that was given; `from` is where, for messages.
    ///
    /// # Errors
    /// A usage error when it is too short, too long, or has other characters.
    pub fn new(text: &str, from: impl fmt::Display) -> Result<Self> {
        let text = text.trim();
        let fits = (SHORTEST..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !fits {
            let why = format!("a token is of {SHORTEST} to {LONGEST} visible ASCII characters");
            return Err(Error::usage("cannot use the token", from, why)
                .way_out("without one, a new one is made and printed"));
        }
        Self::with(Zeroizing::new(text.to_string()))
    }

    fn with(text: Zeroizing<String>) -> Result<Self> {
        let mut salt = [0; 32];
        random(&mut salt)?;
        Ok(Token { text, salt })
    }

    /// Its text, to be shown to whoever may read.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether an `Authorization` field has it.
    pub fn admits(&self, field: &str) -> bool {
        let Some((scheme, credentials)) = field.trim().split_once(' ') else { return false };
        let credentials = credentials.trim_start();
        if scheme.eq_ignore_ascii_case("bearer") {
            return self.is(credentials.as_bytes());
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return false;
        }
        let Ok(decoded) = BASE64.decode(credentials.as_bytes()).map(Zeroizing::new) else { return false };
        // A user's name has no colon.
        let colon = decoded.iter().position(|byte| *byte == b':');
        colon.is_some_and(|colon| self.is(&decoded[colon + 1..]))
    }

    /// How long it takes does not tell how much of it was right: what differs are digests with a secret key.
    fn is(&self, given: &[u8]) -> bool {
        // `Hash` compares in constant time.
        blake3::keyed_hash(&self.salt, given) == blake3::keyed_hash(&self.salt, self.text.as_bytes())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

fn random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(|e| Error::new(Status::Io, "cannot make a token", "getrandom", e))
}

fn read_file(path: &Path) -> Result<Token> {
    let failed = |e: &io::Error| Error::io("cannot read the token", path.display(), e);
    let mut file = File::open(path).map_err(|e| failed(&e))?;
    let metadata = file.metadata().map_err(|e| failed(&e))?;
    // As with a key's file: one's own must be one's own.
    let own = metadata.uid() == nix::unistd::geteuid().as_raw();
    if metadata.is_file() && own && metadata.mode() & 0o077 != 0 {
        let why = format!("others may read it: its mode is {:04o}", metadata.mode() & 0o7777);
        return Err(Error::usage("cannot use the token", path.display(), why)
            .way_out(format!("chmod 600 {}", path.display())));
    }
    let mut text = Zeroizing::new(String::with_capacity(2 * LONGEST));
    match Read::by_ref(&mut file).take(2 * LONGEST as u64).read_to_string(&mut text) {
        Err(e) if e.kind() != io::ErrorKind::InvalidData => Err(failed(&e)),
        Err(_) => Token::new("", path.display()),
        Ok(_) => Token::new(&text, path.display()),
    }
}

fn write_file(path: &Path, token: &Token) -> Result<()> {
    let failed = |e: &io::Error| Error::io("cannot write the token", path.display(), e);
    let open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = open.map_err(|e| failed(&e))?;
    let text = Zeroizing::new(format!("{}\n", token.text()));
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|e| {
        // Half a token would be taken for one the next time.
        let _ = fs::remove_file(path);
        failed(&e)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token() -> Token {
        Token::new("correct-horse-battery", "a test").expect("a token")
    }

    fn basic(credentials: &str) -> String {
        format!("Basic {}", BASE64.encode(credentials.as_bytes()))
    }

    #[test]
    fn bearer_and_basic_are_taken() {
        let good = ["Bearer correct-horse-battery", "bearer  correct-horse-battery"].map(String::from);
        for field in good.into_iter().chain([basic("x:correct-horse-battery"), basic(":correct-horse-battery")]) {
            assert!(token().admits(&field), "{field}");
        }
        let bad = ["", "Bearer", "Bearer ", "correct-horse-battery", "Bearer correct-horse-batter", "Digest x"];
        let worse =
            [basic("correct-horse-battery"), basic("x:"), basic("correct-horse-battery:x"), "Basic ?".into()];
        for field in bad.map(String::from).into_iter().chain(worse) {
            assert!(!token().admits(&field), "{field}");
        }
    }

    #[test]
    fn a_made_one_is_long_and_not_shown_by_accident() {
        let (one, other) = (Token::generate().expect("random"), Token::generate().expect("random"));
        assert!(one.text().starts_with(PREFIX) && one.text().len() >= 56, "{}", one.text());
        assert_ne!(one.text(), other.text());
        assert!(one.admits(&format!("Bearer {}", one.text())) && !one.admits(&format!("Bearer {}", other.text())));
        assert_eq!(format!("{one:?}"), "Token(..)");
    }

    #[test]
    fn files_are_made_and_read_and_must_be_private() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("token");
        let FoundToken::Written(made) = FoundToken::find(Some(&path)).expect("made") else { panic!("not made") };
        let FoundToken::Known(read) = FoundToken::find(Some(&path)).expect("read") else { panic!("not read") };
        assert_eq!(made.text(), read.text());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("changed");
        let error = FoundToken::find(Some(&path)).expect_err("others may read it");
        assert!(error.to_string().contains("chmod 600"), "{error}");
        for wrong in ["short", "with a blank in it......", ""] {
            fs::write(&path, wrong).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("changed");
            assert!(FoundToken::find(Some(&path)).is_err(), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn no_field_is_taken_by_chance_nor_panics(field in ".*", credentials in "[A-Za-z0-9+/=]{0,40}") {
            prop_assert!(!token().admits(&field));
            let basic = format!("Basic {credentials}");
            prop_assert!(!token().admits(&basic));
        }
    }
}
