//! Reads a form that was posted (`application/x-www-form-urlencoded`, WHATWG URL §5.1), strictly and within bounds.

use std::fmt;
use std::time::Duration;

use bytes::Buf;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use kernel::policy::Reason;
use kernel::{Refusal, Rejection};
use percent_encoding::percent_decode;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::web::body::BodyError;

/// The fields of a form, each name once.
#[derive(Default)]
pub struct Form(Vec<(String, Zeroizing<String>)>);

impl Form {
    /// Reads a body to its end, or for `deadline`. A form with a name twice, with an escape that is none or with bytes that
    /// are not UTF-8 has no single reading and is refused.
    pub async fn read<B>(headers: &HeaderMap, body: B, deadline: Duration) -> Result<Self, Refusal>
    where
        B: Body,
        B::Error: Into<BodyError>,
    {
        if !is_form(headers) {
            return Err(unreadable());
        }
        let collected = timeout(deadline, Limited::new(body, FORM_BYTES_MAX).collect()).await.map_err(|_| unreadable())?;
        let mut content = collected.map_err(|error| if error.is::<LengthLimitError>() { too_large() } else { unreadable() })?.aggregate();
        let bytes = Zeroizing::new(content.copy_to_bytes(content.remaining()).to_vec());
        Self::parse(&bytes)
    }

    /// Reads the text of a form.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let mut fields: Vec<(String, Zeroizing<String>)> = Vec::new();
        for pair in bytes.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let name = decode(halves.next().unwrap_or_default())?;
            let value = Zeroizing::new(decode(halves.next().unwrap_or_default())?);
            if fields.len() >= FIELDS_MAX || fields.iter().any(|(known, _)| *known == name) {
                return Err(unreadable());
            }
            fields.push((name, value));
        }
        Ok(Self(fields))
    }

    /// The value of a field, as it was written. A field that is not there and one that is empty are both `None`.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        (!value.is_empty()).then_some(value.as_str())
    }
}

/// Values are codes and invitations: names alone are printed.
impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

fn decode(text: &[u8]) -> Result<String, Refusal> {
    let mut rest = text;
    while let Some(position) = rest.iter().position(|byte| *byte == b'%') {
        match rest.get(position + 1..position + 3) {
            Some([high, low]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {}
            Some(_) | None => return Err(unreadable()),
        }
        rest = rest.get(position + 3..).unwrap_or_default();
    }
    let spaced: Zeroizing<Vec<u8>> = Zeroizing::new(text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect());
    let decoded = percent_decode(&spaced).decode_utf8().map_err(|_| unreadable())?;
    if decoded.chars().any(|character| character.is_control() && !matches!(character, '\r' | '\n' | '\t')) {
        return Err(unreadable());
    }
    Ok(decoded.into_owned())
}

fn unreadable() -> Refusal {
    Rejection::BadSubmission(Reason::MalformedRequest).into()
}

fn too_large() -> Refusal {
    Rejection::TooLarge.into()
}

/// Largest form, in bytes. Ours hold a code of a few digits; a logout token of an IdP is a few KiB.
pub const FORM_BYTES_MAX: usize = 16 * 1_024;
/// Most fields of a form; ours have three.
const FIELDS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use http_body_util::Full;

    use super::*;
    use crate::web::body::{self, Body as OurBody};

    /// A body of which nothing ever comes.
    struct Endless;

    impl Body for Endless {
        type Data = bytes::Bytes;
        type Error = BodyError;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, BodyError>>> {
            std::task::Poll::Pending
        }
    }

    fn headers(content_type: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
        headers
    }

    async fn read(content_type: &str, body: OurBody) -> Result<Form, Refusal> {
        Form::read(&headers(content_type), body, Duration::from_secs(10)).await
    }

    #[test]
    fn fields_are_decoded_once() {
        let form = Form::parse(b"code=12+34%2056&invite=%2541&name=J%C3%BCrgen&empty=&bare").unwrap();
        let table = [
            ("code", Some("12 34 56")),
            ("invite", Some("%41")),
            ("name", Some("Jürgen")),
            ("empty", None),
            ("bare", None),
            ("none", None),
        ];
        for (name, expected) in table {
            assert_eq!(form.field(name), expected, "{name}");
        }
    }

    #[test]
    fn what_has_no_single_reading_is_refused() {
        let table: [&[u8]; 9] = [
            b"code=1&code=2",
            b"code=1&c%6Fde=2",
            b"code=%",
            b"code=%4",
            b"code=%zz",
            b"code=%ff",
            b"code=\xff",
            b"code=%C0%AF",
            b"code=1%00",
        ];
        for text in table {
            assert_eq!(Form::parse(text).err(), Some(unreadable()), "{text:?}");
        }
    }

    #[test]
    fn too_many_fields_are_refused() {
        let text: Vec<_> = (0..=FIELDS_MAX).map(|index| format!("f{index}=1")).collect();
        assert_eq!(Form::parse(text.join("&").as_bytes()).err(), Some(unreadable()));
    }

    #[test]
    fn values_are_not_printed() {
        assert_eq!(format!("{:?}", Form::parse(b"code=123456").unwrap()), r#"["code"]"#);
    }

    #[tokio::test]
    async fn only_forms_are_read() {
        for wrong in ["text/plain", "multipart/form-data; boundary=x", "application/json", ""] {
            assert_eq!(read(wrong, body::full("code=1")).await.err(), Some(unreadable()), "{wrong}");
        }
        for right in ["application/x-www-form-urlencoded", "Application/X-WWW-Form-Urlencoded; charset=utf-8"] {
            assert_eq!(read(right, body::full("code=1")).await.unwrap().field("code"), Some("1"), "{right}");
        }
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused() {
        let fits = format!("code={}", "1".repeat(FORM_BYTES_MAX - 5));
        assert!(read("application/x-www-form-urlencoded", body::full(fits.clone())).await.is_ok());
        let over = format!("{fits}1");
        assert_eq!(read("application/x-www-form-urlencoded", body::full(over)).await.err(), Some(too_large()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_given_up() {
        let refusal = Form::read(&headers("application/x-www-form-urlencoded"), Endless, Duration::from_secs(10)).await.err();
        assert_eq!(refusal, Some(unreadable()));
    }

    #[tokio::test]
    async fn any_body_type_can_be_read() {
        let body = Full::new(bytes::Bytes::from_static(b"code=1"));
        let form = Form::read(&headers("application/x-www-form-urlencoded"), body, Duration::from_secs(10)).await.unwrap();
        assert_eq!(form.field("code"), Some("1"));
    }
}
