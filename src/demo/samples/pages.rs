//! The pages of the sample application.

use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response};
use kernel::request::headers::{ASSERTION, EMAIL, GROUPS, REQUEST_ID, SUBJECT};
use serde_json::Value;

use crate::demo::Error;
use crate::web::body::{self, Body};

/// What arrived here, as the application behind the gateway sees it.
#[derive(Template)]
#[template(
    ext = "html",
    source = r##"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }} · Sample application</title><link rel="stylesheet" href="/public/style.css"></head>
<body><main class="wide">
<p class="banner">Sample application behind the gateway</p>
<h1>{{ title }}</h1>
<nav aria-label="Pages"><ul><li><a href="/">Start</a></li><li><a href="/reports">Reports</a></li><li><a href="/admin">Admin</a></li><li><a href="/echo">WebSocket</a></li><li><a href="/events">Events</a></li><li><a href="/slow">Slow</a></li><li><a href="/public/about">Public</a></li></ul></nav>
<p>{{ about }}</p>
<p id="target"><code>{{ method }} {{ target }}</code></p>
{% match assertion %}{% when Some with (text) %}<h2>What the gateway vouches for</h2>
<p class="quiet">The claims of the signed assertion. An application verifies its signature with the gateway's <code>/.portcullis/jwks.json</code>.</p>
<pre id="assertion" tabindex="0" aria-label="Claims of the assertion">{{ text }}</pre>{% when None %}{% endmatch %}
<h2>Headers received</h2>
<p class="quiet">Marked rows were stated by the gateway.</p>
<div class="scroll"><table id="headers"><thead><tr><th scope="col">Name</th><th scope="col">Value</th></tr></thead><tbody>
{% for header in headers %}<tr{% if header.stated %} class="stated"{% endif %}><th scope="row">{{ header.name }}</th><td>{{ header.value }}</td></tr>
{% endfor %}</tbody></table></div>
{% if upload %}<h2>Send something</h2>
<p class="quiet">Only people on call may; a click by anybody else is refused by the gateway.</p>
<form method="post" action="/upload"><label for="note">Note</label><input id="note" name="note"><button>Send</button></form>{% endif %}
</main></body></html>"##
)]
pub(super) struct HeadersPage<'a> {
    title: &'a str,
    about: &'a str,
    method: &'a str,
    target: &'a str,
    headers: Vec<Shown>,
    assertion: Option<String>,
    upload: bool,
}

/// A field of the request.
struct Shown {
    name: String,
    value: String,
    stated: bool,
}

/// A page that talks to a WebSocket at its own address.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>WebSocket echo · Sample application</title><link rel="stylesheet" href="/public/style.css"><script type="module" src="/public/echo.js"></script></head>
<body><main>
<p class="banner">Sample application behind the gateway</p>
<h1>WebSocket echo</h1>
<p>State: <output id="state">connecting</output></p>
<form id="say"><label for="message">Message</label><input id="message" autocomplete="off"><button>Send</button></form>
<h2>What came back</h2><ol id="log" aria-live="polite"></ol>
</main></body></html>"#
)]
pub(super) struct EchoPage;

impl<'a> HeadersPage<'a> {
    pub(super) fn of<B>(title: &'a str, about: &'a str, request: &'a http::Request<B>) -> Self {
        Self {
            title,
            about,
            method: request.method().as_str(),
            target: request.uri().path_and_query().map_or("/", |target| target.as_str()),
            headers: shown(request.headers()),
            assertion: request.headers().get(ASSERTION).and_then(claims),
            upload: request.uri().path() == "/",
        }
    }
}

/// Text for the page: what the gateway stated first, then by name.
fn shown(headers: &HeaderMap) -> Vec<Shown> {
    let stated = [SUBJECT, EMAIL, GROUPS, REQUEST_ID, ASSERTION];
    let mut rows: Vec<Shown> = headers
        .iter()
        .map(|(name, value)| Shown {
            name: name.as_str().to_owned(),
            value: String::from_utf8_lossy(value.as_bytes()).into_owned(),
            stated: stated.contains(name),
        })
        .collect();
    rows.sort_by(|one, other| other.stated.cmp(&one.stated).then_with(|| one.name.cmp(&other.name)));
    rows
}

/// The claims of a token, unverified: they are shown, nothing is decided by them.
fn claims(token: &HeaderValue) -> Option<String> {
    let payload = token.to_str().ok()?.split('.').nth(1)?;
    let value: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    serde_json::to_string_pretty(&value).ok()
}

pub(super) fn page(template: &impl Template) -> Result<Response<Body>, Error> {
    let mut response = Response::new(body::full(template.render()?));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
    );
    Ok(response)
}
