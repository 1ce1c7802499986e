//! The security headers of every answer that is the gateway's own.
//!
//! No page of the gateway runs, frames or loads anything but its own assets, and none is kept by a cache.

use http::HeaderMap;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use kernel::request::host::Authority;
use url::Url;

/// Where the forms of a page may lead besides the page's own host. Chromium holds `form-action` against the redirect that
/// answers a form too, so a page whose form ends at the IdP or on a route's host must name them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FormTargets(Vec<String>);

impl FormTargets {
    /// The page's own host alone.
    #[must_use]
    pub const fn own() -> Self {
        Self(Vec::new())
    }

    /// These, and one of the gateway's hosts.
    #[must_use]
    pub fn and_authority(mut self, authority: &Authority) -> Self {
        self.0.push(authority.origin());
        self
    }

    /// These, and the origin of an address, such as the IdP's. An address that is not http or https adds nothing.
    #[must_use]
    pub fn and_address(mut self, address: &str) -> Self {
        if let Ok(url) = Url::parse(address)
            && matches!(url.scheme(), "http" | "https")
        {
            self.0.push(url.origin().ascii_serialization());
        }
        self
    }

    fn policy(&self) -> String {
        let mut policy = format!("{POLICY}; form-action 'self'");
        for origin in &self.0 {
            policy.push(' ');
            policy.push_str(origin);
        }
        policy
    }
}

/// Puts the headers on an answer of the gateway's own that must not be kept.
pub fn apply(headers: &mut HeaderMap, targets: &FormTargets) {
    apply_immutable(headers);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // An origin that cannot stand in a field is left out: the form then stops at the browser, and nothing is opened.
    let policy = HeaderValue::try_from(targets.policy()).unwrap_or(HeaderValue::from_static(POLICY));
    headers.insert(CONTENT_SECURITY_POLICY, policy);
}

/// Puts the headers on an asset; how long it may be kept is the asset's matter.
pub(crate) fn apply_immutable(headers: &mut HeaderMap) {
    for (name, value) in FIXED {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// `form-action` and `frame-ancestors` have no fallback to `default-src`, so both are named.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";

const FIXED: [(HeaderName, &str); 9] = [
    (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    // Not `no-referrer`: with it browsers send `Origin: null` with our own forms, which tells us nothing (Fetch §3.2).
    (REFERRER_POLICY, "same-origin"),
    // Two years, as hstspreload.org asks.
    (STRICT_TRANSPORT_SECURITY, "max-age=63072000"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), PERMISSIONS),
    (HeaderName::from_static("x-robots-tag"), "noindex, nofollow"),
];

const PERMISSIONS: &str = "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), \
                           microphone=(), midi=(), payment=(), usb=(), publickey-credentials-get=(self), \
                           publickey-credentials-create=(self)";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    fn policy(targets: &FormTargets) -> String {
        let mut headers = HeaderMap::new();
        apply(&mut headers, targets);
        headers[CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned()
    }

    #[test]
    fn every_answer_is_strict_and_is_not_kept() {
        let mut headers = HeaderMap::new();
        apply(&mut headers, &FormTargets::own());
        let table = [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "same-origin"),
            ("strict-transport-security", "max-age=63072000"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ];
        for (name, expected) in table {
            assert_eq!(headers[name], expected, "{name}");
        }
        assert!(headers.contains_key("permissions-policy"));
    }

    #[test]
    fn the_policy_closes_what_has_no_fallback() {
        let policy = policy(&FormTargets::own());
        for directive in ["default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'", "script-src 'self'"] {
            assert!(policy.split("; ").any(|part| part == directive), "{directive} in {policy}");
        }
        assert!(!policy.contains("unsafe"));
    }

    #[test]
    fn form_targets_are_origins_and_nothing_else() {
        let route = Authority::parse("grafana.example.com:8443").unwrap();
        let targets = FormTargets::own().and_authority(&route).and_address("https://idp.example.com/end?x=1;script-src *");
        assert!(policy(&targets).ends_with("; form-action 'self' https://grafana.example.com:8443 https://idp.example.com"));
    }

    #[test]
    fn an_address_that_is_not_of_the_web_opens_no_target() {
        for address in ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "; script-src *", ""] {
            assert_eq!(FormTargets::own().and_address(address), FormTargets::own(), "{address}");
        }
    }
}
