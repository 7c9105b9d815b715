//! The bearer token that a server wants to see (RFC 6750): from a file or the environment, never the command line.

use std::env;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use hyper::header::HeaderValue;
use zeroize::Zeroizing;

use crate::command::TOKEN_VARIABLE as VARIABLE;
use crate::error::{Error, Result};

/// The longest file that is read.
const LONGEST: u64 = 4096;

/// A secret that is told to the server. `Debug` does not show it; zeroed in memory when dropped.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// From the file, if one is named, else from the environment, if it is there.
    ///
    /// # Errors
    /// A usage error for a file that others may read, or for text that is no token.
    pub fn find(file: Option<&Path>) -> Result<Option<Self>> {
        match file {
            Some(path) => read_file(path).map(Some),
            None => match env::var(VARIABLE).map(Zeroizing::new) {
                Ok(text) if text.is_empty() => Ok(None),
                Ok(text) => parse(&text, VARIABLE).map(Some),
                Err(env::VarError::NotPresent) => Ok(None),
                Err(_) => parse("", VARIABLE).map(Some),
            },
        }
    }

    /// As the value of an `Authorization` field, which is not shown either.
    pub(super) fn bearer(&self) -> HeaderValue {
        let text = Zeroizing::new(format!("Bearer {}", *self.0));
        // Looked at when it was read: visible ASCII.
        let mut value = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("Bearer"));
        value.set_sensitive(true);
        value
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

fn parse(text: &str, on: impl fmt::Display) -> Result<Token> {
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        let why = "it is one word of letters, digits and signs";
        return Err(Error::usage("cannot read the token", on, why).way_out("take it as the server has printed it"));
    }
    Ok(Token(Zeroizing::new(text.to_owned())))
}

fn read_file(path: &Path) -> Result<Token> {
    let shown = path.display();
    let failed = |e: &std::io::Error| Error::io("cannot read the token", path.display(), e);
    let mut file = File::open(path).map_err(|e| failed(&e))?;
    let metadata = file.metadata().map_err(|e| failed(&e))?;
    // As with the key of the links: a file of one's own must be one's own.
    let own = metadata.uid() == nix::unistd::geteuid().as_raw();
    if metadata.is_file() && own && metadata.mode() & 0o077 != 0 {
        let why = format!("others may read it: its mode is {:04o}", metadata.mode() & 0o7777);
        return Err(Error::usage("cannot use the token", &shown, why).way_out(format!("chmod 600 {shown}")));
    }
    let mut text = Zeroizing::new(Vec::with_capacity(LONGEST as usize));
    Read::by_ref(&mut file).take(LONGEST).read_to_end(&mut text).map_err(|e| failed(&e))?;
    parse(str::from_utf8(&text).unwrap_or_default(), shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_token_is_read_from_a_file_of_ones_own() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("token");
        let find = |text: &[u8], mode| {
            fs::write(&path, text).expect("own file");
            fs::set_permissions(&path, Permissions::from_mode(mode)).expect("own file");
            Token::find(Some(&path))
        };
        let token = find(b"  abc.DEF~1=\n", 0o600).expect("a token").expect("it is there");
        assert_eq!(token.bearer().to_str().expect("text"), "Bearer abc.DEF~1=");
        assert!(!format!("{token:?} {:?}", token.bearer()).contains("abc"), "it is shown");
        let error = find(b"abc", 0o644).expect_err("others may read it");
        assert!(error.to_string().contains("0644") && error.to_string().contains("chmod 600"), "{error}");
        for bad in [&b""[..], b"two words", b"\xff", "\u{e9}".as_bytes(), &[b'\n'; 9000]] {
            assert!(find(bad, 0o600).is_err(), "{bad:?}");
        }
    }
}
