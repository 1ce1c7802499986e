//! One gateway in place of another, with no connection refused and no request unanswered: see
//! docs/decisions/0030-in-place-upgrade.md.
//!
//! The old process starts the new one and gives it its listening sockets. While the new one gets ready, the old one serves as
//! ever. Then the log changes hands: records wait meanwhile, a few milliseconds. Only when the new one serves does the old one
//! stop accepting, and ends what it began, recording through its successor. Whatever goes wrong before that leaves the old one
//! as it was.

mod giving;
mod line;
mod taking;

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub(super) use giving::CONTROL_SOCKET;
pub use giving::{Program, WORKERS};
pub use taking::Predecessor;
pub(super) use taking::Words;

use crate::audit::RelayFault;
use crate::gateway::sessions::Change;
use crate::system::sandbox::Reach;

/// What the old process says first. The sockets come with it, in this order, and then the one for records.
#[derive(Debug, Serialize, Deserialize)]
struct Hello {
    /// Of these words; another version may have others.
    form: u32,
    process: u32,
    /// What both must stand on to share a store: its schema and the key that seals it.
    basis: String,
    sockets: Vec<String>,
    /// What the old process may reach, and so the new one: it is not more.
    confined: Option<Reach>,
}

/// What the two processes say to each other, a JSON line each.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Word {
    /// New: all is ready but the log.
    Prepared,
    /// Old: the log is closed.
    LogClosed,
    /// New: the log is open, connections are accepted.
    Serving,
    /// Old: the service manager knows that the new one is the one to watch.
    Yours,
    /// A session changed.
    Session(Change),
    /// New: another configuration is in force.
    Reloaded,
}

/// Why a gateway was not replaced.
#[derive(Debug, Error)]
pub enum UpgradeFault {
    #[error("the new process cannot be started: {0}")]
    Spawn(io::Error),
    #[error("the other process: {0}")]
    Io(#[from] io::Error),
    #[error("the new process ended before it served; its own words stand in the log")]
    Gone,
    #[error("the other process was not ready within {0:?}")]
    TimedOut(Duration),
    #[error("the other process says what was not expected")]
    Unexpected,
    #[error("the two versions share no store or no words ({theirs}; here {ours}): restart instead")]
    Basis { ours: String, theirs: String },
    #[error("what only one process may do did not end in time")]
    Busy,
    #[error("{0}")]
    Relay(#[from] RelayFault),
    /// Nothing is recorded any more, so that nothing is served.
    #[error("the log could not be opened again: {0}")]
    Lost(RelayFault),
    #[error("a task of the hand-over broke off: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// Changes with the meaning of the words.
const FORM: u32 = 1;

/// The name under which the control socket is given.
const CONTROL: &str = "control.sock";

/// To read a configuration, open the store and find everything good.
const PREPARE_WITHIN: Duration = Duration::from_secs(60);

/// To open the log and accept. Requests wait meanwhile: shorter than they do.
const OPEN_WITHIN: Duration = Duration::from_secs(4);
