//! Why something an IdP said, or failed to say, does not count. Texts are for the operator's log: they hold no token, code or
//! secret, and nothing that a browser sent.

use std::time::Duration;

use http::StatusCode;
use thiserror::Error;

use kernel::Failure;

/// Settings that cannot work, found without asking the IdP.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SettingsFault {
    #[error("the issuer is not an https address (http is taken on loopback only) without user, query and fragment")]
    Issuer,
    #[error("the {0} is empty")]
    Empty(&'static str),
    #[error("the scopes do not hold `openid`, each scope once and without spaces")]
    Scopes,
    #[error("the {0} is not an address")]
    Address(&'static str),
    #[error("the CA file holds no certificate that can be read: {0}")]
    Ca(String),
    #[error("no certificate authority is trusted: {0}")]
    Roots(String),
}

/// A call to the IdP that brought no answer that can be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CallFault {
    #[error("no connection: {0}")]
    Unreachable(String),
    #[error("no whole answer within {0:?}")]
    TimedOut(Duration),
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the answer has a content encoding, which was not asked for")]
    Encoded,
    #[error("the answer has status {0}")]
    Status(StatusCode),
    #[error("the answer is not one JSON object with each key once")]
    NotJson,
}

/// Discovery or keys that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProviderFault {
    #[error("discovery: {0}")]
    Discovery(CallFault),
    #[error("keys: {0}")]
    Keys(CallFault),
    #[error("discovery names another issuer")]
    Issuer,
    #[error("discovery: `{0}` is missing or of another type")]
    Member(&'static str),
    #[error("discovery: `{0}` is not an address that this issuer may name (https, no user, no fragment, no IP address but its own)")]
    Endpoint(&'static str),
    #[error("discovery: no signing algorithm in common (RS, PS, ES and EdDSA are taken)")]
    Algorithms,
    #[error("discovery: no client authentication in common (client_secret_basic and client_secret_post are taken)")]
    ClientAuthentication,
    #[error("the key set is not a list of at most {KEYS_MAX} keys")]
    KeySet,
    #[error("the key set holds no key for signatures that can be used")]
    NoKeys,
    #[error("it failed a moment ago and is asked again soon: {0}")]
    Recently(Box<ProviderFault>),
    #[error("too many wait for its answer")]
    Crowded,
}

/// Most keys in a key set.
pub const KEYS_MAX: usize = 100;

/// A callback address that has not exactly one reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CallbackFault {
    #[error("the callback's query is too long")]
    TooLong,
    #[error("the callback's query is not form encoding")]
    Encoding,
    #[error("the callback's query holds a parameter twice")]
    Duplicate,
    #[error("the callback has no state that the gateway could have given")]
    State,
    #[error("the callback holds neither a code nor an error, or both")]
    Answer,
}

/// Why a sign-in did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FinishFault {
    /// The IdP said no. The code is one of its own, harmless to show and to log.
    #[error("the IdP refused: {error}")]
    IdpRefused { error: String },
    /// What came back does not prove who somebody is.
    #[error("{0}")]
    Invalid(#[from] AnswerFault),
    #[error("{0}")]
    Unreachable(String),
}

/// What is wrong with an answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AnswerFault {
    #[error("the callback belongs to another sign-in")]
    State,
    #[error("the sign-in was begun too long ago")]
    Expired,
    #[error("the callback comes from another issuer than the sign-in was begun with")]
    Issuer,
    #[error("the callback does not name its issuer, although the IdP says it always does")]
    IssuerMissing,
    #[error("token endpoint: {0}")]
    TokenEndpoint(CallFault),
    #[error("token endpoint: `{0}` is missing or not what was asked for")]
    TokenResponse(&'static str),
    #[error("ID token: {0}")]
    IdToken(#[from] TokenFault),
    #[error("userinfo: {0}")]
    Userinfo(CallFault),
    #[error("userinfo: the answer is signed, which is not supported: switch signed userinfo off for this client")]
    UserinfoSigned,
    #[error("userinfo: it speaks of another subject")]
    UserinfoSubject,
    #[error("groups: {0}")]
    Groups(#[from] GroupsFault),
}

/// Groups that cannot be taken. Taking none instead would silently change what rules mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum GroupsFault {
    #[error("the claim is neither text nor a list of texts")]
    Shape,
    #[error("there are more than {} groups", super::identity::GROUPS_MAX)]
    TooMany,
    #[error("a group's name is empty, longer than {} bytes, or holds control characters", super::identity::GROUP_BYTES_MAX)]
    Name,
    #[error(
        "the IdP left them out because there are too many (Entra group overage): let the application's token hold only the groups \
         assigned to it, or use app roles as the groups claim"
    )]
    Overage,
}

