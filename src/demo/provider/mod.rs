//! A throw-away OpenID provider with three people in it. Loopback only, everything in memory, one client.
//!
//! It refuses what a careful provider refuses (PKCE other than S256, another redirect URI, a code used twice), so that the demo shows
//! the real flow. It is no test oracle: the tests sign in through a certified implementation.

mod backchannel;
mod endpoints;
mod form;
mod memory;
mod pages;
pub mod people;
mod tokens;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use kernel::time::Timestamp;
use tokio::net::TcpListener;
use zeroize::Zeroizing;

pub use self::backchannel::Caller;
use self::memory::Memory;
use self::people::Person;
use self::tokens::Signer;
use crate::clock::Clock;
use crate::demo::serve::{self, Site, Tasks};
use crate::demo::{Error, secret_text};
use crate::web::body::Body;

pub(in crate::demo) use self::pages::style;

/// The one client: the gateway.
#[derive(Clone, Debug)]
pub struct Client {
    pub id: String,
    pub secret: Zeroizing<String>,
    pub redirect_uri: String,
    pub post_logout_redirect_uris: Vec<String>,
    /// Tells it that a session ended.
    pub logout: Caller,
}

/// Somebody's session at the provider.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// What clients may know of it. The cookie is another value.
    sid: String,
    person: &'static Person,
    began: Timestamp,
}

/// What an authorization code stands for.
#[derive(Clone, Debug)]
struct Code {
    session: Session,
    nonce: Option<String>,
    challenge: String,
}

/// The running provider.
pub(in crate::demo) struct Provider {
    issuer: String,
    client: Client,
    clock: Clock,
    tasks: Tasks,
    signer: Signer,
    sessions: Memory<Session>,
    codes: Memory<Code>,
    access_tokens: Memory<Session>,
}

/// Serves the provider on `listener` until the demo stops. Its issuer is `http://` and the listener's address.
pub fn start(listener: TcpListener, client: Client, clock: Clock, tasks: &Tasks) -> Result<String, Error> {
    let address = listener.local_addr().map_err(Error::Socket)?;
    let issuer = format!("http://{address}");
    let signer = Signer::generate(&issuer, &client.id)?;
    let provider = Provider {
        issuer: issuer.clone(),
        client,
        clock,
        tasks: tasks.clone(),
        signer,
        sessions: Memory::default(),
        codes: Memory::default(),
        access_tokens: Memory::default(),
    };
    serve::spawn(Arc::new(provider), listener, tasks);
    Ok(issuer)
}

impl Site for Provider {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let answered = match (request.method(), request.uri().path()) {
            (&Method::GET, "/.well-known/openid-configuration") => Ok(self.discovery()),
            (&Method::GET, "/jwks") => Ok(endpoints::json(StatusCode::OK, &self.signer.key_set())),
            (&Method::GET, "/style.css") => Ok(style()),
            (&Method::GET, "/authorize") => self.authorize(&request),
            (&Method::POST, "/authorize") => self.sign_in(request).await,
            (&Method::POST, "/token") => self.token(request).await,
            (&Method::GET | &Method::POST, "/userinfo") => Ok(self.userinfo(&request)),
            (&Method::GET, "/end_session") => self.end_session(request.uri().query().unwrap_or_default().as_bytes()),
            (&Method::POST, "/end_session") => match serve::small_body(request.into_body()).await {
                Some(form) => self.end_session(&form),
                None => endpoints::refused("The form was too large or came too slowly."),
            },
            (&Method::GET, "/") => self.home(&request),
            (&Method::POST, "/sign-out") => self.sign_out_here(&request),
            _ => Ok(endpoints::plain(StatusCode::NOT_FOUND, "There is nothing here.\n")),
        };
        answered.unwrap_or_else(|error| {
            tracing::error!(%error, "the demo provider could not answer");
            endpoints::plain(StatusCode::INTERNAL_SERVER_ERROR, "The demo provider could not answer.\n")
        })
    }
}

impl Provider {
    /// The session of the browser that asks.
    fn session(&self, request: &Request<Incoming>) -> Option<Session> {
        let cookies = request.headers().get(http::header::COOKIE)?.to_str().ok()?;
        let name = cookies.split(';').find_map(|cookie| cookie.trim().strip_prefix(COOKIE)?.strip_prefix('='))?;
        self.sessions.find(name, self.clock.now())
    }

    /// Begins a session and gives the cookie that carries it.
    fn begin_session(&self, person: &'static Person) -> Result<(Session, HeaderValue), Error> {
        let now = self.clock.now();
        let session = Session { sid: secret_text()?.to_string(), person, began: now };
        let name = secret_text()?;
        let cookie = format!("{COOKIE}={}; Path=/; HttpOnly; SameSite=Lax", name.as_str());
        self.sessions.insert(name.to_string(), session.clone(), now.plus(SESSION_TIME), now);
        Ok((session, HeaderValue::try_from(cookie)?))
    }

    /// Ends what `sid` names and tells the gateway.
    fn end(&self, sid: &str) -> Result<(), Error> {
        let ended = self.sessions.take_where(|session| session.sid == sid);
        self.access_tokens.take_where(|session| session.sid == sid);
        self.codes.take_where(|code| code.session.sid == sid);
        for session in ended {
            let token = self.signer.logout_assertion(&session, &secret_text()?, self.clock.now())?;
            let caller = self.client.logout.clone();
            self.tasks.spawn(async move { caller.deliver(&token).await });
        }
        Ok(())
    }
}

const COOKIE: &str = "demo_provider";
/// A working day: nobody demonstrates longer.
const SESSION_TIME: std::time::Duration = std::time::Duration::from_secs(12 * 3600);
