//! The provider's endpoints: authorization, token, userinfo, logout.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, LOCATION, SET_COOKIE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};
use subtle::ConstantTimeEq;
use url::Url;

use crate::demo::provider::form::Parameters;
use crate::demo::provider::pages::{HomePage, LoginPage, RefusedPage, page};
use crate::demo::provider::tokens::{Grant, challenge_of};
use crate::demo::provider::{Code, Provider, Session, people};
use crate::demo::{Error, secret_text, serve};
use crate::web::body::{self, Body};

/// An authorization request that is to be answered by a code.
struct Wish<'a> {
    state: Option<&'a str>,
    nonce: Option<&'a str>,
    challenge: &'a str,
    sight: Sight,
}

/// What the request says about a sign-in that is already there.
enum Sight {
    MayReuse,
    MustAsk,
    MayNotAsk,
}

/// Why an authorization request gets no code.
enum Fault<'a> {
    /// Nobody we know sent it: it is answered here, never by a redirect.
    Stranger(&'static str),
    Client {
        error: &'static str,
        why: &'static str,
        state: Option<&'a str>,
    },
}

impl Provider {
    pub(super) fn discovery(&self) -> Response<Body> {
        let issuer = &self.issuer;
        json(
            StatusCode::OK,
            &json!({
                "issuer": issuer,
                "authorization_endpoint": format!("{issuer}/authorize"),
                "token_endpoint": format!("{issuer}/token"),
                "userinfo_endpoint": format!("{issuer}/userinfo"),
                "jwks_uri": format!("{issuer}/jwks"),
                "end_session_endpoint": format!("{issuer}/end_session"),
                "response_types_supported": ["code"],
                "response_modes_supported": ["query"],
                "grant_types_supported": ["authorization_code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
                "code_challenge_methods_supported": ["S256"],
                "scopes_supported": ["openid", "profile", "email", "groups"],
                "claims_supported": ["sub", "sid", "auth_time", "amr", "name", "preferred_username", "email", "email_verified", "groups"],
                "authorization_response_iss_parameter_supported": true,
                "backchannel_logout_supported": true,
                "backchannel_logout_session_supported": true,
            }),
        )
    }

    pub(super) fn authorize(&self, request: &Request<Incoming>) -> Result<Response<Body>, Error> {
        let query = request.uri().query().unwrap_or_default();
        let Some(parameters) = Parameters::read(query.as_bytes()) else { return refused("A parameter was sent twice.") };
        let wish = match self.understand(&parameters) {
            Ok(wish) => wish,
            Err(fault) => return self.refuse(&fault),
        };
        match (self.session(request), &wish.sight) {
            (Some(session), Sight::MayReuse | Sight::MayNotAsk) => self.grant(&wish, session),
            (None, Sight::MayNotAsk) => {
                self.refuse(&Fault::Client { error: "login_required", why: "nobody is signed in", state: wish.state })
            }
            (None, Sight::MayReuse) | (_, Sight::MustAsk) => page(StatusCode::OK, &LoginPage::fresh(query)),
        }
    }

    /// Somebody said who they are.
    pub(super) async fn sign_in(&self, request: Request<Incoming>) -> Result<Response<Body>, Error> {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let Some(parameters) = Parameters::read(query.as_bytes()) else { return refused("A parameter was sent twice.") };
        let wish = match self.understand(&parameters) {
            Ok(wish) => wish,
            Err(fault) => return self.refuse(&fault),
        };
        let Some(form) = serve::small_body(request.into_body()).await else { return refused("The form was too large or came too slowly.") };
        let Some(fields) = Parameters::read(&form) else { return refused("A field was sent twice.") };
        let person = fields.find("login").and_then(people::find);
        match (person, fields.find("password")) {
            // A click on one of the three is enough; a password that is given has to be the name.
            (Some(person), password) if password.is_none_or(|password| password == person.login) => {
                let (session, cookie) = self.begin_session(person)?;
                let mut response = self.grant(&wish, session)?;
                response.headers_mut().insert(SET_COOKIE, cookie);
                Ok(response)
            }
            (Some(_) | None, _) => page(StatusCode::FORBIDDEN, &LoginPage::again(&query)),
        }
    }

    /// Reads an authorization request. The client and where it wants its answer come first (RFC 6749 §4.1.2.1).
    fn understand<'a>(&self, parameters: &'a Parameters<'_>) -> Result<Wish<'a>, Fault<'a>> {
        if parameters.find("client_id") != Some(self.client.id.as_str()) {
            return Err(Fault::Stranger("This provider does not know the client."));
        }
        if parameters.find("redirect_uri") != Some(self.client.redirect_uri.as_str()) {
            return Err(Fault::Stranger("The address to return to is not the registered one."));
        }
        let state = parameters.find("state");
        let fault = |error, why| Fault::Client { error, why, state };
        if parameters.find("response_type") != Some("code") {
            return Err(fault("unsupported_response_type", "only the code flow is here"));
        }
        if parameters.find("request").is_some() || parameters.find("request_uri").is_some() {
            return Err(fault("request_not_supported", "request objects are not supported"));
        }
        if parameters.find("response_mode").is_some_and(|mode| mode != "query") {
            return Err(fault("invalid_request", "the answer goes into the query only"));
        }
        if !parameters.find("scope").is_some_and(|scope| scope.split(' ').any(|one| one == "openid")) {
            return Err(fault("invalid_scope", "the scope lacks openid"));
        }
        if parameters.find("code_challenge_method") != Some("S256") {
            return Err(fault("invalid_request", "PKCE by S256 is required"));
        }
        // RFC 7636 §4.2: an unpadded base64url SHA-256 has 43 characters.
        let challenge = parameters
            .find("code_challenge")
            .filter(|text| text.len() == 43)
            .ok_or_else(|| fault("invalid_request", "the code challenge is not the hash of a verifier"))?;
        let sight = match (parameters.find("prompt"), parameters.find("max_age")) {
            (Some("none"), _) => Sight::MayNotAsk,
            (Some(_), _) | (None, Some(_)) => Sight::MustAsk,
            (None, None) => Sight::MayReuse,
        };
        Ok(Wish { state, nonce: parameters.find("nonce"), challenge, sight })
    }

