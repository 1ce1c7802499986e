//! Reads a spanned TOML tree key by key. A mistake is noted and the reading goes on, so that one run finds them all.
//!
//! A reader answers `None` only after it noted why.

use std::cell::RefCell;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{self, Form, Key, Need};
use super::nearest::{did_you_mean, nearest};
use super::report::{Problem, Severity};
use super::seen::Seen;
use super::source::{Place, Source};

/// What the readers of all files note.
#[derive(Debug, Default)]
pub(super) struct Findings {
    problems: RefCell<Vec<Problem>>,
    seen: RefCell<Seen>,
}

/// What every value of one file shares.
#[derive(Clone, Copy, Debug)]
pub(super) struct Desk<'a> {
    pub source: &'a Arc<Source>,
    pub findings: &'a Findings,
    /// The configuration's folder: what relative paths are relative to.
    pub dir: &'a Path,
    /// Spans of syntax errors. A value that stands there was not read as meant, so nothing more is said of it.
    pub broken: &'a [Range<usize>],
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Value<'a> {
    pub desk: Desk<'a>,
    /// The key with the tables it stands in.
    pub key: String,
    span: Range<usize>,
    inner: &'a DeValue<'a>,
}

/// A table whose keys were all found to be known.
#[derive(Clone, Debug)]
pub(super) struct Table<'a> {
    pub desk: Desk<'a>,
    pub key: String,
    span: Range<usize>,
    entries: &'a DeTable<'a>,
    known: &'static [Key],
}

/// Why a text was not taken, and what to write instead.
#[derive(Debug)]
pub(super) struct Fault {
    pub message: String,
    pub mend: String,
}

impl Fault {
    pub fn new(message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { message: message.into(), mend: mend.into() }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.message, self.mend)
    }
}

impl Findings {
    pub fn note(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// Notes a file, before it is read, whose change means that the configuration may have changed.
    pub fn watch(&self, file: std::path::PathBuf) {
        self.seen.borrow_mut().look(file);
    }

    pub fn into_parts(self) -> (Vec<Problem>, Seen) {
        (self.problems.into_inner(), self.seen.into_inner())
    }
}

impl<'a> Desk<'a> {
    pub fn place(&self, span: Range<usize>) -> Place {
        Place::new(self.source, span)
    }

    pub fn problem(&self, severity: Severity, span: Range<usize>, key: &str, message: String, mend: String) {
        if self.is_broken(&span) {
            return;
        }
        let place = self.place(span);
        self.findings.note(Problem { severity, place, key: key.to_owned(), message, mend, notes: Vec::new(), other: None });
    }

    fn is_broken(&self, span: &Range<usize>) -> bool {
        let line = self.place(span.clone()).line();
        self.broken.iter().any(|broken| self.place(broken.clone()).line() == line)
    }
}

impl<'a> Value<'a> {
    pub fn place(&self) -> Place {
        self.desk.place(self.span.clone())
    }

    pub fn error(&self, message: impl Into<String>, mend: impl Into<String>) {
        self.desk.problem(Severity::Error, self.span.clone(), &self.key, message.into(), mend.into());
    }

    pub fn warn(&self, message: impl Into<String>, mend: impl Into<String>) {
        self.desk.problem(Severity::Warning, self.span.clone(), &self.key, message.into(), mend.into());
    }

    fn name(&self) -> &str {
        self.key.rsplit('.').next().unwrap_or(&self.key)
    }

    fn wrong_type(&self, wanted: &str, mend: String) {
        let found = match self.inner {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.error(format!("`{}` is {found} and must be {wanted}", self.name()), mend);
    }

    /// The value as it stands in the file.
    fn raw(&self) -> &'a str {
        self.desk.source.text().get(self.span.clone()).unwrap_or_default()
    }

    pub fn is_table(&self) -> bool {
        self.inner.is_table()
    }

