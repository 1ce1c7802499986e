//! The style sheet, the scripts and the icon, served under names that hold a hash of their content, so that a browser may
//! keep them for ever and never shows an old one.

use std::sync::LazyLock;

use bytes::Bytes;
use http::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};

use crate::web::body::{self, Body};
use crate::web::security;

/// One file that pages refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asset {
    Style,
    Hop,
    RecoveryCodes,
    Icon,
}

impl Asset {
    pub const ALL: [Self; 4] = [Self::Style, Self::Hop, Self::RecoveryCodes, Self::Icon];

    /// Where the asset is served, on every host.
    #[must_use]
    pub fn href(self) -> &'static str {
        match self {
            Self::Style => &STYLE_HREF,
            Self::Hop => &HOP_HREF,
            Self::RecoveryCodes => &RECOVERY_CODES_HREF,
            Self::Icon => &ICON_HREF,
        }
    }

    const fn file(self) -> File {
        match self {
            Self::Style => File { stem: "style", ending: "css", media_type: "text/css; charset=utf-8", content: STYLE },
            Self::Hop => File { stem: "hop", ending: "js", media_type: "text/javascript; charset=utf-8", content: HOP },
            Self::RecoveryCodes => {
                File { stem: "recovery-codes", ending: "js", media_type: "text/javascript; charset=utf-8", content: RECOVERY_CODES }
            }
            Self::Icon => File { stem: "icon", ending: "svg", media_type: "image/svg+xml", content: ICON },
        }
    }
}

/// The asset at a path, if there is one. It says nothing about anybody, so it is served before any session is looked at.
#[must_use]
pub fn find(path: &str) -> Option<Response<Body>> {
    let asset = Asset::ALL.into_iter().find(|asset| asset.href() == path)?;
    let file = asset.file();
    let mut response = Response::new(body::full(Bytes::from_static(file.content)));
    let headers = response.headers_mut();
    security::apply_immutable(headers);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(file.media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    Some(response)
}

struct File {
    stem: &'static str,
    ending: &'static str,
    media_type: &'static str,
    content: &'static [u8],
}

static STYLE_HREF: LazyLock<String> = LazyLock::new(|| address(&Asset::Style.file()));
static HOP_HREF: LazyLock<String> = LazyLock::new(|| address(&Asset::Hop.file()));
static RECOVERY_CODES_HREF: LazyLock<String> = LazyLock::new(|| address(&Asset::RecoveryCodes.file()));
static ICON_HREF: LazyLock<String> = LazyLock::new(|| address(&Asset::Icon.file()));

fn address(file: &File) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, file.content);
    // Sixty-four bits tell our own few files apart.
    let hash = digest.as_ref().iter().take(8).fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    format!("{PREFIX}{}-{hash}.{}", file.stem, file.ending)
}

/// What every asset's address begins with.
pub const PREFIX: &str = "/.portcullis/assets/";

const STYLE: &[u8] = include_bytes!("../../assets/style.css");
const HOP: &[u8] = include_bytes!("../../assets/hop.js");
const RECOVERY_CODES: &[u8] = include_bytes!("../../assets/recovery-codes.js");
const ICON: &[u8] = include_bytes!("../../assets/icon.svg");

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    #[test]
    fn every_asset_is_served_for_ever_under_its_hashed_name() {
        for asset in Asset::ALL {
            let response = find(asset.href()).unwrap();
            assert_eq!(response.headers()[CACHE_CONTROL], "public, max-age=31536000, immutable");
            assert_eq!(response.headers()["x-content-type-options"], "nosniff");
            assert_eq!(response.headers()[CONTENT_TYPE], asset.file().media_type);
        }
    }

    #[test]
    fn assets_have_different_names() {
        let names: std::collections::HashSet<_> = Asset::ALL.iter().map(|asset| asset.href()).collect();
        assert_eq!(names.len(), Asset::ALL.len());
    }

    #[test]
    fn other_names_find_nothing() {
        for path in ["", PREFIX, "/.portcullis/assets/style.css", "/.portcullis/assets/../style.css", "style.css"] {
            assert!(find(path).is_none(), "{path}");
        }
    }

    #[test]
    fn no_asset_names_another_host() {
        for asset in Asset::ALL {
            let text = std::str::from_utf8(asset.file().content).unwrap().replace("http://www.w3.org/", "");
            assert!(!text.contains("://") && !text.contains("url(") && !text.contains("@import"), "{asset:?}");
        }
    }
}
