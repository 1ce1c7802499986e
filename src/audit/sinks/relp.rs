//! RELP over TLS: syslog whose every message is acknowledged by the receiver. What is not acknowledged is sent again.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::config::{Message, RecordFormat};

use super::event::Item;
use super::fault::SinkFault;
use super::syslog;
use super::tls::Dialer;

/// A session with a RELP server, made when it is needed.
#[derive(Debug)]
pub struct Relp {
    dialer: Dialer,
    message: Message,
    format: RecordFormat,
    session: Option<Session>,
}

#[derive(Debug)]
struct Session {
    stream: TlsStream<TcpStream>,
    /// The number of the last transaction, 1 to 999 999 999.
    transaction: u32,
    received: Vec<u8>,
}

impl Relp {
    pub const fn new(dialer: Dialer, message: Message, format: RecordFormat) -> Self {
        Self { dialer, message, format, session: None }
    }

    /// Sends what there is, window by window. What was acknowledged is taken out of `items`, also when the rest fails.
    pub async fn send(&mut self, items: &mut Vec<Item>) -> Result<u64, SinkFault> {
        let limit = self.dialer.timeout();
        let session = match &mut self.session {
            Some(session) => session,
            none => {
                let mut session = Session { stream: self.dialer.connect().await?, transaction: 0, received: Vec::new() };
                timeout(limit, session.open()).await.map_err(|_| SinkFault::TimedOut("the receiver", limit))??;
                none.insert(session)
            }
        };
        let mut bytes = 0;
        while !items.is_empty() {
            let window = items.len().min(WINDOW);
            let texts = items.iter().take(window).map(|item| syslog::message(item, self.format, self.message));
            let mut acknowledged = 0;
            let sent = timeout(limit, session.exchange(texts, &mut acknowledged)).await;
            items.drain(..acknowledged.min(window));
            bytes += sent.map_err(|_| SinkFault::TimedOut("the receiver", limit))??;
        }
        Ok(bytes)
    }

    pub fn break_off(&mut self) {
        self.session = None;
    }
}

impl Session {
    async fn open(&mut self) -> Result<(), SinkFault> {
        let offers = format!("relp_version=0\nrelp_software=portcullis,{}\ncommands=syslog", env!("CARGO_PKG_VERSION"));
        let (number, frame) = self.frame("open", offers.as_bytes());
        self.write(&frame).await?;
        self.await_answer(number).await
    }

    /// One window: every message, then every answer, in order.
    async fn exchange(&mut self, texts: impl Iterator<Item = Vec<u8>>, acknowledged: &mut usize) -> Result<u64, SinkFault> {
        let (mut frames, mut numbers) = (Vec::new(), Vec::new());
        for text in texts {
            let (number, frame) = self.frame("syslog", &text);
            numbers.push(number);
            frames.extend_from_slice(&frame);
        }
        self.write(&frames).await?;
        for number in numbers {
            self.await_answer(number).await?;
            *acknowledged += 1;
        }
        Ok(frames.len() as u64)
    }

    fn frame(&mut self, command: &str, data: &[u8]) -> (u32, Vec<u8>) {
        self.transaction = self.transaction % TRANSACTION_MAX + 1;
        let mut frame = format!("{} {command} {}", self.transaction, data.len()).into_bytes();
        if !data.is_empty() {
            frame.push(b' ');
            frame.extend_from_slice(data);
        }
        frame.push(b'\n');
        (self.transaction, frame)
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), SinkFault> {
        let broken = |fault: std::io::Error| SinkFault::Broken(fault.to_string());
        self.stream.write_all(bytes).await.map_err(broken)?;
        self.stream.flush().await.map_err(broken)
    }

