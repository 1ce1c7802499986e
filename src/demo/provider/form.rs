//! Parameters of OAuth requests, from a query or a form body.

use std::borrow::Cow;
use std::collections::HashMap;

use url::form_urlencoded;

/// Parameters, each at most once (RFC 6749 §3.1).
#[derive(Debug)]
pub(super) struct Parameters<'a>(HashMap<Cow<'a, str>, Cow<'a, str>>);

impl<'a> Parameters<'a> {
    /// `None` when a parameter is repeated.
    pub(super) fn read(text: &'a [u8]) -> Option<Self> {
        let mut all = HashMap::new();
        for (name, value) in form_urlencoded::parse(text) {
            if all.insert(name, value).is_some() {
                return None;
            }
        }
        Some(Self(all))
    }

    /// A parameter without a value counts as not sent (RFC 6749 §3.1).
    pub(super) fn find(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(AsRef::as_ref).filter(|value| !value.is_empty())
    }
}
