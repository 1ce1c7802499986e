//! Writes JSON whose text may come from an attacker: one record stays one line, and a terminal or a log reader that shows it
//! as it is gets no command out of it. What is longer than its limit is cut, and the whole is named by its hash.

use std::io::{self, Write};
use std::net::IpAddr;

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;
use uuid::Uuid;

use super::note::hex;
use super::plain::{is_plain, push_address, push_hex, push_number, push_uuid};
use super::tree::sha256;

/// A JSON object in the making. One can be used for many, one after the other.
#[derive(Debug, Default)]
pub struct Json {
    out: Vec<u8>,
    path: Vec<&'static str>,
    cuts: Vec<Cut>,
    sealed: Vec<Sealed>,
}

/// Personal values of one subject, readable with the subject's key alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    pub pseudonym: String,
    /// base64 of nonce, ciphertext and tag.
    pub value: String,
}

/// A value that was too long.
#[derive(Debug)]
struct Cut {
    path: String,
    bytes: usize,
    sha256: String,
}

impl Json {
    /// An object that is open.
    #[must_use]
    pub fn begin() -> Self {
        let mut json = Self::default();
        json.begin_again(Vec::new());
        json
    }

    /// Forgets what was made before, and opens an object that will state what was sealed.
    pub fn begin_again(&mut self, sealed: Vec<Sealed>) {
        self.out.clear();
        self.out.shrink_to(KEPT_BYTES);
        self.out.reserve(RECORD_BYTES);
        self.out.push(b'{');
        self.path.clear();
        self.cuts.clear();
        self.sealed = sealed;
    }

    #[inline]
    pub fn object(&mut self, key: &'static str, content: impl FnOnce(&mut Self)) {
        self.key(key);
        self.out.push(b'{');
        self.path.push(key);
        content(self);
        self.path.pop();
        self.out.push(b'}');
    }

    /// A list with one object.
    pub fn one(&mut self, key: &'static str, content: impl FnOnce(&mut Self)) {
        self.key(key);
        self.out.extend_from_slice(b"[{");
        self.path.push(key);
        content(self);
        self.path.pop();
        self.out.extend_from_slice(b"}]");
    }

    #[inline]
    pub fn text(&mut self, key: &'static str, value: &str) {
        self.key(key);
        let shown = if value.len() > TEXT_BYTES_MAX { self.shorten(key, value, TEXT_BYTES_MAX) } else { value };
        write_text(&mut self.out, shown);
    }

    #[inline]
    pub fn maybe(&mut self, key: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    /// Text in two parts, as if it were one.
    pub fn joined(&mut self, key: &'static str, head: &str, between: u8, tail: &str) {
        if is_plain(head) && is_plain(tail) && head.len() + tail.len() < TEXT_BYTES_MAX {
            self.key(key);
            self.out.push(b'"');
            self.out.extend_from_slice(head.as_bytes());
            self.out.push(between);
            self.out.extend_from_slice(tail.as_bytes());
            self.out.push(b'"');
        } else {
            self.text(key, &format!("{head}{}{tail}", char::from(between)));
        }
    }

    #[inline]
    pub fn address(&mut self, key: &'static str, value: IpAddr) {
        self.key(key);
        self.out.push(b'"');
        push_address(&mut self.out, value);
        self.out.push(b'"');
    }

    #[inline]
    pub fn uuid(&mut self, key: &'static str, value: &Uuid) {
        self.key(key);
        self.out.push(b'"');
        push_uuid(&mut self.out, value);
        self.out.push(b'"');
    }

    /// An id, in hex.
    #[inline]
    pub fn id(&mut self, key: &'static str, bytes: &[u8; 16]) {
        self.key(key);
        self.out.push(b'"');
        push_hex(&mut self.out, bytes);
        self.out.push(b'"');
    }

    #[inline]
    pub fn number(&mut self, key: &'static str, value: u64) {
        self.key(key);
        push_number(&mut self.out, value);
    }

    pub fn flag(&mut self, key: &'static str, value: Flag) {
        self.key(key);
        self.out.extend_from_slice(match value {
            Flag::Yes => b"true",
            Flag::No => b"false",
        });
    }

    /// A list of text. More than [`ITEMS_MAX`] are cut like text that is too long.
    pub fn list<'a>(&mut self, key: &'static str, values: impl Iterator<Item = &'a str>) {
        self.items(key, values, |json, value| json.item(key, value), |value| value.as_bytes().to_vec());
    }

