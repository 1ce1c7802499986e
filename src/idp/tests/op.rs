//! An OpenID provider that says whatever a test wants: canned answers on loopback, and keys of its own.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, OnceLock};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};
use aws_lc_rs::{hmac, rsa};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A canned answer.
#[derive(Clone)]
pub struct Canned {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    pub pace: Pace,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    Whole,
    /// The body begins and never ends.
    Stalls,
}

/// A request that arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub path: String,
    pub authorization: Option<String>,
    pub body: String,
}

pub struct Op {
    pub issuer: String,
    answers: Arc<Mutex<HashMap<String, Canned>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// Keys, made once: two RSA, two P-256, one of each other kind.
pub struct Keys {
    pub rsa: RsaKeyPair,
    pub other_rsa: RsaKeyPair,
    pub p256: EcdsaKeyPair,
    pub p384: EcdsaKeyPair,
    pub ed25519: Ed25519KeyPair,
}

#[derive(Clone)]
pub enum Signer {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    /// RS256 with a key that the IdP does not publish.
    OtherRs256,
    Es256,
    Es384,
    Ed,
    Hmac(Vec<u8>),
    Exactly(Vec<u8>),
}

pub fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| Keys {
        rsa: RsaKeyPair::generate(rsa::KeySize::Rsa2048).unwrap(),
        other_rsa: RsaKeyPair::generate(rsa::KeySize::Rsa2048).unwrap(),
        p256: EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
        p384: EcdsaKeyPair::generate(&signature::ECDSA_P384_SHA384_FIXED_SIGNING).unwrap(),
        ed25519: Ed25519KeyPair::generate().unwrap(),
    })
}

impl Signer {
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let keys = keys();
        let random = SystemRandom::new();
        let rsa = |key: &RsaKeyPair, encoding: &'static dyn signature::RsaEncoding| {
            let mut mark = vec![0; key.public_modulus_len()];
            key.sign(encoding, &random, message, &mut mark).unwrap();
            mark
        };
        match self {
            Self::Rs256 => rsa(&keys.rsa, &signature::RSA_PKCS1_SHA256),
            Self::Rs384 => rsa(&keys.rsa, &signature::RSA_PKCS1_SHA384),
            Self::Rs512 => rsa(&keys.rsa, &signature::RSA_PKCS1_SHA512),
            Self::Ps256 => rsa(&keys.rsa, &signature::RSA_PSS_SHA256),
            Self::Ps384 => rsa(&keys.rsa, &signature::RSA_PSS_SHA384),
            Self::Ps512 => rsa(&keys.rsa, &signature::RSA_PSS_SHA512),
            Self::OtherRs256 => rsa(&keys.other_rsa, &signature::RSA_PKCS1_SHA256),
            Self::Es256 => keys.p256.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Es384 => keys.p384.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed => keys.ed25519.sign(message).as_ref().to_vec(),
            Self::Hmac(secret) => hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message).as_ref().to_vec(),
            Self::Exactly(mark) => mark.clone(),
        }
    }
}

pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The modulus, from the DER of a 2048-bit key: a fixed place.
pub fn modulus(key: &RsaKeyPair) -> Vec<u8> {
    let der = key.public_key().as_ref();
    assert_eq!(der.len(), 270);
    der[9..265].to_vec()
}

pub fn rsa_jwk(kid: &str, key: &RsaKeyPair) -> Value {
    json!({ "kty": "RSA", "kid": kid, "use": "sig", "n": b64(modulus(key)), "e": "AQAB" })
}

pub fn rsa_pem() -> Vec<u8> {
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    let der: PublicKeyX509Der<'_> = keys().rsa.public_key().as_der().unwrap();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der.as_ref())).into_bytes()
}

fn ec_jwk(kid: &str, curve: &str, point: &[u8]) -> Value {
    let (x, y) = point[1..].split_at((point.len() - 1) / 2);
    json!({ "kty": "EC", "kid": kid, "crv": curve, "use": "sig", "x": b64(x), "y": b64(y) })
}

/// Every kind of key that is taken, under the key id that the drafts use.
pub fn all_keys() -> Vec<Value> {
    vec![
        rsa_jwk("rsa", &keys().rsa),
        ec_jwk("p256", "P-256", keys().p256.public_key().as_ref()),
        ec_jwk("p384", "P-384", keys().p384.public_key().as_ref()),
        json!({ "kty": "OKP", "kid": "ed", "crv": "Ed25519", "x": b64(keys().ed25519.public_key()) }),
    ]
}

impl Canned {
    pub fn json(value: &Value) -> Self {
        Self::text(value.to_string())
    }

