//! How the two sides prove to each other that they have the same [key](super::key): TLS 1.3 with raw public keys
//! (RFC 7250) both ways. Each side's Ed25519 key is derived from the one-time key, so each knows the other's public
//! key beforehand, byte by byte: there are no certificates, no names and no dates to be wrong about.
//!
//! No tickets, no resumption, no early data: every link is a whole handshake, so that none can be replayed. The key
//! exchange is X25519 with ML-KEM-768 (or X25519 alone, if the peer has no more), as what a volume holds should
//! stay unread for long. The cipher is AES-128-GCM where both sides' processors have AES instructions, else
//! ChaCha20-Poly1305. The library behind is aws-lc: of a record of 16 KiB it encrypts 22 GB/s with AES-128-GCM on a
//! processor with VAES and AVX-512, where ring does 10.7 (ChaCha20-Poly1305: both 2.6); and it needs no more than a C
//! compiler to build.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Connection, DigitallySignedStruct, DistinguishedName,
    ServerConfig, ServerConnection, SignatureScheme, SupportedCipherSuite,
};
use zeroize::Zeroizing;

use super::key::{Key, Seed};
use crate::error::{Error, Result};

/// The sender's side, for any number of links.
#[derive(Clone)]
pub(super) struct SenderTls(Arc<ClientConfig>);

/// The receiver's side, for any number of links.
#[derive(Clone)]
pub(super) struct ReceiverTls(Arc<ServerConfig>);

impl SenderTls {
    pub(super) fn new(key: &Key) -> Result<Self> {
        Self::build(key, provider()).map_err(|e| unusable(&e))
    }

    fn build(key: &Key, provider: CryptoProvider) -> Result<Self, rustls::Error> {
        let (own, peer) = (identity(&key.sender_seed())?, identity(&key.receiver_seed())?);
        let pinned = Pinned::new(&peer, &provider)?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(pinned))
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(Arc::new(own))));
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        Ok(SenderTls(Arc::new(config)))
    }

    pub(super) fn connection(&self) -> Result<Connection, rustls::Error> {
        // The library wants a name; it is neither sent nor checked.
        let name = ServerName::try_from("receiver").map_err(|_| rustls::Error::General("a name".into()))?;
        ClientConnection::new(Arc::clone(&self.0), name).map(Connection::Client)
    }
}

impl ReceiverTls {
    pub(super) fn new(key: &Key) -> Result<Self> {
        Self::build(key, provider()).map_err(|e| unusable(&e))
    }

    fn build(key: &Key, provider: CryptoProvider) -> Result<Self, rustls::Error> {
        let (own, peer) = (identity(&key.receiver_seed())?, identity(&key.sender_seed())?);
        let pinned = Pinned::new(&peer, &provider)?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(Arc::new(pinned))
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(Arc::new(own))));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        // The slower side chooses: a sender without AES has it last, and so has a receiver, which then insists.
        config.ignore_client_order = !has_aes();
        Ok(ReceiverTls(Arc::new(config)))
    }

    pub(super) fn connection(&self) -> Result<Connection, rustls::Error> {
        ServerConnection::new(Arc::clone(&self.0)).map(Connection::Server)
    }
}

fn unusable(error: &rustls::Error) -> Error {
    Error::usage("cannot use the key", "TLS", error)
}

/// What is negotiated, the best first.
/// What TLS is made of here: see the module.
pub(crate) fn provider() -> CryptoProvider {
    let (aes, chacha) = (cipher_suite::TLS13_AES_128_GCM_SHA256, cipher_suite::TLS13_CHACHA20_POLY1305_SHA256);
    with_suites(if has_aes() { vec![aes, chacha] } else { vec![chacha, aes] })
}

fn with_suites(cipher_suites: Vec<SupportedCipherSuite>) -> CryptoProvider {
    let kx_groups = vec![kx_group::X25519MLKEM768, kx_group::X25519];
    let provider = CryptoProvider { cipher_suites, kx_groups, ..aws_lc_rs::default_provider() };
    // The library gathers entropy when it first needs random numbers, which takes a tenth of a second, and far longer
    // on an emulated processor: now, and not while the other side's patience runs. If that fails, so will the
    // handshake, and tell.
    let _ = provider.secure_random.fill(&mut [0]);
    provider
}

/// Whether the processor has instructions for AES; without, ChaCha20 is several times faster.
fn has_aes() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::is_x86_feature_detected!("aes") && std::is_x86_feature_detected!("pclmulqdq");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    false
}

/// The Ed25519 key of a seed, with its public key in place of a certificate.
fn identity(seed: &Seed) -> Result<CertifiedKey, rustls::Error> {
    // A PKCS #8 wrapping of an Ed25519 seed (RFC 8410, section 7): fixed bytes but for the seed itself.
    const WRAPPING: [u8; 16] =
        [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    let mut wrapped = Zeroizing::new([0; WRAPPING.len() + 32]);
    wrapped[..WRAPPING.len()].copy_from_slice(&WRAPPING);
    wrapped[WRAPPING.len()..].copy_from_slice(&**seed);
    let key = aws_lc_rs::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(&wrapped[..]))?;
    let public = key.public_key().ok_or(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown))?;
    Ok(CertifiedKey::new(vec![CertificateDer::from(public.to_vec())], key))
}

/// The one public key that the peer may have.
#[derive(Debug)]
struct Pinned {
    public: SubjectPublicKeyInfoDer<'static>,
    provider: CryptoProvider,
}

impl Pinned {
    fn new(peer: &CertifiedKey, provider: &CryptoProvider) -> Result<Self, rustls::Error> {
        let public = SubjectPublicKeyInfoDer::from(peer.end_entity_cert()?.to_vec());
        Ok(Pinned { public, provider: provider.clone() })
    }

    /// Public values on both sides: nothing is learnt from how long it takes.
    fn check(&self, presented: &CertificateDer<'_>) -> Result<(), rustls::Error> {
        let same = presented.as_ref() == self.public.as_ref();
        if same { Ok(()) } else { Err(CertificateError::ApplicationVerificationFailure.into()) }
    }

    /// The signature is made over the whole handshake, by the key that was [checked](Pinned::check).
    fn check_signature(
        &self,
        message: &[u8],
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &self.public, signature, algorithms)
    }
}

const NO_TLS12: rustls::Error =
    rustls::Error::PeerIncompatible(rustls::PeerIncompatible::ServerDoesNotSupportTls12Or13);

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        presented: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check(presented).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(NO_TLS12)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        _: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.check_signature(message, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Pinned {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        presented: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.check(presented).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(NO_TLS12)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        _: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.check_signature(message, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
