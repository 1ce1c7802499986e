//! Syslog: messages of RFC 5424, framed by their length over TLS as RFC 5425 says.
//!
//! Syslog has no acknowledgement. What was written counts as taken only when the connection has lived on for the replay window;
//! what is younger when it breaks is sent again. The sequence and the id of a message tell duplicates.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::config::{Bom, Message, RecordFormat};

use super::event::{Item, Names};
use super::fault::SinkFault;
use super::format;
use super::tls::Dialer;

/// A connection to a syslog server, made when it is needed.
#[derive(Debug)]
pub struct Syslog {
    dialer: Dialer,
    message: Message,
    format: RecordFormat,
    stream: Option<TlsStream<TcpStream>>,
}

impl Syslog {
    pub const fn new(dialer: Dialer, message: Message, format: RecordFormat) -> Self {
        Self { dialer, message, format, stream: None }
    }

    pub async fn send(&mut self, items: &[Item]) -> Result<u64, SinkFault> {
        let mut frames = Vec::new();
        for item in items {
            let text = message(item, self.format, self.message);
            frames.extend_from_slice(format!("{} ", text.len()).as_bytes());
            frames.extend_from_slice(&text);
        }
        let limit = self.dialer.timeout();
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(self.dialer.connect().await?),
        };
        let write = async {
            stream.write_all(&frames).await?;
            stream.flush().await
        };
        timeout(limit, write)
            .await
            .map_err(|_| SinkFault::TimedOut("the receiver", limit))?
            .map_err(|fault| SinkFault::Broken(fault.to_string()))?;
        self.check().await?;
        Ok(frames.len() as u64)
    }

    /// Whether the connection still stands. A server says nothing, so that an end is all there can be to read.
    pub async fn check(&mut self) -> Result<(), SinkFault> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        let mut buffer = [0; 512];
        poll_fn(|context| {
            let mut read = ReadBuf::new(&mut buffer);
            Poll::Ready(match Pin::new(&mut *stream).poll_read(context, &mut read) {
                Poll::Pending => Ok(()),
                Poll::Ready(Ok(())) if read.filled().is_empty() => Err(SinkFault::Closed),
                Poll::Ready(Ok(())) => Ok(()),
                Poll::Ready(Err(fault)) => Err(SinkFault::Broken(fault.to_string())),
            })
        })
        .await
    }

    pub fn break_off(&mut self) {
        self.stream = None;
    }
}

/// An event as a message; one that would be too large goes in short form.
#[must_use]
pub fn message(item: &Item, form: RecordFormat, settings: Message) -> Vec<u8> {
    let fits = |message: &Vec<u8>| message.len() <= settings.bytes_max;
    let short = |names| compose(&item.short(names), form, settings.bom);
    Some(compose(item, form, settings.bom))
        .filter(fits)
        .or_else(|| Some(short(Names::Whole)).filter(fits))
        .unwrap_or_else(|| short(Names::Cut))
}

fn compose(item: &Item, form: RecordFormat, bom: Bom) -> Vec<u8> {
    let brief = &item.brief;
    let host = brief.origin.rsplit('/').next().unwrap_or_default();
    let mut data = String::new();
    let mut parameter = |name: &str, value: &str| data.push_str(&format!(" {name}=\"{}\"", escaped(value)));
    if let Some(sequence) = brief.sequence {
        parameter("sequence", &sequence.to_string());
    }
    parameter("uid", &brief.uid);
    parameter("class", &brief.class.to_string());
    parameter("event", &brief.event);
    let mut text = format!(
        "<{}>1 {} {} portcullis - {} [{SD_ID}{data}] ",
        FACILITY_LOG_AUDIT * 8 + severity(brief.severity),
        format::time(brief.time),
        word(host, 255),
        word(&brief.event, 32),
    )
    .into_bytes();
    if bom == Bom::Write {
        text.extend_from_slice("\u{feff}".as_bytes());
    }
    text.extend_from_slice(&format::text(item, form));
    text
}

/// A value of structured data: RFC 5424 §6.3.3 escapes three characters, and a control character would do no good there.
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for letter in super::super::text::printable(value).chars() {
        if matches!(letter, '"' | '\\' | ']') {
            out.push('\\');
        }
        out.push(letter);
    }
    out
}

/// A field of the head: printable ASCII without spaces, or a hyphen for nothing.
fn word(text: &str, most: usize) -> String {
    let word: String = text.chars().filter(char::is_ascii_graphic).take(most).collect();
    if word.is_empty() { "-".to_owned() } else { word }
}

/// OCSF severity as one of syslog: informational, notice, warning, error, critical.
const fn severity(ocsf: u64) -> u64 {
    match ocsf {
        0 | 1 => 6,
        2 => 5,
        3 => 4,
        4 => 3,
        _ => 2,
    }
}

/// RFC 5424 §6.2.1: log audit.
const FACILITY_LOG_AUDIT: u64 = 13;

/// 32473 is the enterprise number that RFC 5612 gives to whoever has none.
const SD_ID: &str = "portcullis@32473";
