//! What the provider signs: ID tokens and logout tokens, ES256, under a key that lives as long as the process.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use kernel::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::demo::Error;
use crate::demo::provider::Session;

/// Holds the key; signs and recognises.
pub(super) struct Signer {
    issuer: String,
    audience: String,
    key: EncodingKey,
    known_as: DecodingKey,
    jwk: Jwk,
}

/// The facts that an ID token states about one sign-in.
pub(super) struct Grant<'a> {
    pub session: &'a Session,
    pub nonce: Option<&'a str>,
    pub access_token: &'a str,
}

impl Signer {
    /// Signs as `issuer`, for one client.
    pub(super) fn generate(issuer: &str, audience: &str) -> Result<Self, Error> {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let key = EncodingKey::from_ec_der(pair.serialized_der());
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256)?;
        jwk.common.key_id = Some(URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, pair.public_key_raw())));
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        let known_as = DecodingKey::from_jwk(&jwk)?;
        Ok(Self { issuer: issuer.to_owned(), audience: audience.to_owned(), key, known_as, jwk })
    }

    /// The public half, as a JSON Web Key Set.
    pub(super) fn key_set(&self) -> Value {
        json!({ "keys": [self.jwk] })
    }

    /// An ID token (OpenID Connect Core §2), valid for five minutes.
    pub(super) fn id_token_assertion(&self, grant: &Grant<'_>, now: Timestamp) -> Result<String, Error> {
        let person = grant.session.person;
        let claims = json!({
            "iss": self.issuer, "aud": self.audience, "sub": person.login, "sid": grant.session.sid,
            "iat": now.as_seconds(), "exp": now.as_seconds() + ID_TOKEN_SECONDS, "auth_time": grant.session.began.as_seconds(),
            "nonce": grant.nonce, "at_hash": left_half_of_hash(grant.access_token), "amr": ["pwd"],
            "name": person.name, "preferred_username": person.login, "email": person.email, "email_verified": true, "groups": person.groups,
        });
        self.sign(None, claims)
    }

    /// A logout token (OpenID Connect Back-Channel Logout §2.4), valid for two minutes.
    pub(super) fn logout_assertion(&self, session: &Session, jti: &str, now: Timestamp) -> Result<String, Error> {
        let claims = json!({
            "iss": self.issuer, "aud": self.audience, "sub": session.person.login, "sid": session.sid, "jti": jti,
            "iat": now.as_seconds(), "exp": now.as_seconds() + LOGOUT_TOKEN_SECONDS,
            "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
        });
        self.sign(Some("logout+jwt"), claims)
    }

    /// The session that an ID token of ours belongs to, however old it is (RP-Initiated Logout §2).
    pub(super) fn session_of_hint(&self, hint: &str) -> Option<String> {
        let mut validation = Validation::new(Algorithm::ES256);
        validation.validate_exp = false;
        validation.set_audience(&[&self.audience]);
        validation.set_issuer(&[&self.issuer]);
        jsonwebtoken::decode::<Hint>(hint, &self.known_as, &validation).ok().map(|token| token.claims.sid)
    }

    fn sign(&self, typ: Option<&str>, mut claims: Value) -> Result<String, Error> {
        if let Some(object) = claims.as_object_mut() {
            object.retain(|_, value| !value.is_null());
        }
        let mut header = Header::new(Algorithm::ES256);
        header.kid.clone_from(&self.jwk.common.key_id);
        header.typ = Some(typ.unwrap_or("JWT").to_owned());
        Ok(jsonwebtoken::encode(&header, &claims, &self.key)?)
    }
}

/// PKCE's transformation of a verifier (RFC 7636 §4.2).
pub(super) fn challenge_of(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()))
}

fn left_half_of_hash(token: &str) -> String {
    let hash = digest::digest(&digest::SHA256, token.as_bytes());
    URL_SAFE_NO_PAD.encode(hash.as_ref().get(..16).unwrap_or_default())
}

#[derive(Serialize, Deserialize)]
struct Hint {
    sid: String,
}

const ID_TOKEN_SECONDS: u64 = 300;
const LOGOUT_TOKEN_SECONDS: u64 = 120;