    fn grant(&self, wish: &Wish<'_>, session: Session) -> Result<Response<Body>, Error> {
        let now = self.clock.now();
        let code = secret_text()?;
        let meaning = Code { session, nonce: wish.nonce.map(str::to_owned), challenge: wish.challenge.to_owned() };
        self.codes.insert(code.to_string(), meaning, now.plus(CODE_TIME), now);
        self.send_back(&[("code", &code)], wish.state)
    }

    fn refuse(&self, fault: &Fault<'_>) -> Result<Response<Body>, Error> {
        match fault {
            Fault::Stranger(why) => refused(why),
            Fault::Client { error, why, state } => self.send_back(&[("error", error), ("error_description", why)], *state),
        }
    }

    /// Answers by redirect, with `iss` so that the client can tell who answered (RFC 9207).
    fn send_back(&self, answer: &[(&str, &str)], state: Option<&str>) -> Result<Response<Body>, Error> {
        let mut to = Url::parse(&self.client.redirect_uri)?;
        to.query_pairs_mut().extend_pairs(answer).extend_pairs(state.map(|state| ("state", state))).append_pair("iss", &self.issuer);
        see_other(to.as_str())
    }

    pub(super) async fn token(&self, request: Request<Incoming>) -> Result<Response<Body>, Error> {
        let headers = request.headers().clone();
        let Some(form) = serve::small_body(request.into_body()).await else { return Ok(oauth_error("invalid_request")) };
        let Some(fields) = Parameters::read(&form) else { return Ok(oauth_error("invalid_request")) };
        if !self.client_is_known(&headers, &fields) {
            return Ok(oauth_error("invalid_client"));
        }
        if fields.find("grant_type") != Some("authorization_code") {
            return Ok(oauth_error("unsupported_grant_type"));
        }
        let now = self.clock.now();
        // The code is taken before anything is compared: a wrong guess at the rest spends it.
        let Some(code) = fields.find("code").and_then(|code| self.codes.take(code, now)) else { return Ok(oauth_error("invalid_grant")) };
        let verified = fields.find("code_verifier").is_some_and(|verifier| {
            (43..=128).contains(&verifier.len()) && bool::from(challenge_of(verifier).as_bytes().ct_eq(code.challenge.as_bytes()))
        });
        if !verified || fields.find("redirect_uri") != Some(self.client.redirect_uri.as_str()) {
            return Ok(oauth_error("invalid_grant"));
        }
        let access_token = secret_text()?;
        self.access_tokens.insert(access_token.to_string(), code.session.clone(), now.plus(ACCESS_TIME), now);
        let grant = Grant { session: &code.session, nonce: code.nonce.as_deref(), access_token: &access_token };
        let answer = json!({
            "access_token": access_token.as_str(), "token_type": "Bearer", "expires_in": ACCESS_TIME.as_secs(),
            "id_token": self.signer.id_token_assertion(&grant, now)?, "scope": "openid profile email groups",
        });
        Ok(json(StatusCode::OK, &answer))
    }