    /// The answer to one transaction, which must be 200.
    async fn await_answer(&mut self, number: u32) -> Result<(), SinkFault> {
        loop {
            if let Some((length, answer)) = parse(&self.received)? {
                self.received.drain(..length);
                return match answer {
                    // The server hints that it closes; what is open was not taken.
                    Answer { transaction: 0, .. } => Err(SinkFault::Closed),
                    Answer { transaction, data } if transaction == number && data.starts_with(b"200") => Ok(()),
                    Answer { transaction, data } if transaction == number => Err(SinkFault::refused(&data, "")),
                    Answer { transaction, .. } => {
                        Err(SinkFault::Answer(format!("transaction {transaction} was answered instead of {number}")))
                    }
                };
            }
            if self.received.len() > ANSWER_BYTES_MAX {
                return Err(SinkFault::Answer(format!("it is longer than {ANSWER_BYTES_MAX} bytes")));
            }
            let read = self.stream.read_buf(&mut self.received).await.map_err(|fault| SinkFault::Broken(fault.to_string()))?;
            if read == 0 {
                return Err(SinkFault::Closed);
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Answer {
    transaction: u32,
    data: Vec<u8>,
}

/// Reads one frame from the front: `number rsp length [data]` and a line feed. None when it is not whole yet.
fn parse(bytes: &[u8]) -> Result<Option<(usize, Answer)>, SinkFault> {
    let odd = || SinkFault::Answer("it is not a RELP frame".to_owned());
    let mut rest = bytes;
    let mut field = || -> Option<&[u8]> {
        let end = rest.iter().position(|byte| matches!(byte, b' ' | b'\n'))?;
        let (field, after) = rest.split_at_checked(end)?;
        // A frame without data ends behind its length, which is the only field that a line feed may follow.
        rest = if after.first() == Some(&b'\n') { after } else { after.get(1..)? };
        Some(field)
    };
    let (Some(transaction), Some(command), Some(length)) = (field(), field(), field()) else {
        return if bytes.len() > HEAD_BYTES_MAX { Err(odd()) } else { Ok(None) };
    };
    let number = |digits: &[u8]| std::str::from_utf8(digits).ok()?.parse::<u32>().ok();
    let (transaction, length) = (number(transaction).ok_or_else(odd)?, number(length).ok_or_else(odd)?);
    let length = usize::try_from(length).ok().filter(|length| *length <= ANSWER_BYTES_MAX).ok_or_else(odd)?;
    if !matches!(command, b"rsp" | b"serverclose") {
        return Err(odd());
    }
    let Some((data, after)) = rest.split_at_checked(length) else { return Ok(None) };
    match after.first() {
        None => Ok(None),
        Some(b'\n') => Ok(Some((bytes.len() - after.len() + 1, Answer { transaction, data: data.to_vec() }))),
        Some(_) => Err(odd()),
    }
}

/// Messages that are on their way at once; what librelp allows itself.
const WINDOW: usize = 128;
const TRANSACTION_MAX: u32 = 999_999_999;
const ANSWER_BYTES_MAX: usize = 65_536;
/// `999999999 serverclose 65536 `, with room.
const HEAD_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use super::*;

    fn check(bytes: &str, expected: Option<(usize, u32, &str)>) {
        let found = parse(bytes.as_bytes()).unwrap();
        let wanted = expected.map(|(length, transaction, data)| (length, Answer { transaction, data: data.into() }));
        assert_eq!(found, wanted, "{bytes:?}");
    }

    #[test]
    fn an_answer_is_read_when_it_is_whole() {
        check("1 rsp 6 200 OK\n", Some((15, 1, "200 OK")));
        check("1 rsp 6 200 OK\n2 rsp", Some((15, 1, "200 OK")));
        check("7 rsp 0\n", Some((8, 7, "")));
        check("0 serverclose 0\n", Some((16, 0, "")));
        check("1 rsp 12 200 OK\nab=cd\n", Some((22, 1, "200 OK\nab=cd")));
        for part in ["", "1", "1 rsp", "1 rsp 6", "1 rsp 6 200 OK"] {
            check(part, None);
        }
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for bytes in ["x rsp 6 200 OK\n", "1 syslog 2 ab\n", "1 rsp 6 200 OKab", "1 rsp 99999999 ", "HTTP/1.1 400 Bad Request\r\n"] {
            assert!(parse(bytes.as_bytes()).is_err(), "{bytes:?}");
        }
        assert!(parse(&[b'1'; 100]).is_err());
    }
}