/// What is wrong with a signed token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TokenFault {
    #[error("it is larger than {} bytes", super::jws::TOKEN_BYTES_MAX)]
    TooLarge,
    #[error("it is not three parts in base64url, which a signed token is")]
    NotCompact,
    #[error("its {0} is not one JSON object with each key once")]
    NotJson(&'static str),
    #[error("its header holds `{0}`")]
    HeaderParameter(&'static str),
    #[error("its algorithm is not one that the IdP and the gateway agree on")]
    Algorithm,
    #[error("its type is that of another kind of token")]
    Type,
    #[error("its key id is not text of a sane length")]
    KeyId,
    #[error("it names no key and the IdP has several")]
    KeyIdAbsent,
    #[error("it is signed with a key that the IdP does not publish")]
    UnknownKey,
    #[error("several keys of the IdP have its key id")]
    AmbiguousKey,
    #[error("its signature is wrong")]
    Signature,
    #[error("the IdP's keys could not be asked for again")]
    KeysUnreachable,
    #[error("`{0}` is missing or of another type")]
    Claim(&'static str),
    #[error("it is from another issuer")]
    Issuer,
    #[error("it is for another client")]
    Audience,
    #[error("it was given to another client")]
    AuthorizedParty,
    #[error("it has expired; are both clocks right?")]
    Expired,
    #[error("it is not valid yet; are both clocks right?")]
    NotYetValid,
    #[error("it was issued in the future; are both clocks right?")]
    IssuedInFuture,
    #[error("it was issued too long ago")]
    Stale,
    #[error("its nonce is that of another sign-in")]
    Nonce,
    #[error("its subject is empty, too long or not printable ASCII")]
    Subject,
    #[error("it does not belong to the access token")]
    AccessTokenHash,
    #[error("the person signed in to the IdP longer ago than was asked for")]
    AuthTime,
    #[error("the IdP did not reach the authentication class that was asked for")]
    Acr,
    #[error("it does not state a back-channel logout")]
    Events,
    #[error("it holds a nonce, which a logout token must not")]
    NoncePresent,
    #[error("it names neither a subject nor a session")]
    NoTarget,
}

/// Why a logout token does not count.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LogoutFault {
    #[error("logout token: {0}")]
    Invalid(#[from] TokenFault),
    /// The token could not be judged; the IdP may send it again.
    #[error("{0}")]
    Unreachable(String),
}

impl CallFault {
    /// Whether no answer came at all, as opposed to one that cannot be taken.
    #[must_use]
    pub const fn is_silence(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::TimedOut(_) => true,
            Self::Status(status) => status.as_u16() >= 500,
            Self::TooLarge(_) | Self::Encoded | Self::NotJson => false,
        }
    }
}

impl From<ProviderFault> for Failure {
    fn from(fault: ProviderFault) -> Self {
        Self::Idp(fault.to_string())
    }
}

impl From<ProviderFault> for FinishFault {
    fn from(fault: ProviderFault) -> Self {
        Self::Unreachable(fault.to_string())
    }
}

impl From<TokenFault> for FinishFault {
    fn from(fault: TokenFault) -> Self {
        match fault {
            TokenFault::KeysUnreachable => Self::Unreachable(fault.to_string()),
            other => Self::Invalid(AnswerFault::IdToken(other)),
        }
    }
}

impl From<ProviderFault> for LogoutFault {
    fn from(fault: ProviderFault) -> Self {
        Self::Unreachable(fault.to_string())
    }
}
