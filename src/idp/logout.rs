//! Sign-out: what an IdP tells the gateway (OpenID Connect Back-Channel Logout 1.0) and where a browser is sent to
//! (RP-Initiated Logout 1.0).

use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use kernel::Failure;
use kernel::session::{Token, TokenHash};
use kernel::time::Timestamp;
use serde_json::Value;

use super::Idp;
use super::fault::{LogoutFault, TokenFault};
use super::id_token::{SKEW, check_issuer_and_audience, check_times, optional_text, sub, time};
use super::jws::{Claims, Unverified};
use super::source::KEEP;

/// A logout that the IdP states, after every check but one: that `jti_hash` was not seen before, which the store knows.
/// If the store cannot say, the token must not be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogoutToken {
    pub issuer: String,
    /// All sessions of this subject end; together with `sid`, only that one.
    pub sub: Option<String>,
    pub sid: Option<String>,
    /// Names the token, bound to its issuer.
    pub jti_hash: TokenHash,
    /// Until when the token could be shown again, and `jti_hash` must be remembered.
    pub until: Timestamp,
}

impl Idp {
    /// Checks a logout token (Back-Channel Logout §2.6).
    pub async fn verify_logout_token(&self, token: &str) -> Result<LogoutToken, LogoutFault> {
        let provider = self.source.provider(KEEP).await?;
        let token = Unverified::read(token, &provider.metadata.algorithms)?;
        // The recommended type or none; any other, `JWT` among it, is what ID tokens and access tokens carry.
        if !matches!(token.kind.as_deref(), None | Some("logout+jwt")) {
            return Err(TokenFault::Type.into());
        }
        match self.source.verify(&provider, &token).await {
            Ok(claims) => Ok(self.read_logout(&claims)?),
            Err(fault @ TokenFault::KeysUnreachable) => Err(LogoutFault::Unreachable(fault.to_string())),
            Err(fault) => Err(fault.into()),
        }
    }

    fn read_logout(&self, claims: &Claims) -> Result<LogoutToken, TokenFault> {
        let (claims, now) = (claims.object(), self.clock.now());
        check_issuer_and_audience(claims, &self.settings.issuer, &self.settings.client_id)?;
        check_times(claims, now)?;
        let stale = time(claims, "iat")?.plus(LOGOUT_AGE_MAX).plus(SKEW);
        if now >= stale {
            return Err(TokenFault::Stale);
        }
        let states_logout = claims.get("events").and_then(|events| events.get(LOGOUT_EVENT)).is_some_and(Value::is_object);
        if !states_logout {
            return Err(TokenFault::Events);
        }
        if claims.contains_key("nonce") {
            return Err(TokenFault::NoncePresent);
        }
        let sub = claims.get("sub").map(|_| sub(claims)).transpose()?;
        let sid = optional_text(claims, "sid")?.filter(|sid| !sid.is_empty());
        if sub.is_none() && sid.is_none() {
            return Err(TokenFault::NoTarget);
        }
        let jti = optional_text(claims, "jti")?.filter(|jti| !jti.is_empty()).ok_or(TokenFault::Claim("jti"))?;
        let until = time(claims, "exp")?.plus(SKEW).min(stale);
        Ok(LogoutToken { issuer: self.settings.issuer.clone(), sub, sid, jti_hash: self.jti_hash(&jti), until })
    }

    fn jti_hash(&self, jti: &str) -> TokenHash {
        let mut context = Context::new(&SHA256);
        // The issuer cannot run into the id: an address holds no NUL.
        for part in ["portcullis\0jti\0", &self.settings.issuer, "\0", jti] {
            context.update(part.as_bytes());
        }
        let mut hash = [0; 32];
        hash.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
        TokenHash::from_bytes(hash)
    }

    /// Where to send a browser so that it is signed out at the IdP too; none if the IdP has no such place.
    /// `state` comes back with the browser.
    pub async fn sign_out_url(&self, id_token: Option<&str>, state: Option<&Token>) -> Result<Option<String>, Failure> {
        let provider = self.source.provider(KEEP).await?;
        let Some(mut url) = provider.metadata.end_session.clone() else { return Ok(None) };
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("client_id", &self.settings.client_id);
            query.append_pair("post_logout_redirect_uri", &self.settings.post_logout_redirect_uri);
            // An address that is too long would sign nobody out; without the hint the IdP asks the person.
            if let Some(hint) = id_token.filter(|token| token.len() <= HINT_BYTES_MAX) {
                query.append_pair("id_token_hint", hint);
            }
            if let Some(state) = state {
                query.append_pair("state", &state.text());
            }
        }
        Ok(Some(url.into()))
    }
}

/// The member of `events` that makes a token a logout token.
const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// How old a logout token may be.
const LOGOUT_AGE_MAX: Duration = Duration::from_secs(300);

/// Longest ID token put into an address, in bytes.
const HINT_BYTES_MAX: usize = 4_096;
