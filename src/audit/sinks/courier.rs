//! The way to one receiver, whatever it speaks.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::config::{Carrier, Sink};

use super::event::Item;
use super::fault::SinkFault;
use super::http::{Accepted, Http, Speech};
use super::lines::{FileLines, StdoutLines};
use super::relp::Relp;
use super::syslog::Syslog;
use super::tls::Dialer;
use super::web::Web;

/// Carries batches to a receiver.
#[derive(Debug)]
pub enum Courier {
    Syslog { syslog: Box<Syslog>, replay_window: Duration },
    Relp(Box<Relp>),
    Http(Box<Http>),
    File(FileLines),
    Stdout(StdoutLines),
}

/// When a batch that was sent counts as taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    Now,
    /// When the connection has lived on for this long.
    After(Duration),
    /// When the receiver names this number.
    Ticket(u64),
}

impl Courier {
    pub fn new(sink: &Sink) -> Result<Self, SinkFault> {
        let (form, timeout) = (sink.format, sink.timeout);
        Ok(match &sink.carrier {
            Carrier::Syslog { server, message, replay_window } => {
                let syslog = Syslog::new(Dialer::new(server, timeout)?, *message, form);
                Self::Syslog { syslog: Box::new(syslog), replay_window: *replay_window }
            }
            Carrier::Relp { server, message } => Self::Relp(Box::new(Relp::new(Dialer::new(server, timeout)?, *message, form))),
            Carrier::Http { api, endpoint } => {
                let speech = Speech::of(api)?;
                Self::Http(Box::new(Http::new(Web::new(endpoint, speech.scheme(), timeout)?, form, speech)))
            }
            Carrier::Otlp { endpoint } => {
                let speech = Speech::Otlp;
                Self::Http(Box::new(Http::new(Web::new(endpoint, speech.scheme(), timeout)?, form, speech)))
            }
            Carrier::File { path } => Self::File(FileLines::new(path.clone(), form)),
            Carrier::Stdout => Self::Stdout(StdoutLines::new(form, timeout)),
        })
    }

    /// Sends a batch; returns its bytes. On a fault, `items` holds what was not taken yet.
    pub async fn send(&mut self, items: &mut Vec<Item>) -> Result<(u64, Receipt), SinkFault> {
        match self {
            Self::Syslog { syslog, replay_window } => Ok((syslog.send(items).await?, Receipt::After(*replay_window))),
            Self::Relp(relp) => Ok((relp.send(items).await?, Receipt::Now)),
            Self::Http(http) => match http.send(items).await? {
                (bytes, Accepted::Kept) => Ok((bytes, Receipt::Now)),
                (bytes, Accepted::Ticket(ticket)) => Ok((bytes, Receipt::Ticket(ticket))),
            },
            Self::File(file) => Ok((file.send(items)?, Receipt::Now)),
            Self::Stdout(out) => Ok((out.send(items).await?, Receipt::Now)),
        }
    }

    /// Whether what was sent is still on its way; a connection that ended is found here.
    pub async fn check(&mut self) -> Result<(), SinkFault> {
        match self {
            Self::Syslog { syslog, .. } => syslog.check().await,
            Self::Relp(_) | Self::Http(_) | Self::File(_) | Self::Stdout(_) => Ok(()),
        }
    }

    /// Which of these tickets the receiver has named.
    pub async fn acknowledged(&self, tickets: &[u64]) -> Result<BTreeSet<u64>, SinkFault> {
        match self {
            Self::Http(http) => http.acknowledged(tickets).await,
            Self::Syslog { .. } | Self::Relp(_) | Self::File(_) | Self::Stdout(_) => Ok(BTreeSet::new()),
        }
    }

    /// Gives up the connection: the next batch makes another.
    pub fn break_off(&mut self) {
        match self {
            Self::Syslog { syslog, .. } => syslog.break_off(),
            Self::Relp(relp) => relp.break_off(),
            Self::File(file) => file.break_off(),
            Self::Http(_) | Self::Stdout(_) => {}
        }
    }
}
