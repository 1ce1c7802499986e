//! What TLS a listener speaks: versions, suites and groups of each preset, and the keys that it takes for good enough.
//!
//! Every preset is AEAD with forward secrecy; what a preset does not list is not spoken. docs/operating.md shows the same table, and the tests
//! shake hands by it.

use rustls::crypto::aws_lc_rs::cipher_suite as suite;
use rustls::crypto::aws_lc_rs::kx_group::{SECP256R1, SECP256R1MLKEM768, SECP384R1, X25519, X25519MLKEM768};
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::version::{TLS12, TLS13};
use rustls::{SignatureScheme, SupportedCipherSuite, SupportedProtocolVersion};

/// Which TLS is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// TLS 1.3 alone (Mozilla's name).
    #[default]
    Modern,
    /// TLS 1.3, and 1.2 with ECDHE, AEAD and extended master secret (Mozilla's name).
    Intermediate,
    /// What BSI TR-02102-2 recommends of that: AES-GCM and the NIST curves.
    Bsi,
    /// What PCI DSS takes for strong cryptography, read as NIST SP 800-52 Rev. 2: AES-GCM and the NIST curves.
    Pci,
}

impl Profile {
    pub(super) fn versions(self) -> Vec<&'static SupportedProtocolVersion> {
        match self {
            Self::Modern => vec![&TLS13],
            Self::Intermediate | Self::Bsi | Self::Pci => vec![&TLS13, &TLS12],
        }
    }

    /// A hybrid key agreement comes first, so that what is recorded today stays closed when elliptic curves do not. Curve25519
    /// is not among the curves that the BSI names, so that there the hybrid one stands on P-256.
    fn groups(self) -> Vec<&'static dyn SupportedKxGroup> {
        match self {
            Self::Modern | Self::Intermediate => vec![X25519MLKEM768, X25519, SECP256R1, SECP384R1],
            Self::Bsi => vec![SECP256R1MLKEM768, SECP256R1, SECP384R1],
            Self::Pci => vec![X25519MLKEM768, SECP256R1MLKEM768, SECP256R1, SECP384R1],
        }
    }

    const fn suites(self) -> &'static [SupportedCipherSuite] {
        match self {
            Self::Modern | Self::Intermediate => aws_lc_rs::DEFAULT_CIPHER_SUITES,
            Self::Bsi | Self::Pci => AES_GCM,
        }
    }

    /// How a handshake may be signed, by which key the certificate holds. In TLS 1.3 none is signed by PKCS #1 v1.5 (RFC 8446 §4.2.3). TR-02102-2
    /// does not take it in TLS 1.2 either any more, nor Edwards curves.
    pub(super) const fn schemes(self) -> &'static [SignatureScheme] {
        match self {
            Self::Modern | Self::Intermediate | Self::Pci => ALL_SCHEMES,
            Self::Bsi => BSI_SCHEMES,
        }
    }

    /// Bits that the modulus of an RSA key must have. TR-02102-2 asks for 3,000 since 2024.
    pub(super) const fn rsa_bits_min(self) -> usize {
        match self {
            Self::Modern | Self::Intermediate | Self::Pci => 2_048,
            Self::Bsi => 3_000,
        }
    }

    pub(super) fn provider(self) -> CryptoProvider {
        CryptoProvider { kx_groups: self.groups(), cipher_suites: self.suites().to_vec(), ..aws_lc_rs::default_provider() }
    }
}

const AES_GCM: &[SupportedCipherSuite] = &[
    suite::TLS13_AES_256_GCM_SHA384,
    suite::TLS13_AES_128_GCM_SHA256,
    suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
];

const BSI_SCHEMES: &[SignatureScheme] = &[
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ECDSA_NISTP521_SHA512,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
];

const ALL_SCHEMES: &[SignatureScheme] = &[
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ECDSA_NISTP521_SHA512,
    SignatureScheme::ED25519,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA512,
];
