//! The path of a request, read once.
//!
//! A path that two programs could read in two ways is refused: nothing is repaired. What is left is brought to the one
//! form of RFC 3986 §6.2.2 (escapes of unreserved characters decoded, hex digits in upper case), and that very text is
//! what rules match, what the log states and what the upstream receives.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::percent_decode_str;
use thiserror::Error;

/// A path with exactly one reading. Begins with `/`; canonicalising it again gives the same text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CanonicalPath(String);

/// Why a path was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PathFault {
    #[error("the path does not begin with a slash")]
    NotAbsolute,
    #[error("the path is longer than {PATH_BYTES_MAX} bytes")]
    TooLong,
    #[error("the path holds a raw character that a path must not hold")]
    RawCharacter,
    #[error("the path holds a % that is not followed by two hex digits")]
    BadEscape,
    #[error("the path holds an encoded slash or backslash")]
    EncodedSeparator,
    #[error("the path is encoded twice")]
    DoubleEncoding,
    #[error("the path holds a dot segment")]
    DotSegment,
    #[error("the path holds an empty segment")]
    EmptySegment,
    #[error("the path holds a segment parameter (;)")]
    SegmentParameter,
    #[error("the path holds a control character")]
    ControlCharacter,
    #[error("the path is not UTF-8")]
    NotUtf8,
    #[error("the path holds a character that some programs read as a dot, slash or other separator")]
    LookAlike,
}

impl CanonicalPath {
    /// Reads a raw path, without query, as it stood on the wire.
    pub fn parse(raw: &str) -> Result<Self, PathFault> {
        if raw.len() > PATH_BYTES_MAX {
            return Err(PathFault::TooLong);
        }
        let Some(rest) = raw.strip_prefix('/') else {
            return Err(PathFault::NotAbsolute);
        };
        let mut canonical = String::with_capacity(raw.len());
        let mut segments = rest.split('/').peekable();
        while let Some(segment) = segments.next() {
            canonical.push('/');
            if segment.is_empty() && segments.peek().is_some() {
                return Err(PathFault::EmptySegment);
            }
            push_segment(&mut canonical, segment)?;
        }
        Ok(Self(canonical))
    }

    /// The canonical text, beginning with `/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments between the slashes; `/a/` gives `a` and an empty one, `/` gives one empty one.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.strip_prefix('/').unwrap_or(&self.0).split('/')
    }

    /// The segments as a program behind the gateway reads them, with every escape decoded. No separator, dot segment or
    /// control character can come out: those escapes have no reading.
    pub fn decoded_segments(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.segments().map(decode)
    }

    /// Whether the path is `prefix` itself or lies below it, segment-wise: `/a` is a prefix of `/a/b`, not of `/ab`.
    #[must_use]
    pub fn is_under(&self, prefix: &str) -> bool {
        self.0.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl fmt::Debug for CanonicalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for CanonicalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Appends one segment in canonical form. A pattern's literal text goes through it too, so that both sides of a match are
/// written alike.
pub(crate) fn push_segment(canonical: &mut String, segment: &str) -> Result<(), PathFault> {
    let decoded = push_part(canonical, segment)?;
    if is_dots(&decoded) { Err(PathFault::DotSegment) } else { Ok(()) }
}

/// Appends a part of a segment, as it stands between the stars of a pattern, and returns it decoded. Dots may stand there:
/// what they are part of is not known.
pub(crate) fn push_part(canonical: &mut String, part: &str) -> Result<String, PathFault> {
    let mut decoded = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            refuse_raw(byte)?;
            canonical.push(char::from(byte));
            decoded.push(byte);
            continue;
        }
        let [high, low, after @ ..] = rest else {
            return Err(PathFault::BadEscape);
        };
        let value = hex(*high)? * 16 + hex(*low)?;
        rest = after;
        refuse_escape(value, rest)?;
        push_octet(canonical, value);
        decoded.push(value);
    }
    let decoded = String::from_utf8(decoded).map_err(|_| PathFault::NotUtf8)?;
    decoded.chars().try_for_each(refuse_character)?;
    Ok(decoded)
}

