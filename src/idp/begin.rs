//! The first half of a sign-in: the address to send a browser to, and what is kept until it comes back.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::Failure;
use kernel::session::token::Purpose;
use kernel::session::{Token, TokenHash};
use kernel::time::Timestamp;
use zeroize::Zeroizing;

use super::discovery::Metadata;
use super::fault::CallFault;
use super::source::KEEP;
use super::{Idp, json};
use crate::entropy;

/// What is asked of the IdP beyond "who is this".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    pub prompt: Option<Prompt>,
    /// Greatest age of the person's sign-in at the IdP. If given, the ID token must prove it.
    pub max_age: Option<Duration>,
    /// Authentication classes, one of which the ID token must then state.
    pub acr_values: Vec<String>,
}

/// What the IdP shows (OpenID Connect Core §3.1.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prompt {
    Login,
    SelectAccount,
    Consent,
    /// Nothing: the IdP answers from its own session, or refuses.
    None,
}

/// A sign-in that was begun.
#[derive(Debug)]
pub struct Begun {
    /// Where to send the browser.
    pub url: String,
    pub pending: Pending,
}

/// What is kept on the server until the browser comes back: single use, for ten minutes, found by the hash of `state`.
#[derive(Clone)]
pub struct Pending {
    pub state: TokenHash,
    /// The issuer the browser was sent to. An answer from another is a mix-up (RFC 9700 §4.4).
    pub issuer: String,
    pub nonce: Zeroizing<String>,
    pub pkce_verifier: Zeroizing<String>,
    pub created: Timestamp,
    pub max_age: Option<Duration>,
    pub acr_values: Vec<String>,
}

impl Idp {
    /// Begins a sign-in.
    pub async fn begin(&self, ask: &Ask) -> Result<Begun, Failure> {
        let provider = self.source.provider(KEEP).await?;
        let state = entropy::token()?;
        let pending = Pending {
            state: state.hash(Purpose::State),
            issuer: self.settings.issuer.clone(),
            nonce: Zeroizing::new(entropy::token()?.text()),
            pkce_verifier: Zeroizing::new(entropy::token()?.text()),
            created: self.clock.now(),
            max_age: ask.max_age,
            acr_values: ask.acr_values.clone(),
        };
        let parameters = self.parameters(ask, &state, &pending);
        let mut url = provider.metadata.authorization.clone();
        match &provider.metadata.push {
            None => {
                url.query_pairs_mut().extend_pairs(&parameters);
            }
            Some(_) => {
                let request_uri = self.push(&provider.metadata, &parameters).await?;
                url.query_pairs_mut().extend_pairs([("client_id", self.settings.client_id.as_str()), ("request_uri", &request_uri)]);
            }
        }
        Ok(Begun { url: url.into(), pending })
    }

    fn parameters(&self, ask: &Ask, state: &Token, pending: &Pending) -> Vec<(&'static str, String)> {
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, pending.pkce_verifier.as_bytes()));
        let mut parameters = vec![
            ("response_type", "code".to_owned()),
            ("client_id", self.settings.client_id.clone()),
            ("redirect_uri", self.settings.redirect_uri.clone()),
            ("scope", self.settings.scopes.join(" ")),
            ("state", state.text()),
            ("nonce", pending.nonce.to_string()),
            ("code_challenge", challenge),
            ("code_challenge_method", "S256".to_owned()),
        ];
        if let Some(prompt) = ask.prompt {
            parameters.push(("prompt", prompt.as_str().to_owned()));
        }
        if let Some(max_age) = ask.max_age {
            parameters.push(("max_age", max_age.as_secs().to_string()));
        }
        if !ask.acr_values.is_empty() {
            parameters.push(("acr_values", ask.acr_values.join(" ")));
        }
        parameters
    }

    /// Pushes the parameters to an IdP that takes them no other way (RFC 9126).
    async fn push(&self, metadata: &Metadata, parameters: &[(&'static str, String)]) -> Result<String, Failure> {
        let failed = |fault: CallFault| Failure::Idp(format!("pushed authorization request: {fault}"));
        let endpoint = metadata.push.as_ref().ok_or(Failure::Bug("no endpoint to push to"))?;
        let pairs: Vec<_> = parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let reply = self.post_as_client(metadata, endpoint, pairs).await.map_err(failed)?;
        if !reply.status.is_success() {
            return Err(failed(CallFault::Status(reply.status)));
        }
        let object = reply.any_object().map_err(failed)?;
        json::text(&object, "request_uri").map(str::to_owned).ok_or_else(|| failed(CallFault::NotJson))
    }
}

impl Prompt {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::SelectAccount => "select_account",
            Self::Consent => "consent",
            Self::None => "none",
        }
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("issuer", &self.issuer).field("created", &self.created).finish_non_exhaustive()
    }
}
