//! The place to return to after a sign-in: a path on a host that the configuration names, rebuilt from its parts.

use std::fmt;

use crate::request::host::Authority;
use crate::request::path::CanonicalPath;

/// An address on one of the gateway's hosts. Built from a request that was read, never from text that a client chose, so
/// there is nothing to check later (attacks RD).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnPlace {
    pub authority: Authority,
    pub path: CanonicalPath,
    pub query: Option<Box<str>>,
    /// What stood after `#` in the browser, when the sign-in page could tell.
    pub fragment: Option<Fragment>,
}

/// The fragment of an address: printable ASCII, so that it can stand in a `Location`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment(Box<str>);

impl Fragment {
    /// Reads what a browser shows as `location.hash`, without the `#`. Anything else is none: losing it hurts nobody.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let plain = !text.is_empty() && text.len() <= FRAGMENT_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
        plain.then(|| Self(text.into()))
    }
}

impl ReturnPlace {
    /// Path, query and fragment: what stands in a `Location` on the same host.
    #[must_use]
    pub fn on_host(&self) -> String {
        let mut text = self.path.to_string();
        if let Some(query) = &self.query {
            text.push('?');
            text.push_str(query);
        }
        if let Some(Fragment(fragment)) = &self.fragment {
            text.push('#');
            text.push_str(fragment);
        }
        text
    }
}

impl fmt::Display for ReturnPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.authority.origin(), self.on_host())
    }
}

/// Longest fragment kept, in bytes.
const FRAGMENT_BYTES_MAX: usize = 2_048;