    pub fn text(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, headers: vec![("content-type", "application/json".to_owned())], body: body.into(), pace: Pace::Whole }
    }

    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.into()));
        self
    }

    pub fn stalls(mut self) -> Self {
        self.pace = Pace::Stalls;
        self
    }
}

impl Op {
    /// A good provider: metadata, all keys, no answer at the token endpoint yet.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        Self::serve(listener, issuer, None)
    }

    /// A good provider behind TLS, and the certificate that vouches for it.
    pub async fn start_tls() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        (Self::serve(listener, issuer, Some(TlsAcceptor::from(Arc::new(config)))), cert.pem())
    }

    fn serve(listener: TcpListener, issuer: String, tls: Option<TlsAcceptor>) -> Self {
        let op = Self { issuer, answers: Arc::default(), seen: Arc::default() };
        op.answer(DISCOVERY, Canned::json(&op.metadata()));
        op.answer(JWKS, Canned::json(&json!({ "keys": all_keys() })));
        op.answer(USERINFO, Canned::json(&json!({ "sub": "ana" })));
        let (answers, seen) = (Arc::clone(&op.answers), Arc::clone(&op.seen));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answers, seen) = (Arc::clone(&answers), Arc::clone(&seen));
                let service = service_fn(move |request| respond(request, Arc::clone(&answers), Arc::clone(&seen)));
                let tls = tls.clone();
                tokio::spawn(async move {
                    let server = hyper::server::conn::http1::Builder::new();
                    match tls {
                        None => server.serve_connection(TokioIo::new(stream), service).await.ok(),
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => server.serve_connection(TokioIo::new(stream), service).await.ok(),
                            Err(_) => None,
                        },
                    }
                });
            }
        });
        op
    }

    pub fn metadata(&self) -> Value {
        let at = |path: &str| format!("{}{path}", self.issuer);
        json!({
            "issuer": self.issuer,
            "authorization_endpoint": at("/authorize"),
            "token_endpoint": at(TOKEN),
            "jwks_uri": at(JWKS),
            "userinfo_endpoint": at(USERINFO),
            "end_session_endpoint": at("/sign-out"),
            "id_token_signing_alg_values_supported":
                ["none", "HS256", "RS256", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"],
        })
    }

    /// Changes one member of the metadata; null takes it away.
    pub fn state(&self, name: &str, value: Value) {
        let mut metadata: Value = serde_json::from_slice(&self.answers.lock().unwrap()[DISCOVERY].body).unwrap();
        metadata[name] = value;
        self.answer(DISCOVERY, Canned::json(&metadata));
    }

    pub fn publish(&self, keys: Vec<Value>) {
        self.answer(JWKS, Canned::json(&json!({ "keys": keys })));
    }

    pub fn answer(&self, path: &str, canned: Canned) {
        self.answers.lock().unwrap().insert(path.to_owned(), canned);
    }

    pub fn seen(&self, path: &str) -> Vec<Seen> {
        self.seen.lock().unwrap().iter().filter(|seen| seen.path == path).cloned().collect()
    }

    pub fn count(&self, path: &str) -> usize {
        self.seen(path).len()
    }
}

type Answers = Arc<Mutex<HashMap<String, Canned>>>;

async fn respond(
    request: http::Request<Incoming>,
    answers: Answers,
    seen: Arc<Mutex<Vec<Seen>>>,
) -> Result<http::Response<UnsyncBoxBody<Bytes, Infallible>>, Infallible> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let authorization = head.headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    seen.lock().unwrap().push(Seen { path: path.clone(), authorization, body });
    let canned = answers.lock().unwrap().get(&path).cloned().unwrap_or_else(|| Canned::text("nothing here").status(404));
    let mut response = http::Response::builder().status(canned.status);
    for (name, value) in canned.headers {
        response = response.header(name, value);
    }
    // In pieces, so that no content-length tells the size beforehand.
    let pieces: Vec<_> = canned.body.chunks(65_536).map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece)))).collect();
    let stalls = canned.pace == Pace::Stalls;
    Ok(response.body(Pieces(pieces.into(), stalls).boxed_unsync()).unwrap())
}

struct Pieces(std::collections::VecDeque<Result<Frame<Bytes>, Infallible>>, bool);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.0.pop_front() {
            Some(piece) => std::task::Poll::Ready(Some(piece)),
            None if self.1 => std::task::Poll::Pending,
            None => std::task::Poll::Ready(None),
        }
    }
}

pub const DISCOVERY: &str = "/.well-known/openid-configuration";
pub const JWKS: &str = "/jwks";
pub const TOKEN: &str = "/token";
pub const USERINFO: &str = "/userinfo";
