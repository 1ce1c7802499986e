//! The second half of a sign-in: from the browser's return to an identity that is proven.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use kernel::identity::{Identity, Subject};
use kernel::session::token::Purpose;
use kernel::time::Timestamp;
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};
use zeroize::Zeroizing;

use super::begin::Pending;
use super::callback::{CallbackAnswer, CallbackQuery, harmless};
use super::discovery::{ClientAuthentication, IssuerParameter, Metadata};
use super::fault::{AnswerFault, CallFault, FinishFault};
use super::http::Reply;
use super::id_token::{self, Asked};
use super::identity::Mapping;
use super::json::{self, Object};
use super::jws::{Claims, Unverified};
use super::source::KEEP;
use super::{Idp, IdpSettings};

/// Somebody whom the IdP vouches for, after every check.
pub struct SignedIn {
    pub identity: Identity,
    /// The IdP's own session (`sid`), for back-channel logout.
    pub idp_session: Option<String>,
    /// As received; for RP-initiated logout.
    pub id_token: Zeroizing<String>,
    /// When the person signed in to the IdP.
    pub auth_time: Option<Timestamp>,
    pub amr: Vec<String>,
    pub acr: Option<String>,
}

struct Tokens {
    id_token: Zeroizing<String>,
    access_token: Zeroizing<String>,
}

impl Idp {
    /// Finishes a sign-in. `pending` is used up, whatever comes of it. Dropping the future leaves nothing behind.
    pub async fn finish(&self, pending: Pending, callback: &CallbackQuery) -> Result<SignedIn, FinishFault> {
        if callback.state.hash(Purpose::State) != pending.state || pending.issuer != self.settings.issuer {
            return Err(AnswerFault::State.into());
        }
        if self.clock.now().since(pending.created) > PENDING_AGE_MAX {
            return Err(AnswerFault::Expired.into());
        }
        let provider = self.source.provider(KEEP).await?;
        // Before anything else is believed, the error among it: who answers? (RFC 9207 §2.4)
        match (&callback.issuer, provider.metadata.issuer_parameter) {
            (Some(issuer), _) if *issuer != self.settings.issuer => return Err(AnswerFault::Issuer.into()),
            (None, IssuerParameter::Always) => return Err(AnswerFault::IssuerMissing.into()),
            (Some(_), _) | (None, IssuerParameter::Perhaps) => {}
        }
        let code = match &callback.answer {
            CallbackAnswer::Code(code) => code,
            CallbackAnswer::Refused { error } => return Err(FinishFault::IdpRefused { error: error.clone() }),
        };
        let tokens = self.exchange(&provider.metadata, code, &pending).await?;
        let token = Unverified::read(&tokens.id_token, &provider.metadata.algorithms)?;
        id_token::check_kind(token.kind.as_deref())?;
        let claims = self.source.verify(&provider, &token).await?;
        let proven = id_token::check(
            &claims,
            token.algorithm,
            &Asked {
                issuer: &self.settings.issuer,
                client_id: &self.settings.client_id,
                nonce: &pending.nonce,
                max_age: pending.max_age,
                acr_values: &pending.acr_values,
                access_token: &tokens.access_token,
                now: self.clock.now(),
            },
        )?;
        let identity = self.identity(&provider.metadata, &claims, &proven.sub, &tokens.access_token).await?;
        let (idp_session, auth_time) = (proven.sid, proven.auth_time);
        Ok(SignedIn { identity, idp_session, id_token: tokens.id_token, auth_time, amr: proven.amr, acr: proven.acr })
    }

