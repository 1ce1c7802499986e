//! Whether a form was sent by one of our own pages, told by what browsers say about a request's origin.
//!
//! There is no token in the forms: `SameSite=Lax` keeps the cookie out of other sites' posts, and the two fields below, which
//! no page can forge, tell sister hosts apart, which `SameSite` does not.

use http::header::{ORIGIN, REFERER};
use http::{HeaderMap, HeaderName};
use kernel::policy::Reason;
use kernel::request::headers::SEC_FETCH_SITE;
use kernel::request::host::Authority;
use kernel::{Refusal, Rejection};

/// Proof that nothing says a form came from elsewhere.
#[derive(Debug)]
#[must_use]
pub struct SameOrigin(());

/// Checks a request that changes something. `own` is the authority it came to.
///
/// Whatever is present must agree: `Sec-Fetch-Site` (Fetch Metadata), then `Origin` (RFC 6454 §7), then `Referer`. A request
/// that has none was not sent by a browser of this decade; other sites' pages cannot make one send the cookie with it.
pub fn check(headers: &HeaderMap, own: &Authority) -> Result<SameOrigin, Refusal> {
    let agrees = match field(headers, &SEC_FETCH_SITE)? {
        // `none` is the person's own doing: a reload, a restored tab.
        Some("same-origin" | "none") => match field(headers, &ORIGIN)? {
            // A page's referrer policy may hide the origin; the browser has vouched for it already.
            None | Some("null") => true,
            Some(origin) => origin == own.origin(),
        },
        Some(_) => false,
        None => match (field(headers, &ORIGIN)?, field(headers, &REFERER)?) {
            (Some(origin), _) => origin == own.origin(),
            (None, Some(referer)) => referer.strip_prefix(&own.origin()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
            (None, None) => true,
        },
    };
    if agrees { Ok(SameOrigin(())) } else { Err(refused()) }
}

/// The one value of a field. Two values, or one that is not text, have no single reading.
fn field<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| refused()),
        (Some(_), Some(_)) => Err(refused()),
    }
}

fn refused() -> Refusal {
    Rejection::Forbidden(Reason::CrossSite).into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn check_with(fields: &[(&'static str, &str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        match check(&headers, &Authority::parse("gate.example.com:8443").unwrap()) {
            Ok(SameOrigin(())) => true,
            Err(refusal) => {
                assert_eq!(refusal, refused());
                false
            }
        }
    }

    #[test]
    fn what_is_present_must_agree() {
        const SITE: &str = "sec-fetch-site";
        const OWN: &str = "https://gate.example.com:8443";
        let table: &[(&[(&'static str, &str)], bool)] = &[
            (&[], true),
            (&[(SITE, "same-origin")], true),
            (&[(SITE, "none")], true),
            (&[(SITE, "same-origin"), ("origin", OWN)], true),
            (&[(SITE, "same-origin"), ("origin", "null")], true),
            (&[(SITE, "same-origin"), ("origin", "https://evil.example")], false),
            (&[(SITE, "none"), ("origin", "https://evil.example")], false),
            (&[(SITE, "same-site")], false),
            (&[(SITE, "same-site"), ("origin", OWN)], false),
            (&[(SITE, "cross-site")], false),
            (&[(SITE, "cross-site"), ("origin", OWN)], false),
            (&[(SITE, "Same-Origin")], false),
            (&[(SITE, "")], false),
            (&[(SITE, "same-origin"), (SITE, "cross-site")], false),
            (&[("origin", OWN)], true),
            (&[("origin", "null")], false),
            (&[("origin", "https://gate.example.com")], false),
            (&[("origin", "http://gate.example.com:8443")], false),
            (&[("origin", "https://gate.example.com:8443.evil.example")], false),
            (&[("origin", "https://grafana.example.com:8443")], false),
            (&[("origin", OWN), ("origin", OWN)], false),
            (&[("referer", "https://gate.example.com:8443/.portcullis/enrol")], true),
            (&[("referer", OWN)], true),
            (&[("referer", "https://gate.example.com:8443.evil.example/")], false),
            (&[("referer", "https://evil.example/https://gate.example.com:8443/")], false),
            (&[("referer", "https://gate.example.com:84433/")], false),
        ];
        for (fields, expected) in table {
            assert_eq!(check_with(fields), *expected, "{fields:?}");
        }
    }
}
