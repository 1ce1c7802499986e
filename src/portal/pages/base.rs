//! What every page shares: the frame around it, and how it becomes an answer.

use askama::Template;
use http::header::{CONTENT_LANGUAGE, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};

use crate::portal::pages::view::Frame;
use crate::web::assets::Asset;
use crate::web::body::{self, Body};
use crate::web::security;

/// What `base.html` needs.
pub struct Base<'a> {
    pub language: &'static str,
    pub title: String,
    pub frame: &'a Frame,
    pub style: &'static str,
    pub icon: &'static str,
    pub sign_out: &'static str,
}

impl<'a> Base<'a> {
    pub fn new(frame: &'a Frame, title: impl Into<String>) -> Self {
        Self {
            language: frame.language.tag(),
            title: title.into(),
            frame,
            style: Asset::Style.href(),
            icon: Asset::Icon.href(),
            sign_out: super::SIGN_OUT,
        }
    }
}

/// Renders a page into an answer.
pub fn respond(status: StatusCode, frame: &Frame, page: &impl Template) -> Response<Body> {
    let (status, media_type, content) = match page.render() {
        Ok(html) => (status, "text/html; charset=utf-8", html),
        // Writing into a string fails only when a value's own printing does, which none of ours can.
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", "The page could not be written.\n".to_owned()),
    };
    let mut response = Response::new(body::full(content));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    security::apply(headers, &frame.form_targets);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(frame.language.tag()));
    response
}
