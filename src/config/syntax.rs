//! What the TOML parser complains of, in words that say what to write. It guesses at the slip from the line, and where it
//! cannot, it repeats the parser's words.

use std::ops::Range;

/// Message and mend of a syntax error at `span`.
pub(super) fn explain(message: &str, text: &str, span: &Range<usize>) -> (String, String) {
    let line = line_at(text, span.start);
    let part = text.get(span.clone()).unwrap_or_default();
    if message.contains("duplicate key") {
        let name = part.trim();
        return (format!("duplicate key `{name}`"), "remove one of the two, or rename it".to_owned());
    }
    if line.contains(['\u{201c}', '\u{201d}', '\u{201e}', '\u{2018}', '\u{2019}']) {
        return ("quotes of a word processor are no quotes here".to_owned(), "write straight quotes: \"text\"".to_owned());
    }
    if let Some(word) = bare_value(line) {
        return (format!("`{word}` is text without quotes"), format!("put it in quotes: \"{word}\""));
    }
    if let Some((key, value)) = with_colon(line) {
        let value = if value.starts_with(['"', '[', '{', '\'']) || value.is_empty() { value.to_owned() } else { format!("\"{value}\"") };
        return (message.to_owned(), format!("write `=` between key and value: {key} = {value}"));
    }
    (message.to_owned(), mend(message).to_owned())
}

fn mend(message: &str) -> &'static str {
    if message.contains("opening quote") || message.contains("quoted") || message.contains("string values must be") {
        "put the text in double quotes"
    } else if message.contains("unclosed array") || message.contains("`]`") {
        "close the bracket `]`"
    } else if message.contains("unclosed") || message.contains("invalid basic string") {
        "close the quote or bracket that was opened here"
    } else {
        "write it as TOML has it: key = \"text\", key = 5, key = true, key = [\"list\"]"
    }
}

fn line_at(text: &str, at: usize) -> &str {
    let at = text.floor_char_boundary(at.min(text.len()));
    let (before, after) = text.split_at(at);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let end = after.find('\n').map_or(text.len(), |newline| at + newline);
    text.get(start..end).unwrap_or_default().trim()
}

/// The value of `key = word`, where it is a word that should stand in quotes.
fn bare_value(line: &str) -> Option<&str> {
    let (key, value) = line.split_once('=')?;
    let value = value.split(" #").next().unwrap_or(value).trim();
    let is_key = !key.trim().is_empty() && key.trim().chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    let is_word = value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && value.chars().all(|c| c.is_ascii_alphanumeric() || "_-./:@+".contains(c))
        && !matches!(value, "true" | "false" | "inf" | "nan");
    (is_key && is_word).then_some(value)
}

/// Key and value of a line as YAML has it.
fn with_colon(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(':')?;
    let is_key = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    (is_key && !line.contains('=')).then_some((key, value.trim()))
}
