//! What is negotiated, and what becomes of keys that have been used for long.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustls::crypto::CipherSuiteCommon;
use rustls::crypto::cipher::{
    AeadKey, Iv, MessageDecrypter, MessageEncrypter, Tls13AeadAlgorithm, UnsupportedOperationError,
};
use rustls::{CipherSuite, ConnectionTrafficSecrets, Tls13CipherSuite};

use super::*;
use crate::link::duplex;
use crate::link::handshake::{HandshakeError, shake_hands};

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let near = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
    (near, listener.accept().expect("dialled").0)
}

/// Both ends after the handshake, or why there is none.
fn shaken(sender: &SenderTls, receiver: &ReceiverTls) -> [Result<(Connection, TcpStream), HandshakeError>; 2] {
    let (near, far) = pair();
    let shake = |mut tls: Connection, socket: TcpStream| {
        let shaken = shake_hands(&mut tls, &socket);
        move || shaken.map(|()| (tls, socket))
    };
    let (near_tls, far_tls) =
        (sender.connection().expect("a connection"), receiver.connection().expect("a connection"));
    let (near, far) = thread::scope(|scope| {
        let far = scope.spawn(|| shake(far_tls, far));
        (shake(near_tls, near), far.join().expect("no panic"))
    });
    [near(), far()]
}

fn suite(sender: Vec<SupportedCipherSuite>, receiver: Vec<SupportedCipherSuite>) -> CipherSuite {
    let key = Key::generate().expect("random numbers");
    let sender = SenderTls::build(&key, with_suites(sender)).expect("a configuration");
    let receiver = ReceiverTls::build(&key, with_suites(receiver)).expect("a configuration");
    let [near, far] = shaken(&sender, &receiver).map(|shaken| shaken.expect("the same key").0);
    assert_eq!(near.negotiated_cipher_suite(), far.negotiated_cipher_suite());
    assert_eq!(near.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    near.negotiated_cipher_suite().expect("it is negotiated").suite()
}

#[test]
fn the_sender_chooses_the_cipher_where_the_receiver_has_aes() {
    let (aes, chacha) = (cipher_suite::TLS13_AES_128_GCM_SHA256, cipher_suite::TLS13_CHACHA20_POLY1305_SHA256);
    if has_aes() {
        assert_eq!(suite(vec![aes, chacha], vec![aes, chacha]), CipherSuite::TLS13_AES_128_GCM_SHA256);
    }
    assert_eq!(suite(vec![chacha, aes], vec![chacha, aes]), CipherSuite::TLS13_CHACHA20_POLY1305_SHA256);
    assert_eq!(suite(vec![chacha, aes], vec![aes, chacha]), CipherSuite::TLS13_CHACHA20_POLY1305_SHA256);
}

#[test]
fn the_key_exchange_is_post_quantum_and_no_tickets_are_given() {
    let key = Key::generate().expect("random numbers");
    let (sender, receiver) = (SenderTls::new(&key).expect("a key"), ReceiverTls::new(&key).expect("a key"));
    for _ in 0..2 {
        let [near, far] = shaken(&sender, &receiver).map(|shaken| shaken.expect("the same key").0);
        let group = near.negotiated_key_exchange_group().expect("it is negotiated").name();
        assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
        assert_eq!(near.handshake_kind(), Some(rustls::HandshakeKind::Full));
        assert_eq!(far.handshake_kind(), Some(rustls::HandshakeKind::Full));
    }
}

/// AES-128-GCM that counts the keys it is given to encrypt with.
struct Counting {
    aead: &'static dyn Tls13AeadAlgorithm,
    keys: AtomicUsize,
}

impl Tls13AeadAlgorithm for Counting {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        self.keys.fetch_add(1, Ordering::SeqCst);
        self.aead.encrypter(key, iv)
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        self.aead.decrypter(key, iv)
    }

    fn key_len(&self) -> usize {
        self.aead.key_len()
    }

    fn extract_keys(&self, key: AeadKey, iv: Iv) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        self.aead.extract_keys(key, iv)
    }
}

