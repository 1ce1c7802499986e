//! The provider's pages. No script and no outside asset; the style is a separate document so that the policy can be strict.

use askama::Template;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};

use crate::demo::Error;
use crate::demo::provider::people::{PEOPLE, Person};
use crate::web::body::{self, Body};

/// Who are you?
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign in · Demo provider</title><link rel="stylesheet" href="/style.css"></head>
<body><main>
<p class="banner">Demo identity provider: anybody at this machine can be anybody.</p>
<h1>Who are you?</h1>
{% if wrong %}<p class="wrong" role="alert">That name and password do not go together. The password is the name.</p>{% endif %}
<form method="post" action="?{{ query }}" class="people">
{% for person in people %}<button name="login" value="{{ person.login }}" id="{{ person.login }}"><b>{{ person.name }}</b> <span>{{ person.role }}</span></button>
{% endfor %}</form>
<details{% if wrong %} open{% endif %}><summary>Sign in with a name and a password instead</summary>
<form method="post" action="?{{ query }}">
<label for="name">Name</label><input id="name" name="login" autocomplete="username" autocapitalize="none" required>
<label for="password">Password <small>(the same as the name)</small></label><input id="password" name="password" type="password" autocomplete="current-password" required>
<button>Sign in</button></form></details>
</main></body></html>"#
)]
pub(super) struct LoginPage<'a> {
    pub query: &'a str,
    pub wrong: bool,
    people: [Person; 3],
}

impl<'a> LoginPage<'a> {
    pub(super) const fn fresh(query: &'a str) -> Self {
        Self { query, wrong: false, people: PEOPLE }
    }

    pub(super) const fn again(query: &'a str) -> Self {
        Self { query, wrong: true, people: PEOPLE }
    }
}

/// Who is signed in here, and the way out.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Demo provider</title><link rel="stylesheet" href="/style.css"></head>
<body><main>
<p class="banner">Demo identity provider: anybody at this machine can be anybody.</p>
{% match person %}{% when Some with (person) %}<h1>You are {{ person.name }}</h1>
<p>Signing out here ends your sessions at the gateway as well: the provider tells it (back-channel logout).</p>
<form method="post" action="/sign-out"><button>Sign out</button></form>
{% when None %}<h1>Nobody is signed in</h1><p>A sign-in begins at the gateway.</p>{% endmatch %}
</main></body></html>"#
)]
pub(super) struct HomePage {
    pub person: Option<&'static Person>,
}

/// A request that cannot be sent back to the client it claims to come from.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Refused · Demo provider</title><link rel="stylesheet" href="/style.css"></head>
<body><main><h1>This request was refused</h1><p role="alert">{{ why }}</p></main></body></html>"#
)]
pub(super) struct RefusedPage<'a> {
    pub why: &'a str,
}

/// A page with the headers that all of them share.
pub(super) fn page(status: StatusCode, template: &impl Template) -> Result<Response<Body>, Error> {
    let mut response = Response::new(body::full(template.render()?));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // No `form-action`: browsers apply it to the redirects that follow a form as well, and these lead to the gateway.
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'"),
    );
    Ok(response)
}

/// The style of all pages of the demo's sites.
pub(in crate::demo) fn style() -> Response<Body> {
    let mut response = Response::new(body::full(STYLE));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8"));
    response
}

const STYLE: &str = include_str!("../style.css");
