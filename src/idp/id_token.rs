//! What the claims of an ID token must say (OpenID Connect Core §3.1.3.7, §3.1.3.8), after its signature was checked.

use std::time::Duration;

use aws_lc_rs::digest::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::time::Timestamp;
use serde_json::Value;
use subtle::ConstantTimeEq;

use super::fault::TokenFault;
use super::json::{Object, text};
use super::jws::{Algorithm, Claims};

/// What the gateway asked for, and so what an ID token must answer.
pub struct Asked<'a> {
    pub issuer: &'a str,
    pub client_id: &'a str,
    pub nonce: &'a str,
    pub max_age: Option<Duration>,
    pub acr_values: &'a [String],
    pub access_token: &'a str,
    pub now: Timestamp,
}

/// What an ID token proves.
#[derive(Debug)]
pub struct Proven {
    pub sub: String,
    pub sid: Option<String>,
    pub auth_time: Option<Timestamp>,
    pub amr: Vec<String>,
    pub acr: Option<String>,
}

/// Types of an ID token. Another explicit type is another kind of token (RFC 8725 §3.11).
pub fn check_kind(kind: Option<&str>) -> Result<(), TokenFault> {
    match kind {
        None | Some("jwt" | "id_token+jwt") => Ok(()),
        Some(_) => Err(TokenFault::Type),
    }
}

pub fn check(claims: &Claims, algorithm: Algorithm, asked: &Asked<'_>) -> Result<Proven, TokenFault> {
    let claims = claims.object();
    check_issuer_and_audience(claims, asked.issuer, asked.client_id)?;
    check_times(claims, asked.now)?;
    let nonce = text(claims, "nonce").ok_or(TokenFault::Nonce)?;
    if !bool::from(nonce.as_bytes().ct_eq(asked.nonce.as_bytes())) {
        return Err(TokenFault::Nonce);
    }
    check_access_token(claims, algorithm, asked.access_token)?;
    let auth_time = claims.get("auth_time").map(|_| time(claims, "auth_time")).transpose()?;
    if let Some(max_age) = asked.max_age {
        let at = auth_time.ok_or(TokenFault::Claim("auth_time"))?;
        if at > asked.now.plus(SKEW) || asked.now.since(at) > max_age.saturating_add(SKEW) {
            return Err(TokenFault::AuthTime);
        }
    }
    let acr = optional_text(claims, "acr")?;
    if !asked.acr_values.is_empty() && !acr.as_ref().is_some_and(|acr| asked.acr_values.contains(acr)) {
        return Err(TokenFault::Acr);
    }
    Ok(Proven { sub: sub(claims)?, sid: optional_text(claims, "sid")?, auth_time, amr: amr(claims)?, acr })
}

/// `iss` exactly, `aud` holds the client, and a token for several or by another client is refused unless `azp` is the client.
pub fn check_issuer_and_audience(claims: &Object, issuer: &str, client_id: &str) -> Result<(), TokenFault> {
    if text(claims, "iss").ok_or(TokenFault::Claim("iss"))? != issuer {
        return Err(TokenFault::Issuer);
    }
    let audiences: Vec<&str> = match claims.get("aud") {
        Some(Value::String(audience)) => vec![audience],
        Some(Value::Array(items)) => items.iter().map(Value::as_str).collect::<Option<_>>().ok_or(TokenFault::Claim("aud"))?,
        Some(_) | None => return Err(TokenFault::Claim("aud")),
    };
    if !audiences.contains(&client_id) {
        return Err(TokenFault::Audience);
    }
    match claims.get("azp") {
        None if audiences.len() == 1 => Ok(()),
        Some(Value::String(party)) if party == client_id => Ok(()),
        None | Some(_) => Err(TokenFault::AuthorizedParty),
    }
}

/// `exp` and `iat` are there, `nbf` may be; all numbers, all within the skew.
pub fn check_times(claims: &Object, now: Timestamp) -> Result<(), TokenFault> {
    if now >= time(claims, "exp")?.plus(SKEW) {
        return Err(TokenFault::Expired);
    }
    if time(claims, "iat")? > now.plus(SKEW) {
        return Err(TokenFault::IssuedInFuture);
    }
    if claims.contains_key("nbf") && time(claims, "nbf")? > now.plus(SKEW) {
        return Err(TokenFault::NotYetValid);
    }
    Ok(())
}

/// A time claim: a number of seconds, never text, which some readers take for absent.
pub fn time(claims: &Object, name: &'static str) -> Result<Timestamp, TokenFault> {
    let Some(Value::Number(number)) = claims.get(name) else { return Err(TokenFault::Claim(name)) };
    if let Some(seconds) = number.as_u64() {
        return Ok(Timestamp::from_seconds(seconds));
    }
    // Fractions are allowed (RFC 7519 §2); what is negative is no time of ours.
    let span = number.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    span.map(|span| Timestamp::EPOCH.plus(span)).ok_or(TokenFault::Claim(name))
}

/// The subject: 1 to 255 characters of printable ASCII (OpenID Connect Core §2), without space around it: an upstream reads it
/// from a header, where such space is lost.
pub fn sub(claims: &Object) -> Result<String, TokenFault> {
    let sub = text(claims, "sub").ok_or(TokenFault::Claim("sub"))?;
    let plain = (1..=255).contains(&sub.len()) && sub.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) && sub.trim() == sub;
    if plain { Ok(sub.to_owned()) } else { Err(TokenFault::Subject) }
}

/// Text of a sane length, or nothing; another type is refused.
pub fn optional_text(claims: &Object, name: &'static str) -> Result<Option<String>, TokenFault> {
    match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(value)) if value.len() <= TEXT_BYTES_MAX => Ok(Some(value.clone())),
        Some(_) => Err(TokenFault::Claim(name)),
    }
}

fn amr(claims: &Object) -> Result<Vec<String>, TokenFault> {
    let fault = TokenFault::Claim("amr");
    match claims.get("amr") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) if items.len() <= AMR_MAX => {
            items.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<_>>().ok_or(fault)
        }
        Some(_) => Err(fault),
    }
}

/// `at_hash`: the left half of the access token's hash.
fn check_access_token(claims: &Object, algorithm: Algorithm, access_token: &str) -> Result<(), TokenFault> {
    let Some(stated) = claims.get("at_hash") else { return Ok(()) };
    let hash = digest(algorithm.digest(), access_token.as_bytes());
    let half = hash.as_ref().get(..hash.as_ref().len() / 2).unwrap_or_default();
    if stated.as_str() == Some(URL_SAFE_NO_PAD.encode(half).as_str()) { Ok(()) } else { Err(TokenFault::AccessTokenHash) }
}

/// How far the IdP's clock and ours may be apart.
pub const SKEW: Duration = Duration::from_secs(60);

/// Longest `sid`, `acr` or `jti`, in bytes.
const TEXT_BYTES_MAX: usize = 1_024;

/// Most entries of `amr`.
const AMR_MAX: usize = 32;
