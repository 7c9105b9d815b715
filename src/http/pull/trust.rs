//! Which server is believed: the one whose certificate has the fingerprint that was given, or one that the system's
//! roots vouch for under the name that was asked for.
//!
//! A pinned certificate is compared whole, by the SHA-256 of its DER; name, dates and issuer do not matter then, but
//! the server must prove in the handshake that it has the key. What the system trusts is read from where OpenSSL has
//! it (`SSL_CERT_FILE` and `SSL_CERT_DIR`, else the distribution's own place).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::error::{Error, Result};
use crate::wire::{Digest, DigestKind};

/// The SHA-256 of a certificate's DER: `sha256:HEX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(Digest);

impl Fingerprint {
    /// A certificate's.
    pub fn of(certificate: &[u8]) -> Self {
        Fingerprint(DigestKind::Sha256.of(&[certificate]))
    }
}

impl FromStr for Fingerprint {
    type Err = String;

    /// Capitals and colons between the bytes, as other programs print them, do no harm.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || "a fingerprint is sha256: and 64 hexadecimal digits, as `lvpipe serve` prints it".to_string();
        let text = text.trim().to_ascii_lowercase();
        let digits = text.strip_prefix("sha256:").ok_or_else(wrong)?.replace(':', "");
        let bytes = HEXLOWER.decode(digits.as_bytes()).map_err(|_| wrong())?;
        bytes.try_into().map(|bytes| Fingerprint(Digest(bytes))).map_err(|_| wrong())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.0)
    }
}

/// How TLS connections to servers are made.
///
/// # Errors
/// When the system's roots cannot be read.
pub fn client_config(pinned: Option<Fingerprint>) -> Result<Arc<ClientConfig>> {
    let provider = aws_lc_rs::default_provider();
    // As on the links: entropy is gathered now, and not while the server's patience runs.
    let _ = provider.secure_random.fill(&mut [0]);
    let provider = Arc::new(provider);
    let unusable = |e: &dyn fmt::Display| Error::usage("cannot use TLS", "its library", e);
    let builder = ClientConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().map_err(|e| unusable(&e))?;
    let config = match pinned {
        Some(fingerprint) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pinned { fingerprint, provider }))
            .with_no_client_auth(),
        None => builder.with_root_certificates(system_roots()?).with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

fn system_roots() -> Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Some of what a system has is older than what the library takes.
    let (taken, _) = roots.add_parsable_certificates(found.certs);
    if taken > 0 {
        return Ok(roots);
    }
    let why = found.errors.first().map_or("there are none".to_string(), ToString::to_string);
    Err(Error::usage("cannot check the server's certificate", "the system's certificates", why)
        .way_out("install them (Debian: ca-certificates), or give the server's own: --fingerprint sha256:..."))
}

/// The one certificate that the server may have.
#[derive(Debug)]
struct Pinned {
    fingerprint: Fingerprint,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        presented: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match Fingerprint::of(presented) == self.fingerprint {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_as_programs_print_them() {
        let print = Fingerprint::of(b"abc");
        let text = print.to_string();
        assert_eq!(text, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let colons: Vec<&str> = (7..text.len()).step_by(2).map(|at| &text[at..at + 2]).collect();
        for text in [text.clone(), format!("SHA256:{}", colons.join(":").to_uppercase())] {
            assert_eq!(text.parse(), Ok(print));
        }
        for bad in ["", "sha256:", &text[7..], &text[..70], "sha1:aa", &text.replace("ba", "xy")] {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
    }
}
