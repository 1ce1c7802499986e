//! OpenID Connect relying party: one [`Idp`] per `[[idp]]` section. Code flow with PKCE, back-channel and RP-initiated logout.
//!
//! It says who somebody is, or why that is not known; it keeps no session and sets no cookie. Nothing an IdP sends is believed
//! before its signature, issuer, audience, times and nonce were checked, and every answer is bounded in size and time.
//! No state changes while a sign-in is finished, so that a caller who leaves leaves nothing half done.

mod begin;
mod callback;
mod discovery;
mod fault;
mod finish;
mod http;
mod id_token;
mod identity;
mod json;
mod jws;
mod logout;
mod source;

#[cfg(test)]
mod tests;

use std::fmt;

use kernel::Failure;
use url::Url;
use zeroize::Zeroizing;

pub use begin::{Ask, Begun, Pending, Prompt};
pub use callback::{CallbackQuery, parse_callback};
pub use fault::{AnswerFault, CallFault, CallbackFault, FinishFault, GroupsFault, LogoutFault, ProviderFault, SettingsFault, TokenFault};
pub use finish::SignedIn;
pub use jws::issuer_hint;
pub use logout::LogoutToken;

use crate::clock::Clock;
use discovery::Issuer;
use http::{Http, Limits, Roots};
use source::Source;

/// How one IdP is used.
#[derive(Clone)]
pub struct IdpSettings {
    /// Names the IdP in the configuration and in sessions.
    pub id: String,
    /// Names the IdP to people who choose one.
    pub label: String,
    /// Its issuer, byte by byte as it states it itself.
    pub issuer: String,
    pub client_id: String,
    pub client_secret: Zeroizing<String>,
    /// What is asked for; holds `openid`.
    pub scopes: Vec<String>,
    /// The claim that holds the groups; a path with dots if no claim has that name. None: this IdP has no say in groups.
    pub groups_claim: Option<String>,
    /// Authorities in PEM that may vouch for the IdP's certificate, beside those of the machine.
    pub ca: Option<Vec<u8>>,
    /// The domains whose e-mail addresses this IdP may vouch for. None: all.
    pub email_domains: Option<Vec<String>>,
    pub email_trust: EmailTrust,
    /// Where the IdP sends a browser back after sign-in.
    pub redirect_uri: String,
    /// Where the IdP sends a browser back after sign-out.
    pub post_logout_redirect_uri: String,
}

/// Which e-mail addresses count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EmailTrust {
    /// Those whose `email_verified` is true.
    #[default]
    VerifiedOnly,
    /// All: the operator knows that people cannot choose theirs at this IdP.
    AlsoUnverified,
}

/// The gateway as a client of one IdP.
#[derive(Debug)]
pub struct Idp {
    settings: IdpSettings,
    clock: Clock,
    http: Http,
    source: Source,
}

impl Idp {
    /// Checks the settings. Asks nobody: the IdP is discovered when it is first needed.
    pub fn new(settings: IdpSettings, clock: Clock) -> Result<Self, SettingsFault> {
        Self::with_limits(settings, clock, Limits::default())
    }

    fn with_limits(settings: IdpSettings, clock: Clock, limits: Limits) -> Result<Self, SettingsFault> {
        let issuer = Issuer::parse(&settings.issuer).ok_or(SettingsFault::Issuer)?;
        settings.check()?;
        let roots = if issuer.is_plain_http() { Roots::Nobody } else { Roots::Machine { extra: settings.ca.as_deref() } };
        let http = Http::new(&roots, limits)?;
        let source = Source::new(issuer, http.clone(), clock.clone());
        Ok(Self { settings, clock, http, source })
    }

    /// A digest of the signing keys as they were last fetched; none before the first time.
    #[must_use]
    pub fn keys_seen(&self) -> Option<[u8; 32]> {
        self.source.keys_seen()
    }

    #[must_use]
    pub fn id(&self) -> &str {
        &self.settings.id
    }

    #[must_use]
    pub fn label(&self) -> &str {
        &self.settings.label
    }

    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// Whether the IdP answered within the last minute, or answers now. For readiness: a gateway whose IdP is down still
    /// serves those who are signed in.
    pub async fn reachable(&self) -> Result<(), Failure> {
        self.source.provider(REACHED_WITHIN).await.map(drop).map_err(Failure::from)
    }
}

impl IdpSettings {
    fn check(&self) -> Result<(), SettingsFault> {
        let needed = [("id", self.id.as_str()), ("client id", &self.client_id), ("client secret", &self.client_secret)];
        if let Some((name, _)) = needed.iter().find(|(_, value)| value.is_empty()) {
            return Err(SettingsFault::Empty(name));
        }
        if self.groups_claim.as_ref().is_some_and(String::is_empty) {
            return Err(SettingsFault::Empty("groups claim"));
        }
        let mut scopes = self.scopes.clone();
        scopes.sort();
        scopes.dedup();
        let plain = |scope: &String| !scope.is_empty() && scope.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte));
        if scopes.len() != self.scopes.len() || !scopes.iter().all(plain) || !scopes.iter().any(|scope| scope == "openid") {
            return Err(SettingsFault::Scopes);
        }
        let addresses = [("redirect address", &self.redirect_uri), ("sign-out address", &self.post_logout_redirect_uri)];
        let broken = addresses.iter().find(|(_, address)| Url::parse(address).is_err());
        broken.map_or(Ok(()), |(name, _)| Err(SettingsFault::Address(name)))
    }
}

impl fmt::Debug for IdpSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdpSettings").field("id", &self.id).field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// How fresh an answer of the IdP says that it is reachable.
const REACHED_WITHIN: std::time::Duration = std::time::Duration::from_secs(60);
