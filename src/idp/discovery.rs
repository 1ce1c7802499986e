//! What an IdP says of itself (OpenID Connect Discovery 1.0, RFC 8414), checked once when it is fetched.

use std::net::IpAddr;

use serde_json::Value;
use url::{Host, Url};

use super::fault::ProviderFault;
use super::json::Object;
use super::jws::Algorithm;

/// An IdP's endpoints and abilities.
#[derive(Debug)]
pub struct Metadata {
    pub authorization: Url,
    pub token: Url,
    pub keys: Url,
    pub userinfo: Option<Url>,
    pub end_session: Option<Url>,
    /// Pushed authorization requests (RFC 9126), where the IdP takes nothing else.
    pub push: Option<Url>,
    /// Algorithms of ID tokens that the IdP and the gateway have in common; never empty.
    pub algorithms: Vec<Algorithm>,
    pub client_authentication: ClientAuthentication,
    pub issuer_parameter: IssuerParameter,
}

/// How the gateway proves to the token endpoint who it is (RFC 6749 §2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuthentication {
    Basic,
    Post,
}

/// Whether a callback names its issuer (RFC 9207).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssuerParameter {
    Always,
    /// The IdP does not say. If one is there, it must be right all the same.
    Perhaps,
}

/// An issuer address that may be asked: https, or http on loopback.
#[derive(Clone, Debug)]
pub struct Issuer {
    text: String,
    url: Url,
}

impl Issuer {
    pub fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let bare = url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
        let safe = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
        (bare && safe && url.has_host()).then(|| Self { text: text.to_owned(), url })
    }

    /// As configured. Compared byte by byte with what tokens and metadata state.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn is_plain_http(&self) -> bool {
        self.url.scheme() == "http"
    }

    /// Where the metadata is (Discovery §4.1).
    pub fn discovery(&self) -> Option<Url> {
        Url::parse(&format!("{}/.well-known/openid-configuration", self.text.strip_suffix('/').unwrap_or(&self.text))).ok()
    }

    /// Whether metadata of this issuer may send the gateway, or a browser, to `url`. Other hosts are common (keys on another
    /// domain); an IP address or a loopback name is a way into networks that the IdP cannot reach itself.
    fn may_name(&self, url: &Url) -> bool {
        let bare = url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
        let safe = match url.scheme() {
            "https" => url.host() == self.url.host() || (matches!(url.host(), Some(Host::Domain(_))) && !is_loopback(url)),
            "http" => self.is_plain_http() && is_loopback(url),
            _ => false,
        };
        bare && safe
    }
}

impl Metadata {
    pub fn read(object: &Object, issuer: &Issuer) -> Result<Self, ProviderFault> {
        if object.get("issuer").and_then(Value::as_str) != Some(issuer.as_str()) {
            return Err(ProviderFault::Issuer);
        }
        let reader = Reader { object, issuer };
        let metadata = Self {
            authorization: reader.endpoint("authorization_endpoint")?,
            token: reader.endpoint("token_endpoint")?,
            keys: reader.endpoint("jwks_uri")?,
            userinfo: reader.optional_endpoint("userinfo_endpoint")?,
            end_session: reader.optional_endpoint("end_session_endpoint")?,
            push: match reader.flag("require_pushed_authorization_requests")? {
                true => Some(reader.endpoint("pushed_authorization_request_endpoint")?),
                false => None,
            },
            algorithms: reader.algorithms()?,
            client_authentication: reader.client_authentication()?,
            issuer_parameter: match reader.flag("authorization_response_iss_parameter_supported")? {
                true => IssuerParameter::Always,
                false => IssuerParameter::Perhaps,
            },
        };
        // A parameter that already stands in the address would be there twice, and the IdP might read the other one.
        if metadata.authorization.query_pairs().any(|(name, _)| OWN_PARAMETERS.contains(&name.as_ref())) {
            return Err(ProviderFault::Endpoint("authorization_endpoint"));
        }
        Ok(metadata)
    }
}

struct Reader<'a> {
    object: &'a Object,
    issuer: &'a Issuer,
}

impl Reader<'_> {
    fn endpoint(&self, name: &'static str) -> Result<Url, ProviderFault> {
        self.optional_endpoint(name)?.ok_or(ProviderFault::Member(name))
    }

    fn optional_endpoint(&self, name: &'static str) -> Result<Option<Url>, ProviderFault> {
        match self.object.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => match Url::parse(text) {
                Ok(url) if self.issuer.may_name(&url) => Ok(Some(url)),
                Ok(_) | Err(_) => Err(ProviderFault::Endpoint(name)),
            },
            Some(_) => Err(ProviderFault::Member(name)),
        }
    }

    fn flag(&self, name: &'static str) -> Result<bool, ProviderFault> {
        match self.object.get(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(ProviderFault::Member(name)),
        }
    }

    fn names(&self, name: &'static str) -> Result<Option<Vec<&str>>, ProviderFault> {
        match self.object.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(items)) => {
                items.iter().map(Value::as_str).collect::<Option<_>>().map(Some).ok_or(ProviderFault::Member(name))
            }
            Some(_) => Err(ProviderFault::Member(name)),
        }
    }

    fn algorithms(&self) -> Result<Vec<Algorithm>, ProviderFault> {
        const NAME: &str = "id_token_signing_alg_values_supported";
        // A required member (Discovery §3): without it nothing is agreed.
        let names = self.names(NAME)?.ok_or(ProviderFault::Member(NAME))?;
        let common: Vec<_> = names.into_iter().filter_map(Algorithm::parse).collect();
        if common.is_empty() { Err(ProviderFault::Algorithms) } else { Ok(common) }
    }

    fn client_authentication(&self) -> Result<ClientAuthentication, ProviderFault> {
        // Absent means client_secret_basic (Discovery §3).
        let Some(names) = self.names("token_endpoint_auth_methods_supported")? else { return Ok(ClientAuthentication::Basic) };
        if names.contains(&"client_secret_basic") {
            Ok(ClientAuthentication::Basic)
        } else if names.contains(&"client_secret_post") {
            Ok(ClientAuthentication::Post)
        } else {
            Err(ProviderFault::ClientAuthentication)
        }
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).to_canonical().is_loopback(),
        None => false,
    }
}

/// Parameters of an authorization request that the gateway sets itself.
const OWN_PARAMETERS: &[&str] = &[
    "response_type",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "prompt",
    "max_age",
    "acr_values",
    "request_uri",
    "request",
];
