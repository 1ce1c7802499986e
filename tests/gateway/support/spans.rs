//! A receiver of spans: OTLP over HTTPS, in JSON. It keeps what it was sent, and answers as it is told.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A running receiver, with a certificate for `localhost` that nobody vouches for.
pub struct SpanReceiver {
    pub port: u16,
    /// In PEM.
    pub certificate: String,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct State {
    status: AtomicU16,
    /// Path, fields and body of each request, as text.
    requests: Mutex<Vec<(String, String, String)>>,
}

impl SpanReceiver {
    pub async fn start() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State { status: AtomicU16::new(200), ..State::default() });
        let (shared, acceptor) = (Arc::clone(&state), TlsAcceptor::from(Arc::new(config)));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (shared, acceptor) = (Arc::clone(&shared), acceptor.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(move |request| answer(Arc::clone(&shared), request));
                    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { port, certificate: made.cert.pem(), state, task }
    }

    pub fn answer_with(&self, status: u16) {
        self.state.status.store(status, Ordering::SeqCst);
    }

    pub fn requests(&self) -> Vec<(String, String, String)> {
        self.state.requests.lock().unwrap().clone()
    }

    /// All spans of all batches, in the order of their arrival.
    pub fn spans(&self) -> Vec<Value> {
        let batches = self.requests().into_iter().map(|(_, _, body)| serde_json::from_str::<Value>(&body).unwrap());
        batches.flat_map(|batch| batch["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone()).collect()
    }
}

impl Drop for SpanReceiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let text = String::from_utf8_lossy(&body).into_owned();
    state.requests.lock().unwrap().push((head.uri.to_string(), format!("{:?}", head.headers), text));
    let mut response = Response::new(Full::from("{\"partialSuccess\":{}}"));
    *response.status_mut() = state.status.load(Ordering::SeqCst).try_into().unwrap();
    Ok(response)
}