    /// `client_secret_basic` or `client_secret_post`, never both (RFC 6749 §2.3).
    fn client_is_known(&self, headers: &HeaderMap, fields: &Parameters<'_>) -> bool {
        let given = match (headers.get(AUTHORIZATION), fields.find("client_secret")) {
            (Some(basic), None) => basic_credentials(basic),
            (None, Some(secret)) => fields.find("client_id").map(|id| (id.to_owned(), secret.to_owned())),
            (Some(_), Some(_)) | (None, None) => None,
        };
        given.is_some_and(|(id, secret)| id == self.client.id && bool::from(secret.as_bytes().ct_eq(self.client.secret.as_bytes())))
    }

    pub(super) fn userinfo(&self, request: &Request<Incoming>) -> Response<Body> {
        let token = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let Some(session) = token.and_then(|token| self.access_tokens.find(token, self.clock.now())) else {
            let mut response = json(StatusCode::UNAUTHORIZED, &json!({ "error": "invalid_token" }));
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(r#"Bearer error="invalid_token""#));
            return response;
        };
        let person = session.person;
        json(
            StatusCode::OK,
            &json!({
                "sub": person.login, "name": person.name, "preferred_username": person.login,
                "email": person.email, "email_verified": true, "groups": person.groups,
            }),
        )
    }

    /// RP-initiated logout. Without a token of ours nobody is signed out: any page could have sent the browser here.
    pub(super) fn end_session(&self, text: &[u8]) -> Result<Response<Body>, Error> {
        let Some(parameters) = Parameters::read(text) else { return refused("A parameter was sent twice.") };
        let Some(sid) = parameters.find("id_token_hint").and_then(|hint| self.signer.session_of_hint(hint)) else { return see_other("/") };
        let wanted = parameters.find("post_logout_redirect_uri");
        if wanted.is_some_and(|uri| !self.client.post_logout_redirect_uris.iter().any(|registered| registered == uri)) {
            return refused("The address to return to after signing out is not a registered one.");
        }
        self.end(&sid)?;
        let Some(uri) = wanted else { return see_other("/") };
        let mut to = Url::parse(uri)?;
        if let Some(state) = parameters.find("state") {
            to.query_pairs_mut().append_pair("state", state);
        }
        see_other(to.as_str())
    }

    pub(super) fn home(&self, request: &Request<Incoming>) -> Result<Response<Body>, Error> {
        page(StatusCode::OK, &HomePage { person: self.session(request).map(|session| session.person) })
    }

    /// The button of the provider's own page. `SameSite=Lax` keeps other sites from pressing it.
    pub(super) fn sign_out_here(&self, request: &Request<Incoming>) -> Result<Response<Body>, Error> {
        if let Some(session) = self.session(request) {
            self.end(&session.sid)?;
        }
        see_other("/")
    }
}

/// The two halves of a Basic header, which are form-encoded inside (RFC 6749 §2.3.1).
fn basic_credentials(header: &HeaderValue) -> Option<(String, String)> {
    let encoded = header.to_str().ok()?.strip_prefix("Basic ")?;
    let text = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((form_decoded(id)?, form_decoded(secret)?))
}

fn form_decoded(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

fn see_other(to: &str) -> Result<Response<Body>, Error> {
    let mut response = Response::new(body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    response.headers_mut().insert(LOCATION, HeaderValue::try_from(to)?);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn oauth_error(error: &str) -> Response<Body> {
    let status = if error == "invalid_client" { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
    json(status, &json!({ "error": error }))
}

pub(super) fn refused(why: &str) -> Result<Response<Body>, Error> {
    page(StatusCode::BAD_REQUEST, &RefusedPage { why })
}

pub(super) fn json(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(body::full(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(super) fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(body::full(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// RFC 6749 §4.1.2 allows ten minutes at most; the gateway needs a second.
const CODE_TIME: Duration = Duration::from_secs(60);
const ACCESS_TIME: Duration = Duration::from_secs(300);