    /// Exchanges the code for tokens (RFC 6749 §4.1.3, RFC 7636 §4.5).
    async fn exchange(&self, metadata: &Metadata, code: &str, pending: &Pending) -> Result<Tokens, FinishFault> {
        let form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.settings.redirect_uri),
            ("code_verifier", &pending.pkce_verifier),
        ];
        let reply = self.post_as_client(metadata, &metadata.token, form).await.map_err(token_endpoint)?;
        if reply.status.is_client_error()
            && let Some(error) = reply.any_object().ok().and_then(|object| json::text(&object, "error").map(harmless))
        {
            return Err(FinishFault::IdpRefused { error });
        }
        read_tokens(&reply.object().map_err(token_endpoint)?).map_err(FinishFault::Invalid)
    }

    /// Posts a form with the client's credentials, the way the IdP takes them.
    pub(super) async fn post_as_client(
        &self,
        metadata: &Metadata,
        endpoint: &Url,
        mut form: Vec<(&str, &str)>,
    ) -> Result<Reply, CallFault> {
        let IdpSettings { client_id, client_secret, .. } = &self.settings;
        match metadata.client_authentication {
            ClientAuthentication::Basic => {
                let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
                let credentials = Zeroizing::new(format!("{}:{}", encoded(client_id), encoded(client_secret)));
                let header = Zeroizing::new(format!("Basic {}", STANDARD.encode(credentials.as_bytes())));
                self.http.post_form(endpoint, encode(&form), Some(&header)).await
            }
            ClientAuthentication::Post => {
                form.extend([("client_id", client_id.as_str()), ("client_secret", client_secret.as_str())]);
                self.http.post_form(endpoint, encode(&form), None).await
            }
        }
    }

    async fn identity(&self, metadata: &Metadata, claims: &Claims, sub: &str, access_token: &str) -> Result<Identity, FinishFault> {
        let mapping = Mapping {
            groups_claim: self.settings.groups_claim.as_deref(),
            email_domains: self.settings.email_domains.as_deref(),
            email_trust: self.settings.email_trust,
            expects_email: self.settings.scopes.iter().any(|scope| scope == "email"),
        };
        let userinfo = match &metadata.userinfo {
            Some(endpoint) if mapping.wants_more(claims.object()) => Some(self.userinfo(endpoint, sub, access_token).await?),
            Some(_) | None => None,
        };
        let subject = Subject { issuer: self.settings.issuer.clone(), sub: sub.to_owned() };
        mapping.identity(subject, claims.object(), userinfo.as_ref()).map_err(|fault| AnswerFault::Groups(fault).into())
    }

    /// Asks userinfo (OpenID Connect Core §5.3); its `sub` must be the ID token's, or it speaks of somebody else.
    async fn userinfo(&self, endpoint: &Url, sub: &str, access_token: &str) -> Result<Object, FinishFault> {
        let failed = |fault: CallFault| match fault.is_silence() {
            true => FinishFault::Unreachable(format!("userinfo: {fault}")),
            false => AnswerFault::Userinfo(fault).into(),
        };
        let reply = self.http.get(endpoint, Some(access_token)).await.map_err(failed)?;
        if reply.status == StatusCode::OK && reply.content_type.as_deref() == Some("application/jwt") {
            return Err(AnswerFault::UserinfoSigned.into());
        }
        let object = reply.object().map_err(failed)?;
        if json::text(&object, "sub") == Some(sub) { Ok(object) } else { Err(AnswerFault::UserinfoSubject.into()) }
    }
}

fn encode(form: &[(&str, &str)]) -> String {
    Serializer::new(String::new()).extend_pairs(form).finish()
}

fn token_endpoint(fault: CallFault) -> FinishFault {
    if fault.is_silence() { FinishFault::Unreachable(format!("token endpoint: {fault}")) } else { AnswerFault::TokenEndpoint(fault).into() }
}

fn read_tokens(object: &Object) -> Result<Tokens, AnswerFault> {
    let kind = json::text(object, "token_type").ok_or(AnswerFault::TokenResponse("token_type"))?;
    if !kind.eq_ignore_ascii_case("bearer") {
        return Err(AnswerFault::TokenResponse("token_type"));
    }
    let token = |name: &'static str| match json::text(object, name) {
        Some(token) if !token.is_empty() => Ok(Zeroizing::new(token.to_owned())),
        Some(_) | None => Err(AnswerFault::TokenResponse(name)),
    };
    Ok(Tokens { id_token: token("id_token")?, access_token: token("access_token")? })
}

impl fmt::Debug for SignedIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedIn").field("subject", &self.identity.subject).finish_non_exhaustive()
    }
}

/// How long a browser may take at the IdP.
const PENDING_AGE_MAX: Duration = Duration::from_secs(600);
