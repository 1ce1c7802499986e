//! The one cookie: `__Host-portcullis`, opaque, for one host (RFC 6265bis §4.1.3.2).

use http::HeaderValue;
use kernel::Failure;
use kernel::request::headers::COOKIE;
use kernel::session::Token;

/// The `Set-Cookie` that hands a browser its token for this host. A session cookie: how long it is good for is known to the
/// store alone.
pub fn set(token: &Token) -> Result<HeaderValue, Failure> {
    let text = zeroize::Zeroizing::new(format!("{COOKIE}={}; {ATTRIBUTES}", token.text()));
    let mut value = HeaderValue::try_from(text.as_str()).map_err(|_| Failure::Bug("a cookie does not fit into a field"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The `Set-Cookie` that takes it away again.
#[must_use]
pub const fn clear() -> HeaderValue {
    HeaderValue::from_static("__Host-portcullis=; Max-Age=0; Secure; HttpOnly; SameSite=Lax; Path=/")
}

/// No `Domain`: the `__Host-` prefix forbids it, and the browser refuses the cookie otherwise.
const ATTRIBUTES: &str = "Secure; HttpOnly; SameSite=Lax; Path=/";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_cookie_is_bound_to_its_host_and_hidden_from_scripts() {
        let token = Token::new([7; 32]);
        let value = set(&token).unwrap();
        let text = value.to_str().unwrap();
        assert_eq!(text, format!("__Host-portcullis={}; Secure; HttpOnly; SameSite=Lax; Path=/", token.text()));
        assert!(!text.contains("Domain") && !text.contains("Expires") && !text.contains("Max-Age"));
    }

    #[test]
    fn the_cookie_is_not_printed() {
        assert_eq!(format!("{:?}", set(&Token::new([7; 32])).unwrap()), "Sensitive");
    }

    #[test]
    fn clearing_names_the_same_cookie() {
        let text = clear().to_str().unwrap().to_owned();
        assert!(text.starts_with(&format!("{COOKIE}=;")));
        assert!(text.ends_with(ATTRIBUTES) && text.contains("Max-Age=0"));
    }

    #[test]
    fn the_cookie_is_small() {
        assert!(set(&Token::new([255; 32])).unwrap().len() < 4_096);
    }
}
