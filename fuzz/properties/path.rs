//! A path is read in one way or not at all: reading it again changes nothing, and nobody who decodes it as often as they
//! like finds another structure in it.

use kernel::request::path::CanonicalPath;
use kernel::route::matcher::PathPattern;

pub fn check(data: &[u8]) {
    let Ok(raw) = std::str::from_utf8(data) else { return };
    let Ok(path) = CanonicalPath::parse(raw) else { return };
    let text = path.as_str();
    assert!(text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic()), "{text}");
    assert_eq!(CanonicalPath::parse(text).as_ref(), Ok(&path), "reading twice is reading once");

    let decoded = decoded_to_the_end(text);
    assert_eq!(decoded.matches('/').count(), text.matches('/').count(), "{decoded:?}");
    assert!(!decoded.split('/').any(|segment| matches!(segment.trim(), "." | "..")), "{decoded:?}");
    assert!(!decoded.contains(['\\', ';', '\0', '\r', '\n']), "{decoded:?}");
    assert!(!text.contains("//") && !text.contains(['?', '#']), "{text}");

    // A path without a star is its own pattern, and lies in its own subtree.
    if text.contains('*') || text.matches('/').count() > 31 {
        return;
    }
    for pattern in [text.to_owned(), format!("{}/**", text.trim_end_matches('/'))] {
        assert!(PathPattern::parse(&pattern).is_ok_and(|parsed| parsed.matches(&path)), "{pattern}");
    }
}

fn decoded_to_the_end(text: &str) -> String {
    let mut now = text.as_bytes().to_vec();
    loop {
        let next: Vec<u8> = percent_encoding::percent_decode(&now).collect();
        if next == now {
            return String::from_utf8(now).expect("a path is UTF-8 however often it is decoded");
        }
        now = next;
    }
}