    /// A list of objects of one field each.
    pub fn named<'a>(&mut self, key: &'static str, field: &'static str, values: impl Iterator<Item = &'a str>) {
        let write = |json: &mut Self, value: &str| {
            json.out.push(b'{');
            json.key(field);
            json.item(key, value);
            json.out.push(b'}');
        };
        self.items(key, values, write, |value| value.as_bytes().to_vec());
    }

    /// A list of names and their values.
    pub fn pairs<'a>(&mut self, key: &'static str, values: impl Iterator<Item = (&'a str, &'a str)>) {
        let write = |json: &mut Self, (name, value): (&str, &str)| {
            json.out.push(b'{');
            json.key("name");
            json.item(key, name);
            json.key("value");
            json.item(key, value);
            json.out.push(b'}');
        };
        self.items(key, values, write, |(name, value)| format!("{name}={value}").into_bytes());
    }

    fn item(&mut self, key: &'static str, value: &str) {
        let shown = self.shorten(key, value, ITEM_BYTES_MAX);
        write_text(&mut self.out, shown);
    }

    fn items<T>(&mut self, key: &'static str, values: impl Iterator<Item = T>, write: impl Fn(&mut Self, T), bytes: impl Fn(T) -> Vec<u8>) {
        self.key(key);
        self.out.push(b'[');
        let mut rest = Vec::new();
        for (index, value) in values.enumerate() {
            if index >= ITEMS_MAX {
                rest.extend_from_slice(&bytes(value));
                rest.push(0);
                continue;
            }
            if index > 0 {
                self.out.push(b',');
            }
            write(self, value);
        }
        if !rest.is_empty() {
            let path = self.path_of(key);
            self.cuts.push(Cut { path, bytes: rest.len(), sha256: hex(&sha256(&rest)) });
        }
        self.out.push(b']');
    }

    /// States what was cut in the object that is open.
    pub fn state_cuts(&mut self) {
        if self.cuts.is_empty() {
            return;
        }
        self.flag("truncated", Flag::Yes);
        self.key("full");
        self.out.push(b'[');
        for (index, cut) in std::mem::take(&mut self.cuts).into_iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            self.out.push(b'{');
            self.text("field", &cut.path);
            self.number("bytes", cut.bytes as u64);
            self.text("sha256", &cut.sha256);
            self.out.push(b'}');
        }
        self.out.push(b']');
    }

    /// A value that is written whole and never came from a client: base64 of our own.
    pub fn whole(&mut self, key: &'static str, value: &str) {
        self.key(key);
        write_text(&mut self.out, value);
    }

    /// States what was sealed, in the object that is open.
    pub fn state_sealed(&mut self) {
        if self.sealed.is_empty() {
            return;
        }
        self.key("sealed");
        self.out.push(b'[');
        for (index, Sealed { pseudonym, value }) in std::mem::take(&mut self.sealed).into_iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            self.out.push(b'{');
            self.whole("pseudonym", &pseudonym);
            self.whole("value", &value);
            self.out.push(b'}');
        }
        self.out.push(b']');
    }

    /// What was written so far, every bracket as it stands.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// As [`into_bytes`](Self::into_bytes), to go on with.
    pub const fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Begins a field.
    #[inline]
    pub fn key(&mut self, key: &'static str) {
        if !matches!(self.out.last(), Some(b'{' | b'[')) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn shorten<'a>(&mut self, key: &'static str, value: &'a str, limit: usize) -> &'a str {
        let shown = value.get(..value.floor_char_boundary(limit)).unwrap_or_default();
        if shown.len() < value.len() {
            let path = self.path_of(key);
            self.cuts.push(Cut { path, bytes: value.len(), sha256: hex(&sha256(value.as_bytes())) });
        }
        shown
    }

    fn path_of(&self, key: &str) -> String {
        self.path.iter().copied().chain([key]).collect::<Vec<_>>().join(".")
    }
}

/// A JSON boolean, without a bool parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    Yes,
    No,
}

/// Whether a character, shown as it is, could do or hide something: controls (C0, DEL, C1), line and paragraph separators,
/// marks and overrides of writing direction, and letters without width.
#[must_use]
pub const fn is_unsafe(letter: char) -> bool {
    matches!(letter,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Text for a terminal: what could do something is shown as its escape.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_unsafe(letter) { shown.extend(letter.escape_unicode()) } else { shown.push(letter) }
    }
    shown
}

#[inline]
fn write_text(out: &mut Vec<u8>, text: &str) {
    if is_plain(text) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        write_escaped(out, text);
    }
}

/// Writing to memory does not fail, and text always serialises.
#[cold]
fn write_escaped(out: &mut Vec<u8>, text: &str) {
    let start = out.len();
    if text.serialize(&mut Serializer::with_formatter(&mut *out, Guarded)).is_err() {
        out.truncate(start);
        out.extend_from_slice(b"\"\"");
    }
}

/// A value as JSON on one line, every text in it escaped as in a record.
#[must_use]
pub fn guarded(value: &serde_json::Value) -> Vec<u8> {
    let mut out = Vec::new();
    if value.serialize(&mut Serializer::with_formatter(&mut out, Guarded)).is_err() {
        out.clear();
    }
    out
}

/// serde_json's own escapes (C0, quote, backslash), and ours on top.
struct Guarded;

impl Formatter for Guarded {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut plain = 0;
        for (at, letter) in fragment.char_indices().filter(|(_, letter)| is_unsafe(*letter)) {
            writer.write_all(fragment.get(plain..at).unwrap_or_default().as_bytes())?;
            for unit in letter.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            plain = at + letter.len_utf8();
        }
        writer.write_all(fragment.get(plain..).unwrap_or_default().as_bytes())
    }
}

/// Room for most records without growing, and most that is kept for the next one.
const RECORD_BYTES: usize = 2_048;
const KEPT_BYTES: usize = 64 * 1_024;

/// Longest text in a record. Longer than any honest path or user agent; short enough for every SIEM's field limit.
pub const TEXT_BYTES_MAX: usize = 2_048;

/// Longest item of a list.
pub const ITEM_BYTES_MAX: usize = 256;

/// Most items of a list.
pub const ITEMS_MAX: usize = 128;