/// As it is, but for how many records may be sent with one key: for AES-GCM 2^24, some 256 GiB.
fn worn_out_after(records: u64) -> (SupportedCipherSuite, &'static Counting) {
    let SupportedCipherSuite::Tls13(suite) = cipher_suite::TLS13_AES_128_GCM_SHA256 else {
        panic!("it is of TLS 1.3")
    };
    let counting: &Counting = Box::leak(Box::new(Counting { aead: suite.aead_alg, keys: AtomicUsize::new(0) }));
    let common = CipherSuiteCommon {
        suite: suite.common.suite,
        hash_provider: suite.common.hash_provider,
        confidentiality_limit: records,
    };
    let suite =
        Tls13CipherSuite { common, hkdf_provider: suite.hkdf_provider, aead_alg: counting, quic: suite.quic };
    (SupportedCipherSuite::Tls13(Box::leak(Box::new(suite))), counting)
}

#[test]
fn keys_that_are_worn_out_are_renewed_on_the_way() {
    const LENGTH: usize = 32 << 20;
    let key = Key::generate().expect("random numbers");
    let (suite, counting) = worn_out_after(300);
    let suites = vec![suite];
    let sender = SenderTls::build(&key, with_suites(suites.clone())).expect("a configuration");
    let receiver = ReceiverTls::build(&key, with_suites(suites)).expect("a configuration");
    let [near, far] = shaken(&sender, &receiver).map(|shaken| shaken.expect("the same key"));
    let ends = [near, far].map(|(tls, socket)| duplex::halves(tls, Arc::new(socket)));
    let before = counting.keys.load(Ordering::SeqCst);
    thread::scope(|scope| {
        for (mut reader, mut writer) in ends {
            scope.spawn(move || {
                let bytes: Vec<u8> =
                    (0..1 << 20).map(|index: u32| index.to_le_bytes()[index as usize % 3]).collect();
                for _ in 0..LENGTH >> 20 {
                    writer.write_all(&bytes).expect("it is read");
                }
            });
            scope.spawn(move || {
                let mut got = vec![0; 1 << 20];
                for _ in 0..LENGTH >> 20 {
                    reader.read_exact(&mut got).expect("it is written");
                    let right = got.iter().zip(0u32..).all(|(b, i)| *b == i.to_le_bytes()[i as usize % 3]);
                    assert!(right, "other bytes arrived");
                }
                assert_eq!(reader.read(&mut got).expect("a clean end"), 0);
            });
        }
    });
    // 2048 records each way.
    let renewed = counting.keys.load(Ordering::SeqCst) - before;
    assert!(renewed >= 2 * 6, "{renewed} new keys");
}

#[test]
fn neither_half_of_another_key_is_enough() {
    let (ours, theirs) = (Key::generate().expect("random"), Key::generate().expect("random"));
    let [near, far] = shaken(&SenderTls::new(&ours).expect("a key"), &ReceiverTls::new(&theirs).expect("a key"));
    assert!(matches!(near, Err(HandshakeError::Tls { error: rustls::Error::InvalidCertificate(_), .. })));
    assert!(far.is_err());
    // A receiver that shows the right key and a sender that does not: the receiver finds out.
    let mixed = mixed_sender(&ours, &theirs);
    let [_, far] = shaken(&mixed, &ReceiverTls::new(&ours).expect("a key"));
    assert!(matches!(far, Err(HandshakeError::Tls { error: rustls::Error::InvalidCertificate(_), .. })));
}

/// Expects the receiver of `right`, and shows the sender of `wrong`.
fn mixed_sender(right: &Key, wrong: &Key) -> SenderTls {
    let provider = provider();
    let own = identity(&wrong.sender_seed()).expect("a key");
    let pinned = Pinned::new(&identity(&right.receiver_seed()).expect("a key"), &provider).expect("a key");
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])
        .expect("it has TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(pinned))
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(Arc::new(own))));
    SenderTls(Arc::new(config))
}
