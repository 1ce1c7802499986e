//! Path patterns: `*` matches inside one segment, `**` any number of segments. Case-sensitive, segment by segment.
//!
//! Both sides are compared with their escapes decoded, as a program behind the gateway reads them: `/%40a` and `/@a` are one
//! path to it, so an `except` for the one must hold for the other.

use std::borrow::Cow;
use std::fmt;

use thiserror::Error;

use crate::request::path::{CanonicalPath, PathFault, push_part, push_segment};

/// A path pattern of an allow rule.
#[derive(Clone, PartialEq, Eq)]
pub struct PathPattern {
    text: Box<str>,
    segments: Vec<SegmentPattern>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum SegmentPattern {
    /// `**`
    AnyNumber,
    /// Literal parts between the `*`s, decoded; one part has no star.
    Parts(Vec<Box<str>>),
}

/// Why a pattern was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PatternFault {
    #[error("a path pattern begins with a slash")]
    NotAbsolute,
    #[error("`**` stands alone in its segment")]
    DoubleStarInSegment,
    #[error("a pattern has at most {SEGMENTS_MAX} segments")]
    TooManySegments,
    #[error("no request can have this path: {0}")]
    Path(#[from] PathFault),
    #[error("a pattern has no query")]
    Query,
    #[error("an empty segment can never match")]
    EmptySegment,
}

impl PathPattern {
    /// Reads a pattern. Its literal text may be written plain (`/größe`) or escaped (`/gr%C3%B6%C3%9Fe`).
    pub fn parse(text: &str) -> Result<Self, PatternFault> {
        let rest = text.strip_prefix('/').ok_or(PatternFault::NotAbsolute)?;
        if text.contains(['?', '#']) {
            return Err(PatternFault::Query);
        }
        let mut segments = Vec::new();
        let mut remaining = rest.split('/').peekable();
        while let Some(segment) = remaining.next() {
            if segment.is_empty() && remaining.peek().is_some() {
                return Err(PatternFault::EmptySegment);
            }
            segments.push(SegmentPattern::parse(segment)?);
        }
        if segments.len() > SEGMENTS_MAX {
            return Err(PatternFault::TooManySegments);
        }
        Ok(Self { text: text.into(), segments })
    }

    #[must_use]
    pub fn matches(&self, path: &CanonicalPath) -> bool {
        let segments: Vec<Cow<'_, str>> = path.decoded_segments().collect();
        matches_from(&self.segments, &segments)
    }

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the pattern matches every path there is.
    #[must_use]
    pub fn matches_everything(&self) -> bool {
        !self.segments.is_empty() && self.segments.iter().all(|segment| *segment == SegmentPattern::AnyNumber)
    }

    /// Whether every path that `other` matches is matched by this one. May answer false for a pair that covers; never
    /// true for one that does not.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        covers_from(&self.segments, &other.segments)
    }
}

impl SegmentPattern {
    fn parse(segment: &str) -> Result<Self, PatternFault> {
        if segment == "**" {
            return Ok(Self::AnyNumber);
        }
        if segment.contains("**") {
            return Err(PatternFault::DoubleStarInSegment);
        }
        if !segment.contains('*') {
            push_segment(&mut String::new(), &escape(segment))?;
        }
        let parts = segment.split('*').map(|part| push_part(&mut String::new(), &escape(part)).map(String::into_boxed_str));
        Ok(Self::Parts(parts.collect::<Result<_, _>>()?))
    }

    fn matches(&self, segment: &str) -> bool {
        let Self::Parts(parts) = self else { return true };
        let [first, middle @ .., last] = parts.as_slice() else {
            // One part, no star: the text itself.
            return parts.first().is_some_and(|only| **only == *segment);
        };
        let Some(mut rest) = segment.strip_prefix(&**first) else { return false };
        for part in middle {
            match rest.find(&**part) {
                Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
                None => return false,
            }
        }
        // A star stands for one character at least when it is the whole segment: `/a/*` is not `/a/`.
        rest.ends_with(&**last) && !segment.is_empty()
    }
}

/// Escapes what a person may write plain in a pattern and no path holds plain.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        let plain = character.is_ascii() && !matches!(character, ' ' | '"' | '<' | '>' | '`' | '{' | '}');
        if plain {
            escaped.push(character);
        } else {
            let mut buffer = [0; 4];
            for byte in character.encode_utf8(&mut buffer).bytes() {
                escaped.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    escaped
}

/// The usual glob walk: only the last `**` met is ever tried again, so the work is bounded by segments times pattern.
fn matches_from(pattern: &[SegmentPattern], path: &[Cow<'_, str>]) -> bool {
    let (mut pattern, mut path) = (pattern, path);
    let mut retry: Option<(&[SegmentPattern], &[Cow<'_, str>])> = None;
    loop {
        match (pattern.split_first(), path.split_first()) {
            (None, None) => return true,
            (Some((SegmentPattern::AnyNumber, rest)), _) => {
                retry = Some((rest, path));
                pattern = rest;
                continue;
            }
            (Some((head, rest)), Some((segment, after))) if head.matches(segment) => {
                (pattern, path) = (rest, after);
                continue;
            }
            _ => {}
        }
        match retry {
            Some((rest, [_, after @ ..])) => {
                retry = Some((rest, after));
                (pattern, path) = (rest, after);
            }
            _ => return false,
        }
    }
}

fn covers_from(wide: &[SegmentPattern], narrow: &[SegmentPattern]) -> bool {
    match (wide.split_first(), narrow.split_first()) {
        (None, None) => true,
        (None, Some(_)) => false,
        (Some((SegmentPattern::AnyNumber, rest)), None) => covers_from(rest, narrow),
        (Some((SegmentPattern::AnyNumber, rest)), Some((_, after))) => covers_from(rest, narrow) || covers_from(wide, after),
        (Some((SegmentPattern::Parts(_), _)), None | Some((SegmentPattern::AnyNumber, _))) => false,
        (Some((head @ SegmentPattern::Parts(wide_parts), rest)), Some((SegmentPattern::Parts(narrow_parts), after))) => {
            let covered = match narrow_parts.as_slice() {
                [text] => head.matches(text),
                _ => wide_parts == narrow_parts || is_lone_star(wide_parts),
            };
            covered && covers_from(rest, after)
        }
    }
}

fn is_lone_star(parts: &[Box<str>]) -> bool {
    matches!(parts, [first, last] if first.is_empty() && last.is_empty())
}

impl fmt::Debug for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Bounds the work of comparing two patterns, which is done when a configuration is checked.
const SEGMENTS_MAX: usize = 32;
