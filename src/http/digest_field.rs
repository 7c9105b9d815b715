//! Digests in header fields: `Repr-Digest` (RFC 9530, section 3) and `Unencoded-Digest` (the IETF draft
//! draft-ietf-httpbis-unencoded-digest), of which lvpipe uses SHA-256.
//!
//! Both fields are dictionaries of structured fields (RFC 9651): `sha-256=:BASE64:`, with other algorithms before and
//! after it, which are passed over.

use data_encoding::{BASE64, BASE64_NOPAD};

use crate::wire::Digest;

/// The digest of the representation: of the bytes of a whole resource in its content coding, RFC 9530.
pub const REPR_DIGEST: &str = "repr-digest";
/// The digest of the bytes before any content coding.
pub const UNENCODED_DIGEST: &str = "unencoded-digest";

/// What is longer has not been written by a reasonable server.
const LONGEST: usize = 4096;

/// The field's value for a SHA-256.
pub fn encode(digest: &Digest) -> String {
    format!("sha-256=:{}:", BASE64.encode(&digest.0))
}

/// The SHA-256 in a field's value; `None` where there is none, or what is there is not one.
pub fn parse(value: &str) -> Option<Digest> {
    if value.len() > LONGEST {
        return None;
    }
    // A key that comes twice: the last one counts, RFC 9651, section 4.2.2.
    let members = value.split(',').map(|member| member.trim_matches([' ', '\t']));
    let text = members.filter_map(|member| member.strip_prefix("sha-256=")).next_back()?;
    let text = text.split(';').next()?.strip_prefix(':')?.strip_suffix(':')?;
    // Section 4.2.7: missing padding is no reason to fail.
    let bytes = BASE64_NOPAD.decode(text.trim_end_matches('=').as_bytes()).ok()?;
    bytes.try_into().ok().map(Digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::DigestKind;
    use proptest::prelude::*;

    /// The example of RFC 9530, section 2: `{"hello": "world"}` and a newline.
    const HELLO: &str = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";

    #[test]
    fn the_example_of_the_rfc() {
        let digest = DigestKind::Sha256.of(&[b"{\"hello\": \"world\"}\n"]);
        assert_eq!(encode(&digest), HELLO);
        assert_eq!(parse(HELLO), Some(digest));
    }

    #[test]
    fn other_algorithms_are_passed_over() {
        let digest = parse(HELLO);
        assert_eq!(parse(&format!("sha-512=:AAAA:, \t{HELLO};a=b,md5=:AA==:")), digest);
        assert_eq!(parse(&format!("sha-256=:AAAA:,{HELLO}")), digest, "the last one counts");
        assert_eq!(parse(&HELLO.replace("=:", ":").replacen(':', "=:", 1)), digest, "without padding");
        for none in ["", "sha-512=:AAAA:", "sha-256=", "sha-256=:", "sha-256=::", "sha-256=:AAAA:", "SHA-256=x"] {
            assert_eq!(parse(none), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn a_digest_survives(bytes: [u8; 32]) {
            prop_assert_eq!(parse(&encode(&Digest(bytes))), Some(Digest(bytes)));
        }

        #[test]
        fn no_text_panics(text: String, tail in "[=:;, A-Za-z0-9+/-]{0,60}") {
            let _ = parse(&text);
            let _ = parse(&format!("sha-256=:{tail}"));
        }
    }
}