    /// A text that is not empty and holds no control characters.
    pub fn text(&self) -> Option<&'a str> {
        let Some(text) = self.inner.as_str() else {
            let mend = match self.inner {
                DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
                    format!("put it in quotes: \"{}\"", self.raw())
                }
                DeValue::Array(items) if items.len() == 1 => "write the one value without brackets".to_owned(),
                DeValue::Array(_) => "write one string, without brackets".to_owned(),
                DeValue::String(_) | DeValue::Table(_) => "write a string in quotes".to_owned(),
            };
            self.wrong_type("a string", mend);
            return None;
        };
        if text.trim().is_empty() {
            self.error(format!("`{}` is empty", self.name()), "write a value, or remove the key if it may be left out");
            return None;
        }
        if text.chars().any(char::is_control) {
            self.error(format!("`{}` holds a control character", self.name()), "remove the control character");
            return None;
        }
        Some(text)
    }

    pub fn owned(&self) -> Option<Box<str>> {
        self.text().map(Into::into)
    }

    /// A text read by `parse`.
    pub fn parsed<T>(&self, parse: impl Fn(&'a str) -> Result<T, Fault>) -> Option<T> {
        if matches!(self.inner, DeValue::Integer(_) | DeValue::Float(_))
            && let Err(fault) = parse(self.raw())
        {
            // `30` where "30s" is meant: quotes alone would not do.
            self.wrong_type("a string", fault.mend);
            return None;
        }
        match parse(self.text()?) {
            Ok(value) => Some(value),
            Err(fault) => {
                self.error(fault.message, fault.mend);
                None
            }
        }
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        self.error(format!("`{text}` is not a value of `{}`", self.name()), did_you_mean(text, &words));
        None
    }

    pub fn flag(&self) -> Option<bool> {
        let flag = self.inner.as_bool();
        if flag.is_none() {
            let mend = match self.inner.as_str() {
                Some(word @ ("true" | "false")) => format!("write {word} without quotes"),
                _ => "write true or false, without quotes".to_owned(),
            };
            self.wrong_type("true or false", mend);
        }
        flag
    }

    /// A whole number in a range.
    pub fn count(&self, range: std::ops::RangeInclusive<u32>) -> Option<u32> {
        let bounds = format!("write a whole number from {} to {}", range.start(), range.end());
        let Some(number) = self.inner.as_integer() else {
            let quoted = self.inner.as_str().is_some_and(|text| text.parse::<u32>().is_ok());
            self.wrong_type("a whole number", if quoted { "write the number without quotes".to_owned() } else { bounds });
            return None;
        };
        let number = u32::from_str_radix(number.as_str(), number.radix()).ok().filter(|number| range.contains(number));
        if number.is_none() {
            self.error(format!("`{}` is out of range", self.name()), bounds);
        }
        number
    }

    /// The values of a list; may be empty.
    pub fn list(&self) -> Option<Vec<Self>> {
        let Some(items) = self.inner.as_array() else {
            let mend = if self.inner.is_table() {
                format!("write [[{}]] with two brackets: there may be several", self.key)
            } else {
                format!("put it in brackets: [{}]", self.raw())
            };
            self.wrong_type("a list", mend);
            return None;
        };
        let value =
            |item: &'a Spanned<DeValue<'a>>| Self { desk: self.desk, key: self.key.clone(), span: item.span(), inner: item.get_ref() };
        Some(items.iter().map(value).collect())
    }

    /// The values of a list that must hold something: empty never means all.
    pub fn filled_list(&self) -> Option<Vec<Self>> {
        let items = self.list()?;
        if items.is_empty() {
            self.error(
                format!("`{}` is an empty list, which never means all", self.name()),
                "name at least one, or remove the key if it may be left out",
            );
            return None;
        }
        Some(items)
    }

    /// Every item of a list, read by `read`; `None` when one of them was not.
    pub fn each<T>(&self, read: impl Fn(&Self) -> Option<T>) -> Option<Vec<T>> {
        collect(self.list()?.iter().map(read))
    }

    /// Like [`Self::each`], and an empty list is a mistake.
    pub fn each_filled<T>(&self, read: impl Fn(&Self) -> Option<T>) -> Option<Vec<T>> {
        collect(self.filled_list()?.iter().map(read))
    }

    /// A table with these keys. Any other key is a mistake.
    pub fn table(&self, known: &'static [Key]) -> Option<Table<'a>> {
        let Some(entries) = self.inner.as_table() else {
            let mend = match self.inner {
                DeValue::Array(_) => format!("write [{}] with one bracket: there is only one", self.key),
                _ => format!("write a table, like {{ {} = … }}", known.first().map_or("key", |key| key.name)),
            };
            self.wrong_type("a table", mend);
            return None;
        };
        Some(Table::open(self.desk, self.key.clone(), self.span.clone(), entries, known))
    }

    /// The entries of a table whose keys are names of one's own.
    pub fn named(&self) -> Option<Vec<(String, Self)>> {
        let Some(entries) = self.inner.as_table() else {
            self.wrong_type("a table", format!("write [{}.NAME]", self.key));
            return None;
        };
        let entry = |(name, value): (&'a Spanned<toml::de::DeString<'a>>, &'a Spanned<DeValue<'a>>)| {
            let key = format!("{}.{}", self.key, name.get_ref());
            let span = if value.span().is_empty() { name.span() } else { value.span() };
            (name.get_ref().to_string(), Self { desk: self.desk, key, span, inner: value.get_ref() })
        };
        Some(entries.iter().map(entry).collect())
    }
}

impl<'a> Table<'a> {
    /// Opens a table, noting the keys that nobody knows.
    pub fn open(desk: Desk<'a>, key: String, span: Range<usize>, entries: &'a DeTable<'a>, known: &'static [Key]) -> Self {
        let table = Self { desk, key, span, entries, known };
        for name in entries.keys() {
            if !known.iter().any(|key| key.name == &**name.get_ref()) {
                table.refuse_unknown(name.get_ref(), name.span());
            }
        }
        table
    }

    fn refuse_unknown(&self, name: &str, span: Range<usize>) {
        let words: Vec<&str> = self.known.iter().map(|key| key.name).collect();
        let place = if self.key.is_empty() { "at the top of the file".to_owned() } else { format!("in `{}`", self.key) };
        let mend = match (nearest(name, &words), keys::home(self.known, name)) {
            (None, Some(table)) => format!("`{name}` stands in {table}"),
            _ => did_you_mean(name, &words),
        };
        self.desk.problem(Severity::Error, span, &self.dotted(name), format!("unknown key `{name}` {place}"), mend);
    }

    fn dotted(&self, name: &str) -> String {
        if self.key.is_empty() { name.to_owned() } else { format!("{}.{name}", self.key) }
    }

    pub fn error(&self, message: impl Into<String>, mend: impl Into<String>) {
        self.desk.problem(Severity::Error, self.span.clone(), &self.key, message.into(), mend.into());
    }

    /// A key that may be left out.
    pub fn value(&self, name: &str) -> Option<Value<'a>> {
        let (key, value) = self.entries.get_key_value(name)?;
        // A table that was only implied by the header of a table in it has no text of its own.
        let span = if value.span().is_empty() { key.span() } else { value.span() };
        Some(Value { desk: self.desk, key: self.dotted(name), span, inner: value.get_ref() })
    }

    /// A key that must be there.
    pub fn required(&self, name: &str) -> Option<Value<'a>> {
        let value = self.value(name);
        if value.is_none() {
            let key = self.known.iter().find(|key| key.name == name);
            let mend = match key.map(|key| (key.need, key.form)) {
                Some((Need::Required(example), Form::Table(_) | Form::Tables(_))) => format!("add a table {example}"),
                Some((Need::Required(example), _)) => format!("add `{name} = {example}`"),
                _ => format!("add `{name}`"),
            };
            let place = if self.key.is_empty() { String::new() } else { format!(" in `{}`", self.key) };
            // Behind a syntax error the key may well stand, and a key that is nearly this one was complained of already.
            if self.desk.broken.is_empty() && !self.is_misspelt(name) {
                self.desk.problem(Severity::Error, self.span.clone(), &self.dotted(name), format!("`{name}` is missing{place}"), mend);
            }
        }
        value
    }

    /// Whether an unknown key is nearly this one.
    fn is_misspelt(&self, name: &str) -> bool {
        let words: Vec<&str> = self.known.iter().map(|key| key.name).collect();
        let mut unknown = self.entries.keys().map(|key| &**key.get_ref()).filter(|key| !words.contains(key));
        unknown.any(|key| nearest(key, &words) == Some(name))
    }

    /// What `read` makes of a key, or the default when the key is left out. After a mistake it is the default too, which
    /// nobody will use: a mistake was noted, so that there will be no configuration.
    pub fn or<T>(&self, name: &str, default: T, read: impl FnOnce(&Value<'a>) -> Option<T>) -> T {
        self.value(name).and_then(|value| read(&value)).unwrap_or(default)
    }

    /// What `read` makes of a key that must be there.
    pub fn need<T>(&self, name: &str, read: impl FnOnce(&Value<'a>) -> Option<T>) -> Option<T> {
        self.required(name).and_then(|value| read(&value))
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// All or nothing, but every item is read, so that every mistake is found.
pub(super) fn collect<T>(items: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    let read: Vec<Option<T>> = items.collect();
    read.into_iter().collect()
}
