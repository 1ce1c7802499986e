//! Active health checks: each upstream of a route that asks for it is asked for a page, over and over, on a connection of
//! its own.
//!
//! A check carries nothing of anybody: no identity, no assertion, no cookie.

use std::sync::{Arc, Weak};
use std::time::Duration;

use http::header::{HOST, HeaderValue, USER_AGENT};
use http::{Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use kernel::route::Upstream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Upstreams;
use super::backend::Backend;
use super::connect::{Purpose, Spoken};
use super::outgoing::{OutgoingBody, Progress};
use super::settings::HealthCheck;

/// Asks until the gateway ends or no configuration has the upstream any more.
pub async fn watch(upstreams: Weak<Upstreams>, backend: Weak<Backend>, check: HealthCheck, closing: CancellationToken) {
    let (mut good, mut bad) = (0_u32, 0_u32);
    loop {
        let Some((upstreams, backend)) = upstreams.upgrade().zip(backend.upgrade()) else { return };
        let answer = timeout(check.timeout, ask(&upstreams, &backend, &check)).await;
        let fault = match answer {
            Ok(Ok(())) => None,
            Ok(Err(fault)) => Some(fault),
            Err(_) => Some(format!("no answer within {:?}", check.timeout)),
        };
        (good, bad) = if fault.is_none() { (good.saturating_add(1), 0) } else { (0, bad.saturating_add(1)) };
        if good >= check.healthy_after && backend.condition.set_healthy(true) {
            tracing::info!(upstream = %backend.name, "upstream is healthy again");
        }
        if let Some(fault) = fault
            && bad >= check.unhealthy_after
            && backend.condition.set_healthy(false)
        {
            tracing::warn!(upstream = %backend.name, %fault, "upstream is unhealthy and passed over while others are not");
        }
        drop((upstreams, backend));
        if closing.run_until_cancelled(tokio::time::sleep(spread(check.interval))).await.is_none() {
            return;
        }
    }
}

async fn ask(upstreams: &Upstreams, backend: &Backend, check: &HealthCheck) -> Result<(), String> {
    let (stream, spoken) =
        upstreams.connector.connect(backend, Purpose::Requests, check.timeout).await.map_err(|fault| fault.to_string())?;
    // Both libraries bound the head of the answer; the whole is bounded by the caller's timeout.
    stream.allowance.lift();
    stream.allowance.begin_stream();
    let request = question(backend, check, spoken).ok_or("the question cannot be written")?;
    let answer = match spoken {
        Spoken::Http1 => {
            let (mut sender, driver) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|fault| fault.to_string())?;
            alongside(driver, sender.send_request(request)).await?
        }
        Spoken::Http2 => {
            let executor = upstreams.executor();
            let handshake = hyper::client::conn::http2::handshake(executor, TokioIo::new(stream)).await;
            let (mut sender, driver) = handshake.map_err(|fault| fault.to_string())?;
            alongside(driver, sender.send_request(request)).await?
        }
    };
    let status = answer.status();
    if status.is_success() || status.is_redirection() { Ok(()) } else { Err(format!("it answers {}", status.as_u16())) }
}

/// Drives the connection while the answer is waited for, and drops it then.
async fn alongside(
    driver: impl Future<Output = hyper::Result<()>>,
    answer: impl Future<Output = hyper::Result<Response<Incoming>>>,
) -> Result<Response<Incoming>, String> {
    let mut driver = std::pin::pin!(driver);
    let mut answer = std::pin::pin!(answer);
    let answered = tokio::select! {
        biased;
        // The answer, or why there is none.
        answered = answer.as_mut() => answered,
        // The connection ended; the answer knows how.
        _ended = driver.as_mut() => answer.await,
    };
    answered.map_err(|fault| fault.to_string())
}

fn question(backend: &Backend, check: &HealthCheck, spoken: Spoken) -> Option<Request<OutgoingBody>> {
    let host = match (&check.host, &backend.upstream) {
        (Some(host), _) => host.to_string(),
        (None, Upstream::Http(endpoint) | Upstream::Https(endpoint)) => endpoint.to_string(),
        (None, Upstream::Unix(_)) => "localhost".to_owned(),
    };
    let mut request = Request::new(OutgoingBody::none(&Arc::new(Progress::new())));
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_static("portcullis-health-check"));
    match spoken {
        Spoken::Http1 => {
            *request.uri_mut() = Uri::try_from(&*check.path).ok()?;
            request.headers_mut().insert(HOST, HeaderValue::from_str(&host).ok()?);
        }
        Spoken::Http2 => {
            let scheme = if matches!(backend.upstream, Upstream::Https(_)) { "https" } else { "http" };
            *request.uri_mut() = Uri::builder().scheme(scheme).authority(host).path_and_query(&*check.path).build().ok()?;
            *request.version_mut() = Version::HTTP_2;
        }
    }
    Some(request)
}

/// The interval, up to a tenth longer, so that checks of many upstreams do not fall together.
fn spread(interval: Duration) -> Duration {
    let [random] = crate::entropy::bytes::<1>().unwrap_or_default();
    interval + interval / 10 * u32::from(random) / 256
}
