//! Signed tokens in compact form (RFC 7515), read strictly, and the keys that may sign them.
//!
//! The only algorithms are asymmetric ones named here; the token chooses neither key nor algorithm: its header is compared
//! with what the IdP published. Claims can be had only from a token whose signature was checked.

use aws_lc_rs::digest;
use aws_lc_rs::signature::{self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::fault::{KEYS_MAX, ProviderFault, TokenFault};
use super::json::{self, Object};

/// Largest token taken, in bytes.
pub const TOKEN_BYTES_MAX: usize = 65_536;

/// Signature algorithms (RFC 7518 §3.1, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

/// A token whose signature has not been checked; nothing of what it claims can be had from it.
pub struct Unverified<'t> {
    pub algorithm: Algorithm,
    /// Lower case, without `application/`.
    pub kind: Option<String>,
    kid: Option<String>,
    signed: &'t str,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

/// What a token claims, after its signature was checked.
#[derive(Debug)]
pub struct Claims(Object);

/// The keys of an IdP that may sign tokens.
#[derive(Debug)]
pub struct KeySet(Vec<Key>);

#[derive(Debug)]
struct Key {
    kid: Option<String>,
    algorithm: Option<Algorithm>,
    material: Material,
}

#[derive(Debug)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl Algorithm {
    /// Reads a name exactly as registered; anything else, `none` and HMAC among it, is none of ours.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "EdDSA" | "Ed25519" => Self::EdDsa,
            _ => return None,
        })
    }

    /// The hash of `at_hash` (OpenID Connect Core §3.1.3.6; SHA-512 for Ed25519).
    pub fn digest(self) -> &'static aws_lc_rs::digest::Algorithm {
        match self {
            Self::Rs256 | Self::Ps256 | Self::Es256 => &aws_lc_rs::digest::SHA256,
            Self::Rs384 | Self::Ps384 | Self::Es384 => &aws_lc_rs::digest::SHA384,
            Self::Rs512 | Self::Ps512 | Self::EdDsa => &aws_lc_rs::digest::SHA512,
        }
    }

    fn rsa(self) -> Option<&'static RsaParameters> {
        Some(match self {
            Self::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Self::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
            Self::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
            Self::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
            Self::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
            Self::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
            Self::Es256 | Self::Es384 | Self::EdDsa => return None,
        })
    }
}

impl<'t> Unverified<'t> {
    /// Takes a token apart. `allowed` are the algorithms that the IdP says it uses.
    pub fn read(token: &'t str, allowed: &[Algorithm]) -> Result<Self, TokenFault> {
        let (header, payload, signature) = parts(token)?;
        let header = json::object(&decode(header)?).ok_or(TokenFault::NotJson("header"))?;
        // These change what is signed or bring a key along (RFC 7515 §4.1, RFC 7797); an ID token should hold none of them
        // (OpenID Connect Core §2), so that one that does is not a token for us.
        if let Some(name) = HEADERS_REFUSED.iter().find(|name| header.contains_key(**name)) {
            return Err(TokenFault::HeaderParameter(name));
        }
        let algorithm = json::text(&header, "alg").and_then(Algorithm::parse).ok_or(TokenFault::Algorithm)?;
        if !allowed.contains(&algorithm) {
            return Err(TokenFault::Algorithm);
        }
        let kid = match header.get("kid") {
            None => None,
            Some(Value::String(kid)) if kid.len() <= KID_BYTES_MAX => Some(kid.clone()),
            Some(_) => return Err(TokenFault::KeyId),
        };
        let kind = match header.get("typ") {
            None => None,
            Some(Value::String(kind)) => Some(kind_of(kind)),
            Some(_) => return Err(TokenFault::Type),
        };
        // `header.payload`: what stands before the last dot.
        let signed = token.rsplit_once('.').map(|(signed, _)| signed).ok_or(TokenFault::NotCompact)?;
        Ok(Self { algorithm, kind, kid, signed, payload: decode(payload)?, signature: decode(signature)? })
    }
}

impl Claims {
    pub const fn object(&self) -> &Object {
        &self.0
    }
}

impl Key {
    fn bytes(&self) -> Vec<u8> {
        match &self.material {
            Material::Rsa { n, e } => [n.as_slice(), b"/", e.as_slice()].concat(),
            Material::P256(point) | Material::P384(point) | Material::Ed25519(point) => point.clone(),
        }
    }
}

impl KeySet {
    /// Reads a JWK set (RFC 7517 §5). Keys that are not for signatures, symmetric, or of a kind we do not use are left out.
    pub fn read(set: &Object) -> Result<Self, ProviderFault> {
        let Some(Value::Array(keys)) = set.get("keys") else { return Err(ProviderFault::KeySet) };
        if keys.len() > KEYS_MAX {
            return Err(ProviderFault::KeySet);
        }
        let keys: Vec<_> = keys.iter().filter_map(Value::as_object).filter_map(Key::read).collect();
        if keys.is_empty() { Err(ProviderFault::NoKeys) } else { Ok(Self(keys)) }
    }

