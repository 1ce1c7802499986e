//! What the gateway vouches for towards an upstream: a signed token that names one person, one route and one request.
//!
//! ES256 (RFC 7518 §3.4) over a JWT (RFC 7519) that lives one minute. `aud` is the route, so that a token shown to one
//! system is worth nothing at another. One that is made for a request names it (`jti`, `request_id`), so that it can be found
//! in the audit log; one that stands for a session names no request. `factor_age_s` is the age at `iat`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::Failure;
use kernel::identity::assurance::FactorKind;
use kernel::policy::permit::{Permit, Person};
use kernel::time::Timestamp;
use serde::Serialize;
use thiserror::Error;
use zeroize::Zeroizing;

/// The key that signs assertions. Its public half is what upstreams fetch from `/.portcullis/jwks.json`.
#[derive(Clone)]
pub struct AssertionKey(Arc<Inner>);

struct Inner {
    pair: EcdsaKeyPair,
    /// The encoded JOSE header with its dot: the same for every token of this key.
    header: String,
    key_id: String,
}

/// The key cannot be made or read.
#[derive(Debug, Error)]
pub enum AssertionKeyFault {
    #[error("the assertion key cannot be made")]
    Generate,
    #[error("the assertion key is not a P-256 private key in PKCS #8")]
    Form,
}

/// What the token states. Times are whole seconds since the epoch, as RFC 7519 writes them.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    /// Issuer and `sub` together: `sub` alone is unique only within its issuer.
    sub: String,
    iat: u64,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    groups: Vec<&'a str>,
    /// RFC 8176 values for the factor that was shown.
    amr: &'static [&'static str],
    factor: &'static str,
    factor_age_s: u64,
    route: &'a str,
    rule: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

/// Whether a token names the request that it was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    Request,
    Nothing,
}

/// How long a token is good for.
pub const LIFETIME: Duration = Duration::from_secs(60);

impl AssertionKey {
    /// Makes a new key, in PKCS #8, to be sealed and kept by the caller.
    pub fn generate() -> Result<Zeroizing<Vec<u8>>, AssertionKeyFault> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map_err(|_| AssertionKeyFault::Generate)?;
        Ok(Zeroizing::new(document.as_ref().to_vec()))
    }

    /// Reads a key that [`AssertionKey::generate`] made.
    pub fn from_pkcs8(document: &[u8]) -> Result<Self, AssertionKeyFault> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document).map_err(|_| AssertionKeyFault::Form)?;
        let (x, y) = coordinates(&pair).ok_or(AssertionKeyFault::Form)?;
        // RFC 7638: the thumbprint of the public key names the key, so that a new key has a new name by itself.
        let thumbprint = digest(&SHA256, format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#).as_bytes());
        let key_id = URL_SAFE_NO_PAD.encode(thumbprint);
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"ES256","typ":"JWT","kid":"{key_id}"}}"#)) + ".";
        Ok(Self(Arc::new(Inner { pair, header, key_id })))
    }

    /// The name of the key, as tokens and the key set state it.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.0.key_id
    }

    /// The key set (RFC 7517) that lets an upstream verify tokens: this key first, then `former` ones whose tokens may
    /// still be on the way.
    #[must_use]
    pub fn key_set(&self, former: &[Self]) -> String {
        let keys: Vec<_> = std::iter::once(self).chain(former).filter_map(Self::jwk).collect();
        serde_json::json!({ "keys": keys }).to_string()
    }

    fn jwk(&self) -> Option<serde_json::Value> {
        let (x, y) = coordinates(&self.0.pair)?;
        Some(serde_json::json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.0.key_id, "x": x, "y": y,
        }))
    }

    /// Signs what `permit` says of `person`, and of its request if that is to be named. `gateway` is the gateway's own address,
    /// the issuer.
    pub fn assertion(&self, gateway: &str, permit: &Permit, person: &Person, now: Timestamp, named: Named) -> Result<String, Failure> {
        let id = match named {
            Named::Request => Some(permit.request().id.to_string()),
            Named::Nothing => None,
        };
        let id = id.as_deref();
        let issued = now.as_seconds();
        let claims = Claims {
            iss: gateway,
            aud: permit.route().id.as_str(),
            sub: person.identity.subject.to_string(),
            iat: issued,
            exp: issued.saturating_add(LIFETIME.as_secs()),
            jti: id,
            email: person.identity.email.as_ref().map(kernel::identity::Email::as_str),
            groups: person.identity.groups.iter().map(kernel::identity::Group::as_str).collect(),
            amr: methods(person.proof.kind),
            factor: person.proof.kind.as_str(),
            factor_age_s: now.since(person.proof.at).as_secs(),
            route: permit.route().id.as_str(),
            rule: permit.rule().as_str(),
            request_id: id,
        };
        let claims = serde_json::to_vec(&claims).map_err(|_| Failure::Bug("an assertion's claims are not JSON"))?;
        let mut token = String::with_capacity(self.0.header.len() + claims.len() * 4 / 3 + 92);
        token.push_str(&self.0.header);
        URL_SAFE_NO_PAD.encode_string(&claims, &mut token);
        let signature =
            self.0.pair.sign(&SystemRandom::new(), token.as_bytes()).map_err(|_| Failure::Bug("an assertion was not signed"))?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }
}

/// RFC 8176. A recovery code is something known; the RFC has no better word than a one-time password for it.
const fn methods(kind: FactorKind) -> &'static [&'static str] {
    match kind {
        FactorKind::Totp | FactorKind::RecoveryCode => &["otp", "mfa"],
        FactorKind::Webauthn => &["hwk", "user", "mfa"],
    }
}

/// The public point, as a JWK writes it.
fn coordinates(pair: &EcdsaKeyPair) -> Option<(String, String)> {
    let point = pair.public_key().as_ref().strip_prefix(&[4])?;
    let (x, y) = point.split_at_checked(32)?;
    (y.len() == 32).then(|| (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y)))
}

impl fmt::Debug for AssertionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AssertionKey").field("key_id", &self.0.key_id).finish_non_exhaustive()
    }
}
