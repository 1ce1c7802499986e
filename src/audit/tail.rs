//! Reads the log for people: one short line a record, safe to show on a terminal, and follows it across segments.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use kernel::time::Timestamp;
use serde_json::Value;

use super::layout::{self, SegmentPaths};
use super::media::open_to_read;
use super::text::{is_unsafe, printable};

/// Reads records as they come, from segment to segment.
#[derive(Debug)]
pub struct Follower {
    folder: PathBuf,
    segment: Option<SegmentPaths>,
    file: Option<File>,
    /// Where the last whole line ended. What stands behind it is read anew each time: a line that was torn by a crash is cut
    /// off and another written in its place.
    position: u64,
    /// Records before this one were shown already.
    skip: u64,
}

/// A record in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    pub time: String,
    pub tone: Tone,
    /// `allow`, `deny`, `sign_in`, …
    pub word: String,
    pub text: String,
}

/// How a record is to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Good,
    Notice,
    Bad,
    Plain,
}

impl Follower {
    /// Begins with the last `lines` records there are.
    pub fn begin(folder: &Path, lines: usize) -> io::Result<(Self, Vec<String>)> {
        let segments = layout::segments(folder)?;
        let mut follower = Self { folder: folder.to_owned(), segment: None, file: None, position: 0, skip: 0 };
        let Some((newest, earlier)) = segments.split_last() else { return Ok((follower, Vec::new())) };
        let (mut last, end) = last_lines(&newest.records, lines)?;
        for paths in earlier.iter().rev() {
            let wanted = lines.saturating_sub(last.len());
            if wanted == 0 {
                break;
            }
            let mut tail = match last_lines(&paths.records, wanted) {
                Ok((tail, _)) => tail,
                // Dropped since, because its time is over; what is older went before it.
                Err(fault) if fault.kind() == io::ErrorKind::NotFound => break,
                Err(fault) => return Err(fault),
            };
            tail.append(&mut last);
            last = tail;
        }
        // Goes on exactly where the last whole line ended: what is written meanwhile is not passed over.
        follower.open(newest)?;
        follower.position = end;
        Ok((follower, last.into()))
    }

    /// The records that were written since the last call.
    pub fn more(&mut self) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            self.read_lines(&mut lines)?;
            let segments = layout::segments(&self.folder)?;
            let next = segments.into_iter().find(|paths| self.segment.as_ref().is_none_or(|here| paths.records > here.records));
            let Some(next) = next else { return Ok(lines) };
            // The old segment ended before the new one began, but perhaps after it was read.
            self.read_lines(&mut lines)?;
            match self.open(&next) {
                // Dropped meanwhile: the next one is asked for.
                Err(fault) if fault.kind() == io::ErrorKind::NotFound => {}
                opened => opened?,
            }
        }
    }

    /// Passes over what comes before a record.
    pub const fn skip_to(&mut self, sequence: u64) {
        self.skip = sequence;
    }

    fn open(&mut self, paths: &SegmentPaths) -> io::Result<()> {
        self.file = Some(open_to_read(&paths.records)?);
        self.segment = Some(paths.clone());
        self.position = 0;
        Ok(())
    }

    fn read_lines(&mut self, lines: &mut Vec<String>) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.seek(SeekFrom::Start(self.position))?;
        let mut reader = BufReader::new(file);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            let Some(whole) = line.strip_suffix(b"\n") else { break };
            if layout::sequence_of(whole).is_none_or(|sequence| sequence >= self.skip) {
                lines.push(String::from_utf8_lossy(whole).into_owned());
            }
            self.position += line.len() as u64;
            line.clear();
        }
        Ok(())
    }
}

/// The last whole lines of a file, read from its end, and where the last of them ends.
fn last_lines(path: &Path, wanted: usize) -> io::Result<(VecDeque<String>, u64)> {
    let mut file = open_to_read(path)?;
    let length = file.seek(SeekFrom::End(0))?;
    let mut window = READ_BACK_BYTES;
    loop {
        let start = length.saturating_sub(window);
        file.seek(SeekFrom::Start(start))?;
        let mut lines = VecDeque::new();
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        let mut end = start;
        // The first line of a window that does not begin with the file is a part of one.
        if start > 0 {
            end += reader.read_until(b'\n', &mut line)? as u64;
            line.clear();
        }
        while reader.read_until(b'\n', &mut line)? > 0 {
            if let Some(whole) = line.strip_suffix(b"\n") {
                end += line.len() as u64;
                lines.push_back(String::from_utf8_lossy(whole).into_owned());
                if lines.len() > wanted {
                    lines.pop_front();
                }
            }
            line.clear();
        }
        if lines.len() == wanted || start == 0 {
            return Ok((lines, end));
        }
        window = window.saturating_mul(4);
    }
}

