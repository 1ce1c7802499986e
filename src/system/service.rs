//! The service manager (`sd_notify(3)`): told when the process is ready, reloads, stops, hands over, and that it is alive.
//!
//! Nobody listens unless `NOTIFY_SOCKET` is set, and nothing depends on whether somebody does.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Where the service manager listens.
#[derive(Debug, Default)]
pub struct Service {
    address: Option<SocketAddr>,
    /// How often it wants a sign of life.
    watchdog: Option<Duration>,
}

impl Service {
    /// As the environment says.
    #[must_use]
    pub fn from_env() -> Self {
        let address = env::var_os("NOTIFY_SOCKET").and_then(|path| match path.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name).ok(),
            None => SocketAddr::from_pathname(&path).ok(),
        });
        // Without WATCHDOG_PID the main process is meant.
        let is_ours = env::var("WATCHDOG_PID").map_or(true, |pid| pid.parse() == Ok(std::process::id()));
        let micros = env::var("WATCHDOG_USEC").ok().and_then(|micros| micros.parse().ok()).filter(|micros| *micros > 0 && is_ours);
        Self { address, watchdog: micros.map(Duration::from_micros) }
    }

    /// How often [`alive`](Self::alive) is to be said: twice in the time after which the process is ended.
    #[must_use]
    pub fn feed_every(&self) -> Option<Duration> {
        self.address.as_ref().and(self.watchdog).map(|span| span / 2)
    }

    pub fn ready(&self, status: &str) {
        self.say(&format!("READY=1\nSTATUS={status}"));
    }

    pub fn reloading(&self, status: &str) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS={status}"));
    }

    pub fn stopping(&self, status: &str) {
        self.say(&format!("STOPPING=1\nSTATUS={status}"));
    }

    /// Another process is the one to watch from now on.
    pub fn handed_to(&self, process: u32) {
        self.say(&format!("MAINPID={process}"));
    }

    pub fn alive(&self) {
        self.say("WATCHDOG=1");
    }

    fn say(&self, words: &str) {
        let Some(address) = &self.address else { return };
        let sent = UnixDatagram::unbound().and_then(|socket| {
            // A service manager that does not read is not waited for.
            socket.set_nonblocking(true)?;
            socket.send_to_addr(words.as_bytes(), address)
        });
        if let Err(error) = sent.map_err(|error: io::Error| error.to_string()) {
            tracing::warn!(error, "the service manager cannot be told");
        }
    }
}
