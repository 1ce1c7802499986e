//! The gateway's name in `Via` (RFC 9110 §7.6.3): what it adds to messages that it passes on, and by which it knows one that
//! comes round again.

use aws_lc_rs::digest::{SHA256, digest};
use http::Version;
use http::header::{HeaderMap, HeaderValue, VIA};

/// A pseudonym. It tells gateways apart that stand behind each other, and the nodes of one gateway have the same.
#[derive(Clone, Debug)]
pub struct Via {
    name: String,
    /// As it stands in a message that came in this version.
    http1_0: HeaderValue,
    http1_1: HeaderValue,
    http2: HeaderValue,
}

impl Via {
    /// `gateway` is the gateway's own address. What stands in messages tells nobody what it is.
    pub fn new(gateway: &str) -> Self {
        let hash = digest(&SHA256, gateway.as_bytes());
        let mark: String = hash.as_ref().iter().take(MARK_BYTES).map(|byte| format!("{byte:02x}")).collect();
        let name = format!("portcullis-{mark}");
        let value = |version: &str| {
            // Version and name are plain ASCII; should they not be, the field says less.
            HeaderValue::from_str(&format!("{version} {name}")).unwrap_or_else(|_| HeaderValue::from_static("1.1 portcullis"))
        };
        Self { http1_0: value("1.0"), http1_1: value("1.1"), http2: value("2"), name }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds the gateway to those that a message came through. `received` is the version that it came in.
    pub fn add(&self, fields: &mut HeaderMap, received: Version) {
        let value = match received {
            Version::HTTP_10 => &self.http1_0,
            Version::HTTP_2 => &self.http2,
            _ => &self.http1_1,
        };
        fields.append(VIA, value.clone());
    }

    /// Whether a request has been here before.
    pub fn is_in(&self, fields: &HeaderMap) -> bool {
        let members = fields.get_all(VIA).into_iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        // A member is a protocol, the name, and perhaps a comment.
        let mut names = members.filter_map(|member| {
            let mut words = member.trim_ascii().split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            words.nth(1)
        });
        names.any(|name| name.eq_ignore_ascii_case(self.name.as_bytes()))
    }
}

/// Of the hash, so that two gateways have one name in four milliards of cases.
const MARK_BYTES: usize = 4;
