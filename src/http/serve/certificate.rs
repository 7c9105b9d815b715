//! TLS for HTTP: a certificate that was given, or one made for the run and known by its fingerprint.
//!
//! TLS 1.3 only, with the cryptography of the [links](crate::link). The certificate that is made is for a P-256 key,
//! which every browser takes, in the name of this host and the addresses that are listened on, and has no end that
//! anybody lives to see: who checks it does so by its fingerprint, the SHA-256 of its DER. Its key is stored only where
//! the user has named files for both.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::version::TLS13;

use crate::error::{Error, Result, Status};
use crate::link::crypto_provider;
use crate::wire::{Digest, DigestKind};

/// What a server proves itself with.
pub struct Identity {
    /// For the handshakes.
    pub config: Arc<ServerConfig>,
    /// Of the certificate.
    pub fingerprint: Fingerprint,
}

/// The SHA-256 of a certificate's DER, as `sha256:HEX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(Digest);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.0)
    }
}

impl Identity {
    /// Makes a certificate in these names and addresses.
    ///
    /// # Errors
    /// When there are no random numbers.
    pub fn make(names: &[String], addresses: &[IpAddr]) -> Result<Self> {
        let Made { certificate, key } = Made::new(names, addresses)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Identity::of(vec![certificate.der().clone()], key).map_err(|e| cannot_make(&e))
    }

    /// The same, kept in these files, which must not be there: a server that is started again has the same.
    ///
    /// # Errors
    /// Also when they cannot be written.
    pub fn keep(names: &[String], addresses: &[IpAddr], certificate: &Path, key: &Path) -> Result<()> {
        let made = Made::new(names, addresses)?;
        for (path, mode, text) in
            [(key, 0o600, made.key.serialize_pem()), (certificate, 0o644, made.certificate.pem())]
        {
            let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
            let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
            written.map_err(|e| Error::io("cannot write the certificate", path.display(), &e))?;
        }
        Ok(())
    }

    /// Reads a certificate, with those that vouch for it, and its key from PEM files.
    ///
    /// # Errors
    /// When one cannot be read, or they are not each other's.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self> {
        let unusable = |path: &Path, why: &dyn fmt::Display| {
            Error::usage("cannot use the certificate", path.display(), why)
                .way_out("--cert FILE has the certificates, and --cert-key FILE the key of the first, both as PEM")
        };
        let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let chain = chain.map_err(|e| unusable(certificate, &e))?;
        if chain.is_empty() {
            return Err(unusable(certificate, &"there is none in it"));
        }
        let private = PrivateKeyDer::from_pem_file(key).map_err(|e| unusable(key, &e))?;
        Identity::of(chain, private).map_err(|e| unusable(certificate, &e))
    }

    fn of(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, rustls::Error> {
        let first = chain.first().map_or(&[][..], AsRef::as_ref);
        let fingerprint = Fingerprint(DigestKind::Sha256.of(&[first]));
        let mut config = ServerConfig::builder_with_provider(Arc::new(crypto_provider()))
            .with_protocol_versions(&[&TLS13])?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Identity { config: Arc::new(config), fingerprint })
    }
}

/// A certificate that was just made, and its key.
struct Made {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Made {
    fn new(names: &[String], addresses: &[IpAddr]) -> Result<Self> {
        let key = KeyPair::generate().map_err(|e| cannot_make(&e))?;
        let names = names.iter().cloned().chain(addresses.iter().map(ToString::to_string));
        let mut params = CertificateParams::new(names.collect::<Vec<_>>()).map_err(|e| cannot_make(&e))?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "lvpipe serve");
        let certificate = params.self_signed(&key).map_err(|e| cannot_make(&e))?;
        Ok(Made { certificate, key })
    }
}

fn cannot_make(why: &dyn fmt::Display) -> Error {
    Error::new(Status::Io, "cannot make a certificate", "", why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_run_has_a_certificate_of_its_own() {
        let make = || Identity::make(&["host".into()], &[[127, 0, 0, 1].into()]).expect("a certificate");
        let (one, other) = (make().fingerprint.to_string(), make().fingerprint.to_string());
        assert_ne!(one, other);
        let hex = one.strip_prefix("sha256:").expect("it says what it is");
        assert!(hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()), "{one}");
    }

    #[test]
    fn what_is_given_must_fit() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = |name: &str| scratch.path().join(name);
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["host".to_string()]).expect("a name");
        let certificate = params.self_signed(&key).expect("signed");
        let pem = format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            data_encoding::BASE64.encode(certificate.der())
        );
        let key_pem = |key: &KeyPair| {
            let der = data_encoding::BASE64.encode(&key.serialize_der());
            format!("-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n")
        };
        std::fs::write(path("cert"), pem).expect("written");
        std::fs::write(path("key"), key_pem(&key)).expect("written");
        std::fs::write(path("other"), key_pem(&KeyPair::generate().expect("a key"))).expect("written");
        std::fs::write(path("empty"), "").expect("written");
        let read = Identity::read(&path("cert"), &path("key")).expect("they fit");
        assert_eq!(read.fingerprint.0, DigestKind::Sha256.of(&[certificate.der()]));
        for (certificate, key) in [("cert", "other"), ("empty", "key"), ("cert", "empty"), ("none", "key")] {
            let error = Identity::read(&path(certificate), &path(key)).err();
            let error = error.unwrap_or_else(|| panic!("{certificate} and {key}"));
            assert!(error.to_string().contains("--cert-key"), "{error}");
        }
    }
}