    /// Whether two sets are the same keys, whatever their order.
    pub fn digest(&self) -> [u8; 32] {
        let mut parts: Vec<Vec<u8>> = self.0.iter().map(Key::bytes).collect();
        parts.sort_unstable();
        let mut context = digest::Context::new(&digest::SHA256);
        for part in parts {
            context.update(&part.len().to_be_bytes());
            context.update(&part);
        }
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.finish().as_ref());
        bytes
    }

    /// Checks a token's signature.
    pub fn verify(&self, token: &Unverified<'_>) -> Result<Claims, TokenFault> {
        let key = self.find(token)?;
        if !key.verifies(token) {
            return Err(TokenFault::Signature);
        }
        json::object(&token.payload).map(Claims).ok_or(TokenFault::NotJson("payload"))
    }

    fn find(&self, token: &Unverified<'_>) -> Result<&Key, TokenFault> {
        let Some(kid) = &token.kid else {
            // OpenID Connect Core §10.1: with several keys a key id must be given.
            return match self.0.as_slice() {
                [key] if key.suits(token.algorithm) => Ok(key),
                [_] => Err(TokenFault::UnknownKey),
                _ => Err(TokenFault::KeyIdAbsent),
            };
        };
        let mut matching = self.0.iter().filter(|key| key.kid.as_ref() == Some(kid) && key.suits(token.algorithm));
        match (matching.next(), matching.next()) {
            (Some(key), None) => Ok(key),
            (None, _) => Err(TokenFault::UnknownKey),
            (Some(_), Some(_)) => Err(TokenFault::AmbiguousKey),
        }
    }
}

impl Key {
    fn read(jwk: &Object) -> Option<Self> {
        let for_signatures = match (jwk.get("use"), jwk.get("key_ops")) {
            (Some(Value::String(purpose)), _) => purpose == "sig",
            (Some(_), _) => false,
            (None, Some(Value::Array(operations))) => operations.iter().any(|operation| operation == "verify"),
            (None, Some(_)) => false,
            (None, None) => true,
        };
        // A key that belongs to an algorithm we do not use is not a key for us; neither is a private one that leaked.
        let algorithm = match jwk.get("alg") {
            None => None,
            Some(name) => Some(name.as_str().and_then(Algorithm::parse)?),
        };
        let kid = match jwk.get("kid") {
            None => None,
            Some(kid) => Some(kid.as_str()?.to_owned()),
        };
        let material = Material::read(jwk)?;
        (for_signatures && !jwk.contains_key("d")).then_some(Self { kid, algorithm, material })
    }

    /// Whether this key may sign with `algorithm`: its own `alg` says so, or it has none, and its type is that algorithm's.
    fn suits(&self, algorithm: Algorithm) -> bool {
        let of_kind = match algorithm {
            Algorithm::Es256 => matches!(self.material, Material::P256(_)),
            Algorithm::Es384 => matches!(self.material, Material::P384(_)),
            Algorithm::EdDsa => matches!(self.material, Material::Ed25519(_)),
            Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512 | Algorithm::Ps256 | Algorithm::Ps384 | Algorithm::Ps512 => {
                matches!(self.material, Material::Rsa { .. })
            }
        };
        of_kind && self.algorithm.is_none_or(|own| own == algorithm)
    }

    fn verifies(&self, token: &Unverified<'_>) -> bool {
        let (message, mark) = (token.signed.as_bytes(), token.signature.as_slice());
        let checked = match (&self.material, token.algorithm.rsa()) {
            (Material::Rsa { n, e }, Some(parameters)) => RsaPublicKeyComponents { n, e }.verify(parameters, message, mark),
            (Material::Rsa { .. }, None) | (_, Some(_)) => return false,
            (Material::P256(point), None) => UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).verify(message, mark),
            (Material::P384(point), None) => UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, point).verify(message, mark),
            (Material::Ed25519(point), None) => UnparsedPublicKey::new(&signature::ED25519, point).verify(message, mark),
        };
        checked.is_ok()
    }
}

impl Material {
    fn read(jwk: &Object) -> Option<Self> {
        let part = |name| URL_SAFE_NO_PAD.decode(json::text(jwk, name)?).ok();
        match (json::text(jwk, "kty")?, json::text(jwk, "crv")) {
            ("RSA", None) => Some(Self::Rsa { n: part("n")?, e: part("e")? }),
            ("EC", Some("P-256")) => point(&part("x")?, &part("y")?, 32).map(Self::P256),
            ("EC", Some("P-384")) => point(&part("x")?, &part("y")?, 48).map(Self::P384),
            ("OKP", Some("Ed25519")) => part("x").filter(|x| x.len() == 32).map(Self::Ed25519),
            _ => None,
        }
    }
}

/// What a token says its issuer is, before anything was checked: good for choosing whom to ask, and for nothing else.
pub fn issuer_hint(token: &str) -> Option<String> {
    let (_, payload, _) = parts(token).ok()?;
    json::text(&json::object(&decode(payload).ok()?)?, "iss").map(str::to_owned)
}

fn parts(token: &str) -> Result<(&str, &str, &str), TokenFault> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenFault::TooLarge);
    }
    let mut parts = token.split('.');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(header), Some(payload), Some(signature), None) => Ok((header, payload, signature)),
        _ => Err(TokenFault::NotCompact),
    }
}

/// base64url in its one form: no padding, no white space, no stray bits.
fn decode(part: &str) -> Result<Vec<u8>, TokenFault> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenFault::NotCompact)
}

fn kind_of(kind: &str) -> String {
    let kind = kind.to_ascii_lowercase();
    kind.strip_prefix("application/").map_or(kind.clone(), str::to_owned)
}

/// An uncompressed point, SEC 1 §2.3.3.
fn point(x: &[u8], y: &[u8], length: usize) -> Option<Vec<u8>> {
    (x.len() == length && y.len() == length).then(|| [&[4], x, y].concat())
}

const HEADERS_REFUSED: &[&str] = &["crit", "b64", "zip", "enc", "jku", "jwk", "x5u", "x5c"];

/// Longest key id, in bytes.
const KID_BYTES_MAX: usize = 256;
