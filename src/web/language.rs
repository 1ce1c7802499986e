//! Which language a person reads, by `Accept-Language` (RFC 9110 §12.5.4).

use http::HeaderMap;
use http::header::ACCEPT_LANGUAGE;

/// The languages in which the pages are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Language {
    #[default]
    English,
    German,
}

impl Language {
    pub const ALL: [Self; 2] = [Self::English, Self::German];

    /// The tag for the `lang` attribute and `Content-Language`.
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
        }
    }

    /// The language that the client likes best; English when it names none of ours. A range that cannot be read is passed
    /// over: a page in the second-best language harms nobody.
    #[must_use]
    pub fn negotiate(headers: &HeaderMap) -> Self {
        let mut best = (Self::default(), 0);
        let fields = headers.get_all(ACCEPT_LANGUAGE).iter().filter_map(|field| field.to_str().ok());
        for range in fields.flat_map(|field| field.split(',')).take(RANGES_MAX) {
            if let Some((language, quality)) = read_range(range)
                && quality > best.1
            {
                best = (language, quality);
            }
        }
        best.0
    }
}

/// One range and its weight in thousandths.
fn read_range(range: &str) -> Option<(Language, u16)> {
    let (tag, quality) = match range.split_once(';') {
        None => (range, 1_000),
        Some((tag, parameter)) => (tag, read_quality(parameter)?),
    };
    let primary = tag.trim().split('-').next()?;
    let language = match primary.to_ascii_lowercase().as_str() {
        "en" | "*" => Language::English,
        "de" => Language::German,
        _ => return None,
    };
    Some((language, quality))
}

/// `q=0.7` in thousandths (RFC 9110 §12.4.2).
fn read_quality(parameter: &str) -> Option<u16> {
    let parameter = parameter.trim();
    let value = parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q="))?;
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths: u16 = format!("{fraction:0<3}").parse().ok()?;
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1_000),
        _ => None,
    }
}

/// Ranges read of one request; a browser sends a handful.
const RANGES_MAX: usize = 32;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_best_liked_language_of_ours_wins() {
        let table = [
            ("", Language::English),
            ("de", Language::German),
            ("de-AT", Language::German),
            ("DE-de", Language::German),
            ("de-DE,de;q=0.9,en;q=0.8", Language::German),
            ("en-GB,en;q=0.9,de;q=0.8", Language::English),
            ("en;q=0.5, de;q=0.7", Language::German),
            ("fr, de;q=0.3, en;q=0.2", Language::German),
            ("fr", Language::English),
            ("fr, *;q=0.5", Language::English),
            ("de;q=0, en;q=0.1", Language::English),
            ("de;q=0", Language::English),
            ("en, de", Language::English),
            ("de;q=1.001, en;q=0.1", Language::English),
            ("de;q=nan, en;q=0.1", Language::English),
            ("de;q=-1", Language::English),
            ("de;q=0.1234", Language::English),
            ("den", Language::English),
            (";;;,,,=", Language::English),
            ("de;q=1.", Language::German),
        ];
        for (field, expected) in table {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_LANGUAGE, field.parse().unwrap());
            assert_eq!(Language::negotiate(&headers), expected, "{field}");
        }
    }

    #[test]
    fn several_fields_read_as_one_list() {
        let mut headers = HeaderMap::new();
        headers.append(ACCEPT_LANGUAGE, "en;q=0.4".parse().unwrap());
        headers.append(ACCEPT_LANGUAGE, "de;q=0.6".parse().unwrap());
        assert_eq!(Language::negotiate(&headers), Language::German);
    }

    #[test]
    fn a_client_that_says_nothing_reads_english() {
        assert_eq!(Language::negotiate(&HeaderMap::new()), Language::English);
    }
}