/// A record as JSON that can be shown on a terminal: what could do something is an escape of JSON.
#[must_use]
pub fn tame(line: &str) -> Cow<'_, str> {
    if !line.chars().any(is_unsafe) {
        return Cow::Borrowed(line);
    }
    let mut shown = String::with_capacity(line.len() + 16);
    for letter in line.chars() {
        if is_unsafe(letter) {
            shown.extend(letter.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            shown.push(letter);
        }
    }
    Cow::Owned(shown)
}

/// Says a record in words. Text in it is made safe for a terminal.
#[must_use]
pub fn summarise(line: &str) -> Summary {
    let Ok(record) = serde_json::from_str::<Value>(line) else {
        return Summary { time: String::new(), tone: Tone::Bad, word: "unreadable".to_owned(), text: shorten(&printable(line)) };
    };
    let time = record.get("time").and_then(Value::as_u64).unwrap_or_default();
    let time = Timestamp::from_micros(time.saturating_mul(1_000)).to_string();
    let own = |name: &str| text(&record, &format!("/unmapped/portcullis/{name}"));
    let word = own("decision").or_else(|| own("event")).unwrap_or_else(|| "record".to_owned());
    let failed = record.get("status_id").and_then(Value::as_u64) == Some(2);
    let tone = match (word.as_str(), failed) {
        ("allow", _) => Tone::Good,
        ("challenge", _) => Tone::Notice,
        ("deny" | "fail" | "log_recovered", _) => Tone::Bad,
        ("exchange_end" | "stream_open" | "stream_close", _) => Tone::Plain,
        ("finding" | "connections_refused", _) => Tone::Bad,
        (_, true) => Tone::Bad,
        (_, false) => Tone::Notice,
    };
    Summary { time, tone, text: describe(&record), word }
}

/// Host and port, as the client wrote them.
fn authority(record: &Value) -> Option<String> {
    let port = || record.pointer("/http_request/url/port").map_or_else(String::new, |port| format!(":{port}"));
    text(record, "/unmapped/portcullis/authority").or_else(|| text(record, "/http_request/url/hostname").map(|host| host + &port()))
}

fn describe(record: &Value) -> String {
    let own = |name: &str| text(record, &format!("/unmapped/portcullis/{name}"));
    let mut parts: Vec<String> = Vec::new();
    let mut add = |name: &str, value: Option<String>| {
        parts.extend(value.map(|value| if name.is_empty() { value } else { format!("{name}={value}") }));
    };
    add("", text(record, "/http_request/http_method").or_else(|| own("method")));
    let target = own("target").or_else(|| own("raw_target"));
    add("", target.map(|target| format!("{}{target}", authority(record).unwrap_or_default())));
    let who = ["/actor/user/email_addr", "/user/email_addr", "/actor/user/uid", "/user/uid"];
    add("who", who.iter().find_map(|path| text(record, path)));
    add("from", text(record, "/src_endpoint/ip"));
    for name in ["route", "rule", "detection", "fault", "reason", "factor", "idp", "outcome", "by", "command", "filters", "config"] {
        let shown = own(name).map(|value| if name == "config" { value.chars().take(12).collect() } else { value });
        add(name, shown);
    }
    add("status", record.pointer("/http_response/code").map(ToString::to_string));
    add("ms", record.get("duration").map(ToString::to_string));
    add("", text(record, "/message"));
    add("detail", text(record, "/status_detail"));
    add("id", own("request_id").map(|id| id.chars().take(8).collect()));
    shorten(&parts.join(" "))
}

fn text(record: &Value, pointer: &str) -> Option<String> {
    record.pointer(pointer).and_then(Value::as_str).map(printable)
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= SUMMARY_CHARS { text.to_owned() } else { text.chars().take(SUMMARY_CHARS).chain(['…']).collect() }
}

const READ_BACK_BYTES: u64 = 256 * 1024;

/// A record in words stays within a few lines of a terminal.
const SUMMARY_CHARS: usize = 400;