/// Decodes what [`push_part`] wrote, once. The octets are UTF-8, or there would be no canonical text.
fn decode(canonical: &str) -> Cow<'_, str> {
    percent_decode_str(canonical).decode_utf8_lossy()
}

fn hex(digit: u8) -> Result<u8, PathFault> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(PathFault::BadEscape),
    }
}

/// Raw bytes of a segment: `pchar` of RFC 3986 §3.3 less `;`, and the four that browsers send raw (`[ ] ^ |`).
fn refuse_raw(byte: u8) -> Result<(), PathFault> {
    match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => Ok(()),
        b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@' => Ok(()),
        b'[' | b']' | b'^' | b'|' => Ok(()),
        b';' => Err(PathFault::SegmentParameter),
        0..=0x1f | 0x7f => Err(PathFault::ControlCharacter),
        _ => Err(PathFault::RawCharacter),
    }
}

/// Escapes that a program behind the gateway may read as syntax. `rest` is what follows the escape.
fn refuse_escape(value: u8, rest: &[u8]) -> Result<(), PathFault> {
    match value {
        b'/' | b'\\' => Err(PathFault::EncodedSeparator),
        b';' => Err(PathFault::SegmentParameter),
        0..=0x1f | 0x7f => Err(PathFault::ControlCharacter),
        // `%25` before two hex digits is an escape for whoever decodes once more. The digits may be escapes themselves,
        // and `u` is how some servers begin a four-digit escape, so a `%25` stands only before what can be neither.
        b'%' if matches!(rest.first(), Some(b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' | b'u' | b'U' | b'%')) => {
            Err(PathFault::DoubleEncoding)
        }
        _ => Ok(()),
    }
}

/// RFC 3986 §6.2.2: an escape of an unreserved character is the character; any other is written in upper case.
fn push_octet(canonical: &mut String, value: u8) {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    match value {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => canonical.push(char::from(value)),
        _ => {
            let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or('0');
            canonical.extend(['%', digit(value >> 4), digit(value & 0xf)]);
        }
    }
}

/// One dot or two, and nothing else that is seen: some programs trim names, or leave out what no reader sees, before they
/// look for dots.
fn is_dots(segment: &str) -> bool {
    let mut seen = segment.chars().filter(|character| !is_unseen(*character));
    matches!((seen.next(), seen.next(), seen.next()), (Some('.'), None | Some('.'), None))
}

/// White space, and the code points that Unicode calls ignorable by default, less those that are refused anywhere.
fn is_unseen(character: char) -> bool {
    character.is_whitespace()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

fn refuse_character(character: char) -> Result<(), PathFault> {
    match character {
        // C1 controls, line and paragraph separator, and the bidirectional controls, which show a person another path.
        '\u{80}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            Err(PathFault::ControlCharacter)
        }
        // Characters whose compatibility form (NFKC) holds one of `/ \\ % ; ? #` or is dots alone (by the tables of Unicode),
        // and the best-fit mappings of code pages to the same: some servers fold before they look.
        '\u{37e}'
        | '\u{2024}'..='\u{2026}'
        | '\u{2044}'
        | '\u{2047}'..='\u{2049}'
        | '\u{2100}'
        | '\u{2101}'
        | '\u{2105}'
        | '\u{2106}'
        | '\u{2215}'
        | '\u{2216}'
        | '\u{fe14}'
        | '\u{fe16}'
        | '\u{fe19}'
        | '\u{fe30}'
        | '\u{fe52}'
        | '\u{fe54}'
        | '\u{fe56}'
        | '\u{fe5f}'
        | '\u{fe68}'
        | '\u{fe6a}'
        | '\u{ff03}'
        | '\u{ff05}'
        | '\u{ff0e}'
        | '\u{ff0f}'
        | '\u{ff1b}'
        | '\u{ff1f}'
        | '\u{ff3c}'
        // Yen and won stand where ASCII has the backslash in Shift-JIS and in the Korean code page.
        | '\u{a5}'
        | '\u{20a9}' => Err(PathFault::LookAlike),
        _ => Ok(()),
    }
}

/// Longest path read, in bytes. RFC 9110 §4.1 recommends at least 8,000 for a whole URI; longer ones are attacks or bugs.
pub const PATH_BYTES_MAX: usize = 8_192;
